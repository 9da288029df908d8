"""Observed angles in degrees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from offline_to_online.dataset.checks import Seen, Subject, angles
from offline_to_online.dataset.manifest import Manifest
from tests.dataset.checks import timed_logs
from tests.dataset.checks.steered_logs import drive, found, one, subject, the


def declared(make_manifest: Callable[..., Manifest], unit: str, bound: float) -> Subject:
    """All four observations in some unit, within some bound."""
    rows = [{"name": n, "unit": unit, "low": -bound, "high": bound} for n in ("x", "y", "speed_x", "speed_y")]
    return subject(manifest=make_manifest(observation_schema={"dimensions": rows}))


def turned(factor: float, only: tuple[int, ...] = ()) -> list[Seen]:
    """Drives with the second observation in another unit, everywhere or in some episodes."""
    episodes = []
    for index in range(12):
        observations, actions = drive(index)
        if not only or index in only:
            observations[:, 1] *= factor
        episodes.append(one(index, observations, actions))
    return episodes


def test_a_sound_log_has_nothing(make_manifest: Callable[..., Manifest]) -> None:
    """Whatever its unit."""
    for known in (subject(), declared(make_manifest, "rad", 3.2), declared(make_manifest, "m", 3.2)):
        assert found(angles, known, turned(1.0)) == []


@pytest.mark.parametrize("bound", [3.2, 400.0])
def test_degrees_where_radians_are_declared(make_manifest: Callable[..., Manifest], bound: float) -> None:
    """Far beyond the declared interval, or beyond any turn."""
    finding = the(found(angles, declared(make_manifest, "rad", bound), turned(57.3)), "angle_units")
    assert (finding.severity, finding.dimension) == ("warning", "observation.y")
    assert "degrees for radians" in finding.message


def test_radians_where_degrees_are_declared(make_manifest: Callable[..., Manifest]) -> None:
    """None ever reaches beyond a turn in radians."""
    findings = found(angles, declared(make_manifest, "deg", 180.0), turned(1.0))
    assert {f.dimension for f in findings} == {f"observation.{n}" for n in ("x", "y", "speed_x", "speed_y")}


def test_episodes_in_degrees_are_named() -> None:
    """Nobody declared anything; the others tell."""
    finding = the(found(angles, subject(), turned(57.3, only=(4, 9))), "angle_units")
    assert (finding.episode, finding.dimension, finding.count) == (4, "observation.y", 2)


def test_metres_are_no_angles(make_manifest: Callable[..., Manifest]) -> None:
    """A place may be anywhere."""
    assert found(angles, declared(make_manifest, "m", 400.0), turned(57.3, only=(4, 9))) == []


@pytest.mark.parametrize("name", ["door", "fetch", "nao", "pendulum", "pusht"])
def test_real_logs_have_nothing(shared_data: Path, name: str) -> None:
    """Joints, headings that wrap, pixels."""
    assert found(angles, *timed_logs.real(shared_data, name)) == []


def test_one_real_episode_in_degrees_is_named(shared_data: Path) -> None:
    """The robot's heading in the NAO's eleventh log."""
    bare, episodes = timed_logs.real(shared_data, "nao")
    rows = episodes[10].episode.observations.astype(np.float64)
    rows[:, 2] *= 180 / np.pi
    spoilt = timed_logs.exchanged(episodes, timed_logs.with_rows(episodes[10], rows))
    finding = the(found(angles, bare, spoilt), "angle_units")
    assert (finding.episode, finding.dimension) == (10, "observation.robot_theta")
