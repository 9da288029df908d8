"""Numbers that cannot be used or say nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from offline_to_online.dataset.checks import Seen, values
from offline_to_online.dataset.manifest import Manifest
from tests.dataset.checks import timed_logs
from tests.dataset.checks.steered_logs import acted, drive, found, log, names, one, subject, the


def sensed(episodes: list[Seen], index: int, **sensors: np.ndarray | None) -> list[Seen]:
    """One episode with other sensors beside its own; None removes one."""
    old = episodes[index]
    kept = {name: array for name, array in {**old.logged.sensors, **sensors}.items() if array is not None}
    new = dataclasses.replace(old, logged=dataclasses.replace(old.logged, sensors=kept))
    return [*episodes[:index], new, *episodes[index + 1 :]]


def with_camera(episodes: list[Seen]) -> list[Seen]:
    """Every episode with a second sensor, which is no observation."""
    for seen in list(episodes):
        episodes = sensed(episodes, seen.index, force=np.random.default_rng(seen.index).normal(size=(61, 3)))
    return episodes


def test_a_sound_log_has_nothing() -> None:
    """Whatever is looked at."""
    assert found(values, subject(), with_camera(log())) == []


def test_not_finite_says_where_and_how_many() -> None:
    """The first place of an observation; it is an error."""
    episodes = log(3)
    state = drive(1)[0].copy()
    state[17, 2], state[20, 0] = np.nan, np.inf
    finding = the(found(values, subject(), sensed(episodes, 1, state=state)), "not_finite")
    assert (finding.severity, finding.place, finding.count) == ("error", "episode 1, step 17, state[2]", 2)


def test_what_nobody_selects_may_be_nan(make_manifest: Callable[..., Manifest]) -> None:
    """A notice for another sensor while a stranger's file is inspected; an error once a manifest selects it."""
    force = np.full((61, 3), np.nan)
    episodes = sensed(with_camera(log(3)), 0, force=force)
    assert the(found(values, subject(), episodes), "not_finite").severity == "notice"
    assert the(found(values, subject(manifest=make_manifest()), episodes), "not_finite").severity == "error"


@pytest.mark.parametrize("name", ["rewards", "actions", "times"])
def test_other_numbers_are_looked_at_too(name: str) -> None:
    """Rewards, actions, time stamps."""
    episodes = log(2)
    array = np.zeros((60, 2) if name == "actions" else 60)
    array[5] = np.nan
    broken = dataclasses.replace(episodes[1], logged=dataclasses.replace(episodes[1].logged, **{name: array}))
    finding = the(found(values, subject(), [episodes[0], broken]), "not_finite")
    assert (finding.episode, finding.step, finding.severity) == (1, 5, "error")


def test_float32_loses_what_lies_far_from_its_origin() -> None:
    """A Unix time as an observation moves by less than float32 resolves there."""
    episodes = log(2)
    for index in (0, 1):
        state = drive(index)[0].astype(np.float64)
        state[:, 3] = 1.7e9 + 0.05 * np.arange(61)
        episodes = sensed(episodes, index, state=state)
    finding = the(found(values, subject(), episodes), "float64_rounded")
    assert (finding.severity, finding.dimension) == ("notice", "observation.speed_y")
    assert found(values, subject(), sensed(log(2), 0, state=drive(0)[0].astype(np.float64))) == []


def test_large_counts_are_rounded() -> None:
    """Integers beyond 2^24 that count by ones."""
    counts = np.repeat(2**25 + np.arange(61)[:, None], 4, axis=1)
    assert names(found(values, subject(), sensed(log(2), 0, state=counts))) == {"float64_rounded"}


def test_what_float32_cannot_hold_is_an_error() -> None:
    """1e39, with its place."""
    state = drive(1)[0].astype(np.float64)
    state[4, 1] = 1e39
    finding = the(found(values, subject(), sensed(log(2), 1, state=state)), "float64_rounded")
    assert (finding.severity, finding.place) == ("error", "episode 1, step 4, observation.y")


def test_constant_dimensions_are_named() -> None:
    """Of actions and of observations, one each."""
    episodes = [one(i, *drive(i)) for i in range(4)]
    for seen in episodes:
        seen.episode.observations[:, 2] = 0.0
    episodes = acted(episodes, lambda actions: np.stack([actions[:, 0], np.full(60, 0.5)], axis=1))
    findings = found(values, subject(), episodes)
    assert [(f.check, f.severity, f.dimension) for f in findings] == [
        ("constant_dimension", "warning", "observation.speed_x"),
        ("constant_dimension", "warning", "action.push_y"),
    ]
    assert "not connected" in findings[0].message


@pytest.mark.parametrize("force", [None, np.zeros((61, 3)), np.full((61, 3), np.nan)])
def test_a_sensor_that_some_episodes_lack_is_named(force: np.ndarray | None) -> None:
    """Absent, all zero or all NaN in the second of six."""
    episodes = sensed(with_camera(log(6)), 1, force=force)
    finding = the(found(values, subject(), episodes), "missing_sensor")
    assert (finding.severity, finding.episode, finding.dimension, finding.count) == ("warning", 1, "force", 1)


def test_a_sensor_that_often_reads_zero_is_not_missing() -> None:
    """A contact sensor in episodes without a contact."""
    episodes = log(6)
    for seen in list(episodes):
        touch = np.zeros((61, 1))
        touch[30:50] = seen.index % 2
        episodes = sensed(episodes, seen.index, touch=touch)
    assert found(values, subject(), episodes) == []


@pytest.mark.parametrize("name", ["door", "fetch", "nao", "pendulum", "pusht"])
def test_real_logs_have_no_error(shared_data: Path, name: str) -> None:
    """None of them holds a number that cannot be used."""
    assert found(values, *timed_logs.real(shared_data, name)) == []


def test_a_real_dimension_that_never_changes(shared_data: Path) -> None:
    """FetchPush's goal lies on the table, in float64."""
    assert names(found(values, *timed_logs.real(shared_data, "push"))) == {"constant_dimension"}
