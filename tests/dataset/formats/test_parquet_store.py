"""Our own episodes read as any other format: a store, or the files of an online run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from offline_to_online.dataset.assembly import assemble, implied_layout
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.formats import parquet_store
from offline_to_online.dataset.store import write_episode, write_episodes
from offline_to_online.errors import DataError

Make = Callable[..., Episode]


def again(path: Path) -> list[Episode]:
    """The episodes of a folder, through the contract of a format."""
    layout = implied_layout(parquet_store.describe(path))
    return [assemble(logged, layout) for logged in parquet_store.read(path)]


def endings(make_episode: Make) -> list[Episode]:
    """One of each: terminal, cut, and both."""
    ends = [(True, False), (False, True), (True, True)]
    facts = {"cost": np.arange(6, dtype=np.float32), "intervened": np.arange(6) == 2, "score": 0.25}
    return [make_episode(i, terminated=end, truncated=cut, success=end, **facts) for i, (end, cut) in enumerate(ends)]


@pytest.mark.parametrize("place", ["", "episodes"])
@pytest.mark.parametrize("apart", [False, True])
def test_every_field_comes_back(tmp_path: Path, make_episode: Make, place: str, apart: bool) -> None:
    """From one store or from a file an episode, in the folder itself or in its ``episodes``."""
    logged, folder = endings(make_episode), tmp_path / place
    if apart:
        for index, episode in enumerate(logged):
            write_episode(folder / f"{index + 1:06d}.parquet", episode, {"clipped": np.zeros(6, dtype=bool)})
    else:
        write_episodes(folder, logged)
    assert parquet_store.recognises(tmp_path)
    for one, other in zip(again(tmp_path), logged, strict=True):
        assert one.identity == other.identity
        for field in dataclasses.fields(Episode):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name


def test_it_says_what_it_holds(tmp_path: Path, log: list[Episode]) -> None:
    """One sensor, one action, rewards, ends, and the observation after the last step."""
    write_episodes(tmp_path, log)
    contents = parquet_store.describe(tmp_path)
    assert [(s.name, s.width) for s in contents.sensors] == [("observation", 2)]
    assert (contents.observation, contents.actions.width) == (("observation",), 1)
    assert contents.rewards
    assert contents.ends
    assert contents.final_observation


def test_a_lost_episode_is_noticed(tmp_path: Path, log: list[Episode]) -> None:
    """An online run numbers its episodes in a row."""
    for number in (1, 2, 4):
        write_episode(tmp_path / f"{number:06d}.parquet", log[number])
    with pytest.raises(DataError, match="no episode between 2 and 4"):
        again(tmp_path)
    write_episode(tmp_path / "000003.parquet", log[3])
    assert len(again(tmp_path)) == 4


def test_episodes_of_another_robot_are_refused(tmp_path: Path, make_episode: Make) -> None:
    """Wider ones as well: nothing is cut to fit the first."""
    write_episode(tmp_path / "1.parquet", make_episode(1))
    for width in (1, 3):
        observations = np.zeros((7, width), dtype=np.float32)
        write_episode(tmp_path / "2.parquet", make_episode(2, observations=observations))
        with pytest.raises(DataError, match=rf"2\.parquet\).*|\({width}, 1\) dimensions"):
            list(parquet_store.read(tmp_path))


def test_half_a_store_is_recognised_and_refused(tmp_path: Path, log: list[Episode]) -> None:
    """Whichever of the two files is gone is named."""
    for name in ("transitions.parquet", "episodes.parquet"):
        write_episodes(tmp_path, log)
        (tmp_path / name).unlink()
        assert parquet_store.recognises(tmp_path)
        with pytest.raises(DataError, match=f"no such file .*{name}"):
            again(tmp_path)


def test_what_lies_elsewhere_is_not_followed(tmp_path: Path, log: list[Episode]) -> None:
    """A table of the store that is a link out of its folder is refused, as in every format."""
    write_episodes(tmp_path / "store", log)
    (tmp_path / "store/transitions.parquet").rename(tmp_path / "elsewhere.parquet")
    (tmp_path / "store/transitions.parquet").symlink_to(tmp_path / "elsewhere.parquet")
    with pytest.raises(DataError, match=r"a link to elsewhere.*transitions\.parquet"):
        again(tmp_path / "store")


def test_the_folder_of_episodes_may_not_lie_elsewhere(tmp_path: Path, log: list[Episode]) -> None:
    """An ``episodes`` that is a link out of the data set is refused whole."""
    write_episodes(tmp_path / "elsewhere", log)
    (tmp_path / "store").mkdir()
    (tmp_path / "store/episodes").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="episodes is a link to elsewhere"):
        again(tmp_path / "store")


def test_what_others_wrote_is_not_ours(tmp_path: Path, log: list[Episode]) -> None:
    """Neither an empty folder, nor a single file, nor somebody's Parquet; among ours it is an error."""
    assert not parquet_store.recognises(tmp_path)
    with pytest.raises(DataError, match="no episodes"):
        parquet_store.describe(tmp_path)
    (tmp_path / "2.parquet").write_bytes(b"PAR1 of somebody")
    assert not parquet_store.recognises(tmp_path)
    assert not parquet_store.recognises(tmp_path / "2.parquet")
    write_episode(tmp_path / "1.parquet", log[0])
    assert parquet_store.recognises(tmp_path)
    with pytest.raises(DataError, match=r"not readable as Parquet.*2\.parquet"):
        again(tmp_path)
