"""Budgets over a window and over the run, and what feeds them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_to_online.errors import ParameterError
from offline_to_online.online.evidence import Evidence, RolloutEvidence, Totals, Verdict
from offline_to_online.online.gating import Rule, judge, rules
from offline_to_online.online.spending import Spending, safety_evidence, widest

QUIET = RolloutEvidence(success=True, interventions=0, support_drift=0.0, support_drift_k=0.0)
SHARES = st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0])


@st.composite
def episodes(draw: st.DrawFn) -> RolloutEvidence:
    """One collected episode."""
    takeovers, stopped = draw(st.integers(0, 3)), draw(st.booleans())
    return RolloutEvidence(
        success=draw(st.booleans()) and not stopped,
        interventions=draw(st.integers(0, 4)) + takeovers + stopped,
        support_drift=draw(SHARES),
        support_drift_k=draw(SHARES),
        cost=draw(st.floats(0, 10)),
        takeovers=takeovers,
        emergency_stop=stopped,
    )


FULL: dict[str, dict[str, object]] = {
    "interventions": {"limit": 6, "window": 3, "run_limit": 20},
    "support_drift": {"limit": 0.3, "window": 4, "worst": 0.9, "run_limit": 0.25, "run_worst": 0.9},
    "support_drift_k": {"limit": 0.3, "window": 2, "worst": 0.9},
    "constraint_cost": {"per_episode": 9.0, "total": 15.0, "window": 3, "run_total": 40.0},
}


def verdict(name: str, rollouts: list[RolloutEvidence], **limits: object) -> Verdict:
    """One rule's word on a run's episodes."""
    return judge(rules({name: limits}), safety_evidence(rollouts))[0]


def held(steps: int, drift: float = 0.0, cost: float = 0.0, **others: object) -> RolloutEvidence:
    """An episode with so many interventions."""
    facts = {"support_drift_k": drift, **others}
    return RolloutEvidence(success=False, interventions=steps, support_drift=drift, cost=cost, **facts)  # type: ignore[arg-type]


@given(st.lists(episodes(), max_size=25), st.integers(0, 25))
def test_one_by_one_says_what_all_at_once_says(rollouts: list[RolloutEvidence], acknowledged: int) -> None:
    """After every episode the running sums give the same verdicts, to the last bit, as everything read again."""
    gate = rules(FULL)
    spending = Spending(gate, acknowledged=acknowledged)
    for count, rollout in enumerate(rollouts, start=1):
        spending.add(rollout)
        assert judge(gate, spending.evidence()) == judge(gate, safety_evidence(rollouts[:count], acknowledged))


def test_a_thousandth_episode_costs_what_a_tenth_does() -> None:
    """What is looked at does not grow with the run: as many episodes as the widest window, and sums."""
    gate = rules(FULL)
    spending = Spending(gate)
    for _ in range(1000):
        spending.add(QUIET)
    assert widest(gate) == 4
    assert len(spending.evidence().rollouts) == 4
    assert spending.evidence().totals().episodes == 1000


def test_a_rule_without_a_window_sees_every_episode() -> None:
    """A rule from outside the project that names no window is not shown less than before."""
    gate = rules(FULL)
    outside = Rule(name="outside", module=gate[0].module, config=object())
    assert widest([*gate, outside]) is None


@pytest.mark.parametrize(
    ("name", "limits", "spend", "says"),
    [
        ("interventions", {"limit": 10, "window": 2, "run_limit": 25}, held(5), "interventions over the whole run"),
        (
            "constraint_cost",
            {"per_episode": 9.0, "total": 20.0, "window": 2, "run_total": 50.0},
            held(0, cost=8.0),
            "total cost over the whole run",
        ),
        (
            "support_drift",
            {"limit": 0.9, "window": 1, "run_limit": 0.4},
            held(0, drift=0.5),
            "mean support drift from D_0 over the whole run",
        ),
        (
            "support_drift_k",
            {"limit": 0.9, "window": 1, "run_limit": 0.4},
            held(0, drift=0.5),
            "mean support drift from D_k over the whole run",
        ),
    ],
)
def test_a_run_is_held_to_its_own_budget(
    name: str, limits: dict[str, object], spend: RolloutEvidence, says: str
) -> None:
    """Episodes that no window minds use up the run's budget, and the verdict says which budget was broken."""
    said = verdict(name, [spend] * 10, **limits)
    assert not said.passed
    assert said.reason.startswith(says)
    without = {key: value for key, value in limits.items() if not key.startswith("run_")}
    assert verdict(name, [spend] * 10, **without).passed


