"""A broken LeRobotDataset is one clear error at the right place, however it was broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline_to_online.dataset.formats import lerobot
from offline_to_online.errors import DataError
from tests.dataset.formats.small_lerobot import (
    DATA_V30,
    META_V30,
    data_v21,
    edit,
    edit_feature,
    edit_info,
    put,
    read_lines,
    v21,
    v30,
    write_lines,
)

Break = Callable[[Path], Any]


def truncated(name: str) -> Break:
    """A file that was not copied to its end."""
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:-100])


def without(name: str) -> Break:
    """A file that is lost."""
    return lambda root: (root / name).unlink()


def text(name: str, content: str) -> Break:
    """A file with other content."""
    return lambda root: (root / name).write_text(content)


def cell(name: str, column: str, row: int, value: Any) -> Break:
    """One changed cell."""
    return lambda root: put(root / name, column, row, value)


def taken(name: str, order: list[int]) -> Break:
    """Rows in another order: some lost, some twice."""
    return lambda root: edit(root / name, lambda table: table.take(order))


def shifted(name: str, column: str, by: int) -> Break:
    """A whole column of counters that starts elsewhere."""
    return lambda root: edit(
        root / name,
        lambda t: t.set_column(t.column_names.index(column), column, pa.array(np.asarray(t[column]) + by)),
    )


def scaled(name: str, column: str, factor: float) -> Break:
    """Another unit, and nobody said so."""

    def change(table: pa.Table) -> pa.Table:
        values = [[factor * x for x in row] for row in table[column].to_pylist()]
        return table.set_column(
            table.column_names.index(column), column, pa.array(values, type=pa.list_(pa.float32(), 2))
        )

    return lambda root: edit(root / name, change)


def line(name: str, number: int, **changes: Any) -> Break:
    """One changed object of a file of lines."""

    def change(root: Path) -> None:
        objects = read_lines(root / name)
        objects[number].update(changes)
        write_lines(root / name, objects)

    return change


def lost_line(name: str, number: int) -> Break:
    """One lost object of a file of lines."""
    return lambda root: write_lines(
        root / name, [entry for i, entry in enumerate(read_lines(root / name)) if i != number]
    )


def swapped(root: Path) -> None:
    """Two files of episodes under each other's name."""
    one, other = root / data_v21(0), root / data_v21(2)
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)


def dropped_column(name: str, column: str) -> Break:
    """A feature that the metadata lists and the file lacks."""
    return lambda root: edit(root / name, lambda table: table.drop_columns([column]))


def linked_elsewhere(root: Path) -> None:
    """A data file that is a link to a file outside the data set."""
    outside = root.parent / "outside.parquet"
    (root / data_v21(1)).rename(outside)
    (root / data_v21(1)).symlink_to(outside)


def ragged(root: Path) -> None:
    """A row of two numbers in a column of three."""

    def change(table: pa.Table) -> pa.Table:
        values = table["observation.state"].to_pylist()
        values[4] = values[4][:2]
        return table.set_column(0, "observation.state", pa.array(values, type=pa.list_(pa.float32())))

    edit(root / data_v21(1), change)


def texts_for_numbers(root: Path) -> None:
    """Rewards as texts."""
    edit(
        root / data_v21(1),
        lambda t: t.set_column(t.column_names.index("next.reward"), "next.reward", pa.array(["?"] * t.num_rows)),
    )


def task_in_latin_1(root: Path) -> None:
    """A text that is no UTF-8."""

    def change(table: pa.Table) -> pa.Table:
        odd = pa.array([b"gr\xfcn", b"slide"], type=pa.binary()).view(pa.string())
        return pa.table({"task_index": table["task_index"], "task": odd})

    edit(root / "meta/tasks.parquet", change)


def without_last_rows(root: Path) -> None:
    """The second of two data files is lost, and no pointer of the metadata is to it."""
    table = pq.read_table(root / DATA_V30)
    pq.write_table(table.slice(0, 12), root / DATA_V30)


E0, E1, E2 = data_v21(0), data_v21(1), data_v21(2)
LINES, STATS, INFO = "meta/episodes.jsonl", "meta/episodes_stats.jsonl", "meta/info.json"
DEEP = "[" * 100_000

