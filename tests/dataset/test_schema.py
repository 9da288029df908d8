"""Every transition: finite, inside its bounds, and one line that says which was not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.schema import (
    check_final,
    check_transitions,
    final_frame,
    require_shapes,
    transition_frame,
)
from offline_to_online.errors import DataError

MakeEpisode = Callable[..., Episode]
MakeManifest = Callable[..., Manifest]


def changed(episode: Episode, name: str, place: tuple[int, ...], value: float) -> Episode:
    """A copy with one number changed."""
    array = getattr(episode, name).copy()
    array[place] = value
    return dataclasses.replace(episode, **{name: array})


def test_columns_are_named_by_the_schema(make_episode: MakeEpisode, make_manifest: MakeManifest) -> None:
    """One column per dimension, a row per step, the final observations apart."""
    block = [(4, make_episode(0)), (5, make_episode(1, length=3))]
    frame = transition_frame(block, make_manifest())
    wanted = ["episode", "step", "observation.place", "observation.speed", "action.push", "reward", "cost"]
    assert list(frame.columns) == wanted
    assert frame["episode"].tolist() == [4] * 6 + [5] * 3
    assert final_frame(block, make_manifest())[["episode", "step"]].values.tolist() == [[4, 6], [5, 3]]


@settings(max_examples=30, deadline=None)
@given(
    where=st.sampled_from([("observations", 2), ("actions", 1), ("rewards", 0), ("cost", 0)]),
    step=st.integers(0, 5),
    bad=st.sampled_from([float("nan"), float("inf"), float("-inf"), -1e9]),
    data=st.data(),
)
def test_the_failure_is_named(
    make_episode: MakeEpisode,
    make_manifest: MakeManifest,
    where: tuple[str, int],
    step: int,
    bad: float,
    data: st.DataObject,
) -> None:
    """Whatever single number is wrong, the line says its episode, step and dimension."""
    name, width = where
    dimension = data.draw(st.integers(0, max(width - 1, 0)))
    place = (step, dimension) if width else (step,)
    block = [(0, make_episode(0)), (1, changed(make_episode(1), name, place, bad))]
    manifest = make_manifest()
    frame = transition_frame(block, manifest)
    if name == "rewards" and bad == -1e9:
        check_transitions(frame, manifest)
        return
    names = {"observations": ["observation.place", "observation.speed"], "actions": ["action.push"]}
    column = names.get(name, ["reward" if name == "rewards" else "cost"])[dimension]
    with pytest.raises(DataError) as caught:
        check_transitions(frame, manifest, where="log.hdf5")
    line = str(caught.value)
    assert f"{column} is {bad:g}; 1 value(s) fail in all (log.hdf5, episode 1, step {step})" in line
    assert "\n" not in line


def test_the_line_gives_limit_and_remedy(make_episode: MakeEpisode, make_manifest: MakeManifest) -> None:
    """The first of several failures, how many there are, the bounds and what to do."""
    episode = changed(changed(make_episode(0), "actions", (4, 0), 1.5), "observations", (2, 1), -11)
    with pytest.raises(DataError, match=r"observation.speed is -11; 2 value.*step 2.*\[-10, 10\] m/s.*slider; mend"):
        check_transitions(transition_frame([(0, episode)], make_manifest()), make_manifest())


def test_clipping_robots_may_log_more(
    make_episode: MakeEpisode, make_manifest: MakeManifest, fields: Callable[..., dict[str, dict[str, object]]]
) -> None:
    """``out_of_bounds: clip`` lets an action pass beyond its bounds, but not one that is no number."""
    clips = make_manifest(action_schema=fields()["action_schema"] | {"out_of_bounds": "clip"})
    beyond = changed(make_episode(0), "actions", (4, 0), 1.5)
    check_transitions(transition_frame([(0, beyond)], clips), clips)
    with pytest.raises(DataError, match=r"out_of_bounds: clip"):
        check_transitions(transition_frame([(0, beyond)], make_manifest()), make_manifest())
    with pytest.raises(DataError, match=r"action.push is inf"):
        check_transitions(transition_frame([(0, changed(beyond, "actions", (0, 0), np.inf))], clips), clips)


def test_bounds_are_closed_in_float32(make_episode: MakeEpisode, make_manifest: MakeManifest) -> None:
    """A value at a bound that float32 rounds, such as 0.1, lies inside."""
    dimensions = [{"name": "push", "unit": "N", "low": -0.1, "high": 0.1}]
    schema = {"kind": "vector", "out_of_bounds": "refuse", "dimensions": dimensions}
    manifest = make_manifest(action_schema=schema)
    episode = make_episode(0, actions=np.full((6, 1), 0.1, dtype=np.float32))
    check_transitions(transition_frame([(0, episode)], manifest), manifest)


def test_the_final_observation_is_checked_too(make_episode: MakeEpisode, make_manifest: MakeManifest) -> None:
    """The observation after the last step is no row of the transitions, and is held to the same bounds."""
    episode = changed(make_episode(0), "observations", (6, 0), 12)
    check_transitions(transition_frame([(0, episode)], make_manifest()), make_manifest())
    with pytest.raises(DataError, match=r"observation.place is 12.*episode 0, step 6"):
        check_final(final_frame([(0, episode)], make_manifest()), make_manifest())


def test_a_missing_column_is_named(make_episode: MakeEpisode, make_manifest: MakeManifest) -> None:
    """A frame without a dimension of the schema is refused."""
    frame = transition_frame([(0, make_episode(0))], make_manifest()).drop(columns="action.push")
    with pytest.raises(DataError, match=r"no column action.push"):
        check_transitions(frame, make_manifest())


@pytest.mark.parametrize(
    ("name", "shape"), [("observations", (6, 2)), ("observations", (7, 3)), ("actions", (6, 2)), ("cost", (5,))]
)
def test_shapes_must_belong_together(
    make_episode: MakeEpisode, make_manifest: MakeManifest, name: str, shape: tuple[int, ...]
) -> None:
    """T actions, T+1 observations, as wide as the manifest says."""
    with pytest.raises(DataError, match="shape"):
        require_shapes(make_episode(0, **{name: np.zeros(shape)}), make_manifest(), where="episode 0")