@pytest.mark.parametrize("rule", ["support_drift", "support_drift_k"])
def test_one_wild_episode_breaks_the_worst_and_not_the_mean(rule: str) -> None:
    """The worst of a window is a budget beside its mean; over the run it is not forgotten."""
    wild, calm = held(0, drift=0.8), [QUIET] * 5
    limits: dict[str, object] = {"limit": 0.5, "window": 5, "worst": 0.7}
    assert "worst support drift" in verdict(rule, [wild], **limits).reason
    assert not verdict(rule, [wild], **limits).passed
    assert verdict(rule, [wild, *calm], **limits).passed
    assert not verdict(rule, [wild, *calm], **limits, run_worst=0.7).passed


def test_drift_from_d_0_and_from_d_k_are_budgets_of_their_own() -> None:
    """A slow walk away from D_0 breaks the one, a jump that D_0 happens to hold the other."""
    walk = held(0, drift=0.9, support_drift_k=0.0)
    limits: dict[str, object] = {"limit": 0.5, "window": 1}
    assert not verdict("support_drift", [walk], **limits).passed
    assert verdict("support_drift_k", [walk], **limits).passed
    assert not verdict("support_drift_k", [held(0, drift=0.0, support_drift_k=0.9)], **limits).passed


def test_drift_from_d_k_where_nobody_measured_it_is_refused() -> None:
    """It is a mistake in the parameters, not a pass."""
    unmeasured = RolloutEvidence(success=True, interventions=0, support_drift=0.0)
    with pytest.raises(ParameterError, match=r"0 of 1 episodes .*online.gates.safety"):
        verdict("support_drift_k", [unmeasured], limit=0.5)


@pytest.mark.parametrize(
    ("episode", "whose"),
    [
        (held(7), ""),
        (held(7, takeovers=7), "(7 by takeover, 0 emergency stops)"),
        (held(7, emergency_stop=True), "(0 by takeover, 1 emergency stops)"),
    ],
)
def test_guard_people_and_emergency_stops_feed_one_budget(episode: RolloutEvidence, whose: str) -> None:
    """Whoever acted instead of the policy spends the budget, and the reason says how much of it was people."""
    said = verdict("interventions", [episode], limit=6, window=10)
    assert not said.passed
    assert whose in said.reason


def test_windows_begin_anew_where_a_person_let_the_run_go_on() -> None:
    """What was acknowledged is in no window any more; the run's totals go on counting it."""
    gate = rules({"interventions": {"limit": 10, "window": 10, "run_limit": 30}})
    wild = [held(12)] * 2
    assert not judge(gate, safety_evidence(wild, acknowledged=1))[0].passed
    assert judge(gate, safety_evidence(wild, acknowledged=2))[0].passed
    total = judge(gate, safety_evidence([*wild, held(7)], acknowledged=2))[0]
    assert (total.passed, total.measured, total.limit) == (False, 31, 30)


def test_a_passed_verdict_names_the_budget_nearest_to_its_limit() -> None:
    """With several budgets in one rule the tightest is the one to look at."""
    said = verdict("interventions", [held(5)] * 4, limit=50, window=2, run_limit=25)
    assert (said.passed, said.measured, said.limit) == (True, 20, 25)


@pytest.mark.parametrize(
    ("rule", "limits", "where"),
    [
        ("interventions", {"limit": 1, "run_limit": -1}, "interventions.run_limit"),
        ("constraint_cost", {"per_episode": 1, "total": 1, "run_total": float("nan")}, "constraint_cost.run_total"),
        ("support_drift", {"limit": 0.1, "worst": float("inf")}, "support_drift.worst"),
        ("support_drift_k", {"limit": 0.1, "run_worst": -0.1}, "support_drift_k.run_worst"),
        ("support_drift_k", {"limit": None}, "support_drift_k.limit"),
    ],
)
def test_a_limit_that_is_none_is_refused_where_it_stands(rule: str, limits: dict[str, object], where: str) -> None:
    """The message names the rule and the key."""
    with pytest.raises(ParameterError, match=where):
        rules({rule: limits})


@given(st.lists(episodes(), max_size=12))
def test_totals_survive_json_and_do_not_depend_on_how_they_are_added(rollouts: list[RolloutEvidence]) -> None:
    """A round carries them on to the next as they are."""
    middle = len(rollouts) // 2
    carried = Totals.from_json(Totals.of(rollouts[:middle]).to_json())
    for rollout in rollouts[middle:]:
        carried = carried.plus(rollout)
    assert carried == Totals.of(rollouts)
    assert Evidence(rollouts=tuple(rollouts)).totals() == carried
