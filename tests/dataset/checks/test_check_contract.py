"""What every family of checks keeps, whichever there are: the directory is the list."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from offline_to_online.dataset.assembly import assemble, implied_layout, layout_of
from offline_to_online.dataset.checks import Seen, Subject
from offline_to_online.dataset.detection import format_of
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.finding import ORDER, Finding
from offline_to_online.dataset.logged import Contents, LoggedEpisode, Vector
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.robot_facts import robot_facts
from offline_to_online.plugins import available, module_for

FAMILIES = available("checks")
CONTENTS = Contents(
    format="made_up",
    sensors=(Vector(name="encoder", width=2, dtype="float32"),),
    observation=("encoder",),
    actions=Vector(name="actions", width=1, dtype="float32"),
    rewards=True,
    ends=True,
    times=True,
    final_observation=True,
)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> ModuleType:
    """Each file of ``dataset/checks``."""
    return module_for("checks", request.param)


def subjects(make_manifest: Callable[..., Manifest], slider: ModuleType) -> list[Subject]:
    """From knowing nothing to knowing everything."""
    bare = Subject(contents=CONTENTS, observation=("place", "speed"), action=("push",))
    low, high = np.array([-1.0], dtype=np.float32), np.array([1.0], dtype=np.float32)
    bounded = dataclasses.replace(bare, action_low=low, action_high=high)
    described = dataclasses.replace(bounded, manifest=make_manifest())
    return [bare, bounded, described, dataclasses.replace(described, robot=robot_facts(slider))]


def seen(episodes: list[Episode], **changes: Any) -> list[Seen]:
    """Episodes as they would be logged with time stamps."""
    return [
        Seen(
            index=index,
            episode=episode,
            logged=LoggedEpisode(
                **{
                    "where": f"log.hdf5, episode {index}",
                    "sensors": {"encoder": episode.observations},
                    "actions": episode.actions,
                    "rewards": episode.rewards,
                    "terminals": np.arange(len(episode)) == len(episode) - (1 if episode.terminated else 0),
                    "timeouts": np.arange(len(episode)) == len(episode) - (1 if episode.truncated else 0),
                    "times": np.arange(len(episode)) / 10,
                    **changes,
                }
            ),
        )
        for index, episode in enumerate(episodes)
    ]


def found(family: ModuleType, subject: Subject, episodes: list[Seen]) -> list[Finding]:
    """What all checks of a family say after the last episode."""
    checks = list(family.checks(subject))
    for one in episodes:
        for check in checks:
            check.see(one)
    return [finding for check in checks for finding in check.findings()]


def awkward(make_episode: Callable[..., Episode]) -> Iterator[list[Episode]]:
    """Data sets at the edges of what assembly lets through."""
    flat = {name: np.zeros(shape, dtype=np.float32) for name, shape in (("observations", (7, 2)), ("actions", (6, 1)))}
    huge = {
        "observations": np.full((7, 2), 3e38, dtype=np.float32),
        "actions": np.full((6, 1), -3e38, dtype=np.float32),
    }
    yield [make_episode(0, length=1)]
    yield [make_episode(i, length=1) for i in range(5)]
    yield [make_episode(0)] * 3
    yield [make_episode(i, **flat) for i in range(30)]
    yield [make_episode(i, **huge) for i in range(3)]
    yield [make_episode(i, length=1 + i, terminated=True, truncated=False) for i in range(10)]
    yield [make_episode(i, length=40, operator=f"person {i}") for i in range(60)]


def test_every_name_is_one_family_s() -> None:
    """In snake_case, and no two families call a defect the same."""
    names = [name for family in FAMILIES for name in module_for("checks", family).NAMES]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name == name.lower() for name in names)


def test_severities_are_declared_worst_first(family: ModuleType) -> None:
    """At least one for each name, none twice."""
    for severities in family.NAMES.values():
        assert severities
        assert list(severities) == [severity for severity in ORDER if severity in severities]


def test_a_finding_is_in_names_and_in_place(
    family: ModuleType,
    make_episode: Callable[..., Episode],
    make_manifest: Callable[..., Manifest],
    slider: ModuleType,
) -> None:
    """Whatever the data and whoever is known: no check raises, and what it finds is plain JSON with a real place."""
    for subject in subjects(make_manifest, slider):
        for episodes in awkward(make_episode):
            for finding in found(family, subject, seen(episodes)):
                assert finding.severity in family.NAMES[finding.check]
                assert finding.message
                assert finding.count >= 1
                assert Finding(**json.loads(json.dumps(finding.to_json()))) == finding
                require_place(finding, [len(episode) for episode in episodes])


def require_place(finding: Finding, lengths: list[int]) -> None:
    """An episode that there is, and a step of it (T is the observation after the last)."""
    assert finding.step is None or finding.episode is not None
    if finding.episode is not None:
        assert 0 <= finding.episode < len(lengths)
        assert finding.step is None or 0 <= finding.step <= lengths[finding.episode]


def test_a_kind_of_defect_is_said_once_a_dimension(
    family: ModuleType,
    make_episode: Callable[..., Episode],
    make_manifest: Callable[..., Manifest],
    slider: ModuleType,
) -> None:
    """Not once for every step of it: a report is read by people."""
    for subject in subjects(make_manifest, slider):
        for episodes in awkward(make_episode):
            said = [(f.check, f.dimension, f.severity) for f in found(family, subject, seen(episodes))]
            assert len(said) == len(set(said))


def test_the_same_data_gives_the_same_findings(
    family: ModuleType, log: list[Episode], make_manifest: Callable[..., Manifest], slider: ModuleType
) -> None:
    """Nothing is drawn, and one examination leaves nothing to the next."""
    for subject in subjects(make_manifest, slider):
        assert found(family, subject, seen(log)) == found(family, subject, seen(log))


def test_what_is_seen_is_not_changed(
    family: ModuleType, log: list[Episode], make_manifest: Callable[..., Manifest], slider: ModuleType
) -> None:
    """Arrays that cannot be written to are enough."""
    episodes = seen(log)
    for one in episodes:
        for array in (one.episode.observations, one.episode.actions, one.logged.times, one.logged.terminals):
            assert array is not None
            array.flags.writeable = False
    try:
        for subject in subjects(make_manifest, slider):
            found(family, subject, episodes)
    finally:
        for episode in log:
            episode.observations.flags.writeable = episode.actions.flags.writeable = True


def test_sound_data_has_no_error(
    family: ModuleType, log: list[Episode], make_manifest: Callable[..., Manifest], slider: ModuleType
) -> None:
    """Random, but within everything that is declared."""
    for subject in subjects(make_manifest, slider):
        assert [f for f in found(family, subject, seen(log)) if f.severity == "error"] == []


@pytest.mark.parametrize("name", ["pusht_human", "adroit_door_human"])
def test_real_data_that_is_in_use_has_no_error(shared_data: Path, family: ModuleType, name: str) -> None:
    """Held against its own manifest and its own robot, whatever oddities it has: those are warnings."""
    from offline_to_online.dataset.manifest import load_manifest
    from offline_to_online.dataset.validation import subject_of

    root = Path(__file__).resolve().parents[3]
    manifest, path = load_manifest(root / "data/manifests" / f"{name}.yaml"), shared_data / "d4rl" / f"{name}.hdf5"
    reader = format_of(path)
    contents = reader.describe(path)
    subject = subject_of(manifest, contents, robot_facts(module_for("robots", manifest.robot)))
    layout = layout_of(manifest, contents, where=name)
    episodes = [
        Seen(index=i, episode=assemble(logged, layout), logged=logged) for i, logged in enumerate(reader.read(path))
    ]
    findings = found(family, subject, episodes)
    assert [f for f in findings if f.severity == "error"] == []
    for finding in findings:
        assert finding.severity in family.NAMES[finding.check]
        require_place(finding, [len(one.logged) for one in episodes])
    assert implied_layout(contents).observation
