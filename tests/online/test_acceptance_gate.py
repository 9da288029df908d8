"""The acceptance gate: what a candidate must show, at which error, and what is put on record of it."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.small_handoff import AUDIT, GENEROUS, STRICT, small_config
from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.errors import ParameterError
from offline_to_online.online import audit_block, audit_rule, people
from offline_to_online.online.audit_block import audit_champion
from offline_to_online.online.audit_rule import AuditConfig
from offline_to_online.online.beginning import begin
from offline_to_online.online.certify import alpha_share, certify, rejected_before
from offline_to_online.online.collect import collect, safety_gate
from offline_to_online.online.config import GatesConfig
from offline_to_online.online.decide import accept_or_reject, open_registry
from offline_to_online.online.evidence import Evidence, RolloutEvidence, Verdict
from offline_to_online.online.finish import finish
from offline_to_online.online.gates import no_regression
from offline_to_online.online.gating import rules
from offline_to_online.online.run import CERTIFY, DECISION, UPDATE, OnlineRun
from offline_to_online.online.update import update
from offline_to_online.robots import Dynamics
from tests.online.small_run import play_round

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

WON, LOST = (RolloutEvidence(success=s, interventions=0, support_drift=0.0, score=float(s)) for s in (True, False))


def outcomes(won: int, lost: int) -> tuple[RolloutEvidence, ...]:
    """So many successes, spread among so many failures."""
    every = (won + lost) / max(1, won)
    return tuple(WON if int((i + 1) / every) > int(i / every) else LOST for i in range(won + lost))


def say(candidate: Sequence[Any], champion: Sequence[Any], baseline: Sequence[Any], share: float = 1.0, **limits: Any):
    """The rule's verdict on three sides."""
    evidence = Evidence(
        rollouts=tuple(candidate), champion=tuple(champion), baseline=tuple(baseline), alpha_share=share
    )
    return rules({"no_regression": limits})[0].check(evidence)


def certified(pairs: int, accepted: bool) -> dict[str, Any]:
    """As much of certify.json as the error level rests on."""
    return {"pairs": pairs, "accepted": accepted}


def test_a_rejection_spends_and_all_else_hands_on() -> None:
    """After an acceptance, a veto, and a round that played nothing, the next candidate holds their shares too."""
    rounds = {1: certified(50, True), 3: certified(0, False), 4: certified(75, False), 5: certified(25, True)}
    held = [alpha_share(rounds.items(), number, rounds=10) for number in range(1, 7)]
    assert held == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.1, 0.2])


def test_the_share_is_known_before_the_candidate_is_played() -> None:
    """What comes of a round, or after it, does not change what its candidate could err."""
    before = {1: certified(50, False)}
    after = before | {2: certified(25, False), 3: certified(25, True)}
    assert alpha_share(before.items(), 2, rounds=5) == alpha_share(after.items(), 2, rounds=5)


def test_a_smaller_share_asks_for_more_evidence() -> None:
    """The limit is one over the candidate's level."""
    limits = [say([WON], [WON], [WON], share).limit for share in (1.0, 0.5, 0.05)]
    assert limits == pytest.approx([20, 40, 400])


def test_improvement_asks_for_more_than_no_loss() -> None:
    """An equal candidate is not inferior, but no improvement; one that wins every tenth task is better, not by 0.2."""
    equal = outcomes(300, 100)
    assert say(equal, equal, equal).passed
    assert not say(equal, equal, equal, improvement=0.0).passed
    better, worse = [WON] * 400, outcomes(360, 40)
    assert say(better, worse, worse, improvement=0.0).passed
    assert not say(better, worse, worse, improvement=0.2).passed


def test_improvement_is_on_the_champion_alone() -> None:
    """Better than the champion and equal to the baseline passes; better than the baseline alone does not."""
    good, poor = [WON] * 400, outcomes(300, 100)
    assert say(good, poor, good, improvement=0.02).passed
    assert not say(good, good, poor, improvement=0.02).passed


def test_improvement_of_scores() -> None:
    """Bounded scores are compared as successes are."""
    high, low = (
        [RolloutEvidence(success=False, interventions=0, support_drift=0.0, score=s)] * 300 for s in (0.7, 0.5)
    )
    assert say(high, low, low, improvement=0.1, outcome="score").passed
    assert not say(high, low, low, improvement=0.25, outcome="score").passed


@pytest.mark.parametrize(
    ("improvement", "message"),
    [(-0.05, "a loss that is tolerated is a margin"), (1.0, "improvement null or in"), (math.nan, "improvement null")],
)
def test_an_improvement_that_is_none_is_refused(improvement: float, message: str) -> None:
    """A loss, all there is, or no number: one error, with what would fit."""
    with pytest.raises(ParameterError, match=message):
        rules({"no_regression": {"improvement": improvement}})


