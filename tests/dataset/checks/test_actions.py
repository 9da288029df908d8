"""Actions beyond their bounds, at their bounds, or the same over and over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_to_online.dataset.checks import actions
from offline_to_online.dataset.manifest import Manifest
from tests.dataset.checks import timed_logs
from tests.dataset.checks.steered_logs import acted, found, log, names, subject, the

ROW = {"name": "push_x", "unit": "1", "low": -1, "high": 1}


def allowing(make_manifest: Callable[..., Manifest], kind: str) -> Manifest:
    """A manifest that clips or refuses."""
    schema: dict[str, Any] = {"kind": "vector", "out_of_bounds": kind, "dimensions": [ROW, {**ROW, "name": "push_y"}]}
    return make_manifest(action_schema=schema)


def beyond(values: np.ndarray) -> np.ndarray:
    """Two entries in two steps too far, the second of them farther."""
    values[10, 0], values[20, 1] = 1.2, -1.5
    return values


def test_a_sound_log_has_nothing() -> None:
    """With and without bounds; what a clipped controller saturates is little."""
    episodes = acted(log(), lambda values: 0.7 * values)
    assert found(actions, subject(), episodes) == found(actions, subject(bounds=(-1, 1)), episodes) == []


def test_out_of_bounds_says_how_much_and_where_most() -> None:
    """The share of entries and of steps, at the farthest entry."""
    finding = the(found(actions, subject(bounds=(-1, 1)), acted(log(5), beyond, [3])), "out_of_bounds")
    assert (finding.severity, finding.place, finding.count) == ("warning", "episode 3, step 20, action.push_y", 2)
    assert "0.33 % of action entries, in 0.67 % of steps" in finding.message


@pytest.mark.parametrize(("kind", "severity"), [("clip", "notice"), ("refuse", "error")])
def test_the_manifest_says_how_bad_that_is(make_manifest: Callable[..., Manifest], kind: str, severity: str) -> None:
    """What the robot clips is a fact; what it refuses cannot have been."""
    known = subject(bounds=(-1, 1), manifest=allowing(make_manifest, kind))
    assert the(found(actions, known, acted(log(5), beyond, [3])), "out_of_bounds").severity == severity


def test_without_bounds_the_usual_ones_are_told() -> None:
    """A notice where nearly all entries keep to [-1, 1]; nothing where they are in another unit altogether."""
    assert the(found(actions, subject(), acted(log(5), beyond)), "out_of_bounds").severity == "notice"
    assert found(actions, subject(), acted(log(5), lambda values: 300 + 100 * values)) == []


def test_a_bound_is_compared_as_float32() -> None:
    """0.1 is no float32; data at the bound is not outside."""
    episodes = acted(log(3), lambda values: np.clip(0.1 * values, -0.1, 0.1).astype("f4"))
    assert "out_of_bounds" not in names(found(actions, subject(bounds=(-0.1, 0.1)), episodes))


@pytest.mark.parametrize(("gain", "severity"), [(2.0, "notice"), (20.0, "warning")])
def test_saturation_by_dimension(gain: float, severity: str) -> None:
    """A dimension clipped at its own extremes, whether or not anybody declared them."""

    def clip(values: np.ndarray) -> np.ndarray:
        values[:, 0] = np.clip(gain * values[:, 0], -0.5, 0.5)
        return values

    for bounds in (None, (-1, 1)):
        finding = the(found(actions, subject(bounds=bounds), acted(log(), clip)), "saturation")
        assert (finding.severity, finding.dimension) == (severity, "action.push_x")


def test_a_switch_is_not_saturated() -> None:
    """A gripper that is open, closed or left alone."""

    def switch(values: np.ndarray) -> np.ndarray:
        values[:, 1] = np.round(values[:, 1])
        return 0.9 * values

    assert found(actions, subject(), acted(log(), switch)) == []


def test_a_frozen_command_is_found() -> None:
    """Twenty times the same, from step 15 on."""

    def freeze(values: np.ndarray) -> np.ndarray:
        values[15:35] = (0.31, -0.22)
        return values

    finding = the(found(actions, subject(), acted(log(), freeze, [4])), "stale_actions")
    assert (finding.severity, finding.episode, finding.step, finding.count) == ("warning", 4, 15, 1)


@pytest.mark.parametrize("action", [(0.0, 0.0), (1.0, -1.0), (0.0, 1.0)])
def test_rest_and_full_force_are_not_frozen(action: tuple[float, float]) -> None:
    """An expert that waits, or pushes as hard as it may."""

    def hold(values: np.ndarray) -> np.ndarray:
        values[15:45] = action
        values[0], values[1] = (1, 1), (-1, -1)
        return values

    assert "stale_actions" not in names(found(actions, subject(), acted(log(), hold)))


def test_where_all_hold_still_nothing_is_frozen() -> None:
    """Commands that change every twenty steps, by nature."""
    episodes = acted(log(), lambda values: np.repeat(values[::20], 20, axis=0))
    assert "stale_actions" not in names(found(actions, subject(), episodes))


def test_the_door_s_people_leave_the_bounds(shared_data: Path) -> None:
    """5.6 % of entries, 82 % of steps, with and without declared bounds."""
    bare, episodes = timed_logs.real(shared_data, "door")
    bounds = np.full(28, 1.0, dtype=np.float32)
    declared = dataclasses.replace(bare, action_low=-bounds, action_high=bounds)
    for known, severity in ((bare, "notice"), (declared, "warning")):
        finding = the(found(actions, known, episodes), "out_of_bounds")
        assert "5.6 % of action entries, in 82 % of steps" in finding.message
        assert finding.severity == severity


def test_fetch_leaves_the_bounds_a_little(shared_data: Path) -> None:
    """1.3 % of entries."""
    findings = found(actions, *timed_logs.real(shared_data, "fetch"))
    assert [f.check for f in findings] == ["out_of_bounds"]
    assert findings[0].message.startswith("1.3 % of action entries")


def test_the_nao_saturates(shared_data: Path) -> None:
    """99 % in two dimensions; and a command that stood for 121 steps."""
    findings = found(actions, *timed_logs.real(shared_data, "nao"))
    shares = {f.dimension: f.message.split(" of ")[0] for f in findings if f.severity == "warning"}
    assert (shares["action.walk_y"], shares["action.turn"]) == ("99 %", "99 %")
    assert (the(findings, "stale_actions").episode, the(findings, "stale_actions").step) == (45, 514)


@pytest.mark.parametrize("name", ["pendulum", "pusht"])
def test_other_real_logs_have_nothing(shared_data: Path, name: str) -> None:
    """People hold a mouse still for a moment, and an expert pushes as hard as it may: that is no defect."""
    assert found(actions, *timed_logs.real(shared_data, name)) == []
