"""The gate's rules: one contract for all of them, and what each of them promises."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_to_online.errors import ParameterError
from offline_to_online.online.evidence import Evidence, RolloutEvidence, Verdict
from offline_to_online.online.gating import broken, judge, rules
from offline_to_online.plugins import available

LIMITS = {
    "interventions": {"limit": 3},
    "support_drift": {"limit": 0.2},
    "support_drift_k": {"limit": 0.2},
    "constraint_cost": {"per_episode": 5.0, "total": 20.0},
    "no_regression": {},
}
BUDGETS = ["interventions", "support_drift", "support_drift_k", "constraint_cost"]


def rollout(success: bool = True, interventions: int = 0, drift: float = 0.0, cost: float = 0.0, score: float = 0.0):
    return RolloutEvidence(
        success=success,
        interventions=interventions,
        support_drift=drift,
        support_drift_k=drift,
        cost=cost,
        score=score,
    )


def paired(candidate: list[RolloutEvidence], champion: list[RolloutEvidence], number: int = 1) -> Evidence:
    return Evidence(
        rollouts=tuple(candidate), champion=tuple(champion), baseline=tuple(champion), candidate_number=number
    )


def verdict(name: str, evidence: Evidence, **limits: object) -> Verdict:
    return judge(rules({name: {**LIMITS.get(name, {}), **limits}}), evidence)[0]


SAFE = rollout()
WILD = rollout(success=False, interventions=50, drift=1.0, cost=100.0)


@pytest.mark.parametrize("name", available("gates"))
def test_every_rule_passes_the_blameless_and_stops_the_wild(name: str) -> None:
    """Clean rollouts pass each rule, wild ones none; a failure is a value with its reason, not an error."""
    good, bad = (verdict(name, paired([side] * 150, [SAFE] * 150)) for side in (SAFE, WILD))
    assert good.passed
    assert not bad.passed
    for said in (good, bad):
        assert said.rule == name
        assert said.reason
        assert said.unit
        assert math.isfinite(said.measured)
        assert math.isfinite(said.limit)
        assert Verdict.from_json(json.loads(json.dumps(said.to_json()))) == said


@pytest.mark.parametrize("name", available("gates"))
def test_a_rule_answers_before_anything_happened(name: str) -> None:
    """No rollout at all: a budget is unspent, and nothing is certified."""
    assert verdict(name, paired([], [])).passed == (name in BUDGETS)


ROLLOUTS = st.lists(
    st.builds(rollout, st.booleans(), st.integers(0, 3), st.floats(0, 1), st.floats(0, 10)), min_size=1, max_size=12
)


@given(ROLLOUTS, st.integers(0, 8), st.sampled_from(BUDGETS), st.sampled_from(["mean", "worst"]), st.data())
def test_worse_behaviour_never_mends_a_verdict(
    rollouts: list[RolloutEvidence], window: int, name: str, statistic: str, data: st.DataObject
) -> None:
    """More interventions, drift and cost in any rollout can only turn a pass into a failure."""
    extra = {"statistic": statistic} if name.startswith("support_drift") else {}
    before = verdict(name, Evidence(rollouts=tuple(rollouts)), window=window, **extra)
    i = data.draw(st.integers(0, len(rollouts) - 1))
    worse = [*rollouts]
    worse[i] = rollout(False, worse[i].interventions + 1, min(1.0, worse[i].support_drift + 0.3), worse[i].cost + 3)
    after = verdict(name, Evidence(rollouts=tuple(worse)), window=window, **extra)
    assert before.passed or not after.passed


@given(ROLLOUTS, st.integers(1, 8), st.sampled_from(BUDGETS))
def test_what_left_the_window_is_forgotten(rollouts: list[RolloutEvidence], window: int, name: str) -> None:
    """A rule over a window says the same whatever happened before it."""
    recent = tuple(rollouts[-window:])
    with_past = Evidence(rollouts=(WILD, *([SAFE] * window), *rollouts)[-max(window, len(rollouts)) :])
    if len(recent) == window:
        assert verdict(name, Evidence(rollouts=(WILD, *recent)), window=window) == verdict(
            name, Evidence(rollouts=recent), window=window
        )
    assert verdict(name, with_past, window=window).limit > 0


def test_the_limit_itself_is_within_the_budget() -> None:
    """Exactly the limit passes, in spite of rounding; the least more does not."""
    tenth = tuple(rollout(drift=0.1) for _ in range(3))
    assert verdict("support_drift", Evidence(rollouts=tenth), limit=0.1).passed
    assert not verdict("support_drift", Evidence(rollouts=(*tenth, rollout(drift=0.11))), limit=0.1).passed
    assert verdict("interventions", Evidence(rollouts=(rollout(interventions=3),))).passed
    assert not verdict("interventions", Evidence(rollouts=(rollout(interventions=4),))).passed


def test_an_unfilled_window_of_drift_is_unspent() -> None:
    """One episode with drift 0.3 does not spend a window of five at 0.2; a second wild one does."""
    once = Evidence(rollouts=(rollout(drift=0.9),))
    twice = Evidence(rollouts=(rollout(drift=0.9), rollout(drift=0.9)))
    assert verdict("support_drift", once, window=5).passed
    assert not verdict("support_drift", twice, window=5).passed
    assert not verdict("support_drift", once, window=5, statistic="worst").passed


def test_a_burst_of_drift_stops_at_once_whatever_the_long_window_lets_pass() -> None:
    """Two episodes far off the data are stopped by the short window; one such episode, or two half so bad, are not."""
    limits = {"limit": 0.4, "window": 10, "burst": 0.78}
    calm = (rollout(drift=0.1),) * 5
    for last, passed in ((0.9,), True), ((0.9, 0.9), False), ((0.9, 0.5), True), ((0.9, 0.9, 0.1), True):
        seen = Evidence(rollouts=(*calm, *(rollout(drift=drift) for drift in last)))
        for name in ("support_drift", "support_drift_k"):
            said = verdict(name, seen, **limits)
            assert said.passed == passed
            assert ("over the last 2 rollouts" in said.reason) or passed
    for window in (0, 11):
        with pytest.raises(ParameterError, match="burst_window"):
            rules({"support_drift": {"limit": 0.4, "window": 10, "burst": 0.8, "burst_window": window}})


def test_cost_names_the_budget_that_is_broken() -> None:
    """Either budget of the constraint cost stops, and the reason says which."""
    spike = verdict("constraint_cost", Evidence(rollouts=(rollout(cost=6.0),)))
    drip = verdict("constraint_cost", Evidence(rollouts=(rollout(cost=4.9),) * 5))
    assert (spike.passed, spike.limit) == (False, 5.0)
    assert (drip.passed, drip.limit) == (False, 20.0)
    assert "worst episode" in spike.reason
    assert "total" in drip.reason


def play(candidate: np.ndarray, champion: np.ndarray, number: int = 1, **limits: object) -> tuple[Verdict, int]:
    """Certification as a run does it: batches until the rule wants no more."""
    gate = rules({"no_regression": limits})
    pairs = 0
    while True:
        sides = ([rollout(bool(x)) for x in side[:pairs]] for side in (candidate, champion))
        evidence = paired(*sides, number=number)
        more = gate[0].wants_pairs(evidence)
        if not more:
            return judge(gate, evidence)[0], pairs
        pairs += more


def test_a_clear_gain_is_accepted_early_and_a_loss_given_up_early() -> None:
    """Certification stops when it is certain and when it is hopeless, well before its 400 pairs."""
    better, pairs = play(np.ones(400), np.arange(400) % 2)
    worse, hopeless = play(np.arange(400) % 2, np.ones(400))
    assert better.passed
    assert not worse.passed
    assert pairs <= 100
    assert hopeless <= 100


def test_the_champion_and_the_baseline_must_both_be_held() -> None:
    """A candidate that beats the champion but loses to the baseline is not accepted."""
    good, poor = [rollout(True)] * 200, [rollout(False)] * 200
    evidence = Evidence(rollouts=tuple(poor), champion=tuple(poor), baseline=tuple(good))
    assert not verdict("no_regression", evidence).passed
    assert verdict("no_regression", Evidence(rollouts=tuple(good), champion=tuple(poor), baseline=tuple(good))).passed


def test_an_intervened_success_counts_as_a_failure_in_certification() -> None:
    """A candidate that needs the guard for its successes loses to one that does not."""
    helped, alone = [rollout(True, interventions=1)] * 100, [rollout(True)] * 100
    assert not verdict("no_regression", paired(helped, alone)).passed
    assert verdict("no_regression", paired(alone, helped)).passed


def test_scores_can_be_what_is_compared() -> None:
    """Where nothing ever succeeds, the score in [0, 1] decides."""
    high, low = ([rollout(False, score=s)] * 100 for s in (0.8, 0.3))
    assert verdict("no_regression", paired(high, low), outcome="score").passed
    assert not verdict("no_regression", paired(low, high), outcome="score").passed


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_pairs_never_exceed_their_maximum(seed: int) -> None:
    """Whatever comes out, certification ends at ``max_pairs``, and a batch never passes it."""
    rng = np.random.default_rng(seed)
    said, pairs = play(rng.random(70) < 0.5, rng.random(70) < 0.5, max_pairs=70, batch=30)
    assert pairs <= 70
    assert said.passed == (said.measured >= said.limit)


def test_false_acceptance_is_rare() -> None:
    """Candidates that are truly worse by the margin pass in at most alpha of 300 runs (with the simulation's error)."""
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(300):
        champion = rng.random(200) < 0.6
        candidate = np.where(champion, rng.random(200) > 0.175, rng.random(200) < 0.1375)
        passed += play(candidate, champion, max_pairs=200, margin=0.05)[0].passed
    assert passed / 300 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"intervention": {"limit": 3}}, "did you mean 'interventions'"),
        ({"interventions": {"limt": 3}}, "did you mean 'limit'"),
        ({"interventions": {}}, "missing key limit"),
        ({"interventions": {"limit": "three"}}, "no numbers"),
        ({"interventions": {"limit": math.nan}}, "finite"),
        ({"interventions": {"limit": 3, "window": -1}}, "window"),
        ({"support_drift": {"limit": 0.2, "statistic": "median"}}, "worst or mean"),
        ({"no_regression": {"batch": 500}}, "batch"),
        ({"no_regression": {"alpha": 0}}, "alpha"),
    ],
)
def test_a_wrong_rule_is_refused_by_name(section: dict[str, dict[str, object]], message: str) -> None:
    """An unknown rule or key, and a limit that is none, are refused with what would fit."""
    with pytest.raises(ParameterError, match=message):
        rules(section)


def test_broken_rules_are_named() -> None:
    """A halt says which rule was broken and by how much; a passed gate says nothing."""
    gate = rules({"interventions": {"limit": 1}, "support_drift": {"limit": 0.5}})
    assert broken(judge(gate, Evidence(rollouts=(SAFE,)))) == ""
    assert broken(judge(gate, Evidence(rollouts=(rollout(interventions=2),)))).startswith("interventions: ")
