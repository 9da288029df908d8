"""Drift against D_0, which stays, and against D_k, which grows with what is collected: the two show a slow ratchet."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.small_handoff import small_config
from offline_to_online.dataset.files import folder_sha256, read_json
from offline_to_online.dataset.spec import Array
from offline_to_online.evaluation.guard import Guard
from offline_to_online.evaluation.play import load_support
from offline_to_online.evaluation.rollout import Rollout, read_rollout, run_episode
from offline_to_online.online import drift
from offline_to_online.online.beginning import begin
from offline_to_online.online.collect import collect, evidence_of
from offline_to_online.online.drift import CollectedData, data_of, judged_actions
from offline_to_online.online.journal import Journal, Record
from offline_to_online.online.memory import Kept
from offline_to_online.online.run import CERTIFY, COLLECT, OnlineRun
from offline_to_online.support.calibration import Calibration, calibrate
from offline_to_online.support.estimator import SupportConfig, SupportEstimator
from tests.evaluation.toy_robot import Line, line, task

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Mover:
    """A policy that moves by about as much at every step, seeded."""

    history, chunk = 1, 1

    def __init__(self, move: float, seed: int) -> None:
        self.move, self.rng = move, np.random.default_rng(seed)

    def reset(self) -> None:
        """Nothing is remembered."""

    def act(self, observations: Array) -> Array:
        noise = self.rng.normal(scale=0.02, size=(len(observations), 1))
        return (self.move + noise).astype(np.float32)

    def explore(self, observations: Array, rng: np.random.Generator) -> Array:
        return self.act(observations)


def play(
    move: float, seed: int, guard: Guard, *, module: Any = None, person: Callable[[Array], Array | None] | None = None
) -> Rollout:
    """One episode on the line."""
    policy, module = Mover(move, seed), module or line()
    return run_episode(Line(), module, policy, task(), guard, rng=None, operator="champion", person=person)


def taking_over(seen: Array) -> Array | None:
    """A person who acts in the fourth step."""
    return np.array([-0.4]) if seen[1] == 3 else None


@pytest.fixture(scope="module")
def logged() -> tuple[list[Rollout], Calibration]:
    """D_0, forty episodes of a policy that hardly moves, and thresholds of twenty further ones; no guard stop ever."""
    rollouts = [play(0.0, seed, Guard(line())) for seed in range(60)]
    episodes = [rollout.episode for rollout in rollouts]
    found = calibrate(fitted(rollouts), episodes[40:], episodes[:40], 0.1)
    return rollouts, dataclasses.replace(found, episode_threshold=1e9)


def fitted(rollouts: list[Rollout]) -> SupportEstimator:
    """An estimator of the first forty, its own copy."""
    return SupportEstimator.fit([rollout.episode for rollout in rollouts[:40]], SupportConfig())


def test_a_slow_ratchet_shows(logged: tuple[list[Rollout], Calibration]) -> None:
    """A policy that walks away from D_0 a little each round: clean against D_k at the end, far outside against D_0."""
    rollouts, calibration = logged
    guard = Guard(line(), fitted(rollouts), calibration)
    data = CollectedData(fitted(rollouts), calibration, line())
    rounds = []
    for number in range(12):
        seen = []
        for index in range(8):
            rollout = play(0.02 * number, 1000 + 8 * number + index, guard)
            seen.append(evidence_of(rollout, support_drift_k=data.drift(rollout)))
            data.add(rollout)
        rounds.append([np.mean([getattr(e, name) for e in seen]) for name in ("support_drift", "support_drift_k")])
    from_first, from_grown = np.array(rounds).T
    assert from_first[0] < 0.15
    assert from_first[-3:].min() > 0.9
    assert from_grown.max() < 0.5
    assert from_grown[-3:].mean() < 0.35


def test_a_jump_shows_against_both(logged: tuple[list[Rollout], Calibration]) -> None:
    """D_k forgives a little at a time only: what is new to all data so far is outside of either."""
    rollouts, calibration = logged
    data = CollectedData(fitted(rollouts), calibration, line())
    jumped = play(0.3, 1, Guard(line(), fitted(rollouts), calibration))
    assert jumped.support_drift > 0.9
    assert data.drift(jumped) > 0.9
    data.add(jumped)
    for seed in range(2, 9):
        data.add(play(0.3, seed, Guard(line())))
    assert data.drift(play(0.3, 99, Guard(line()))) < 0.3


@pytest.mark.parametrize("stops", [False, True])
def test_before_anything_is_collected_the_two_are_one(logged: tuple[list[Rollout], Calibration], stops: bool) -> None:
    """The same proposals inside bounds and rate are judged, whatever was executed: guard stops and takeovers too."""
    rollouts, calibration = logged
    module = line(max_change=0.05)
    if stops:
        calibration = dataclasses.replace(calibration, episode_threshold=calibration.step_threshold)
    guard, data = Guard(module, fitted(rollouts), calibration), CollectedData(fitted(rollouts), calibration, module)
    played = [play(0.07 * seed, seed, guard, module=module, person=taking_over) for seed in range(6)]
    assert all(rollout.clipped.any() and rollout.takeover.any() for rollout in played)
    assert any(rollout.guard_stop.any() for rollout in played) == stops
    assert [data.drift(rollout) for rollout in played] == [rollout.support_drift for rollout in played]
    for rollout in played:
        scores = fitted(rollouts).score(rollout.episode.observations[:-1], judged_actions(rollout, module.SPEC))
        np.testing.assert_allclose(scores, rollout.support_score, rtol=1e-5)


def test_what_was_executed_is_added_and_not_what_was_proposed(logged: tuple[list[Rollout], Calibration]) -> None:
    """Proposals that the guard stopped stay outside, however often they were made: they never became data."""
    rollouts, calibration = logged
    strict = dataclasses.replace(calibration, episode_threshold=calibration.step_threshold)
    guard = Guard(line(), fitted(rollouts), strict)
    data = CollectedData(fitted(rollouts), strict, line())
    for seed in range(8):
        stopped = play(0.4, seed, guard)
        assert stopped.guard_stop.all()
        data.add(stopped)
    assert data.drift(play(0.4, 99, guard)) == 1.0


def test_a_score_that_is_no_number_is_drift(logged: tuple[list[Rollout], Calibration]) -> None:
    """As for the guard: what cannot be measured counts as outside."""
    blind = SimpleNamespace(score=lambda observations, actions: np.full(len(actions), np.nan))
    rollouts, calibration = logged
    assert CollectedData(blind, calibration, line()).drift(rollouts[0]) == 1.0  # type: ignore[arg-type]


class KilledError(BaseException):
    """As SIGKILL: nothing of ours catches it."""


def collect_twice(root: Path, handoff: Path) -> Path:
    """Two rounds' collections of a policy that explores wildly, begun or gone on with; the run's folder."""
    config = small_config(exploration_scale=12.0, episodes_per_round=3)
    folder = begin(root, "run-001", handoff, config, seed=1, jobs=1).folder
    for number in (1, 2):
        collect(OnlineRun(folder), number)
    return folder


@pytest.fixture(scope="module")
def drifting(handoff: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that drifts, after two collections."""
    return collect_twice(tmp_path_factory.mktemp("drifting"), handoff)