def test_the_bound_stands_in_the_reason() -> None:
    """Accepted or not, it is said what is certain after so few pairs, and at which level."""
    said = say(outcomes(20, 20), outcomes(20, 20), outcomes(20, 20), 0.2)
    assert not said.passed
    words = no_regression.certain(
        Evidence(rollouts=(WON,) * 40, champion=(WON,) * 40, baseline=(WON,) * 40, alpha_share=0.2),
        no_regression.Config(),
    )
    assert words["champion"] == words["baseline"] < -0.05
    assert f"with 40 pairs, at 99 %, the candidate loses at most {-100 * words['champion']:.1f} points" in said.reason


def test_every_attempt_and_its_error_are_on_record(finished: Path) -> None:
    """Accepted candidates spend nothing, and the second held the share of the first as well as its own."""
    found = [result for _, result in OnlineRun(finished).results(CERTIFY)]
    assert [c["alpha_share"] for c in found] == [0.5, 1.0]
    assert [c["error_level"] for c in found] == [0.25, 0.5]
    assert [c["error_spent"] for c in found] == [0.0, 0.0]
    for one in found:
        assert one["certain"]["champion"] > -0.9
        assert f"with {one['pairs']} pairs, at {100 * (1 - one['error_level']):g} %" in one["reason"]


