"""The online run: budgets, gates, and going on after being killed as if nothing had happened."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.small_handoff import AUDIT, GENEROUS, LENIENT, ROBOT, STRICT, small_config
from offline_to_online.dataset.files import folder_sha256, read_json, write_json
from offline_to_online.errors import HandoffError, ParameterError, RunError
from offline_to_online.evaluation.panel import acceptance_block
from offline_to_online.evaluation.rollout import read_rollout
from offline_to_online.learning.switch import Switch
from offline_to_online.online import finish as finishing
from offline_to_online.online.beginning import begin, choose_name, is_over, robot_of, run_names
from offline_to_online.online.collect import collect, judged, safety_gate
from offline_to_online.online.config import GatesConfig, OnlineConfig
from offline_to_online.online.decide import open_registry
from offline_to_online.online.finish import all_collected, close, finish
from offline_to_online.online.journal import Journal, Record
from offline_to_online.online.run import CERTIFY, DECISION, SAFETY, UPDATE, OnlineRun
from offline_to_online.report.online_page import write_online_report
from tests.online.small_run import play_round, play_to_the_end

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class KilledError(BaseException):
    """As SIGKILL: nothing of ours catches it."""


def test_a_run_killed_at_every_record_ends_as_if_it_had_not_been(
    finished: Path, handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before or after each record is written, the run ends with the same bytes, and one version a round."""
    append, calls = Journal.append, 0

    def killing(journal: Journal, kind: str, data: Mapping[str, Any]) -> Record:
        nonlocal calls
        calls += 1
        if calls % 2 == 0:
            append(journal, kind, data)
        raise KilledError

    monkeypatch.setattr(Journal, "append", killing)
    kills = 0
    while True:
        try:
            folder = play_to_the_end(tmp_path, "run-001", handoff, small_config())
            break
        except KilledError:
            kills += 1
    monkeypatch.undo()
    assert kills == 2 * len(Journal(finished / "journal.jsonl").records)
    for part in ("episodes", "rounds", "final"):
        assert folder_sha256(folder / part) == folder_sha256(finished / part), part
    for name in ("run.json", "journal.jsonl", "summary.json"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes(), name
    registry, _ = open_registry(OnlineRun(folder))
    assert len(registry.client.search_model_versions("name = 'small'")) == 2


def test_a_finished_run_says_what_came_of_it(finished: Path) -> None:
    """The summary has every key that reports and people look for, and counts every executed episode."""
    summary = read_json(finished / "summary.json")
    wanted = [
        "run",
        "robot",
        "dynamics",
        "episodes",
        "executed_episodes",
        "rounds",
        "accepted",
        "rejected",
        "halted",
        "halt_reason",
        "baseline_success",
        "baseline_interval",
        "champion_success",
        "champion_interval",
        "difference",
        "difference_interval",
        "interventions",
        "seed",
        "constraint_cost",
        "worst_support_drift",
        "mean_support_drift",
        "worst_support_drift_k",
        "mean_support_drift_k",
        "champion_version",
        "champion_policy_sha256",
    ]
    assert set(wanted) <= set(summary)
    assert (summary["rounds"], summary["accepted"], summary["rejected"], summary["halted"]) == (2, 2, 0, False)
    assert (summary["episodes"], summary["champion_version"]) == (4, "2")
    # Collected, certified (the champion is the baseline in round one), two policies on 2 tasks of the audit block, and
    # on 3 tasks in 3 conditions.
    run = OnlineRun(finished)
    pairs = [int(result["pairs"]) for _, result in run.results(CERTIFY)]
    assert summary["executed_episodes"] == 4 + 2 * pairs[0] + 3 * pairs[1] + 4 + 18
    assert is_over(finished.parent, "run-001")


def test_collection_keeps_what_was_proposed_and_stays_off_the_panel(finished: Path) -> None:
    """Episodes carry proposed and executed actions, and none of their resets is on the panel."""
    run = OnlineRun(finished)
    rollouts = [read_rollout(run.episode_path(i)) for i in range(4)]
    panel = [*run.panel.report, *acceptance_block(run.panel, 0), *acceptance_block(run.panel, 1)]
    states = {str(task.state) for task in panel}
    for rollout in rollouts:
        assert rollout.proposed.shape == rollout.episode.actions.shape
        assert rollout.episode.operator == "champion"
        assert str(rollout.task.state) not in states


def test_each_candidate_has_its_own_acceptance_block(finished: Path) -> None:
    """Blocks are used in order, once each, and the hash of each is on record."""
    run = OnlineRun(finished)
    certified = [result for _, result in run.results(CERTIFY)]
    assert [c["block"] for c in certified] == [0, 1]
    assert [c["candidate_number"] for c in certified] == [1, 2]
    assert [c["block_sha256"] for c in certified] == [run.panel.acceptance[k].sha256 for k in (0, 1)]


def test_an_unsafe_run_halts_at_once_and_keeps_its_champion(handoff: Path, tmp_path: Path) -> None:
    """Past the safety budget no further episode is collected and nothing is updated; the summary says why."""
    gates = GatesConfig(safety={**GENEROUS, "support_drift": {"limit": 0.0, "statistic": "worst"}}, acceptance=LENIENT)
    config = small_config(gates=gates, episodes_per_round=40, exploration_scale=20.0)
    folder = play_to_the_end(tmp_path, "a", handoff, config)
    summary = read_json(folder / "summary.json")
    assert summary["halted"]
    assert "support_drift" in summary["halt_reason"]
    assert summary["episodes"] < 40
    assert summary["unchanged_baseline"]
    assert (summary["accepted"], summary["champion_version"]) == (0, "")
    assert not (folder / "rounds" / "001" / "candidate").exists()


def test_a_halted_run_moves_nothing_from_then_on(handoff: Path, tmp_path: Path) -> None:
    """Halted with a champion of its own: no audit, no final evaluation; what they would say is null."""
    folder = begin(tmp_path, "a", handoff, small_config(), seed=1, jobs=1).folder
    play_round(folder, 1)
    collect(OnlineRun(folder), 2)
    said = judged(OnlineRun(folder), 2) | {"passed": False, "reason": "too far"}
    OnlineRun(folder).phase(2, SAFETY, lambda: said)
    tried = (folder / "attempts.jsonl").read_bytes()
    summary = finish(OnlineRun(folder))
    assert (folder / "attempts.jsonl").read_bytes() == tried
    assert not (folder / "final").exists()
    assert (summary["halted"], summary["halt_reason"], summary["champion_version"]) == (True, "too far", "1")
    assert summary["executed_episodes"] == summary["episodes"] + summary["certification_episodes"]
    assert {
        summary[name] for name in ("champion_success", "difference", "difference_interval", "score_difference")
    } == {None}
    assert "was not moved" in write_online_report(folder).read_text(encoding="utf-8")


def test_a_round_that_is_never_finished_counts(handoff: Path, tmp_path: Path) -> None:
    """Stopped while it collects, and nobody lets it go on: what was executed stands in the summary all the same."""
    folder = begin(tmp_path, "a", handoff, small_config(), seed=1, jobs=1).folder
    collect(OnlineRun(folder), 1)
    evidence = OnlineRun(folder).evidence()
    (folder / "rounds/001/collect.json").unlink()
    assert OnlineRun(folder).evidence() == []
    again = all_collected(OnlineRun(folder))
    assert [replace(e, support_drift_k=None) for e in evidence] == again


def test_a_run_killed_between_its_end_and_mlflow_is_ended_by_the_next_start(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not over before MLflow keeps the head of its last record; then it is, and nothing else has changed."""
    folder = Path(shutil.copytree(finished.parent, tmp_path / "online")) / finished.name
    (folder / "closing").touch()
    assert (is_over(folder.parent, folder.name), choose_name(folder.parent)) == (False, folder.name)
    journal, kept = (folder / "journal.jsonl").read_bytes(), list[str]()
    monkeypatch.setattr(finishing, "keep_head", lambda run: kept.append(run.journal.head))
    close(OnlineRun(folder))
    assert (folder / "journal.jsonl").read_bytes() == journal
    assert kept == [OnlineRun(folder).journal.head]
    assert is_over(folder.parent, folder.name)


@pytest.mark.parametrize("on_reject", ["champion", "continue"])
def test_after_a_rejection(handoff: Path, tmp_path: Path, on_reject: str) -> None:
    """The champion and all data stay; the next update starts from the champion's learner, or goes on, as configured."""
    gates = GatesConfig(safety=GENEROUS, acceptance=STRICT)
    folder = begin(tmp_path, "a", handoff, small_config(gates=gates, on_reject=on_reject), seed=1, jobs=1).folder
    for number in (1, 2):
        play_round(folder, number)
    run = OnlineRun(folder)
    decisions = [decision for _, decision in run.results(DECISION)]
    assert [d["accepted"] for d in decisions] == [False, False]
    assert run.standing().policy == run.baseline
    first, second = (run.result(k, UPDATE) for k in (1, 2))
    assert first is not None
    assert second is not None
    goes_on = on_reject == "continue"
    assert second["started_from_sha256"] == (first["learner_sha256"] if goes_on else first["started_from_sha256"])
    assert second["steps"] == (1 if goes_on else 2) * first["steps"]


def test_the_interaction_budget_counts_everything(handoff: Path, tmp_path: Path) -> None:
    """Collection and certification stop where the budget ends, with the final evaluation's share kept back."""
    gates = GatesConfig(safety=GENEROUS, acceptance=STRICT, audit=AUDIT)
    config = small_config(gates=gates, interaction_budget_episodes=18 + 4 + 2 + 4)
    folder = play_to_the_end(tmp_path, "a", handoff, config)
    run = OnlineRun(folder)
    assert run.executed() <= 6
    assert read_json(folder / "summary.json")["executed_episodes"] <= 24
    assert [d["accepted"] for _, d in run.results(DECISION)] == [False]


def test_a_budget_that_cannot_work_is_refused(handoff: Path, tmp_path: Path) -> None:
    """A budget below one round and the final evaluation is refused, and nothing is left behind."""
    with pytest.raises(ParameterError, match="at least 24"):
        begin(tmp_path / "online", "a", handoff, small_config(interaction_budget_episodes=23), seed=1, jobs=1)
    assert run_names(tmp_path / "online") == []


def test_a_warm_up_collects_with_frozen_weights(handoff: Path, tmp_path: Path) -> None:
    """Episodes of the warm-up make no candidate and ask for no updates later."""
    folder = begin(
        tmp_path, "a", handoff, small_config(switch=Switch(updates_per_step=0.1, warmup_episodes=2)), seed=1, jobs=1
    ).folder
    play_round(folder, 1)
    run = OnlineRun(folder)
    assert (run.result(1, DECISION) or {})["candidate"] is False
    assert run.standing().learner_since == 0
    collect(run, 2)
    safety_gate(run, 2)
    from offline_to_online.online.update import update

    assert update(run, 2)["steps"] == sum(len(read_rollout(run.episode_path(i)).episode) for i in (2, 3))


def test_a_changed_episode_or_phase_is_refused(finished: Path, tmp_path: Path) -> None:
    """What the journal recorded cannot be changed behind its back."""
    shutil.copytree(finished, tmp_path / "run-001")
    result = tmp_path / "run-001" / "rounds" / "001" / "collect.json"
    result.write_text(result.read_text().replace('"episodes": 2', '"episodes": 3'))
    with pytest.raises(RunError, match="no longer is what was recorded"):
        collect(OnlineRun(tmp_path / "run-001"), 1)


def test_a_handoff_whose_data_changed_is_refused(handoff: Path, tmp_path: Path) -> None:
    """Neither a new run nor a begun one accepts a handoff whose hashes no longer hold."""
    changed = Path(shutil.copytree(handoff, tmp_path / "handoff"))
    (changed / "calibration.json").write_text("{}")
    with pytest.raises(HandoffError, match="changed after the handoff"):
        begin(tmp_path / "online", "a", changed, small_config(), seed=1, jobs=1)
    assert run_names(tmp_path / "online") == []
    run = begin(tmp_path / "online", "b", handoff, small_config(), seed=1, jobs=1)
    (run.handoff_folder / "policy.safetensors").write_bytes(b"another")
    with pytest.raises(HandoffError, match="changed after the handoff"):
        OnlineRun(run.folder)


def test_names_of_runs(finished: Path, tmp_path: Path) -> None:
    """The last unfinished run goes on; a finished one does not; a new one takes the next free name."""
    root = finished.parent
    assert choose_name(tmp_path) == "run-001"
    assert choose_name(root) == "run-002"
    with pytest.raises(RunError, match="is over"):
        choose_name(root, name="run-001")
    with pytest.raises(RunError, match="plain folder name"):
        choose_name(root, name="../elsewhere")
    (tmp_path / "run-001").mkdir()
    shutil.copy(finished / "run.json", tmp_path / "run-001")
    assert choose_name(tmp_path) == "run-001"
    assert choose_name(tmp_path, new=True) == "run-002"
    assert choose_name(tmp_path, name="mine") == "mine"
    with pytest.raises(RunError, match="exists already"):
        choose_name(tmp_path, name="run-001", new=True)


def test_the_robot_of_a_run(handoff: Path, finished: Path, tmp_path: Path) -> None:
    """A run moves its own robot; a new one the handoff's, which must be the one that the parameters name."""
    assert robot_of(finished.parent, "run-001", tmp_path, "pusht") == ROBOT
    assert robot_of(tmp_path, "run-001", handoff, ROBOT) == ROBOT
    with pytest.raises(HandoffError, match="says 'pusht'"):
        robot_of(tmp_path, "run-001", handoff, "pusht")


def test_the_configuration_survives_json(finished: Path) -> None:
    """A run goes on with the parameters it was started with, whatever params.yaml says by then."""
    config = small_config()
    assert OnlineConfig.from_json(dataclasses.asdict(config)) == config
    assert OnlineRun(finished).config == config


def test_schedules_move_with_what_is_collected() -> None:
    """From the switch to the last planned episode; another version's key is refused by name."""
    config = OnlineConfig(rounds=3, episodes_per_round=10)
    assert [config.progress(episodes) for episodes in (0, 15, 30)] == [0.0, 0.5, 1.0]
    with pytest.raises(ParameterError, match=r"unknown key 'online_share' \(run.json config\)"):
        OnlineConfig.from_json(dataclasses.asdict(config) | {"online_share": 0.5})


@pytest.mark.parametrize(
    "change",
    [
        {"rounds": 0},
        {"on_reject": "retry"},
        {"registered_model": "a/b"},
        {"exploration_scale": -1.0},
    ],
)
def test_a_setting_out_of_range_is_refused(change: dict[str, object]) -> None:
    """Each setting is refused by its name."""
    with pytest.raises(ParameterError, match=f"online.{next(iter(change))}"):
        OnlineConfig(**change)  # type: ignore[arg-type]


def test_acceptance_without_a_comparison_is_refused() -> None:
    """A gate that would accept a candidate which was never played is refused."""
    with pytest.raises(ParameterError, match="no_regression"):
        GatesConfig(safety=GENEROUS, acceptance=GENEROUS)
    with pytest.raises(ParameterError, match="no_regression"):
        GatesConfig(safety=LENIENT, acceptance=LENIENT)


def test_a_block_is_used_once_whatever_the_run(handoff: Path, tmp_path: Path) -> None:
    """A second run starts at the first acceptance block that no earlier run has set aside."""
    first = begin(tmp_path, "first", handoff, small_config(), seed=1, jobs=1)
    second = begin(tmp_path, "second", handoff, small_config(), seed=1, jobs=1)
    assert first.facts["first_block"] == 0
    assert second.facts["first_block"] == small_config().rounds
    assert not set(first.facts["acceptance_sha256"]) & set(second.facts["acceptance_sha256"])


def test_a_run_of_other_settings_is_refused_as_one(handoff: Path, tmp_path: Path) -> None:
    """Begun by a version that had another one: it says which, where, and what to do, and edits nothing."""
    run = begin(tmp_path, "run-001", handoff, small_config(), seed=1, jobs=1)
    facts = read_json(run.folder / "run.json")
    facts["config"]["online_share"] = 0.5
    write_json(run.folder / "run.json", facts)
    with pytest.raises(RunError, match=r"does not know: .*online_share.*run.json.*finish it with that version"):
        OnlineRun(run.folder)