BROKEN_V21: dict[str, tuple[Break, str, str]] = {
    "lost file": (without(E1), "no data file; 1 of 3 are missing", f"{E1}, episode 1"),
    "truncated file": (truncated(E1), "not readable as Parquet", E1),
    "no Parquet": (text(E1, "hello"), "not readable as Parquet", E1),
    "empty file": (text(E1, ""), "not readable as Parquet", E1),
    "length too large": (line(LINES, 1, length=8), "the data holds 7 rows.*episode has 8 frames", f"{E1}, episode 1"),
    "length too small": (
        line(LINES, 1, length=6),
        "the data holds more than 6 rows.*episode has 6 frames",
        f"{E1}, episode 1",
    ),
    "length of terabytes": (line(LINES, 2, length=10**15), "the data holds 4 rows", f"{E2}, episode 2"),
    "length of nothing": (line(LINES, 1, length=0), "an empty episode", "line 2"),
    "length as text": (line(LINES, 1, length="7"), "length is '7'", "line 2"),
    "lost line": (lost_line(LINES, 1), "episode 2 stands where episode 1 should", LINES),
    "lost last line": (lost_line(LINES, 2), r"lists 2 episodes.*total_episodes is 3", "set"),
    "episode twice": (line(LINES, 2, episode_index=1), "episode 1 stands twice", "line 3"),
    "more episodes": (lambda r: edit_info(r, total_episodes=4), "lists 3 episodes.*total_episodes is 4", "set"),
    "more frames": (lambda r: edit_info(r, total_frames=17), "have 16 frames.*total_frames is 17", "set"),
    "swapped files": (swapped, "episode_index is 2.*0 by the row's place", f"{E0}, episode 0, step 0"),
    "dropped row": (taken(E1, [0, 1, 2, 4, 5, 6]), "frame_index is 4 .*: 3 by", f"{E1}, episode 1, step 3"),
    "dropped last row": (taken(E1, [0, 1, 2, 3, 4, 5]), "the data holds 6 rows", f"{E1}, episode 1"),
    "repeated row": (taken(E1, [0, 1, 2, 2, 3, 4, 5, 6]), "frame_index is 2 .*: 3 by", f"{E1}, episode 1, step 3"),
    "replaced row": (taken(E1, [0, 1, 2, 2, 4, 5, 6]), "frame_index is 2 .*: 3 by", f"{E1}, episode 1, step 3"),
    "swapped rows": (taken(E1, [0, 2, 1, 3, 4, 5, 6]), "frame_index is 2 .*: 1 by", f"{E1}, episode 1, step 1"),
    "shifted index": (shifted(E1, "index", 1), "index is 6 .*: 5 by", f"{E1}, episode 1, step 0"),
    "shifted frames": (shifted(E1, "frame_index", 1), "frame_index is 1 .*: 0 by", f"{E1}, episode 1, step 0"),
    "unknown task": (cell(E1, "task_index", 3, 7), r"task_index is 7.*lists 2 task", f"{E1}, episode 1, step 3"),
    "null in a vector": (cell(E1, "action", 2, [0.5, None]), "action.grip is null", f"{E1}, episode 1, step 2"),
    "null row": (
        cell(E1, "observation.state", 2, None),
        r"a vector is null, or has 0 number.*3 numbers",
        f"{E1}, episode 1, step 2",
    ),
    "null reward": (cell(E1, "next.reward", 6, None), "next.reward is null", f"{E1}, episode 1, step 6"),
    "null counter": (cell(E1, "index", 6, None), "index is null", f"{E1}, episode 1, step 6"),
    "ragged vector": (ragged, r"observation.state has 2 number\(s\).*3, as the shape", f"{E1}, episode 1, step 4"),
    "texts": (texts_for_numbers, "next.reward holds string", f"{E1}, episode 1"),
    "lost column": (dropped_column(E1, "action"), "no column action", E1),
    "other shape": (
        lambda r: edit_feature(r, "action", shape=[3], names=None),
        r"action has 2 number\(s\).*3, as the shape",
        f"{E0}, episode 0, step 0",
    ),
    "scalar said to be a vector": (
        lambda r: edit_feature(r, "next.reward", shape=[3]) or edit_feature(r, "observation.x", **r_feature(3)),
        "no column observation.x",
        E0,
    ),
    "names too few": (
        lambda r: edit_feature(r, "observation.state", names=["a", "b"]),
        "2 names for 3 dimensions",
        "feature observation.state",
    ),
    "shape of text": (lambda r: edit_feature(r, "action", shape="2"), "the shape is '2'", "feature action"),
    "names without end": (
        lambda r: edit_feature(r, "action", names=[[[[[["a"]]]]]]),
        "nested too deeply",
        "feature action",
    ),
    "no action": (lambda r: edit_info(r, features=features_but(r, "action")), "no numeric feature 'action'", "set"),
    "no counter": (lambda r: edit_info(r, features=features_but(r, "index")), "no numeric feature 'index'", "set"),
    "no features": (lambda r: edit_info(r, features=[]), "no features are listed", INFO),
    "scaled actions": (
        scaled(E1, "action", 57.3),
        "stats_mismatch: the min of the data",
        f"{E1}, episode 1, action.push",
    ),
    "flipped sign": (scaled(E1, "action", -1.0), "stats_mismatch: the m", f"{E1}, episode 1, action.push"),
    "one changed value": (cell(E1, "next.reward", 3, 0.01), "stats_mismatch: the m", f"{E1}, episode 1, next.reward"),
    "statistics of fewer": (
        line(STATS, 1, stats={"action": {"min": [0.0]}}),
        r"gives 1 numbers for action.*2, one for each",
        f"{E1}, episode 1",
    ),
    "lost statistics": (lost_line(STATS, 1), "says nothing of this episode", f"{E1}, episode 1"),
    "statistics that are none": (line(STATS, 1, stats=3), "no statistics of an episode", f"{STATS}, line 2"),
    "broken info": (text(INFO, "{"), "not readable as JSON", INFO),
    "deep info": (text(INFO, DEEP), "nested too deeply|not readable as JSON", INFO),
    "info of a list": (text(INFO, "[]"), "holds no object", INFO),
    "lost info": (without(INFO), "no such file", INFO),
    "broken lines": (text(LINES, '{"episode_index": 0'), "not readable as JSON", f"{LINES}, line 1"),
    "deep lines": (text(LINES, DEEP), "not readable as JSON", f"{LINES}, line 1"),
    "bytes for lines": (lambda r: (r / LINES).write_bytes(b"\xff\xfe"), "not readable as JSON lines", LINES),
    "lost lines": (without(LINES), "no such file", LINES),
    "no lines": (text(LINES, ""), "lists 0 episodes.*total_episodes is 3", "set"),
    "version of tomorrow": (lambda r: edit_info(r, codebase_version="v9.0"), "codebase_version is 'v9.0'", INFO),
    "version of the past": (lambda r: edit_info(r, codebase_version="v1.6"), "codebase_version is 'v1.6'", INFO),
    "no rate": (lambda r: edit_info(r, fps=0), "fps is 0", INFO),
    "count as text": (lambda r: edit_info(r, total_frames="16"), "total_frames is '16'", INFO),
    "path that climbs": (
        lambda r: edit_info(r, data_path="../secret/episode_{episode_index:06d}.parquet"),
        "leads out of the data set",
        "data_path",
    ),
    "absolute path": (
        lambda r: edit_info(r, data_path="/etc/{episode_index}.parquet"),
        "leads out of the data set",
        "data_path",
    ),
    "path with attributes": (
        lambda r: edit_info(r, data_path="{episode_index.__class__}.parquet"),
        "has one that is not known",
        "data_path",
    ),
    "path of a gigabyte": (
        lambda r: edit_info(r, data_path="{episode_index:0999999999d}.parquet"),
        "has one that is not known",
        "data_path",
    ),
    "one path for all": (lambda r: edit_info(r, data_path=E0), "lacks a field", "data_path"),
    "path too long": (
        lambda r: edit_info(r, data_path="x" * 999 + "{episode_index}"),
        "no data file; 3 of 3 are missing",
        "episode 0",
    ),
    "path of null": (lambda r: edit_info(r, data_path=None), "the path is None", "data_path"),
    "video path that climbs": (
        lambda r: edit_info(r, video_path="../{video_key}.mp4"),
        "leads out of the data set",
        "video_path",
    ),
    "link": (linked_elsewhere, r"link to elsewhere.*cp -rL", E1),
}

