"""What people decide: answers as values, journaled before they count, and what a run makes of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.small_handoff import AUDIT, GENEROUS, LENIENT, small_config
from offline_to_online.dataset.files import read_json
from offline_to_online.errors import ParameterError, RunError
from offline_to_online.online.beginning import begin, is_over
from offline_to_online.online.collect import collect, safety_gate
from offline_to_online.online.config import GatesConfig, PeopleConfig
from offline_to_online.online.decide import accept_or_reject, open_registry
from offline_to_online.online.finish import close, finish
from offline_to_online.online.journal import Journal
from offline_to_online.online.people import (
    ACCEPTANCE,
    APPROVE,
    RAISE_BUDGET,
    REJECT,
    ROLLBACK,
    SAFETY,
    Answer,
    Decision,
    Question,
    answer_to,
    decide,
    decisions,
    demand_raise,
    file_removed,
    no_answer,
    raised_limits,
)
from offline_to_online.online.run import DECISION, OnlineRun
from tests.online.small_run import play_round

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

LIMITS = {"interventions": {"limit": 3, "window": 10}, "support_drift": {"limit": 0.2, "statistic": "mean"}}
HALT = Question(subject=SAFETY, round=1)
# Nobody moves for long without a step outside what thirty episodes support.
HALTING = {**GENEROUS, "support_drift": {"limit": 0.0, "statistic": "worst"}}


def said(answer: str = APPROVE, **more: Any) -> Answer:
    return Answer(**{"answer": answer, "name": "Ada", "reason": "seen", **more})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "aprove"}, "did you mean 'approve'"),
        ({"name": " "}, "no name"),
        ({"reason": ""}, "no reason"),
        ({"answer": RAISE_BUDGET}, "names the new limits"),
        ({"answer": RAISE_BUDGET, "raised": {"interventions": {}}}, "names the new limits"),
        ({"raised": {"interventions": {"limit": 9}}}, "no other answer does"),
    ],
)
def test_an_answer_that_is_none_is_refused(change: dict[str, Any], message: str) -> None:
    """A misspelt answer, one without a name or a reason, and limits without raise_budget (or the reverse)."""
    with pytest.raises(ParameterError, match=message):
        said(**change)


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        ({"intervention": {"limit": 5}}, "did you mean 'interventions'"),
        ({"interventions": {"limt": 5}}, "did you mean 'limit'"),
        ({"interventions": {"limit": 3}}, "above the one in force, 3"),
        ({"interventions": {"limit": 2.5}}, "above the one in force, 3"),
        ({"interventions": {"limit": float("inf")}}, "finite"),
        ({"interventions": {"limit": "many"}}, "no numbers"),
        ({"interventions": {"limit": True}}, "above the one in force"),
        ({"interventions": {"window": 20}}, "no budget"),
        ({"support_drift": {"statistic": "worst"}}, "no budget"),
    ],
)
def test_limits_that_raise_nothing_are_refused(raised: dict[str, dict[str, Any]], message: str) -> None:
    """Unknown rules and keys by name, lower limits, what the rule itself refuses, and what is no budget."""
    with pytest.raises(ParameterError, match=message):
        demand_raise(LIMITS, raised)


def test_the_last_word_on_a_limit_counts(tmp_path: Path) -> None:
    """Raised twice, a limit is what was said last; what nobody raised is as it was, and so is the original."""
    journal = Journal(tmp_path / "journal.jsonl")
    demand_raise(LIMITS, {"interventions": {"limit": 5}})
    decide(journal, HALT, said(RAISE_BUDGET, raised={"interventions": {"limit": 5}}))
    decide(journal, Question(subject=SAFETY, round=2), said(RAISE_BUDGET, raised={"interventions": {"limit": 8.5}}))
    now = raised_limits(LIMITS, decisions(journal))
    assert now == {"interventions": {"limit": 8.5, "window": 10}, "support_drift": LIMITS["support_drift"]}
    assert raised_limits(LIMITS, decisions(journal, before=2))["interventions"]["limit"] == 5
    assert LIMITS["interventions"]["limit"] == 3


def test_a_question_is_answered_once(tmp_path: Path) -> None:
    """The same answer again changes nothing, another one is refused; another question may be answered otherwise."""
    path = tmp_path / "journal.jsonl"
    decide(Journal(path), HALT, said())
    journal = Journal(path)
    journal.append("episode", {"index": 0})
    assert decide(journal, HALT, said()) == Decision(subject=SAFETY, round=1, question=1, answer=said(), episodes=0)
    with pytest.raises(RunError, match="no longer is what was recorded"):
        decide(journal, HALT, said(REJECT))
    decide(journal, Question(subject=SAFETY, round=1, number=2), said(REJECT))
    assert [d.grants for d in decisions(Journal(path))] == [True, False]


def test_a_decision_survives_its_record(tmp_path: Path) -> None:
    """What is journaled is what is read back; only a rollback has a version."""
    journal = Journal(tmp_path / "journal.jsonl")
    raised = said(RAISE_BUDGET, raised={"interventions": {"limit": 5}})
    back = said(ROLLBACK, version="2")
    made = [decide(journal, HALT, raised), decide(journal, Question(subject=ROLLBACK, round=1), back)]
    assert decisions(Journal(journal.path)) == made
    assert [set(r.data) ^ set(s.data) for r, s in [journal.of("decision")]] == [{"version"}]
    assert answer_to(journal, HALT) == made[0]


def test_silence_means_no(tmp_path: Path) -> None:
    """It is an answer of nobody's, journaled as any other, which lets nothing go on."""
    made = decide(Journal(tmp_path / "journal.jsonl"), HALT, no_answer(60))
    assert (made.answer.answer, made.grants, made.sentence()) == ("timeout", False, "no answer within 60 s")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"patience_s": -1}, "at least 0"), ({"patience_s": 0, "approve_acceptance": True}, "waits")],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    """A negative patience, and approvals for which nobody waits."""
    with pytest.raises(ParameterError, match=message):
        PeopleConfig(**change)