@pytest.fixture(scope="module")
def rejected(handoff: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose first candidate was rejected, and whose second is the same, byte for byte."""
    gates = GatesConfig(safety=GENEROUS, acceptance=STRICT, audit=AUDIT)
    root = tmp_path_factory.mktemp("rejected")
    folder = begin(root, "a", handoff, small_config(gates=gates), seed=1, jobs=1).folder
    for number in (1, 2):
        collect(OnlineRun(folder), number)
        safety_gate(OnlineRun(folder), number)
        if number == 1:
            update(OnlineRun(folder), number)
        else:
            same_candidate(folder)
        certify(OnlineRun(folder), number)
        accept_or_reject(OnlineRun(folder), number)
    return folder


def same_candidate(folder: Path) -> None:
    """An update that changed nothing, as one without effective updates leaves it."""
    rounds = folder / "rounds"
    shutil.copytree(rounds / "001" / "candidate", rounds / "002" / "candidate")
    run = OnlineRun(folder)
    run.phase(2, UPDATE, lambda: run.result(1, UPDATE) or {})


def test_a_rejected_policy_is_not_certified_again(rejected: Path) -> None:
    """Not an episode is played for it, no error spent, and the round in which it was rejected is named."""
    run = OnlineRun(rejected)
    first, second = (run.result(k, CERTIFY) or {} for k in (1, 2))
    assert first["pairs"] > 0
    assert first["error_spent"] == first["error_level"] == 0.001 / 2
    assert (second["pairs"], second["executed"], second["accepted"], second["error_spent"]) == (0, 0, False, 0.0)
    assert "rejected in round 1 already" in second["reason"]
    assert (run.result(2, DECISION) or {})["reason"] == second["reason"]
    assert not (rejected / "rounds" / "002" / "certify").exists()


def test_another_policy_is_no_retest(rejected: Path, tmp_path: Path) -> None:
    """A candidate that differs in a byte, and one that only the screen kept off the robot, may be certified."""
    run = OnlineRun(Path(shutil.copytree(rejected, tmp_path / "a")))
    assert rejected_before(run, 2) == "round 1"
    decision = run.round_folder(1) / "decision.json"
    write_json(decision, read_json(decision) | {"vetoed": True})
    assert rejected_before(run, 2) == ""
    write_json(decision, read_json(decision) | {"vetoed": False})
    made = run.round_folder(2) / "update.json"
    write_json(made, read_json(made) | {"policy_sha256": "0" * 64})
    assert rejected_before(run, 2) == ""


def test_another_run_is_no_retest_either(rejected: Path, handoff: Path) -> None:
    """A run that begins beside one that rejected a policy knows it; the same seed would make it again."""
    run = begin(rejected.parent, "b", handoff, small_config(rounds=1), seed=1, jobs=1)
    policy = (OnlineRun(rejected).result(1, UPDATE) or {})["policy_sha256"]
    assert run.facts["rejected"] == {policy: "run a, round 1"}
    run.phase(1, UPDATE, lambda: {"policy_sha256": policy})
    assert rejected_before(run, 1) == "run a, round 1"


def test_a_candidate_that_breaks_a_budget_is_rejected_after_the_batch(handoff: Path, tmp_path: Path) -> None:
    """Whatever it won so far, no further batch is played; its share of the error is spent, and the budget is named."""
    budget = {"interventions": {"limit": 0}, "constraint_cost": {"per_episode": 0.0, "total": 0.0}}
    acceptance = {"no_regression": {"margin": 0.9, "alpha": 1e-6, "max_pairs": 12, "batch": 2}, **budget}
    gates = GatesConfig(safety=GENEROUS, acceptance=acceptance, audit=AUDIT)
    dynamics = Dynamics(action_gain=3.0)
    folder = begin(tmp_path, "a", handoff, small_config(gates=gates, dynamics=dynamics), seed=1, jobs=1).folder
    play_round(folder, 1)
    said = OnlineRun(folder).result(1, CERTIFY) or {}
    assert (said["accepted"], said["pairs"], said["error_spent"]) == (False, 2, said["error_level"])
    assert any(f"{name}: " in said["reason"] for name in budget)
    assert not any(name in said["reason"] for name in ("no_regression: block", "is spent"))


def held(champion: Sequence[RolloutEvidence], baseline: Sequence[RolloutEvidence], **config: Any) -> Verdict:
    """The audit's verdict on so many pairs."""
    return audit_rule.verdict(champion, baseline, config=AuditConfig(**config), outcome="success")


def test_the_audit_goes_back_only_where_a_loss_is_shown() -> None:
    """A champion that loses every other task is worse; an equal one, a better one and an unknown one stay."""
    won, half = [WON] * 60, outcomes(30, 30)
    assert not held(half, won).passed
    assert held(won, won).passed
    assert held(won, half).passed
    assert held([], []).passed
    assert held(outcomes(57, 3), won, margin=0.1).passed


def test_the_audit_stops_as_soon_as_it_knows() -> None:
    """Clearly worse or clearly not worse is decided; a few equal pairs are not."""
    config = AuditConfig()
    half, won, few = outcomes(30, 30), [WON] * 60, [WON] * 10
    assert audit_rule.is_decided(half, won, config=config, outcome="success")
    assert audit_rule.is_decided(won, half, config=config, outcome="success")
    assert not audit_rule.is_decided(few, few, config=config, outcome="success")


@pytest.mark.parametrize("change", [{"pairs": 201}, {"pairs": -1}, {"margin": 1.0}, {"alpha": 0.0}, {"batch": 0}])
def test_an_audit_out_of_range_is_refused(change: dict[str, Any]) -> None:
    """The audit block has 200 tasks; everything else is a share or a number of tasks."""
    with pytest.raises(ParameterError, match=r"online\.gates\.audit"):
        AuditConfig(**change)


def test_a_run_says_what_its_champion_loses_at_most(finished: Path) -> None:
    """The audit block was played once, counted, and its bound is in the summary in plain words."""
    said, summary = read_json(finished / "final" / "audit_block.json"), read_json(finished / "summary.json")
    assert (said["pairs"], said["executed"], said["rolled_back"]) == (2, 4, False)
    assert summary["audit_episodes"] == 4
    assert summary["audit"] == said["reason"]
    assert "with 2 pairs, at 95 %, the champion loses at most" in said["reason"]
    run = OnlineRun(finished)
    assert said["block_sha256"] == run.panel.audit.sha256
    assert len(run.journal.of(audit_block.RECORD)) == 1


def test_the_audit_is_kept_back_from_the_budget(handoff: Path, tmp_path: Path) -> None:
    """What it may execute is reserved from the start; off, nothing is."""
    kept = [
        begin(tmp_path, f"a{pairs}", handoff, small_config(gates=gates), seed=1, jobs=1).reserved()
        for pairs in (0, 50)
        for gates in [dataclasses.replace(small_config().gates, audit=AuditConfig(pairs=pairs))]
    ]
    assert kept == [18, 118]


def test_an_audit_that_is_off_plays_nothing(handoff: Path, tmp_path: Path, finished: Path) -> None:
    """Neither with no pairs, nor where the baseline is champion still."""
    gates = dataclasses.replace(small_config().gates, audit=AuditConfig(pairs=0))
    assert audit_champion(begin(tmp_path, "fresh", handoff, small_config(), seed=1, jobs=1)) is None
    run = Path(shutil.copytree(finished, tmp_path / "off"))
    shutil.rmtree(run / "final")
    opened = OnlineRun(run)
    opened.config = dataclasses.replace(opened.config, gates=gates)
    assert audit_champion(opened) is None
    assert not (run / "final").exists()


def test_a_champion_shown_to_be_worse_goes_back_to_the_baseline(handoff: Path, tmp_path: Path) -> None:
    """The run ends with the baseline as its champion, the alias on it, and the audit block's name in the journal."""
    gates = dataclasses.replace(small_config().gates, audit=AuditConfig(pairs=2, margin=0.0, alpha=0.5))
    config = small_config(gates=gates, rounds=1, registered_model="back")
    folder = begin(tmp_path, "a", handoff, config, seed=1, jobs=1).folder
    play_round(folder, 1)
    # As if the audit block had been played, and its champion had lost everything.
    sides = {"champion": [LOST.to_json()] * 2, "baseline": [WON.to_json()] * 2}
    write_json(folder / "final" / "audit_block" / "001.json", sides)
    finish(OnlineRun(folder))
    run, summary = OnlineRun(folder), read_json(folder / "summary.json")
    decision = people.decisions(run.journal)[-1]
    assert (decision.subject, decision.answer.name, decision.answer.version) == ("rollback", audit_block.NAME, "")
    assert run.standing().policy == run.baseline
    assert (summary["rolled_back"], summary["unchanged_baseline"], summary["champion_version"]) == (True, True, "")
    assert summary["accepted"] == 1
    assert "shown to lose more than 0" in summary["audit"]
    registry, _ = open_registry(run)
    versions = registry.versions()
    assert versions[registry.champion()]["round"] == "baseline"
    before = (folder / "journal.jsonl").read_bytes()
    finish(OnlineRun(folder))
    assert (folder / "journal.jsonl").read_bytes() == before
