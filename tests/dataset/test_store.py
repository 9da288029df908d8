"""The store: what is written comes back, in the same bytes, and a change is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from offline_to_online.dataset import store
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import folder_sha256, write_json
from offline_to_online.dataset.manifest import SplitRule
from offline_to_online.dataset.spec import Array
from offline_to_online.dataset.split import PARTS, make_split
from offline_to_online.dataset.store import load_episodes, read_episode, write_episode, write_episodes
from offline_to_online.errors import DataError, SplitError

Make = Callable[..., Episode]
ARRAYS = ("observations", "actions", "rewards", "cost", "intervened")
FACTS = ("terminated", "truncated", "operator", "seed", "success", "score", "identity")


def same(one: Episode, other: Episode) -> bool:
    """Bit for bit, and in every fact."""
    arrays = all(
        getattr(one, n).tobytes() == getattr(other, n).tobytes()
        and getattr(one, n).shape == getattr(other, n).shape
        and getattr(one, n).dtype == getattr(other, n).dtype
        for n in ARRAYS
    )
    return arrays and all(getattr(one, n) == getattr(other, n) for n in FACTS)


@st.composite
def episodes(draw: st.DrawFn) -> Episode:
    """Any finite episode of 3 observation and 2 action dimensions."""
    steps = draw(st.integers(1, 12))
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)

    def rows(*shape: int) -> Array:
        return draw(hnp.arrays(np.float32, shape, elements=numbers))

    return Episode(
        observations=rows(steps + 1, 3),
        actions=rows(steps, 2),
        rewards=rows(steps),
        cost=rows(steps),
        intervened=draw(hnp.arrays(np.bool_, steps)),
        terminated=draw(st.booleans()),
        truncated=draw(st.booleans()),
        operator=draw(st.text(min_size=1, alphabet=st.characters(codec="utf-8"))),
        seed=draw(st.integers(-1, 2**62)),
        success=draw(st.booleans()),
        score=draw(st.floats(0, 1)),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(logged=st.lists(episodes(), min_size=1, max_size=4))
def test_episodes_come_back(tmp_path_factory: pytest.TempPathFactory, logged: list[Episode]) -> None:
    """Whatever is written to a folder is read from it, and written again in the same bytes."""
    folder = tmp_path_factory.mktemp("store")
    write_episodes(folder / "one", logged)
    again = load_episodes(folder / "one")
    assert len(again) == len(logged)
    assert all(same(a, b) for a, b in zip(again, logged, strict=True))
    write_episodes(folder / "two", again)
    assert folder_sha256(folder / "one") == folder_sha256(folder / "two")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(episode=episodes(), data=st.data())
def test_one_episode_comes_back_with_its_extra_columns(
    tmp_path_factory: pytest.TempPathFactory, episode: Episode, data: st.DataObject
) -> None:
    """One file holds an episode and further columns of numbers, booleans, vectors and texts."""
    steps = len(episode)
    extra = {
        "distance": data.draw(hnp.arrays(np.float32, steps, elements=st.floats(0, 1e6, width=32))),
        "proposed": data.draw(hnp.arrays(np.float32, (steps, 2), elements=st.floats(-1, 1, width=32))),
        "clipped": data.draw(hnp.arrays(np.bool_, steps)),
        "task": np.array(['{"seed": 3}'] * steps),
    }
    path = tmp_path_factory.mktemp("store") / "0001.parquet"
    write_episode(path, episode, extra)
    before = path.read_bytes()
    again, columns = read_episode(path)
    assert same(again, episode)
    assert set(columns) == set(extra)
    assert all(np.array_equal(columns[n], extra[n]) and columns[n].dtype == extra[n].dtype for n in extra)
    write_episode(path, again, columns)
    assert path.read_bytes() == before


def test_many_blocks_are_one_store(tmp_path: Path, log: list[Episode], monkeypatch: pytest.MonkeyPatch) -> None:
    """Streaming in several blocks changes nothing that is read."""
    monkeypatch.setattr(store, "BLOCK_STEPS", 10)
    write_episodes(tmp_path, log)
    assert pq.ParquetFile(tmp_path / "transitions.parquet").num_row_groups > 3
    assert all(same(a, b) for a, b in zip(load_episodes(tmp_path), log, strict=True))


def test_arrays_can_be_written_to(tmp_path: Path, log: list[Episode]) -> None:
    """Loaded arrays own their memory, as torch wants it."""
    write_episodes(tmp_path, log)
    write_episode(tmp_path / "one.parquet", log[0])
    for episode in (load_episodes(tmp_path)[0], read_episode(tmp_path / "one.parquet")[0]):
        assert all(getattr(episode, name).flags.writeable for name in ARRAYS)


def test_a_part_holds_its_episodes_only(tmp_path: Path, log: list[Episode]) -> None:
    """The parts together are all episodes, each once."""
    write_episodes(tmp_path, log)
    split = make_split(log, SplitRule(train=0.6, calibration=0.2, heldout=0.2), 0)
    write_json(tmp_path / "split.json", split.to_json())
    parts = {part: [e.identity for e in load_episodes(tmp_path, part)] for part in PARTS}
    assert {part: tuple(sorted(ids)) for part, ids in parts.items()} == {part: split.part(part) for part in PARTS}
    with pytest.raises(SplitError, match="no part 'test'"):
        load_episodes(tmp_path, "test")


def test_a_changed_number_is_noticed(tmp_path: Path, log: list[Episode]) -> None:
    """A reward edited in the file makes its episode another one."""
    write_episodes(tmp_path, log)
    path = tmp_path / "transitions.parquet"
    table = pq.read_table(path)
    rewards = table["reward"].to_numpy().copy()
    rewards[5] += 1
    at = table.column_names.index("reward")
    pq.write_table(table.set_column(at, "reward", pa.array(rewards)), path)
    with pytest.raises(DataError, match=r"episode 1\).*was written as"):
        load_episodes(tmp_path)


def test_numbers_that_are_spelled_out_are_noticed(tmp_path: Path, log: list[Episode]) -> None:
    """As texts they have the same identity: the identity is that of the numbers they spell."""
    write_episodes(tmp_path, log)
    path = tmp_path / "transitions.parquet"
    table = pq.read_table(path)
    at = table.column_names.index("reward")
    pq.write_table(table.set_column(at, "reward", pa.array([str(x) for x in table["reward"].to_pylist()])), path)
    with pytest.raises(DataError, match="reward holds string"):
        load_episodes(tmp_path)


def test_a_missing_row_is_noticed(tmp_path: Path, log: list[Episode]) -> None:
    """Both files must count the same steps."""
    write_episodes(tmp_path, log)
    path = tmp_path / "transitions.parquet"
    pq.write_table(pq.read_table(path)[:-1], path)
    with pytest.raises(DataError, match=r"holds \d+ steps.*counts"):
        load_episodes(tmp_path)


def test_broken_files_are_one_line(tmp_path: Path, log: list[Episode]) -> None:
    """Missing, truncated and foreign files are named."""
    with pytest.raises(DataError, match=r"no such file \(.*episodes\.parquet"):
        load_episodes(tmp_path)
    write_episode(tmp_path / "one.parquet", log[0])
    (tmp_path / "half.parquet").write_bytes((tmp_path / "one.parquet").read_bytes()[:200])
    with pytest.raises(DataError, match="not readable as Parquet") as caught:
        read_episode(tmp_path / "half.parquet")
    assert "\n" not in str(caught.value)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(DataError, match="not an episode that was written here"):
        read_episode(tmp_path / "foreign.parquet")


def test_a_table_of_something_else_is_one_line(tmp_path: Path, log: list[Episode]) -> None:
    """Parquet that holds other columns is refused by their names."""
    for name in ("episodes.parquet", "transitions.parquet"):
        write_episodes(tmp_path, log)
        pq.write_table(pa.table({"stranger": [1]}), tmp_path / name)
        with pytest.raises(DataError, match=rf"no column .*{name}"):
            load_episodes(tmp_path)


def test_an_extra_column_must_fit(tmp_path: Path, make_episode: Make) -> None:
    """One entry per step, and no column of the episode's own."""
    episode = make_episode(0)
    for extra in ({"distance": np.zeros(5)}, {"reward": np.zeros(6)}):
        with pytest.raises(DataError, match="extra column"):
            write_episode(tmp_path / "one.parquet", episode, extra)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_not_written(tmp_path: Path) -> None:
    """A store of no episodes is refused and leaves no file."""
    with pytest.raises(DataError, match="no episodes"):
        write_episodes(tmp_path, [])
    assert list(tmp_path.iterdir()) == []
