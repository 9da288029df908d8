"""Repeated samples and interleaved sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offline_to_online.dataset.checks import sampling
from tests.dataset.checks.timed_logs import (
    changed,
    exchanged,
    found,
    log,
    logged,
    only,
    real,
    seen,
    smooth,
    subject,
    with_rows,
)


def test_a_smooth_log_has_nothing_to_say():
    """Samples that all are new are no finding."""
    assert found(sampling, subject(), seen(log())) == []


def test_rows_that_repeat_are_found_at_their_longest_run():
    """Eight copies of row 20 are named with episode, row and number."""

    def stall(rows):
        rows[21:29] = rows[20]

    episodes = log()
    episodes[4] = changed(episodes[4], stall)
    finding = only(found(sampling, subject(), seen(episodes)), "repeated_samples")
    assert (finding.severity, finding.episode, finding.step, finding.count) == ("warning", 4, 21, 8)


def test_a_single_repeat_is_a_notice():
    """One row in hundreds that repeats is said, and is no cause for worry."""

    def stall(rows):
        rows[21] = rows[20]

    episodes = log()
    episodes[4] = changed(episodes[4], stall)
    assert only(found(sampling, subject(), seen(episodes)), "repeated_samples").severity == "notice"


def test_the_row_that_assembly_repeats_is_none_of_the_logs():
    """A terminal episode without a next observation repeats its last row by our doing, not by the recorder's."""
    rows = smooth(0)
    ended = logged(rows, final=False, terminals=np.arange(60) == 59, timeouts=np.zeros(60, dtype=bool))
    assert found(sampling, subject(final_observation=False), seen([ended])) == []


def test_a_slow_sensor_is_found_by_its_dimension():
    """A dimension that holds its value at every second row, amid its movement, is sampled too fast."""

    def hold(rows):
        rows[1::3, 1] = rows[:-1:3, 1][: len(rows[1::3])]

    episodes = [changed(one, hold) for one in log()]
    finding = only(found(sampling, subject(), seen(episodes)), "repeated_samples", dimension="observation.o1")
    assert finding.severity == "warning"
    assert finding.count > 50


def test_two_sources_in_turn_are_found():
    """An offset on every second row of a stretch is two estimates of one quantity."""

    def interleave(rows):
        rows[10:40:2, 2] += 2

    episodes = log()
    episodes[7] = changed(episodes[7], interleave)
    finding = only(found(sampling, subject(), seen(episodes)), "interleaved_sources")
    assert (finding.episode, finding.dimension, finding.severity) == (7, "observation.o2", "warning")
    assert abs(finding.step - 10) <= 1


def test_random_noise_is_not_two_sources():
    """White noise goes to and fro without coming back to the same place."""
    rng = np.random.default_rng(0)
    episodes = [logged(rng.normal(size=(301, 3)).astype("f4"), seed=i) for i in range(5)]
    assert found(sampling, subject(), seen(episodes)) == []


def test_the_oddities_of_the_robots_logs_are_found(shared_data: Path):
    """NAO: 2.4 % of all rows repeat, a tenth but for rounding; two position estimates alternate in episode 45."""
    findings = found(sampling, *real(shared_data, "nao"))
    repeats = only(findings, "repeated_samples", dimension="")
    assert repeats.message.startswith("1549 of 64935 rows (2.4 %)")
    assert repeats.count == 6621
    held = {f.dimension: f.count for f in findings if f.check == "repeated_samples" and f.dimension}
    assert held["observation.robot_theta"] > held["observation.robot_x_m"] > 3000
    alternating = only(findings, "interleaved_sources", dimension="observation.ball_x_m")
    assert (alternating.episode, alternating.step) == (45, 661)


@pytest.mark.parametrize("name", ["door", "fetch", "pendulum", "pusht", "maze", "push"])
def test_other_real_logs_sample_well(shared_data: Path, name: str):
    """No real log but the robots' repeats or interleaves its samples."""
    assert found(sampling, *real(shared_data, name)) == []


@pytest.mark.parametrize("name", ["pendulum", "fetch", "door", "pusht"])
def test_a_stall_in_a_real_log_is_found(shared_data: Path, name: str):
    """Six rows written again in episode 7 are found there."""
    known, episodes = real(shared_data, name)
    rows = episodes[7].episode.observations.copy()
    rows[12:18] = rows[11]
    finding = only(found(sampling, known, exchanged(episodes, with_rows(episodes[7], rows))), "repeated_samples")
    assert (finding.severity, finding.episode, finding.step, finding.count) == ("warning", 7, 12, 6)
