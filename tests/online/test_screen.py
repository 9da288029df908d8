"""The screen: a candidate that is certainly worse by the log never touches the robot; passing it accepts nobody."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.small_handoff import GENEROUS, STRICT, small_config
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import read_json
from offline_to_online.dataset.manifest import load_manifest
from offline_to_online.evaluation.off_policy import Estimate, ScreenConfig
from offline_to_online.learning.algorithms._d3rlpy.learner import D3rlpyLearner
from offline_to_online.learning.policy_file import policy_bytes, read_policy
from offline_to_online.online import screen as screening
from offline_to_online.online.beginning import begin
from offline_to_online.online.collect import collect, safety_gate
from offline_to_online.online.config import GatesConfig
from offline_to_online.online.decide import accept_or_reject, evidence_of_round, log_round, open_registry
from offline_to_online.online.journal import Journal, Record
from offline_to_online.online.run import CERTIFY, SCREEN, UPDATE, OnlineRun
from offline_to_online.online.screen import judge, screen
from offline_to_online.online.update import update
from offline_to_online.report.online_run import read_run, verdict_rows
from tests.online.small_run import play_round

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
TRUSTED = ScreenConfig(margin=1.0, members=8, updates=400, batch_size=128, hidden_units=(64,), learning_rate=3e-3)


def made_log(observation_size: int, action_size: int) -> list[Episode]:
    """Logs of random actions on random inputs: the higher an action, the more it costs, up to 10 a step."""
    rng = np.random.default_rng(0)
    return [_made_episode(observation_size, action_size, rng) for _ in range(120)]


def _made_episode(observation_size: int, action_size: int, rng: np.random.Generator, steps: int = 10) -> Episode:
    observations = rng.normal(size=(steps + 1, observation_size)).astype(np.float32)
    actions = rng.uniform(-1, 1, (steps, action_size)).astype(np.float32)
    nothing = np.zeros(steps, dtype=np.float32)
    return Episode(
        observations=observations,
        actions=actions,
        rewards=-5 * (actions.mean(axis=1) + 1),
        cost=nothing,
        intervened=nothing.astype(bool),
        terminated=True,
        truncated=False,
        operator="script",
        seed=-1,
        success=False,
        score=0.0,
    )


def write_constant(path: Path) -> None:
    """Make an exported policy command the top of its range, whatever it sees."""
    architecture, tensors = read_policy(path.read_bytes(), where=str(path))
    last = len(architecture.hidden)
    tensors[f"layer.{last}.weight"] *= 0
    tensors[f"layer.{last}.bias"] = 0 * tensors[f"layer.{last}.bias"] + 3.0
    path.write_bytes(policy_bytes(architecture, tensors))


def begun(handoff: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run about to make its first candidate, screened by a log in which high actions cost."""
    gates = GatesConfig(safety=GENEROUS, acceptance=STRICT)
    folder = begin(root, "a", handoff, small_config(gates=gates, screen=TRUSTED), seed=1, jobs=1).folder
    spec = OnlineRun(folder).module.SPEC
    log = made_log(spec.observation.size, spec.action.size)
    monkeypatch.setattr(screening, "load_episodes", lambda path, part: log)
    return folder


def made(folder: Path) -> Path:
    """The same, its candidate made."""
    collect(OnlineRun(folder), 1)
    safety_gate(OnlineRun(folder), 1)
    assert update(OnlineRun(folder), 1)["candidate"]
    return folder


