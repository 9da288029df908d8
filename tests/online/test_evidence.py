"""Evidence and verdicts: what a gate looks at, and what it answers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_to_online.errors import RunError
from offline_to_online.online.evidence import Evidence, RolloutEvidence, Verdict

NUMBERS = st.floats(0, 1e6)
ROLLOUTS = st.builds(
    lambda by_guard, takeovers, emergency_stop, **others: RolloutEvidence(
        interventions=by_guard + takeovers + emergency_stop,
        takeovers=takeovers,
        emergency_stop=emergency_stop,
        **others,
    ),
    by_guard=st.integers(0, 50),
    takeovers=st.integers(0, 50),
    emergency_stop=st.booleans(),
    success=st.booleans(),
    support_drift=st.floats(0, 1),
    cost=NUMBERS,
    score=st.floats(0, 1),
    support_drift_k=st.none() | st.floats(0, 1),
)


@given(ROLLOUTS)
def test_evidence_survives_json(rollout: RolloutEvidence) -> None:
    """What is written is what is read."""
    assert RolloutEvidence.from_json(rollout.to_json()) == rollout


@given(
    st.builds(
        Verdict, rule=st.text(), passed=st.booleans(), measured=NUMBERS, limit=NUMBERS, unit=st.text(), reason=st.text()
    )
)
def test_a_verdict_survives_json(verdict: Verdict) -> None:
    """A verdict is a value that can be stored with what it let in."""
    assert Verdict.from_json(verdict.to_json()) == verdict


@given(ROLLOUTS)
def test_an_intervened_success_is_no_certificate(rollout: RolloutEvidence) -> None:
    """Only a success that needed nobody certifies, and only such a score counts."""
    assert rollout.certified == (rollout.success and not rollout.interventions)
    assert rollout.certified_score == (0.0 if rollout.interventions else rollout.score)


@pytest.mark.parametrize("broken", [math.nan, math.inf, -0.1])
@pytest.mark.parametrize("name", ["support_drift", "support_drift_k", "cost", "score"])
def test_broken_evidence_is_refused(name: str, broken: float) -> None:
    """A measurement that is no number never reaches a gate."""
    with pytest.raises(RunError, match=name):
        RolloutEvidence(**{"success": True, "interventions": 0, "support_drift": 0.0, name: broken})


def test_evidence_of_an_earlier_version_is_read() -> None:
    """A run that was begun before D_k and people were measured goes on; D_k that was not measured is None, not 0."""
    row = {"success": True, "interventions": 3, "support_drift": 0.25, "cost": 0.0, "score": 1.0}
    found = RolloutEvidence.from_json(row)
    assert (found.support_drift_k, found.takeovers, found.emergency_stop) == (None, 0, False)


@pytest.mark.parametrize("change", [{"takeovers": 3}, {"takeovers": -1}, {"takeovers": 2, "emergency_stop": True}])
def test_takeovers_and_stops_are_among_the_interventions(change: dict[str, int]) -> None:
    """A stopped or taken over episode without as many interventions would pass for an untouched one."""
    with pytest.raises(RunError, match="among the interventions"):
        RolloutEvidence(**{"success": True, "interventions": 2, "support_drift": 0.0, **change})


def test_a_window_of_zero_is_everything() -> None:
    """The window counts rollouts from the last; 0 means all of them."""
    rollouts = tuple(RolloutEvidence(success=True, interventions=i, support_drift=0) for i in range(5))
    evidence = Evidence(rollouts=rollouts)
    assert evidence.last(0) == rollouts
    assert [r.interventions for r in evidence.last(2)] == [3, 4]
    assert evidence.last(9) == rollouts
