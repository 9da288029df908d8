"""What actions are measured in, what they follow, and what they are a copy of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from offline_to_online.dataset.checks import Seen, Subject, units
from offline_to_online.dataset.manifest import Manifest
from tests.dataset.checks import timed_logs
from tests.dataset.checks.steered_logs import Change, acted, found, log, names, subject, the

BOUNDED = {"bounds": (-1.0, 1.0)}


def declared(make_manifest: Callable[..., Manifest], unit: str, bound: float) -> Subject:
    """Both actions in some unit, within some bound."""
    row = {"unit": unit, "low": -bound, "high": bound}
    rows = [{"name": name, **row} for name in ("push_x", "push_y")]
    schema = {"kind": "vector", "out_of_bounds": "refuse", "dimensions": rows}
    return subject(bounds=(-bound, bound), manifest=make_manifest(action_schema=schema))


def copied(episodes: list[Seen], limit: float) -> list[Seen]:
    """Actions clipped, the real ones beside them."""
    return [
        dataclasses.replace(
            seen,
            logged=dataclasses.replace(
                seen.logged,
                actions=np.clip(seen.logged.actions, -limit, limit),
                extra={"raw": seen.logged.actions, "other": seen.logged.actions[::-1]},
            ),
        )
        for seen in episodes
    ]


def test_a_sound_log_has_nothing() -> None:
    """Actions that fill their interval and follow nothing."""
    assert found(units, subject(**BOUNDED), log()) == []


@pytest.mark.parametrize(
    ("change", "guess"),
    [
        (lambda v: 57.3 * v, "degrees for radians (factor 57.3"),
        (lambda v: 256 + 256 * v, "pixels or raw counts"),
        (lambda v: np.round(127.5 + 127.5 * v), "8-bit counts (factor 127.5"),
        (lambda v: 1000 * v, "another unit"),
        (lambda v: 0.01 * v, "factor 1/"),
    ],
)
def test_another_unit_is_guessed(change: Change, guess: str) -> None:
    """For an interval of [-1, 1], with the factor."""
    finding = the(found(units, subject(**BOUNDED), acted(log(), change)), "action_units")
    assert guess in finding.message
    assert (finding.severity, finding.dimension, finding.count) == ("warning", "action.push_x", 2)


def test_one_dimension_in_another_unit_is_named() -> None:
    """The second."""

    def change(actions: np.ndarray) -> np.ndarray:
        actions[:, 1] *= 57.3
        return actions

    finding = the(found(units, subject(**BOUNDED), acted(log(), change)), "action_units")
    assert (finding.dimension, finding.count) == ("action.push_y", 1)


@pytest.mark.parametrize(
    ("unit", "bound", "factor", "guess"),
    [
        ("rad", 3.15, 180.0, "degrees for radians"),
        ("deg", 180.0, 3.0, "radians for degrees"),
        ("m", 0.5, 400.0, "millimetres for metres"),
        ("px", 500.0, 1.0, "[-1, 1] for raw units"),
    ],
)
def test_the_declared_unit_makes_the_guess(
    make_manifest: Callable[..., Manifest], unit: str, bound: float, factor: float, guess: str
) -> None:
    """What the schema says of a dimension, against what its numbers are."""
    known = declared(make_manifest, unit, bound)
    finding = the(found(units, known, acted(log(), lambda v: factor * v)), "action_units")
    assert guess in finding.message


def test_never_negative_is_half_an_interval() -> None:
    """[0, 1] for [-1, 1], in all dimensions; one that is never negative may be so by nature."""
    finding = the(found(units, subject(**BOUNDED), acted(log(), lambda v: (v + 1) / 2)), "action_units")
    assert "[0, 1] for [-1, 1]" in finding.message
    forward = acted(log(), lambda v: np.stack([np.abs(v[:, 0]), v[:, 1]], axis=1))
    assert found(units, subject(**BOUNDED), forward) == []


def test_without_bounds_there_is_no_unit() -> None:
    """Nothing to hold the numbers against."""
    assert found(units, subject(), acted(log(), lambda v: 57.3 * v)) == []


def test_targets_are_told_from_rates() -> None:
    """An action that is where the sled should be in a moment, in metres."""
    episodes = [
        dataclasses.replace(s, episode=dataclasses.replace(s.episode, actions=s.episode.observations[1:, :2] + 0.01))
        for s in log()
    ]
    finding = the(found(units, subject(), episodes), "absolute_actions")
    assert (finding.severity, finding.count) == ("notice", 2)
    assert "push_x follows x, push_y follows y" in finding.message


def test_a_clipped_copy_is_found_with_its_original() -> None:
    """Where it is clipped most; an unrelated array of that shape is no original."""
    episodes = log(6)
    finding = the(found(units, subject(), copied(episodes, 0.4)), "clipped_copy")
    assert "the actions are raw, clipped" in finding.message
    raw = np.abs(np.concatenate([s.episode.actions for s in episodes]))
    assert finding.count == int((raw > np.float32(0.4)).sum())


def test_an_equal_copy_is_not_clipped() -> None:
    """Nothing lies beyond."""
    assert found(units, subject(), copied(log(6), 2.0)) == []


def test_pusht_s_actions_are_pixels(shared_data: Path) -> None:
    """Absolute ones: they follow the disc; and they are pixels where [-1, 1] is declared."""
    bare, episodes = timed_logs.real(shared_data, "pusht")
    finding = the(found(units, bare, episodes), "absolute_actions")
    assert "target_x follows agent_x, target_y follows agent_y" in finding.message
    one = np.ones(2, dtype=np.float32)
    wrong = dataclasses.replace(bare, action_low=-one, action_high=one)
    assert "pixels or raw counts" in the(found(units, wrong, episodes), "action_units").message


def test_the_nao_s_raw_actions_were_clipped(shared_data: Path) -> None:
    """They reach +-53."""
    finding = the(found(units, *timed_logs.real(shared_data, "nao")), "clipped_copy")
    assert "the actions are infos/raw_actions, clipped" in finding.message
    assert "up to -53.43" in finding.message


@pytest.mark.parametrize("name", ["door", "fetch", "pendulum"])
def test_other_real_logs_have_nothing(shared_data: Path, name: str) -> None:
    """Rates and scaled targets."""
    assert names(found(units, *timed_logs.real(shared_data, name))) == set()


@pytest.mark.parametrize(
    ("name", "bound", "change", "guess"),
    [
        ("door", 1.0, lambda v: 57.3 * v, "degrees for radians"),
        ("pendulum", 2.0, lambda v: 100 * v, "another unit"),
        ("fetch", 1.0, lambda v: 128 * v + 256, "pixels or raw counts"),
    ],
)
def test_a_unit_mistaken_in_a_real_log(shared_data: Path, name: str, bound: float, change: Change, guess: str) -> None:
    """Held against the bounds of its environment."""
    bare, episodes = timed_logs.real(shared_data, name)
    high = np.full(len(bare.action), bound, dtype=np.float32)
    known = dataclasses.replace(bare, action_low=-high, action_high=high)
    findings = found(units, known, acted(list(episodes), change))
    assert any(guess in f.message for f in findings if f.check == "action_units")
