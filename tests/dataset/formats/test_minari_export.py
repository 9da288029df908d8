"""Our episodes as a Minari data set: the library opens it, and our own reader gets every fact back."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_to_online.dataset.assembly import assemble, implied_layout
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import folder_sha256
from offline_to_online.dataset.formats import minari
from offline_to_online.dataset.spec import ActionSchema, Dimension, ObservationSchema
from offline_to_online.errors import DataError

ABOUT: dict[str, Any] = {
    "name": "slider/expert-v2",
    "action": ActionSchema(dimensions=(Dimension(name="push", unit="N", low=-1, high=1),)),
    "observation": ObservationSchema(
        dimensions=(
            Dimension(name="place", unit="m", low=-10, high=10),
            Dimension(name="speed", unit="m/s", low=-np.inf, high=np.inf),
        )
    ),
    "control_rate_hz": 12.5,
    "licence": "MIT",
    "source": "a test",
    "robot": "slider",
    "robot_body": "",
}


def made(number: int, steps: int, **facts: Any) -> Episode:
    """An episode of random numbers, whose facts all differ from what is assumed where none are logged."""
    rng = np.random.default_rng(number)
    ending = {"terminated": bool(number % 2), "truncated": not number % 2}
    return Episode(
        observations=rng.normal(size=(steps + 1, 2)).astype(np.float32),
        actions=rng.uniform(-1, 1, size=(steps, 1)).astype(np.float32),
        rewards=rng.normal(size=steps).astype(np.float32),
        cost=rng.uniform(size=steps).astype(np.float32),
        intervened=rng.uniform(size=steps) < 0.5,
        **{**ending, "operator": "expert", "seed": number, "success": True, "score": number / 7, **facts},
    )


def twelve() -> list[Episode]:
    episodes = [made(seed, 3 + seed % 4) for seed in range(10)]
    odd = made(10, 1, operator="novice (left hand, Ä)", seed=-1, success=False, terminated=True, truncated=True)
    return [*episodes, odd, made(11, 2000, seed=2**63 - 1)]


def test_what_is_exported_comes_back(tmp_path: Path) -> None:
    """The same identity, cost, interventions, operator, seed, success and score of every episode, in order."""
    minari.export(tmp_path / "set", twelve(), ABOUT)
    layout = implied_layout(minari.describe(tmp_path / "set"))
    again = [assemble(logged, layout) for logged in minari.read(tmp_path / "set")]
    for mine, one in itertools.zip_longest(again, twelve()):
        assert mine.identity == one.identity
        for field in dataclasses.fields(Episode):
            assert np.array_equal(getattr(mine, field.name), getattr(one, field.name)), field.name


def test_what_is_said_of_it_comes_back(tmp_path: Path) -> None:
    """Names, bounds, control rate, operators, licence and source stand in the description; nothing is amiss."""
    minari.export(tmp_path / "set", twelve(), ABOUT)
    contents = minari.describe(tmp_path / "set")
    assert (contents.episodes, contents.steps) == (12, sum(map(len, twelve())))
    assert contents.sensors[0].names == ("place", "speed")
    assert contents.sensors[0].low == (-10.0, -np.inf)
    assert (contents.actions.names, contents.actions.low) == (("push",), (-1.0,))
    assert contents.control_rate_hz == 12.5
    assert contents.operators == ("expert", "novice (left hand, Ä)")
    assert contents.findings == ()
    wanted = {"licence": "MIT", "source": "a test", "robot": "slider", "dataset_id": "slider/expert-v2"}
    assert wanted.items() <= contents.facts.items()
    assert "robot_body" not in contents.facts


def test_minari_opens_it_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its spaces, its counts and every value, as the library's own collectors would have written them."""
    library = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    minari.export(tmp_path / "slider" / "expert-v2", twelve(), ABOUT)
    theirs = library.load_dataset("slider/expert-v2")
    assert list(library.list_local_datasets()) == ["slider/expert-v2"]
    assert (theirs.total_episodes, theirs.total_steps) == (12, sum(map(len, twelve())))
    assert theirs.spec.dataset_name == "expert"
    assert np.array_equal(theirs.observation_space.low, ABOUT["observation"].low)
    assert np.array_equal(theirs.action_space.high, ABOUT["action"].high)
    for their, one in itertools.zip_longest(theirs.iterate_episodes(), twelve()):
        assert np.array_equal(their.observations, one.observations)
        assert np.array_equal(their.actions, one.actions)
        assert np.array_equal(their.rewards, one.rewards)
        assert (their.terminations[-1], their.truncations[-1]) == (one.terminated, one.truncated)
        assert not their.terminations[:-1].any()
        assert np.array_equal(their.infos["cost"][1:], one.cost)
        assert np.array_equal(their.infos["intervened"][1:], one.intervened)
        assert theirs.action_space.contains(their.actions[0])
    facts = list(theirs.storage.get_episode_metadata([3]))
    assert facts[0]["seed"] == 3


