"""Minari data sets that are broken: one DataError each, at the right place, and never a silent reading."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest

from offline_to_online.dataset.formats import minari
from offline_to_online.errors import DataError
from tests.dataset.formats.small_minari import Box, episode, rows, twelve, written

pytest.importorskip("minari", reason="the minari library writes the data of these tests")
Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve episodes of three steps in both storages, with infos."""
    folder = tmp_path_factory.mktemp("sound")
    episodes = [{**made, "infos": {"cost": np.arange(4.0), "at": rows(3, 2)}} for made in twelve()]
    for storage in ("hdf5", "arrow"):
        written(folder / storage, storage, observation=Box(-9, 99, (3,), np.float64), episodes=episodes)
    return folder


def broken(sound: Path, tmp_path: Path, storage: str, change: Change) -> Path:
    """A copy of the sound data set, changed: ``change`` is given its data folder."""
    folder = tmp_path / storage
    shutil.copytree(sound / storage, folder)
    change(folder / "data")
    return folder


def said(**changes: Any) -> Change:
    """Other values in the data set's metadata; None removes a key."""
    return lambda data: rewrite_json(data / "metadata.json", changes)


def rewrite_json(path: Path, changes: dict[str, Any]) -> None:
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def inside_hdf5(change: Callable[[Any], None]) -> Change:
    """A change of the open HDF5 file."""

    def changed(data: Path) -> None:
        with h5py.File(data / "main_data.hdf5", "r+") as file:
            change(file)

    return changed


def replaced(name: str, values: Any, number: int = 7, **how: Any) -> Change:
    """Another array in an episode; a function is given the one that was there."""

    def change(file: Any) -> None:
        group = file[f"episode_{number}"]
        new = values(group[name][()]) if callable(values) else values
        del group[name]
        group.create_dataset(name, data=new, **how)

    return inside_hdf5(change)


def removed(name: str) -> Change:
    return inside_hdf5(lambda file: file.__delitem__(name))


def table(change: Callable[[pa.Table], pa.Table], number: int = 7) -> Change:
    """Another table in an episode."""

    def changed(data: Path) -> None:
        path = data / str(number) / "part-0.arrow"
        new = change(pa.ipc.open_file(pa.BufferReader(path.read_bytes())).read_all())
        with pa.ipc.new_file(str(path), new.schema) as file:
            file.write_table(new)

    return changed


def column(name: str, values: Any) -> Change:
    """Another column in an episode's table; a function is given the one that was there."""

    def change(old: pa.Table) -> pa.Table:
        new = values(old[name].combine_chunks()) if callable(values) else values
        return old.set_column(old.column_names.index(name), name, new)

    return table(change)


def truncated(name: str, size: int = 300) -> Change:
    return lambda data: os.truncate(data / name, size)


def linked(file: Any) -> None:
    del file["episode_7"]
    file["episode_7"] = h5py.ExternalLink("elsewhere.hdf5", "/episode_7")


def cyclic(file: Any) -> None:
    del file["episode_7/observations"]
    group = file.create_group("episode_7/observations")
    group["again"] = group


def unallocated(file: Any) -> None:
    del file["episode_7/rewards"]
    data = file["episode_7"].create_dataset("rewards", shape=(3,), dtype="f8", chunks=(1,))
    data[:2] = 1.0


def claimed(file: Any) -> None:
    del file["episode_7/actions"]
    file["episode_7"].create_dataset("actions", shape=(2**40, 2), dtype="f8", chunks=(2**20, 2))