@pytest.fixture
def updated(handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose first candidate is made, and about to be screened."""
    return made(begun(handoff, tmp_path, monkeypatch))


@pytest.fixture
def ruined(handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with a first candidate that always does the same bad thing."""
    export = D3rlpyLearner.export

    def constant(learner: D3rlpyLearner, path: Path) -> None:
        export(learner, path)
        if path.parents[1].name == "001":
            write_constant(path)

    folder = begun(handoff, tmp_path, monkeypatch)
    monkeypatch.setattr(D3rlpyLearner, "export", constant)
    return made(folder)


def test_a_worse_candidate_never_touches_the_robot(ruined: Path) -> None:
    """It is vetoed by name, executes nothing, and the champion stays."""
    before = OnlineRun(ruined).executed()
    play_round(ruined, 1)
    run = OnlineRun(ruined)
    screened, decision = run.result(1, SCREEN), accept_or_reject(run, 1)
    assert screened is not None
    assert not screened["passed"]
    assert screened["difference"]["high"] < -1.0
    assert (decision["accepted"], decision["vetoed"], decision["reason"]) == (False, True, screened["reason"])
    assert decision["reason"].startswith("off-policy evaluation: difference -")
    assert run.executed() == before
    assert run.result(1, CERTIFY) is None
    assert not (run.round_folder(1) / CERTIFY).exists()
    assert (run.standing().policy, run.standing().version) == (run.baseline, "")


def test_a_veto_spends_nothing_of_the_acceptance_gate(ruined: Path) -> None:
    """The next candidate is the first, on the first block; it learns from the champion's learner, on all data."""
    play_round(ruined, 1)
    play_round(ruined, 2)
    run = OnlineRun(ruined)
    first, second, certified = run.result(1, UPDATE), run.result(2, UPDATE), run.result(2, CERTIFY)
    assert first is not None
    assert second is not None
    assert certified is not None
    assert (certified["candidate_number"], certified["block"]) == (1, run.facts["first_block"])
    assert second["started_from_sha256"] == first["started_from_sha256"]
    assert second["steps"] == 2 * first["steps"]
    assert run.standing().candidates == 1


def test_passing_accepts_nobody(updated: Path) -> None:
    """A candidate that differs little passes, is certified, and the acceptance gate still rejects it."""
    play_round(updated, 1)
    run = OnlineRun(updated)
    screened, certified = run.result(1, SCREEN), run.result(1, CERTIFY)
    assert screened is not None
    assert screened["passed"]
    assert certified is not None
    assert certified["pairs"] > 0
    assert not accept_or_reject(run, 1)["accepted"]


class KilledError(BaseException):
    """As SIGKILL: nothing of ours catches it."""


def test_a_run_killed_after_its_screen_goes_on_with_the_same(ruined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the screen said stays said; nothing is evaluated twice."""
    append = Journal.append

    def killing(journal: Journal, kind: str, data: Mapping[str, Any]) -> Record:
        if data.get("phase") == SCREEN:
            raise KilledError
        return append(journal, kind, data)

    monkeypatch.setattr(Journal, "append", killing)
    with pytest.raises(KilledError):
        screen(OnlineRun(ruined), 1)
    monkeypatch.setattr(Journal, "append", append)
    path = ruined / "rounds" / "001" / "screen.json"
    said = path.read_bytes()
    path.unlink()
    screen(OnlineRun(ruined), 1)
    assert path.read_bytes() == said
    monkeypatch.delattr(screening, "fitted_q")
    assert not screen(OnlineRun(ruined), 1)["passed"]
    assert len(OnlineRun(ruined).journal.of("phase", phase=SCREEN)) == 1


def test_nothing_is_screened_without_rewards_or_when_switched_off(
    updated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, measures nothing, and passes."""
    silent = dataclasses.replace(load_manifest(updated / "handoff" / "manifest.yaml"), reward_source="none")
    with monkeypatch.context() as patch:
        patch.setattr(screening, "load_manifest", lambda path: silent)
        said = screening.look(OnlineRun(updated), 1)
    assert (said["passed"], said["verdicts"]) == (True, [])
    assert "no rewards" in said["reason"]
    off = OnlineRun(updated)
    off.config = dataclasses.replace(off.config, screen=ScreenConfig(enabled=False))
    assert "enabled is false" in screening.look(off, 1)["reason"]
    assert screening.metrics(said) == {"screen/passed": 1.0}


def test_a_round_certified_without_a_screen_opens(finished: Path, tmp_path: Path) -> None:
    """A run of an earlier version goes on: its rounds are not screened after the fact."""
    folder = Path(shutil.copytree(finished, tmp_path / "old"))
    for number in (1, 2):
        (folder / "rounds" / f"{number:03d}" / "screen.json").unlink()
    run = OnlineRun(folder)
    assert screen(run, 1)["passed"]
    assert not (folder / "rounds" / "001" / "screen.json").exists()
    assert run.standing().candidates == 2
    assert {row["gate"] for row in verdict_rows(read_run(folder))} == {"safety", "acceptance"}


def test_it_is_told(finished: Path, ruined: Path) -> None:
    """MLflow, the evidence of an accepted policy and the verdicts of the report hold what the screen said."""
    run = OnlineRun(finished)
    rules = [verdict["rule"] for verdict in evidence_of_round(run, 1, run.result(1, CERTIFY) or {})["verdicts"]]
    assert "off_policy_evaluation" in rules
    registry, identity = open_registry(run)
    told = registry.client.get_run(identity).data.metrics
    screened = read_json(finished / "rounds" / "002" / "screen.json")
    assert told["screen/difference_value"] == pytest.approx(screened["difference"]["value"])
    assert [row["gate"] for row in verdict_rows(read_run(finished))].count("screen") == 2
    screen(OnlineRun(ruined), 1)
    accept_or_reject(OnlineRun(ruined), 1)
    log_round(OnlineRun(ruined), 1)
    registry, identity = open_registry(OnlineRun(ruined))
    assert registry.client.get_run(identity).data.metrics["screen/passed"] == 0.0


@pytest.mark.parametrize(("low", "high", "passed"), [(-9.0, -2.1, False), (-9.0, -1.9, True), (3.0, 4.0, True)])
def test_only_a_whole_interval_below_the_margin_vetoes(low: float, high: float, passed: bool) -> None:
    """Doubt passes, and so does anything that may be worse by less than the margin."""
    verdict = judge(Estimate(value=(low + high) / 2, low=low, high=high), margin=2.0, alpha=0.05)
    assert (verdict.passed, verdict.measured, verdict.limit) == (passed, high, -2.0)
    assert ("not certainly" in verdict.reason) == passed
