"""LeRobotDataset: what lerobot wrote is read bit for bit, and what its headers tell is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.formats import lerobot
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError
from tests.dataset.formats.small_lerobot import (
    ACTION,
    DATA_V30,
    LENGTHS,
    META_V30,
    REWARD,
    STATE,
    data_v21,
    edit,
    edit_feature,
    edit_info,
    put,
    read_lines,
    rows,
    v21,
    v30,
    write_lines,
)

Make = Callable[[Path], Path]
BOTH = pytest.mark.parametrize("make", [v21, v30])


@pytest.fixture
def unitree(shared_data: Path) -> Path:
    """The real data set, v2.1, 100 episodes of a Unitree G1."""
    return shared_data / "formats" / "lerobot_v21_unitree_g1"


def finding(root: Path, check: str) -> Finding:
    """The one finding of that name."""
    (found,) = (f for f in lerobot.describe(root).findings if f.check == check)
    return found


def test_the_real_data_set_equals_a_plain_pyarrow_read(unitree: Path) -> None:
    """The Unitree G1 teleoperation: 100 episodes, 35,965 frames, every state, action and time bit for bit."""
    frames = 0
    files = sorted(unitree.glob("data/*/*.parquet"))
    for logged, file in zip(lerobot.read(unitree), files, strict=True):
        table = pq.read_table(file)
        frames += table.num_rows
        for values, name in ((logged.sensors["observation.state"], "observation.state"), (logged.actions, "action")):
            plain = np.asarray(table[name].combine_chunks().flatten()).reshape(-1, 26)
            assert values.dtype == plain.dtype == np.float32
            assert values.tobytes() == plain.tobytes()
        assert np.array_equal(logged.times, table["timestamp"].to_numpy())
        assert logged.where.endswith(f"{file.name}, episode {int(file.stem[-6:])}")
    assert (len(files), frames) == (100, 35_965)


def test_the_oddities_of_the_real_data_set_are_told(unitree: Path) -> None:
    """Nested names become names, absent videos a warning, no reward and no end two notices, the camera is left out."""
    contents = lerobot.describe(unitree)
    assert (contents.episodes, contents.steps, contents.control_rate_hz) == (100, 35_965, 30)
    assert contents.observation == ("observation.state",)
    assert contents.actions.names[0] == "kLeftShoulderPitch"
    assert len(contents.actions.names) == contents.actions.width == 26
    assert (contents.rewards, contents.ends, contents.times, contents.final_observation) == (False, False, True, False)
    assert [(left.name, left.kind) for left in contents.left_out] == [("observation.images.cam_high", "video")]
    told = {f.check: (f.severity, f.count) for f in contents.findings}
    notices = {"missing_rewards": ("notice", 1), "missing_ends": ("notice", 1)}
    assert told == {"missing_files": ("warning", 100), **notices}
    assert contents.facts["robot_type"] == "Unitree_G1_Inspire"
    assert contents.facts["tasks"] == "Pick up the yellow bottle on the table."


@BOTH
def test_what_was_put_in_comes_out(make: Make, tmp_path: Path) -> None:
    """v3.0 was written by lerobot 0.4.4 itself, v2.1 to its published layout: the same numbers, bit for bit."""
    root = make(tmp_path / "set")
    for e, logged in enumerate(lerobot.read(root)):
        assert logged.sensors["observation.state"].tobytes() == rows(STATE, e, 3).tobytes()
        assert logged.actions.tobytes() == rows(ACTION, e, 2).tobytes()
        assert same(logged.rewards, rows(REWARD, e, 1)[:, 0])
        assert same(logged.terminals, np.arange(LENGTHS[e]) == LENGTHS[e] - 1)
        assert logged.timeouts is None
        assert same(logged.times, (np.arange(LENGTHS[e]) / 10).astype(np.float32))
    assert e == 2


@BOTH
def test_names_types_and_counts_are_described(make: Make, tmp_path: Path) -> None:
    """Names from a list of lists, a plain list and a mapping; counts and rate as the metadata has them."""
    contents = lerobot.describe(make(tmp_path / "set"))
    assert [(s.name, s.width, s.dtype, s.names) for s in contents.sensors] == [
        ("observation.state", 3, "float32", ("place", "speed", "force"))
    ]
    assert contents.actions.names == ("push", "grip")
    assert (contents.episodes, contents.steps, contents.control_rate_hz) == (3, 16, 10)
    assert (contents.rewards, contents.ends, contents.times) == (True, True, True)
    assert contents.facts["tasks"] == "slide it; slide it back"


@BOTH
def test_it_is_recognised_by_its_metadata(make: Make, tmp_path: Path) -> None:
    """A broken info.json is still recognised, so that the error names it; other folders and files are not."""
    root = make(tmp_path / "set")
    assert lerobot.recognises(root)
    (root / "meta/info.json").write_text("{")
    assert lerobot.recognises(root)
    (root / "meta/info.json").write_text('{"some": "other format"}')
    assert not lerobot.recognises(root)
    assert not lerobot.recognises(root / "meta/info.json")
    assert not lerobot.recognises(tmp_path)
    assert not lerobot.recognises(tmp_path / "absent")


def test_only_the_sensors_that_are_asked_for_are_read(tmp_path: Path) -> None:
    """A sensor that is not there is refused by name; extra numbers come only where they are asked for."""
    root = v21(tmp_path / "set")
    assert set(next(lerobot.read(root, sensors=["observation.state"])).sensors) == {"observation.state"}
    with pytest.raises(DataError, match=r"no sensor 'observation\.joints'.*the sensors are observation\.state"):
        next(lerobot.read(root, sensors=["observation.joints"]))
    assert next(lerobot.read(root)).extra == {}
    assert next(lerobot.read(root, extra=True)).extra["task_index"].tolist() == [0] * 5


def test_an_episode_may_lie_in_any_file_of_v30(tmp_path: Path) -> None:
    """Rows are found by their index: lerobot's converter leaves the pointer of a file's first episode stale (#2401)."""
    root = v30(tmp_path / "set")
    table = pq.read_table(root / DATA_V30)
    pq.write_table(table.slice(0, 5), root / DATA_V30, row_group_size=2)
    pq.write_table(table.slice(5), root / DATA_V30.replace("file-000", "file-001"), row_group_size=3)
    put(root / META_V30, "data/file_index", 2, 1)
    assert [len(logged) for logged in lerobot.read(root)] == list(LENGTHS)
    stale = finding(root, "stale_file_index")
    assert (stale.severity, stale.episode, stale.count) == ("warning", 1, 1)
    assert stale.file == "data/chunk-000/file-001.parquet"


def test_ends_are_told_apart_where_the_data_does(tmp_path: Path) -> None:
    """With next.truncated, done and not truncated is terminal; without, done is terminal, and a notice says so."""
    root = v21(tmp_path / "set")
    assert finding(root, "ends_not_told_apart").severity == "notice"
    edit_feature(root, "next.truncated", dtype="bool", shape=[1], names=None)
    for e, length in enumerate(LENGTHS):
        flags = pa.array((np.arange(length) == length - 1) & (e == 1))
        edit(root / data_v21(e), lambda table, flags=flags: table.append_column("next.truncated", flags))
    assert not any(f.check == "ends_not_told_apart" for f in lerobot.describe(root).findings)
    ends = [(bool(e.terminals[-1]), bool(e.timeouts[-1])) for e in lerobot.read(root)]
    assert ends == [(True, False), (False, True), (True, False)]


def test_missing_rewards_and_ends_are_notices(tmp_path: Path) -> None:
    """Without next.reward and next.done the data is read, and two notices say what it lacks."""
    root = v21(tmp_path / "set")
    features = {k: v for k, v in read_features(root).items() if not k.startswith("next.")}
    edit_info(root, features=features)
    assert finding(root, "missing_rewards").severity == "notice"
    assert finding(root, "missing_ends").severity == "notice"
    logged = next(lerobot.read(root))
    assert (logged.rewards, logged.terminals, logged.timeouts) == (None, None, None)
    left = {left.name: left.detail for left in lerobot.describe(root).left_out}
    assert left["next.reward"] == "not in meta/info.json"


def test_what_is_odd_and_harmless_is_a_warning(tmp_path: Path) -> None:
    """Stray files, lost task texts and other element types than declared are named and do not stop the import."""
    root = v21(tmp_path / "set")
    shutil.copy(root / data_v21(0), root / data_v21(3))
    (root / "meta/tasks.jsonl").unlink()
    edit_feature(root, "next.reward", dtype="float64")
    assert finding(root, "undeclared_files").file == data_v21(3)
    assert finding(root, "tasks_disagree").severity == "warning"
    assert finding(root, "stored_type_differs").dimension == "next.reward"
    edit_feature(root, "next.reward", dtype="flaot32")
    assert "left out" in finding(root, "stored_type_differs").message
    assert finding(root, "missing_files").file == "videos/chunk-000/observation.images.top/episode_000000.mp4"
    assert len(list(lerobot.read(root))) == 3


def test_videos_that_are_there_are_not_missed(tmp_path: Path) -> None:
    """The finding counts what is absent, and vanishes when all videos are there."""
    root = v21(tmp_path / "set")
    folder = root / "videos/chunk-000/observation.images.top"
    folder.mkdir(parents=True)
    (folder / "episode_000001.mp4").touch()
    assert finding(root, "missing_files").count == 2
    for e in range(3):
        (folder / f"episode_{e:06d}.mp4").touch()
    assert not any(f.check == "missing_files" for f in lerobot.describe(root).findings)


def test_order_of_the_lines_does_not_matter(tmp_path: Path) -> None:
    """lerobot sorts episodes.jsonl and episodes_stats.jsonl by their index, and so do we."""
    root = v21(tmp_path / "set")
    for name in ("meta/episodes.jsonl", "meta/episodes_stats.jsonl"):
        write_lines(root / name, read_lines(root / name)[::-1])
    assert [len(logged) for logged in lerobot.read(root)] == list(LENGTHS)


@pytest.mark.parametrize(
    ("names", "flat"),
    [
        (None, ()),
        (["push", "grip"], ("push", "grip")),
        ({"grip": 1, "push": 0}, ("push", "grip")),
        ({"arm": ["push"], "hand": ["grip"]}, ("push", "grip")),
        (["action"], ()),
    ],
)
def test_names_of_dimensions_come_in_many_shapes(tmp_path: Path, names: Any, flat: tuple[str, ...]) -> None:
    """A list, a mapping to places, lists by part; one name for a whole vector names its axis, not a dimension."""
    root = v21(tmp_path / "set")
    edit_feature(root, "action", names=names)
    assert lerobot.describe(root).actions.names == flat


def test_lists_of_any_kind_hold_a_vector(tmp_path: Path) -> None:
    """Parquet written by other tools holds plain lists, or a list of one number for a scalar."""
    root = v21(tmp_path / "set")
    for e in range(3):
        edit(root / data_v21(e), as_plain_lists)
    for e, logged in enumerate(lerobot.read(root)):
        assert logged.actions.tobytes() == rows(ACTION, e, 2).tobytes()
        assert same(logged.rewards, rows(REWARD, e, 1)[:, 0])


def test_pictures_texts_and_tensors_are_left_out_by_name(tmp_path: Path) -> None:
    """Nothing vanishes: what no manifest can select is listed with its kind."""
    root = v21(tmp_path / "set")
    for name, dtype, shape in (("note", "string", [1]), ("grid", "int64", [2, 2]), ("nothing", "float32", [0])):
        edit_feature(root, name, dtype=dtype, shape=shape, names=None)
    kinds = {left.name: left.kind for left in lerobot.describe(root).left_out}
    assert kinds == {"observation.images.top": "video", "note": "text", "grid": "other", "nothing": "empty"}


def same(found: Array | None, expected: Array) -> bool:
    """Equal in type, shape and bits."""
    return found is not None and found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


def read_features(root: Path) -> dict[str, Any]:
    """The features that info.json lists."""
    (info,) = read_lines(root / "meta/info.json")
    return dict(info["features"])


def as_plain_lists(table: pa.Table) -> pa.Table:
    """Actions as lists without a fixed length, rewards as lists of one."""
    action = pa.array(table["action"].to_pylist(), type=pa.list_(pa.float32()))
    reward = pa.array([[x] for x in table["next.reward"].to_pylist()], type=pa.large_list(pa.float32()))
    table = table.set_column(table.column_names.index("action"), "action", action)
    return table.set_column(table.column_names.index("next.reward"), "next.reward", reward)