def halted(root: Path, handoff: Path) -> OnlineRun:
    """A run of two rounds, halted by its safety gate in the first."""
    gates = GatesConfig(safety=HALTING, acceptance=LENIENT, audit=AUDIT)
    run = begin(root, "run-001", handoff, small_config(gates=gates, exploration_scale=20.0), seed=1, jobs=1)
    play_round(run.folder, 1)
    return OnlineRun(run.folder)


def test_a_halted_run_goes_on_when_a_person_lets_it(handoff: Path, tmp_path: Path) -> None:
    """Approved, the halted round is updated and decided, and windows begin anew; then the next one halts again."""
    run = halted(tmp_path, handoff)
    question = run.open_question()
    assert question is not None
    assert (question.subject, question.round, run.next_round()) == (SAFETY, 1, None)
    assert "support_drift" in run.halt_reason()
    assert run.acknowledged() == 0
    run.decide(question, said())
    run = OnlineRun(run.folder)
    assert (run.open_question(), run.halt_reason(), run.next_round()) == (None, "", 1)
    assert run.acknowledged() == run.collected() == len(run.journal.of("episode"))
    play_round(run.folder, 1)
    assert run.result(1, DECISION) is not None
    assert OnlineRun(run.folder).next_round() == 2
    play_round(run.folder, 2)
    run = OnlineRun(run.folder)
    again = run.open_question()
    assert again is not None
    assert (again.round, run.next_round()) == (2, None)


def test_a_rejected_run_ends_as_a_halted_one(handoff: Path, tmp_path: Path) -> None:
    """Rejected, nothing is asked again; the summary says who said no, and the baseline stays."""
    run = halted(tmp_path, handoff)
    run.decide(run.open_question() or HALT, said(REJECT, reason="the gripper slips"))
    run = OnlineRun(run.folder)
    assert (run.open_question(), run.next_round()) == (None, None)
    summary = finish(run)
    close(run)
    assert summary["halted"]
    assert summary["halt_reason"].endswith("rejected by Ada: the gripper slips")
    assert summary["champion_version"] == ""
    assert is_over(tmp_path, "run-001")


