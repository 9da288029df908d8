"""Whether a command's sign, order, step and size are found out, with a robot's word and without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from offline_to_online.dataset.checks import RobotFacts, Seen, Subject, direction
from offline_to_online.dataset.manifest import Manifest, load_manifest
from offline_to_online.dataset.robot_facts import robot_facts
from offline_to_online.plugins import module_for
from tests.dataset.checks.steered_logs import (
    Change,
    acted,
    drive,
    found,
    later,
    log,
    names,
    negated,
    one,
    robot,
    subject,
    swapped,
    the,
)
from tests.dataset.checks.timed_logs import real

PLUGINS = {"fetch": "fetch_pick_and_place", "pusht": "pusht", "door": "adroit_door"}
MANIFESTS = {"fetch": "fetch_mixed", "pusht": "pusht_human", "door": "adroit_door_human"}
OBSERVED = {"fetch": [*range(25), 28, 29, 30], "pusht": range(5), "door": range(39)}
"""Fetch's file holds the achieved goal before the desired one."""

UNITS = (lambda actions: 57.3 * actions, lambda actions: actions / 57.3)


@pytest.fixture(scope="module")
def sound() -> list[Seen]:
    """Twelve drives."""
    return log()


def known(folder: Path, name: str) -> tuple[Subject, list[Seen]]:
    """A real log, with its robot's word where there is a plug-in."""
    bare, episodes = real(folder, name)
    if name not in PLUGINS:
        return bare, list(episodes)
    plugin = module_for("robots", PLUGINS[name])
    columns = list(OBSERVED[name])
    cut = [
        dataclasses.replace(s, episode=dataclasses.replace(s.episode, observations=s.episode.observations[:, columns]))
        for s in episodes
    ]
    facts: RobotFacts = robot_facts(plugin)
    return (
        dataclasses.replace(
            bare, observation=plugin.SPEC.observation.names, action=plugin.SPEC.action.names, robot=facts
        ),
        cut,
    )


def manifest_of(name: str) -> Manifest:
    """Of the data set that is in use for this robot."""
    return load_manifest(Path(__file__).resolve().parents[3] / "data/manifests" / f"{MANIFESTS[name]}.yaml")


def test_a_sound_log_is_not_accused(sound: list[Seen]) -> None:
    """Neither with a robot's word nor without."""
    assert found(direction, subject(), sound) == []
    assert found(direction, subject(robot=robot()), sound) == []


@pytest.mark.parametrize(
    ("change", "check", "dimension"),
    [
        (negated(1), "flipped_sign", "action.push_y"),
        (negated(), "flipped_sign", ""),
        (swapped(0, 1), "swapped_dimensions", "action.push_x and action.push_y"),
        (later(1), "shifted_actions", ""),
        (later(-1), "shifted_actions", ""),
        (later(3), "shifted_actions", ""),
        (UNITS[0], "scaled_actions", ""),
        (UNITS[1], "scaled_actions", ""),
    ],
)
def test_an_episode_that_contradicts_the_others_is_named(
    sound: list[Seen], change: Change, check: str, dimension: str
) -> None:
    """Its number, its dimension, and nothing else."""
    findings = found(direction, subject(), acted(sound, change, only=[7]))
    assert [(f.check, f.severity, f.episode, f.dimension, f.count) for f in findings] == [
        (check, "warning", 7, dimension, 1)
    ]


def test_a_third_of_the_episodes_may_be_wrong(sound: list[Seen]) -> None:
    """What most agree on is not drawn towards them."""
    finding = the(found(direction, subject(), acted(sound, negated(), only=[2, 5, 8, 11])), "flipped_sign")
    assert (finding.episode, finding.count) == (2, 4)


@pytest.mark.parametrize("change", [negated(), negated(1), swapped(0, 1), UNITS[0]])
@pytest.mark.parametrize("only", [range(6), range(6, 12), range(7), range(5, 12)])
def test_neither_of_two_halves_is_accused(sound: list[Seen], change: Change, only: range) -> None:
    """Which was changed cannot be told: the smaller group is named, or else the first."""
    (finding,) = found(direction, subject(), acted(sound, change, only=only))
    smaller = only if len(only) == 6 else sorted(set(range(12)) - set(only))
    first = 0 if len(only) == 6 else smaller[0]
    said = f"two groups of episodes contradict each other ({len(smaller)} against {12 - len(smaller)}); "
    assert finding.message == said + "which is right is not known"
    assert (finding.severity, finding.episode, finding.count) == ("warning", first, len(smaller))