BROKEN_V30: dict[str, tuple[Break, str, str]] = {
    "lost data": (without(DATA_V30), "no data file; 1 of 1 are missing", f"{DATA_V30}, episode 0"),
    "truncated data": (truncated(DATA_V30), "not readable as Parquet", DATA_V30),
    "lost metadata": (without(META_V30), "no metadata of episodes", "meta/episodes"),
    "truncated metadata": (truncated(META_V30), "not readable as Parquet", META_V30),
    "dropped row": (
        taken(DATA_V30, [i for i in range(16) if i != 8]),
        "frame_index is 4 .*: 3 by",
        f"{DATA_V30}, episode 1, step 3",
    ),
    "dropped last row of an episode": (
        taken(DATA_V30, [i for i in range(16) if i != 11]),
        "episode_index is 2 .*: 1 by",
        f"{DATA_V30}, episode 1, step 6",
    ),
    "dropped last row of all": (taken(DATA_V30, list(range(15))), "the data holds 3 rows", f"{DATA_V30}, episode 2"),
    "repeated row": (
        taken(DATA_V30, [*range(9), *range(8, 16)]),
        "frame_index is 3 .*: 4 by",
        f"{DATA_V30}, episode 1, step 4",
    ),
    "lost rows of a whole episode": (without_last_rows, "the data holds 0 rows", f"{DATA_V30}, episode 2"),
    "rows beyond the metadata": (
        lambda r: edit(r / META_V30, lambda t: t.slice(0, 2)) or edit_info(r, total_episodes=2, total_frames=12),
        "rows follow the last episode.*counts 12 in 2",
        DATA_V30,
    ),
    "shifted boundary": (
        lambda r: [
            put(r / META_V30, name, row, value)
            for name, row, value in (
                ("length", 0, 6),
                ("dataset_to_index", 0, 6),
                ("dataset_from_index", 1, 6),
                ("length", 1, 6),
            )
        ],
        "episode_index is 1 .*: 0 by",
        f"{DATA_V30}, episode 0, step 5",
    ),
    "length against indices": (
        cell(META_V30, "length", 1, 6),
        "are 5 and 12 .*: 5 and 11 for 6 frames",
        f"{META_V30}, episode 1",
    ),
    "gap between episodes": (
        cell(META_V30, "dataset_from_index", 1, 6),
        "are 6 and 12 .*: 5 and 12 for 7 frames",
        f"{META_V30}, episode 1",
    ),
    "lost row of metadata": (taken(META_V30, [0, 2]), "episode 2 stands where episode 1 should", META_V30),
    "null in metadata": (cell(META_V30, "length", 1, None), "length is None", f"{META_V30}, episode 1"),
    "lost column of metadata": (
        lambda r: edit(r / META_V30, lambda t: t.drop_columns(["length"])),
        "no column length",
        META_V30,
    ),
    "text that is no text": (task_in_latin_1, "not readable as Parquet", "meta/tasks.parquet"),
    "pointer to no file": (
        cell(META_V30, "data/file_index", 2, 9),
        "no data file; 1 of 2 are missing",
        "data/chunk-000/file-009.parquet, episode 2",
    ),
    "null row": (cell(DATA_V30, "action", 8, None), "a vector is null", f"{DATA_V30}, episode 1, step 3"),
    "scaled actions": (
        scaled(DATA_V30, "action", 57.3),
        "stats_mismatch: the min of the data.*in meta/episodes",
        f"{DATA_V30}, episode 0, action.push",
    ),
    "path that climbs": (
        lambda r: edit_info(r, data_path="../chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"),
        "leads out of the data set",
        "data_path",
    ),
}