def test_a_run_that_is_over_is_never_let_go_on(handoff: Path, tmp_path: Path) -> None:
    """Nor is its summary written anew, were it not closed yet and somebody answered after all."""
    run = halted(tmp_path, handoff)
    finish(run)
    close(run)
    summary = (run.folder / "summary.json").read_bytes()
    run.decide(run.open_question() or HALT, said())
    run = OnlineRun(run.folder)
    assert (run.halt(), run.next_round()) == (None, None)
    finish(run)
    assert (run.folder / "summary.json").read_bytes() == summary


def test_a_summary_that_was_overtaken_is_written_anew(handoff: Path, tmp_path: Path) -> None:
    """Killed before its end was on record, then let go on by a person: the summary says what is so."""
    run = halted(tmp_path, handoff)
    assert finish(run)["halted"]
    run.decide(run.open_question() or HALT, said())
    assert not finish(OnlineRun(run.folder))["halted"]


def test_a_raised_budget_is_in_force_from_then_on(handoff: Path, tmp_path: Path) -> None:
    """The rule's new limit holds in the next round; what was in force before the decision can still be asked for."""
    run = halted(tmp_path, handoff)
    question = run.open_question() or HALT
    with pytest.raises(ParameterError, match="above the one in force"):
        run.decide(question, said(RAISE_BUDGET, raised={"support_drift": {"limit": 0.0}}))
    assert run.journal.of("decision") == []
    raise_it = said(RAISE_BUDGET, raised={"support_drift": {"limit": 1.0}})
    decision = run.decide(question, raise_it)
    assert run.decide(question, raise_it) == decision
    record = run.journal.of("decision")[0].sequence
    assert {r.name: r.config.limit for r in run.gate("safety") if r.name == "support_drift"} == {"support_drift": 1.0}
    before = {r.name: r for r in run.gate("safety", before=record)}
    assert before["support_drift"].config.limit == 0.0
    assert run.acknowledged(before=record) == 0
    assert run.gate("acceptance")[0].config.margin == LENIENT["no_regression"]["margin"]
    collect(OnlineRun(run.folder), 2)
    assert safety_gate(OnlineRun(run.folder), 2)["passed"]


def test_each_emergency_stop_is_a_question_of_its_own(handoff: Path, tmp_path: Path) -> None:
    """Where nobody can be asked it is let pass by whoever removes the STOP file; a no ends the run."""
    run = begin(tmp_path, "run-001", handoff, small_config(), seed=1, jobs=1)
    facts = {"round": 1, "phase": "collect", "index": 0, "steps": 3, "reason": "the STOP file"}
    run.journal.append("emergency_stop", facts)
    first = run.open_question()
    assert first == Question(subject="emergency_stop", round=1, number=1, reason="emergency stop: the STOP file")
    assert run.next_round() == 1
    run.decide(first, said())
    assert run.open_question() is None
    run.journal.append("emergency_stop", facts)
    second = run.open_question()
    assert second is not None
    assert second.number == 2
    run.decide(second, said(REJECT))
    assert run.next_round() is None


def test_a_stop_after_the_rounds_or_a_removed_file_holds_nothing_up(handoff: Path, tmp_path: Path) -> None:
    """A stop of the final evaluation asks nothing; one of a round goes on once the file was removed, as journaled."""
    run = begin(tmp_path, "run-001", handoff, small_config(), seed=1, jobs=1)
    facts = {"round": 1, "phase": "final", "index": 0, "steps": 3, "reason": "the STOP file"}
    run.journal.append("emergency_stop", facts)
    assert (run.open_question(), run.next_round()) == (None, 1)
    run.journal.append("emergency_stop", {**facts, "phase": "certify"})
    run.decide(run.open_question() or HALT, file_removed())
    assert (run.open_question(), run.next_round()) == (None, 1)
    assert run.journal.of("decision")[0].data["name"] == "whoever removed the STOP file"