def test_one_of_four_episodes_contradicts_the_others(sound: list[Seen]) -> None:
    """So few are accused."""
    finding = the(found(direction, subject(), acted(sound, negated(0), only=[2, 5, 8])), "flipped_sign")
    assert finding.message.startswith("3 episode(s) contradict the others")
    assert (finding.episode, finding.count) == (2, 3)


def test_episodes_beyond_those_that_were_fitted_are_judged() -> None:
    """The first 200 are kept; the 230th is held against them."""
    episodes = [one(i, *drive(i, length=24)) for i in range(240)]
    finding = the(found(direction, subject(), acted(episodes, negated(0), only=[230])), "flipped_sign")
    assert (finding.episode, finding.dimension) == (230, "action.push_x")


def test_a_robot_knows_the_sign_of_a_whole_log(sound: list[Seen]) -> None:
    """All episodes agree, and are wrong; without the robot nobody could tell."""
    wrong = acted(sound, negated(0))
    finding = the(found(direction, subject(robot=robot()), wrong), "flipped_sign")
    assert (finding.episode, finding.dimension) == (None, "action.push_x")
    assert found(direction, subject(), wrong) == []


def test_a_robot_knows_the_order_of_a_whole_log(sound: list[Seen]) -> None:
    """Both dimensions are named, and what they really move."""
    findings = found(direction, subject(robot=robot()), acted(sound, swapped(0, 1)))
    assert [(f.check, f.dimension) for f in findings] == [
        ("swapped_dimensions", "action.push_x"),
        ("swapped_dimensions", "action.push_y"),
    ]


@pytest.mark.parametrize(
    ("change", "check"),
    [(negated(0), "flipped_sign"), (negated(), "flipped_sign"), (swapped(0, 1), "swapped_dimensions")],
)
def test_a_whole_log_against_its_robot_is_an_error_under_a_manifest(
    sound: list[Seen], change: Change, check: str, make_manifest: Callable[..., Manifest]
) -> None:
    """Then the data claims to be that robot's; in an inspection it is a warning, and so is a single episode."""
    wrong = acted(sound, change)
    claimed = subject(robot=robot(), manifest=make_manifest())
    assert {(f.check, f.severity) for f in found(direction, claimed, wrong)} == {(check, "error")}
    assert {f.severity for f in found(direction, subject(robot=robot()), wrong)} == {"warning"}
    assert {f.severity for f in found(direction, claimed, acted(sound, change, only=[7]))} == {"warning"}


@pytest.mark.parametrize(("steps", "severity"), [(1, "warning"), (3, "warning"), (-2, "warning"), (-1, "notice")])
def test_the_lag_of_a_whole_log(sound: list[Seen], steps: int, severity: str) -> None:
    """An effect before its command cannot be, one two steps late is odd; one step late is how some robots are."""
    finding = the(found(direction, subject(), acted(sound, later(steps))), "shifted_actions")
    assert (finding.severity, finding.episode) == (severity, None)


def test_too_little_is_no_evidence(sound: list[Seen]) -> None:
    """Two episodes, or actions that explain nothing, accuse nobody."""
    rng = np.random.default_rng(0)
    noise = acted(sound, lambda actions: rng.uniform(-1, 1, actions.shape).astype("f4"))
    assert found(direction, subject(robot=robot()), acted(noise, negated(0), only=[3])) == []
    assert found(direction, subject(), acted(sound[:2], negated(0), only=[1])) == []


@pytest.mark.parametrize("name", ["door", "fetch", "nao", "pendulum", "pusht", "maze", "push"])
def test_real_logs_are_not_accused(shared_data: Path, name: str) -> None:
    """Seven robots; their robots' word, and their manifest, where there is a plug-in."""
    bare, episodes = known(shared_data, name)
    claimed = dataclasses.replace(bare, manifest=manifest_of(name)) if name in MANIFESTS else bare
    assert found(direction, claimed, episodes) == []