def r_feature(width: int) -> dict[str, Any]:
    """The entry of a vector without names."""
    return {"dtype": "float32", "shape": [width], "names": None}


def features_but(root: Path, name: str) -> dict[str, Any]:
    """All features but one."""
    listed = json.loads((root / INFO).read_text())["features"]
    return {key: value for key, value in listed.items() if key != name}


def read_all(root: Path) -> None:
    """As an import does it."""
    lerobot.describe(root)
    for _ in lerobot.read(root):
        pass


def require_one_error(root: Path, what: str, where: str) -> None:
    """Reading it to the end is refused in one line that says what and where."""
    with pytest.raises(DataError, match=what) as caught:
        read_all(root)
    assert where in caught.value.where
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", BROKEN_V21)
def test_broken_v21_is_one_error_at_its_place(tmp_path: Path, kind: str) -> None:
    """Whatever is lost, moved, cut, rescaled or contradicts itself."""
    root = v21(tmp_path / "set")
    breaks, what, where = BROKEN_V21[kind]
    breaks(root)
    require_one_error(root, what, where)


@pytest.mark.parametrize("kind", BROKEN_V30)
def test_broken_v30_is_one_error_at_its_place(tmp_path: Path, kind: str) -> None:
    """The same of what lerobot 0.4.4 wrote."""
    root = v30(tmp_path / "set")
    breaks, what, where = BROKEN_V30[kind]
    breaks(root)
    require_one_error(root, what, where)


def test_v20_is_held_against_the_statistics_of_the_whole(tmp_path: Path) -> None:
    """v2.0 has one meta/stats.json; a changed scale shows after the last episode."""
    root = v21(tmp_path / "set")
    edit_info(root, codebase_version="v2.0")
    entries = read_lines(root / STATS)
    (root / STATS).unlink()
    whole = {
        name: {kind: choose(entries, name, kind) for kind in ("min", "max")} for name in ("action", "observation.state")
    }
    (root / "meta/stats.json").write_text(json.dumps(whole))
    assert len(list(lerobot.read(root))) == 3
    scaled(E1, "action", 57.3)(root)
    require_one_error(root, "stats_mismatch: the min of the data.*in meta/stats.json", "action.push")


def choose(entries: list[dict[str, Any]], name: str, kind: str) -> list[float]:
    """The smallest minimum or largest maximum of all episodes."""
    values = np.array([entry["stats"][name][kind] for entry in entries])
    return list(values.min(axis=0) if kind == "min" else values.max(axis=0))


def test_statistics_are_not_held_against_what_is_not_finite(tmp_path: Path) -> None:
    """A NaN is handed on: whoever assembles the episode names its step."""
    root = v21(tmp_path / "set")
    put(root / E1, "next.reward", 3, float("nan"))
    rewards = [logged.rewards for logged in lerobot.read(root)]
    assert np.isnan(rewards[1][3])