def test_the_same_episodes_are_the_same_bytes(tmp_path: Path) -> None:
    """No time and no temporary name enters a file: a second later they are written the same."""
    minari.export(tmp_path / "one", twelve(), ABOUT)
    time.sleep(1.1)
    minari.export(tmp_path / "two", iter(twelve()), dict(reversed(ABOUT.items())))
    assert folder_sha256(tmp_path / "one") == folder_sha256(tmp_path / "two")


def test_what_lies_there_already_is_never_replaced(tmp_path: Path) -> None:
    """Not even an empty folder, or a link that leads nowhere."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("empty", "link"):
        with pytest.raises(DataError, match="something lies there already"):
            minari.export(tmp_path / name, twelve(), ABOUT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "link"]
    assert not list((tmp_path / "empty").iterdir())


class Unplugged(Exception):
    """Whatever goes wrong where the episodes come from."""


def cut_short() -> Iterator[Episode]:
    yield made(1, 3)
    raise Unplugged


def test_a_source_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """Its own error is passed on, and neither the folder nor a temporary one remains."""
    with pytest.raises(Unplugged):
        minari.export(tmp_path / "set", cut_short(), ABOUT)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("episodes", "message"),
    [
        ([], "no episodes to write"),
        ([made(1, 3), made(2, 0)], r"no steps.*episode 1"),
        ([made(1, 3, terminated=False, truncated=False)], r"neither terminated nor truncated.*episode 0"),
        ([dataclasses.replace(made(1, 3), cost=np.zeros(2))], r"cost have the shape \(2,\).*episode 0.*\(3,\)"),
        ([dataclasses.replace(made(1, 3), actions=np.zeros((3, 2)))], r"actions have the shape \(3, 2\).*\(3, 1\)"),
    ],
)
def test_episodes_that_do_not_fit_are_refused(tmp_path: Path, episodes: list[Episode], message: str) -> None:
    """One that would not come back as it was is named, and nothing is left behind."""
    with pytest.raises(DataError, match=message):
        minari.export(tmp_path / "set", episodes, ABOUT)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "wanted"), [("door", "door-v0"), ("my log.hdf5", "my-log-hdf5-v0"), ("a/b-v3", "a/b-v3")]
)
def test_a_name_is_brought_into_minaris_form(tmp_path: Path, name: str, wanted: str) -> None:
    """A version is added where there is none, since Minari finds nothing without."""
    minari.export(tmp_path / "set", [made(1, 3)], {**ABOUT, "name": name})
    assert minari.describe(tmp_path / "set").facts["dataset_id"] == wanted


@pytest.mark.parametrize("name", ["", "a//b", "/a"])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    """Rather than written where Minari would never find it."""
    with pytest.raises(DataError, match="is no name for a Minari data set"):
        minari.export(tmp_path / "set", [made(1, 3)], {**ABOUT, "name": name})


def test_a_disk_that_refuses_is_said_in_one_line(tmp_path: Path) -> None:
    """As where the folder above is a file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        minari.export(tmp_path / "file" / "set", [made(1, 3)], ABOUT)