@pytest.mark.parametrize("name", ["door", "fetch", "pusht"])
@pytest.mark.parametrize("part", [slice(0, 8), slice(8, 16), slice(None, None, 3)])
def test_a_part_of_a_real_log_has_no_error(shared_data: Path, name: str, part: slice) -> None:
    """A few episodes say less, and must not say the opposite."""
    bare, episodes = known(shared_data, name)
    few = [dataclasses.replace(one, index=index) for index, one in enumerate(episodes[part])]
    findings = found(direction, dataclasses.replace(bare, manifest=manifest_of(name)), few)
    assert "error" not in {finding.severity for finding in findings}


@pytest.mark.parametrize(
    ("name", "change", "check", "dimensions"),
    [
        ("fetch", swapped(0, 2), "swapped_dimensions", {"action.dx", "action.dz"}),
        ("pusht", negated(0), "flipped_sign", {"action.target_x"}),
        ("pusht", swapped(0, 1), "swapped_dimensions", {"action.target_x", "action.target_y"}),
        ("door", negated(7), "flipped_sign", {"action.target_FFJ2"}),
        ("door", swapped(8, 21), "swapped_dimensions", {"action.target_FFJ1", "action.target_LFJ1"}),
    ],
)
def test_a_plug_in_s_word_finds_real_logs_out(
    shared_data: Path, name: str, change: Change, check: str, dimensions: set[str]
) -> None:
    """What was done to every episode of a real log; it is kept out where a manifest calls it that robot's."""
    bare, episodes = known(shared_data, name)
    findings = found(direction, dataclasses.replace(bare, manifest=manifest_of(name)), acted(episodes, change))
    assert {(f.check, f.episode, f.dimension) for f in findings} == {(check, None, d) for d in dimensions}
    assert {f.severity for f in findings} == {"error"}


@pytest.mark.parametrize(("name", "steps"), [("fetch", 2), ("pendulum", 1), ("pusht", -2), ("door", 1)])
def test_a_shift_of_a_whole_real_log(shared_data: Path, name: str, steps: int) -> None:
    """The natural lag of all of these is 0."""
    bare, episodes = known(shared_data, name)
    finding = the(found(direction, bare, acted(episodes, later(steps))), "shifted_actions")
    assert (finding.severity, finding.episode) == ("warning", None)


@pytest.mark.parametrize(
    ("name", "change", "check"),
    [
        ("fetch", negated(1), "flipped_sign"),
        ("pendulum", negated(), "flipped_sign"),
        ("pusht", later(1), "shifted_actions"),
        ("door", later(2), "shifted_actions"),
    ],
)
def test_one_real_episode_is_named(shared_data: Path, name: str, change: Change, check: str) -> None:
    """The twelfth of them, and no other."""
    bare, episodes = known(shared_data, name)
    findings = found(direction, bare, acted(episodes, change, only=[12]))
    assert [(f.check, f.episode) for f in findings] == [(check, 12)]


@pytest.mark.parametrize(("name", "change"), [("pendulum", UNITS[0]), ("door", UNITS[1])])
def test_one_real_episode_in_other_units_is_named(shared_data: Path, name: str, change: Change) -> None:
    """Its actions are so much larger, or smaller, and do as much as those of the others."""
    findings = found(direction, *_spoilt(shared_data, name, change))
    assert [(f.check, f.episode) for f in findings] == [("scaled_actions", 12)]


def test_two_swapped_axes_of_one_real_episode_are_named(shared_data: Path) -> None:
    """PushT's targets."""
    findings = found(direction, *_spoilt(shared_data, "pusht", swapped(0, 1)))
    assert names(findings) == {"swapped_dimensions"}
    assert (findings[0].episode, findings[0].dimension) == (12, "action.target_x and action.target_y")


def _spoilt(folder: Path, name: str, change: Change) -> tuple[Subject, list[Seen]]:
    bare, episodes = known(folder, name)
    return bare, acted(episodes, change, only=[12])