def stored_elsewhere(file: Any) -> None:
    del file["episode_7/rewards"]
    file["episode_7"].create_dataset("rewards", shape=(3,), dtype="f8", external=[("rewards.bin", 0, 24)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource("elsewhere.hdf5", "rewards", shape=(3,))
    del file["episode_7/rewards"]
    file["episode_7"].create_virtual_dataset("rewards", layout)


def third_flag(file: Any) -> None:
    odd = np.array([0, 3, 1], dtype=np.uint8).view(np.bool_)
    file["episode_7/truncations"].id.write(h5py.h5s.ALL, h5py.h5s.ALL, odd)


def moved(old: str, new: str) -> Change:
    return lambda data: (data / old).rename(data / new) and None


def outside(name: str) -> Change:
    """A file or folder of the data set put elsewhere, and linked to."""

    def change(data: Path) -> None:
        elsewhere = data.parent.parent / "elsewhere"
        (data / name).rename(elsewhere)
        (data / name).symlink_to(elsewhere)

    return change


def wide(values: Any) -> pa.FixedSizeListArray:
    values = np.asarray(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def with_null(array: pa.Array, at: int) -> pa.Array:
    return pa.array([None if i == at else value for i, value in enumerate(array.to_pylist())], type=array.type)


def inner_null(array: pa.Array) -> pa.Array:
    rows = array.to_pylist()
    rows[2][1] = None
    return pa.array(rows, type=array.type)


def box(**changes: Any) -> str:
    space = {"type": "Box", "dtype": "float64", "shape": [3], "low": [-9.0] * 3, "high": [99.0] * 3}
    return json.dumps({**space, **changes})


EITHER = {
    "no metadata": (lambda data: (data / "metadata.json").unlink(), r"no such file.*metadata\.json"),
    "half the metadata": (truncated("metadata.json", 80), r"not readable as JSON.*metadata\.json"),
    "deep metadata": (lambda d: (d / "metadata.json").write_text("[" * 100_000) and None, r"not readable as JSON"),
    "metadata is a list": (lambda d: (d / "metadata.json").write_text("[1]") and None, r"no JSON object"),
    "another storage": (said(data_format="parquet"), r"the storage is 'parquet'.*hdf5 or arrow"),
    "more episodes said": (said(total_episodes=13), r"missing_episode: 1 of 13.*episode 12"),
    "fewer episodes said": (said(total_episodes=11), r"wrong_episode_count: total_episodes is 11, 12 are stored"),
    "no count": (said(total_episodes=None), r"total_episodes is None"),
    "a count that is none": (said(total_steps="many"), r"total_steps is 'many'"),
    "more steps said": (said(total_steps=37), r"wrong_step_count: total_steps is 37, the episodes have 36"),
    "another width said": (said(observation_space=box(shape=[4], low=[0] * 4, high=[1] * 4)), r"declares.*\(4,\)"),
    "another space said": (
        said(observation_space='{"type": "Dict", "subspaces": {"a": 3}}'),
        r"observations/a.*no type",
    ),
    "a leaf that is not there": (
        said(observation_space=json.dumps({"type": "Dict", "subspaces": {"arm": json.loads(box())}})),
        r"only observations/arm is declared",
    ),
    "a space that is none": (said(observation_space="{"), r"observation_space is not readable"),
    "bounds of another width": (
        said(observation_space=box(low=[0.0])),
        r"low of observations has 1 numbers.*asks for 3",
    ),
    "bounds that are none": (said(observation_space=box(low=["a", 0, 0])), r"low of observations is no list"),
    "bounds the wrong way": (said(observation_space=box(low=[100.0] * 3)), r"low bound of observations is above"),
    "a shape that is none": (said(observation_space=box(shape=[-3])), r"the shape of observations is \[-3\]"),
    "a choice of actions": (said(action_space='{"type": "Discrete", "n": 3, "start": 0}'), r"actions \(Discrete\)"),
    "a rate that is none": (said(control_rate_hz=-1), r"control_rate_hz is -1"),
    "names of another width": (said(dimension_names={"actions": ["a"]}), r"1 dimensions of actions.*it has 2"),
    "metadata elsewhere": (outside("metadata.json"), r"link to elsewhere.*metadata\.json"),
}

IN_HDF5 = {
    "no file": (lambda data: (data / "main_data.hdf5").unlink(), r"no such file.*main_data\.hdf5"),
    "half a file": (truncated("main_data.hdf5"), r"not readable as HDF5.*main_data\.hdf5"),
    "an empty file": (truncated("main_data.hdf5", 0), r"not readable as HDF5"),
    "file elsewhere": (outside("main_data.hdf5"), r"link to elsewhere.*main_data\.hdf5"),
    "an episode missing": (removed("episode_7"), r"missing_episode: 1 of 12.*episode 7"),
    "the last missing": (removed("episode_11"), r"missing_episode: 1 of 12.*episode 11"),
    "one renamed": (inside_hdf5(lambda f: f.move("episode_7", "eps_7")), r"there is also eps_7.*episode 7"),
    "renumbered": (inside_hdf5(lambda f: f.move("episode_7", "episode_12")), r"missing_episode.*episode 7"),
    "two swapped": (
        inside_hdf5(
            lambda f: [f.move(a, b) for a, b in (("episode_7", "x"), ("episode_8", "episode_7"), ("x", "episode_8"))]
        ),
        r"id is .*8.*episode 7.*the data says 7",
    ),
    "no rewards": (removed("episode_7/rewards"), r"rewards is missing.*episode 7"),
    "no actions at first": (removed("episode_0/actions"), r"no actions are stored.*episode 0"),
    "no observations": (removed("episode_7/observations"), r"observations is missing.*episode 7"),
    "no cost": (removed("episode_7/infos/cost"), r"infos/cost is missing.*episode 7"),
    "too few observations": (
        replaced("observations", rows(2, 3)),
        r"observations has 3 rows.*episode 7.*3 actions ask for 4",
    ),
    "too many rewards": (replaced("rewards", np.zeros(4)), r"rewards has 4 rows.*episode 7.*ask for 3"),
    "too few infos": (replaced("infos/at", rows(1, 2)), r"infos/at has 2 rows.*ask for 3 or 4"),
    "another width": (replaced("observations", rows(3, 5)), r"observations holds float64 \[5\].*episode 7"),
    "no steps": (replaced("actions", np.zeros((0, 2))), r"an empty episode.*episode 7"),
    "another length said": (
        inside_hdf5(lambda f: f["episode_7"].attrs.modify("total_steps", 4)),
        r"total_steps is .*4.*episode 7.*the data says 3",
    ),
    "texts for actions": (replaced("actions", [b"a", b"b", b"c"]), r"actions holds text.*episode 7"),
    "texts for rewards": (replaced("rewards", [b"a"] * 3, number=0), r"rewards holds text.*episode 0"),
    "two rewards a step": (replaced("rewards", np.zeros((3, 2)), number=0), r"rewards holds float64 \[2\].*one number"),
    "a group for rewards": (
        inside_hdf5(lambda f: (f.move("episode_7/rewards", "x"), f.create_group("episode_7/rewards"), f.pop("x"))),
        r"rewards is missing.*episode 7",
    ),
    "an external link": (inside_hdf5(linked), r"this is a link.*episode 7"),
    "stored elsewhere": (inside_hdf5(stored_elsewhere), r"stored in another file.*episode 7, rewards"),
    "a virtual array": (inside_hdf5(virtual), r"stored in another file.*episode 7, rewards"),
    "groups in a ring": (inside_hdf5(cyclic), r"no tree.*episode 7"),
    "a chunk missing": (inside_hdf5(unallocated), r"2 of its 3 chunks are stored.*episode 7, rewards"),
    "more claimed than stored": (inside_hdf5(claimed), r"rewards has 3 rows.*1099511627776 actions"),
    "a flag that is none": (inside_hdf5(third_flag), r"3 is neither true nor false.*episode 7, truncations, step 1"),
    "a seed that is none": (
        inside_hdf5(lambda f: f["episode_7"].attrs.create("seed", 0.5)),
        r"the seed is .*episode 7",
    ),
    "an operator that is none": (inside_hdf5(lambda f: f["episode_7"].attrs.create("operator", 3)), r"the operator is"),
    "a score that is none": (inside_hdf5(lambda f: f["episode_7"].attrs.create("score", np.nan)), r"the score is"),
    "another sum of rewards": (
        inside_hdf5(lambda f: f["episode_7"].attrs.create("rewards_sum", 3.0)),
        r"rewards_sum is .*episode 7, rewards.*the rewards give",
    ),
}

IN_ARROW = {
    "no part": (lambda data: (data / "7" / "part-0.arrow").unlink(), r"part-0\.arrow is missing.*episode 7"),
    "a part missing": (moved("7/part-0.arrow", "7/part-1.arrow"), r"part-0\.arrow is missing.*episode 7.*part-1"),
    "another file": (moved("7/part-0.arrow", "7/rest.arrow"), r"part-0\.arrow is missing.*there is rest\.arrow"),
    "half a part": (truncated("7/part-0.arrow"), r"not readable as Arrow.*episode 7"),
    "an empty part": (truncated("7/part-0.arrow", 0), r"not readable as Arrow.*episode 7"),
    "part elsewhere": (outside("7/part-0.arrow"), r"link to elsewhere.*part-0\.arrow"),
    "episode elsewhere": (outside("7"), r"link to elsewhere.*data/7/"),
    "an episode missing": (lambda data: shutil.rmtree(data / "7"), r"missing_episode: 1 of 12.*episode 7"),
    "the last missing": (lambda data: shutil.rmtree(data / "11"), r"missing_episode: 1 of 12.*episode 11"),
    "one renamed": (moved("7", "seven"), r"there is also seven.*episode 7"),
    "no metadata of one": (lambda data: (data / "7" / "metadata.json").unlink(), r"no such file.*7/metadata\.json"),
    "another length said": (
        lambda data: rewrite_json(data / "7" / "metadata.json", {"total_steps": 4}),
        r"total_steps is 4.*episode 7.*the data says 3",
    ),
    "another number said": (
        lambda data: rewrite_json(data / "7" / "metadata.json", {"id": 8}),
        r"id is 8.*episode 7.*the data says 7",
    ),
    "no rewards": (table(lambda t: t.drop_columns(["rewards"])), r"rewards is missing.*episode 7"),
    "the last row cut off": (table(lambda t: t[:-1]), r"total_steps is 3.*the data says 2|padding.*episode 7"),
    "no rows": (table(lambda t: t[:0]), r"no rows are stored|an empty episode"),
    "padding that is not empty": (column("rewards", pa.array([0.0, 1, 2, 3])), r"padding.*episode 7, rewards"),
    "a reward missing": (column("rewards", lambda a: with_null(a, 1)), r"1 value\(s\) are missing.*rewards, step 1"),
    "a row missing": (column("observations", lambda a: with_null(a, 2)), r"missing.*observations, step 2"),
    "an entry missing": (column("observations", inner_null), r"missing.*observations, step 2"),
    "texts for rewards": (column("rewards", pa.array(list("abcd"))), r"rewards holds text.*episode 7"),
    "lists of any length": (column("actions", pa.array([[1.0], [2.0], [3.0], [0.0]])), r"actions holds list"),
    "another width": (column("observations", wide(rows(3, 5))), r"observations holds float64 \[5\].*episode 7"),
}

CASES = [(storage, *case) for storage in ("hdf5", "arrow") for case in EITHER.items()]
CASES += [("hdf5", *case) for case in IN_HDF5.items()] + [("arrow", *case) for case in IN_ARROW.items()]


@pytest.mark.parametrize(("storage", "name", "case"), CASES, ids=[f"{s}: {n}" for s, n, _ in CASES])
def test_a_broken_data_set_is_one_error_at_its_place(
    sound: Path, tmp_path: Path, storage: str, name: str, case: tuple[Change, str]
) -> None:
    """Whatever is broken is named with its place, in one line, when the episodes are read."""
    change, message = case
    folder = broken(sound, tmp_path, storage, change)
    with pytest.raises(DataError, match=message) as caught:
        list(minari.read(folder, extra=True))
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("storage", ["hdf5", "arrow"])
@pytest.mark.parametrize(
    ("change", "check", "episode"),
    [
        (said(total_steps=37), "wrong_step_count", None),
        (said(total_episodes=11), "wrong_episode_count", None),
        (said(total_episodes=14), "missing_episode", 12),
    ],
)
def test_what_the_headers_contradict_is_found_without_reading(
    sound: Path, tmp_path: Path, storage: str, change: Change, check: str, episode: int | None
) -> None:
    """The description lists it as an error, so that an inspection shows it beside all else."""
    findings = minari.describe(broken(sound, tmp_path, storage, change)).findings
    assert [(f.check, f.severity, f.episode) for f in findings] == [(check, "error", episode)]


def test_a_sound_data_set_has_no_findings(sound: Path) -> None:
    """Neither storage gives a false alarm, and both give the same episodes."""
    for storage in ("hdf5", "arrow"):
        assert minari.describe(sound / storage).findings == ()
    pairs = zip(minari.read(sound / "hdf5"), minari.read(sound / "arrow"), strict=True)
    assert all(np.array_equal(one.actions, other.actions) for one, other in pairs)


def test_a_claim_is_refused_before_it_is_allocated(sound: Path, tmp_path: Path) -> None:
    """Sixteen terabytes that no chunk stores are never asked of the memory."""

    def change(file: Any) -> None:
        for name in ("rewards", "terminations", "truncations", "infos/at", "infos/cost", "observations"):
            shape = (2**40 + (name == "observations"), *file[f"episode_0/{name}"].shape[1:])
            dtype = file[f"episode_0/{name}"].dtype
            del file[f"episode_0/{name}"]
            chunks = (2**20, *shape[1:])
            file["episode_0"].create_dataset(name, shape=shape, dtype=dtype, chunks=chunks)
        claimed_first(file)
        file["episode_0"].attrs["total_steps"] = 2**40

    def claimed_first(file: Any) -> None:
        del file["episode_0/actions"]
        file["episode_0"].create_dataset("actions", shape=(2**40, 2), dtype="f8", chunks=(2**20, 2))

    folder = broken(sound, tmp_path, "hdf5", inside_hdf5(change))
    with pytest.raises(DataError, match=r"0 of its 1048576 chunks are stored.*episode 0, rewards"):
        list(minari.read(folder))


def test_the_data_folder_may_not_be_a_link_to_elsewhere(sound: Path, tmp_path: Path) -> None:
    """What lies elsewhere would change without the hash of this folder changing."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "data").symlink_to(sound / "hdf5" / "data")
    with pytest.raises(DataError, match="data is a link to elsewhere"):
        minari.describe(tmp_path / "set")


def test_pictures_alone_are_refused_by_name(tmp_path: Path) -> None:
    """Nothing that we could learn from would be left."""
    pictures = np.zeros((4, 40, 40, 3), dtype=np.uint8)
    folder = written(
        tmp_path / "set", "hdf5", observation=Box(0, 255, (40, 40, 3), np.uint8), episodes=[episode(pictures, 3)]
    )
    with pytest.raises(DataError, match=r"no observation is a vector.*observations \(image\)"):
        minari.describe(folder)


def test_a_data_set_without_episodes_is_refused(tmp_path: Path) -> None:
    """An empty folder of episodes is no data."""
    folder = written(tmp_path / "set", "arrow", observation=Box(0, 1, (3,)), episodes=[])
    with pytest.raises(DataError, match="no episodes"):
        minari.describe(folder)