def test_a_candidate_waits_for_its_approval(handoff: Path, tmp_path: Path) -> None:
    """Nothing is registered without a yes: one nobody was asked about and one that Ada rejected stay so."""
    config = small_config(people=PeopleConfig(approve_acceptance=True))
    run = begin(tmp_path, "run-001", handoff, config, seed=1, jobs=1)
    play_round(run.folder, 1)
    decided = OnlineRun(run.folder).result(1, DECISION)
    assert decided is not None
    assert (decided["accepted"], decided["reason"]) == (False, "needs a person's approval, and nobody was asked")
    certified_only(run.folder, 2)
    run = OnlineRun(run.folder)
    question = run.open_question()
    assert question is not None
    assert (question.subject, question.round) == (ACCEPTANCE, 2)
    with pytest.raises(ParameterError, match="unknown rule"):
        run.decide(question, said(RAISE_BUDGET, raised={"support_drift": {"limit": 1.0}}))
    run.decide(question, said(REJECT, reason="looks odd"))
    decided = accept_or_reject(OnlineRun(run.folder), 2)
    assert (decided["accepted"], decided["reason"]) == (False, "rejected by Ada: looks odd")
    registry, _ = open_registry(run)
    assert registry.client.search_model_versions("name = 'small'") == []


def test_an_approved_candidate_is_registered(handoff: Path, tmp_path: Path) -> None:
    """Approved, it becomes champion as if nobody had been asked."""
    config = small_config(people=PeopleConfig(approve_acceptance=True))
    run = begin(tmp_path, "run-001", handoff, config, seed=1, jobs=1)
    certified_only(run.folder, 1)
    run = OnlineRun(run.folder)
    run.decide(run.open_question() or HALT, said())
    assert accept_or_reject(OnlineRun(run.folder), 1)["accepted"]
    assert OnlineRun(run.folder).standing().version == "1"


def certified_only(folder: Path, number: int) -> None:
    """A round up to its certification."""
    from offline_to_online.online.certify import audit_candidate, certify
    from offline_to_online.online.update import update

    collect(OnlineRun(folder), number)
    safety_gate(OnlineRun(folder), number)
    update(OnlineRun(folder), number)
    audit_candidate(OnlineRun(folder), number)
    certify(OnlineRun(folder), number)


def test_a_rollback_is_where_the_next_round_starts(finished: Path, tmp_path: Path) -> None:
    """Back to version 1, or to the baseline: champion and learner are that one's; a version of no round is refused."""

    folder = Path(shutil.copytree(finished, tmp_path / "run-001"))
    run = OnlineRun(folder)
    latest = run.standing()
    decide(run.journal, Question(subject=ROLLBACK, round=2, number=1), said(ROLLBACK, version="1"))
    back = OnlineRun(folder).standing()
    assert (latest.version, back.version) == ("2", "1")
    assert back.learner == run.round_folder(1) / "candidate" / "learner.safetensors"
    assert back.candidates == latest.candidates
    assert OnlineRun(folder).standing(before=2).version == "1"
    assert is_over(tmp_path, "run-001")
    decide(run.journal, Question(subject=ROLLBACK, round=2, number=2), said(ROLLBACK, version=""))
    assert OnlineRun(folder).standing().policy == run.baseline
    decide(run.journal, Question(subject=ROLLBACK, round=2, number=3), said(ROLLBACK, version="7"))
    with pytest.raises(RunError, match="no version '7'"):
        OnlineRun(folder).standing()


def test_a_run_without_anybody_to_ask_ends_as_it_always_did(handoff: Path, tmp_path: Path) -> None:
    """Nothing is journaled about people; the halted run ends."""
    run = halted(tmp_path, handoff)
    assert run.journal.of("decision") == []
    assert finish(run)["halted"]
    assert "by" not in read_json(run.folder / "summary.json")["halt_reason"].split()