def test_a_run_that_goes_on_measures_as_if_it_had_not_stopped(
    drifting: Path, handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after each episode's record, and D_k made anew of the files each time: the same bytes."""
    append, kills = Journal.append, 0

    def killing(journal: Journal, kind: str, data: Mapping[str, Any]) -> Record:
        nonlocal kills
        record = append(journal, kind, data)
        if kind == "episode":
            kills += 1
            raise KilledError
        return record

    monkeypatch.setattr(Journal, "append", killing)
    while kills < 6:
        monkeypatch.setattr(drift, "KEPT", Kept(drift.as_handed_off, drift.add_file))
        with contextlib.suppress(KilledError):
            collect_twice(tmp_path, handoff)
    folder = collect_twice(tmp_path, handoff)
    for part in ("episodes", "rounds"):
        assert folder_sha256(folder / part) == folder_sha256(drifting / part), part


def test_each_episode_is_measured_against_all_before_it(drifting: Path) -> None:
    """The numbers written down are those of D_0 and the episodes before, over rounds too; D_0 alone gives others."""
    run = OnlineRun(drifting)
    rollouts, written = [read_rollout(run.episode_path(index)) for index in range(6)], run.evidence()
    measured = [data_of(run, index).drift(rollout) for index, rollout in enumerate(rollouts)]
    assert measured == [evidence.support_drift_k for evidence in written]
    assert measured[0] == written[0].support_drift
    assert [e.support_drift for e in written] == [rollout.support_drift for rollout in rollouts]
    assert measured[3:] != [data_of(run, 0).drift(rollout) for rollout in rollouts[3:]]


def test_the_guard_stays_with_the_data_as_handed_off(drifting: Path) -> None:
    """The last episode's scores are those of the handed-off estimator: nothing that was collected moved it."""
    run = OnlineRun(drifting)
    last = read_rollout(run.episode_path(run.collected() - 1))
    estimator, calibration = load_support(run.handoff_folder)
    scores = estimator.score(last.episode.observations[:-1], judged_actions(last, run.module.SPEC))
    np.testing.assert_allclose(scores, last.support_score, rtol=1e-3)
    assert (last.outside_support == ~(last.support_score <= calibration.step_threshold)).all()


def test_what_is_played_for_certification_is_not_collected(finished: Path) -> None:
    """Certification grows no data, and is measured against D_0 alone."""
    run = OnlineRun(finished)
    batches = sorted((run.round_folder(1) / CERTIFY).glob("*.json"))
    rows = [row for path in batches for side in read_json(path).values() for row in side]
    assert rows
    assert all(row["support_drift_k"] is None for row in rows)
    assert run.collected() == sum(int(result["episodes"]) for _, result in run.results(COLLECT)) == 4
