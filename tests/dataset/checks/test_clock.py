"""Logged times: forward, even, and at the declared rate."""

from __future__ import annotations

import dataclasses

import numpy as np

from offline_to_online.dataset.checks import clock
from tests.dataset.checks.timed_logs import found, log, only, seen, subject


def with_times(episode, edit):
    times = np.asarray(episode.times, dtype=np.float64).copy()
    return dataclasses.replace(episode, times=edit(times))


def one_odd(edit, index=4):
    episodes = log(8)
    episodes[index] = with_times(episodes[index], edit)
    return seen(episodes)


def test_an_even_clock_has_nothing_to_say():
    """Twenty samples a second, as declared."""
    assert found(clock, subject(control_rate_hz=20.0), seen(log())) == []


def test_small_jitter_is_no_finding():
    """A real clock is off by a few per cent."""
    rng = np.random.default_rng(0)
    episodes = [with_times(one, lambda times: times + rng.uniform(0, 0.002, len(times))) for one in log()]
    assert found(clock, subject(), seen(episodes)) == []


def test_time_that_goes_back_is_an_error():
    """The row at which time goes back is named."""

    def back(times):
        times[30:] -= 0.5
        return times

    finding = only(found(clock, subject(), one_odd(back)), "time_not_monotone")
    assert (finding.severity, finding.episode, finding.step, finding.count) == ("error", 4, 30, 1)


def test_lost_samples_are_irregular_time():
    """A gap of four periods is named with its row."""

    def gap(times):
        times[30:] += 0.15
        return times

    finding = only(found(clock, subject(), one_odd(gap)), "irregular_time")
    assert (finding.severity, finding.episode, finding.step, finding.count) == ("warning", 4, 30, 1)


def test_a_clock_that_stands_still_is_irregular():
    """The same time at every row is a clock that was never read."""
    findings = found(clock, subject(), one_odd(np.zeros_like))
    assert {f.check for f in findings} == {"irregular_time"}
    assert findings[0].episode == 4


def test_an_episode_at_another_rate_is_found():
    """Even in itself, but twice as slow as the others."""
    finding = only(found(clock, subject(), one_odd(lambda times: 2 * times)), "irregular_time")
    assert (finding.episode, finding.count) == (4, 1)


def test_a_rate_other_than_the_manifests_is_an_error(make_manifest):
    """The manifest says 10 Hz, the times say 20."""
    finding = only(found(clock, subject(manifest=make_manifest()), seen(log())), "control_rate_mismatch")
    assert finding.severity == "error"
    assert "20 steps a second" in finding.message


def test_a_rate_other_than_the_files_own_is_a_warning():
    """A stranger's header may simply be wrong."""
    finding = only(found(clock, subject(control_rate_hz=30.0), seen(log())), "control_rate_mismatch")
    assert finding.severity == "warning"


def test_times_in_milliseconds_are_called_so():
    """A rate a thousand times off is a unit, and the remedy says which."""
    episodes = [with_times(one, lambda times: 1000 * times) for one in log()]
    finding = only(found(clock, subject(control_rate_hz=20.0), seen(episodes)), "control_rate_mismatch")
    assert "milliseconds" in finding.remedy


def test_without_times_there_is_no_check():
    """A log without a clock cannot be held against one."""
    assert clock.checks(subject(times=False)) == []
