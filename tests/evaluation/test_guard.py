"""The guard: bounds, rate, support, and what is executed instead."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_robot import SpeedSupport, line, thresholds

from offline_to_online.errors import PolicyError
from offline_to_online.evaluation.guard import Guard, legal

HERE = np.zeros(2, dtype=np.float32)


def action(value: float) -> np.ndarray:
    return np.array([value], dtype=np.float32)


def supported(**how) -> Guard:
    return Guard(line(**how), SpeedSupport(), thresholds())


def test_a_supported_action_passes_untouched():
    """What lies inside bounds, rate and support is executed as proposed."""
    decision = supported().check(HERE, action(0.2))
    assert decision.executed == action(0.2)
    assert not any((decision.clipped, decision.outside_support, decision.guard_stop))
    assert decision.support_score == pytest.approx(0.2)


def test_bounds_are_held_and_counted():
    """An action beyond its bounds is brought back, and that alone is no stop."""
    decision = Guard(line()).check(HERE, action(3.0))
    assert decision.executed == action(0.5)
    assert decision.clipped
    assert not decision.guard_stop


def test_without_support_nothing_is_outside():
    """A guard without an estimator holds bounds and rate alone, and says that it knows no score."""
    decision = Guard(line()).check(HERE, action(0.5))
    assert np.isnan(decision.support_score)
    assert not any((decision.outside_support, decision.guard_stop))


def test_the_rate_is_relative_to_what_was_executed():
    """Each action may differ by 0.1 from the one executed before, not from the one proposed before."""
    guard = Guard(line(max_change=0.1))
    executed = [guard.check(HERE, action(x)).executed[0] for x in (0.0, 0.5, 0.5, 0.2)]
    assert executed == pytest.approx([0.0, 0.1, 0.2, 0.2])


def test_the_first_action_of_an_episode_has_no_rate():
    """After a reset the last episode's actions are forgotten."""
    guard = Guard(line(max_change=0.1))
    guard.check(HERE, action(-0.5))
    guard.reset()
    assert not guard.check(HERE, action(0.5)).clipped


def test_beyond_the_step_threshold_is_drift_and_still_executed():
    """Drift is measured, not prevented."""
    decision = supported().check(HERE, action(0.35))
    assert decision.outside_support
    assert not decision.guard_stop
    assert decision.executed == action(0.35)


def test_beyond_the_episode_threshold_the_fallback_is_executed():
    """A guard stop stands still instead, and counts as drift too."""
    decision = supported().check(HERE, action(0.45))
    assert decision.guard_stop
    assert decision.outside_support
    assert decision.executed == action(0.0)


def test_a_safer_alternative_is_preferred_to_standing_still():
    """An exploring policy's greedy action is executed where it lies inside the episode threshold."""
    assert supported().check(HERE, action(0.45), safer=lambda: action(0.1)).executed == action(0.1)


def test_a_safer_alternative_that_is_not_safe_is_refused():
    """Beyond the episode threshold the greedy action gives way to the fallback as well."""
    assert supported().check(HERE, action(0.45), safer=lambda: action(-0.5)).executed == action(0.0)


def test_the_alternative_is_not_asked_for_without_need():
    """A policy is not asked twice where its first answer is executed."""

    def never():
        raise AssertionError("asked")

    assert not supported().check(HERE, action(0.1), safer=never).guard_stop


def test_a_score_that_is_no_number_stops():
    """What cannot be measured counts as outside, never as inside."""

    class Blind:
        def score(self, observations, actions):
            return np.full(len(actions), np.nan)

    assert Guard(line(), Blind(), thresholds()).check(HERE, action(0.1)).guard_stop


@pytest.mark.parametrize("bad", [action(np.nan), action(np.inf), np.zeros(2), np.zeros((1, 1))])
def test_what_is_no_action_is_never_executed(bad):
    """A proposal that is not finite, or not of the robot's size, is an error."""
    with pytest.raises(PolicyError, match="1 finite numbers"):
        Guard(line()).check(HERE, bad)


def test_a_takeover_sets_the_rate_and_keeps_the_bounds():
    """A person may act at once, inside the bounds; the policy goes on from there."""
    guard = Guard(line(max_change=0.1))
    guard.check(HERE, action(-0.5))
    assert guard.took_over(action(2.0)) == action(0.5)
    assert guard.check(HERE, action(0.0)).executed == pytest.approx(action(0.4))


def test_the_actions_of_an_episode_are_judged_as_one_by_one():
    """``legal`` over a whole episode gives what the guard made of each proposal: nothing in an episode is lost."""
    module = line(max_change=0.125)
    guard, proposals = Guard(module), np.random.default_rng(0).uniform(-1, 1, (9, 1)).astype(np.float32)
    executed = np.stack([guard.check(HERE, proposal).executed for proposal in proposals])
    assert (legal(proposals[:1], None, module.SPEC) == executed[:1]).all()
    assert (legal(proposals[1:], executed[:-1], module.SPEC) == executed[1:]).all()


@given(proposals=st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=20), change=st.floats(0.01, 2.0))
def test_executed_actions_obey_bounds_and_rate(proposals, change):
    """Whatever is proposed, in whatever order, what is executed is legal."""
    guard = Guard(line(max_change=change))
    executed = np.array([guard.check(HERE, action(p)).executed[0] for p in proposals], dtype=np.float64)
    assert (np.abs(executed) <= 0.5).all()
    assert (np.abs(np.diff(executed)) <= change + 1e-6).all()
