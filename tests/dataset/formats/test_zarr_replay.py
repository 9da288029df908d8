"""Diffusion Policy's replay buffers: its own PushT demonstrations, and small stores written by the zarr library."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

from offline_to_online.dataset.assembly import assemble, implied_layout
from offline_to_online.dataset.formats import d4rl_hdf5, rlds, robomimic_hdf5, zarr_replay
from offline_to_online.errors import DataError

ENDS = [6, 10, 25]
Change = Callable[[Path], None]


def content() -> dict[str, Any]:
    """Arrays of 25 steps; ``camera`` is a picture a step."""
    rng = np.random.default_rng(0)
    return {
        "state": rng.normal(size=(25, 5)).astype(np.float32),
        "keypoint": rng.normal(size=(25, 3, 2)).astype(np.float32),
        "action": rng.uniform(-1, 1, (25, 2)),
        "reward": rng.normal(size=25).astype(np.float32),
        "timestamp": np.arange(25) / 10,
        "stage": rng.integers(0, 3, 25),
        "camera": rng.integers(0, 255, (25, 4, 4, 3), dtype=np.uint8),
    }


def write_store(path: Path, arrays: dict[str, Any], ends: Any = ENDS, **settings: Any) -> Path:
    """A store in Zarr format 2, chunks of 7 steps that cross the borders of episodes."""
    root = zarr.create_group(path, zarr_format=2)
    options = {"compressors": numcodecs.Blosc("zstd"), **settings}
    for name, values in {**{f"data/{k}": v for k, v in arrays.items()}, "meta/episode_ends": np.asarray(ends)}.items():
        array = root.create_array(
            name, shape=values.shape, dtype=values.dtype, chunks=(7, *values.shape[1:]), config=WHOLE, **options
        )
        array[...] = values
    return path


WHOLE = {"write_empty_chunks": True}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A replay buffer of three episodes, of 6, 4 and 15 steps."""
    return write_store(tmp_path / "replay.zarr", content())


def zipped(folder: Path) -> Path:
    """The same store as one file."""
    path = folder.with_name("replay.zarr.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


def everything(path: Path) -> None:
    """What an import does: headers, then every episode."""
    zarr_replay.describe(path)
    for _ in zarr_replay.read(path, extra=True):
        pass


def test_diffusion_policys_own_demonstrations_come_in_bit_for_bit(shared_data: Path) -> None:
    """206 episodes, 25,650 steps, every array as the zarr library reads it."""
    path = shared_data / "formats" / "zarr_pusht" / "pusht_cchi_v7_replay.zarr"
    contents, episodes = zarr_replay.describe(path), list(zarr_replay.read(path))
    assert (contents.episodes, contents.steps, len(episodes)) == (206, 25_650, 206)
    assert contents.observation == ("state",)
    assert {s.name: s.width for s in contents.sensors} == {"keypoint": 18, "n_contacts": 1, "state": 5}
    plain = zarr.open_group(path, mode="r")
    assert np.cumsum([len(e) for e in episodes]).tolist() == plain["meta/episode_ends"][:].tolist()
    assert np.concatenate([e.actions for e in episodes]).tobytes() == plain["data/action"][:].tobytes()
    for key in ("state", "keypoint", "n_contacts"):
        found = np.concatenate([e.sensors[key] for e in episodes])
        assert found.dtype == plain[f"data/{key}"].dtype
        assert found.tobytes() == plain[f"data/{key}"][:].tobytes()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"compressors": None},
        {"compressors": numcodecs.Zlib()},
        {"compressors": numcodecs.Zstd()},
        {"compressors": numcodecs.LZ4()},
        {"order": "F"},
        {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
    ],
)
def test_what_zarr_writes_comes_back(tmp_path: Path, settings: dict[str, Any], packed: bool) -> None:
    """Whatever the compressor, the order in a chunk and its name; in a folder and in a zip."""
    arrays = content()
    path = write_store(tmp_path / "replay.zarr", arrays, **settings)
    episodes = list(zarr_replay.read(zipped(path) if packed else path, extra=True))
    assert [len(e) for e in episodes] == [6, 4, 15]
    for key in ("state", "keypoint"):
        assert np.array_equal(np.concatenate([e.sensors[key] for e in episodes]), arrays[key].reshape(25, -1))
    assert np.array_equal(np.concatenate([e.actions for e in episodes]), arrays["action"])
    assert np.array_equal(np.concatenate([e.rewards for e in episodes]), arrays["reward"])
    assert np.array_equal(np.concatenate([e.times for e in episodes]), arrays["timestamp"])
    assert np.array_equal(np.concatenate([e.extra["stage"] for e in episodes])[:, 0], arrays["stage"])


def test_chunks_over_several_axes(tmp_path: Path) -> None:
    """Also those that go beyond the shape at its end."""
    path = write_store(tmp_path / "replay.zarr", content())
    shutil.rmtree(path / "data" / "keypoint")
    values = np.random.default_rng(1).normal(size=(25, 3, 5))
    array = zarr.open_group(path, mode="a").create_array(
        "data/keypoint", shape=(25, 3, 5), dtype="f8", chunks=(4, 2, 2), config=WHOLE
    )
    array[...] = values
    found = np.concatenate([e.sensors["keypoint"] for e in zarr_replay.read(path)])
    assert np.array_equal(found, values.reshape(25, 15))


def test_it_says_what_it_holds(store: Path) -> None:
    """Sensors, roles, pictures left out, whole numbers as extra."""
    contents = zarr_replay.describe(store)
    assert {s.name for s in contents.sensors} == {"keypoint", "state"}
    assert (contents.rewards, contents.times, contents.ends, contents.final_observation) == (True, True, False, False)
    assert {left.name: left.kind for left in contents.left_out} == {"camera": "image", "stage": "other"}
    assert len(assemble(next(zarr_replay.read(store)), implied_layout(contents))) == 5


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("obs", "other"), ("obs",)),
        (("agent_pos", "obs_far", "robot_joint"), ("agent_pos", "obs_far")),
        (("robot_eef_pose", "robot_joint"), ("robot_eef_pose", "robot_joint")),
    ],
)
def test_the_observation_is_chosen_by_name(tmp_path: Path, names: tuple[str, ...], chosen: tuple[str, ...]) -> None:
    """obs alone, else what begins like one, else all sensors."""
    arrays = content()
    path = write_store(tmp_path / "r.zarr", {"action": arrays["action"], **dict.fromkeys(names, arrays["state"])})
    assert zarr_replay.describe(path).observation == chosen


def test_only_this_format_recognises_it(store: Path) -> None:
    """As a folder and as a zip; nothing else is taken for a store."""
    archive = zipped(store)
    for path in (store, archive):
        assert zarr_replay.recognises(path)
        assert not any(other.recognises(path) for other in (d4rl_hdf5, rlds, robomimic_hdf5))
    (store.parent / "notes.txt").write_text("none")
    assert not any(zarr_replay.recognises(p) for p in (store.parent, store.parent / "notes.txt", store / "absent"))


def header(store: Path, name: str, **changes: Any) -> None:
    """Change the header of an array."""
    path = store / name / ".zarray"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def ends(store: Path, values: list[int]) -> None:
    """Other ends of episodes."""
    shutil.rmtree(store / "meta" / "episode_ends")
    group = zarr.open_group(store, mode="a")
    group.create_array("meta/episode_ends", data=np.asarray(values), config=WHOLE)


def drop(name: str) -> Change:
    return lambda store: shutil.rmtree(store / name) if (store / name).is_dir() else (store / name).unlink()


def cut(name: str, size: int) -> Change:
    return lambda store: (store / name).write_bytes((store / name).read_bytes()[:size])


def say_other_sizes(store: Path) -> None:
    path = store / "data/state/1.0"
    packed = bytearray(path.read_bytes())
    packed[4:8] = struct.pack("<I", 10**9)
    path.write_bytes(packed)


def link(store: Path) -> None:
    path = store / "data/state/1.0"
    path.rename(store.parent / "elsewhere")
    path.symlink_to(store.parent / "elsewhere")


def test_a_link_within_the_store_is_followed(store: Path) -> None:
    """What it leads to lies in the store as well, and is hashed with it."""
    wanted = [episode.sensors["state"].tobytes() for episode in zarr_replay.read(store)]
    (store / "data/state/1.0").rename(store / ".kept")
    (store / "data/state/1.0").symlink_to("../../.kept")
    assert [episode.sensors["state"].tobytes() for episode in zarr_replay.read(store)] == wanted


def shorten(store: Path) -> None:
    group = zarr.open_group(store, mode="a")
    group["data/state"].resize((24, 5))


@pytest.mark.parametrize(
    ("how", "what", "where"),
    [
        (drop("data/state/2.0"), "chunk 2.0 is missing", "data/state"),
        (drop("data/keypoint/0.0.0"), "chunk 0.0.0 is missing", "data/keypoint"),
        (drop("meta/episode_ends/0"), "chunk 0 is missing", "meta/episode_ends"),
        (drop("data/state/.zarray"), "there is no .zarray", "data/state"),
        (drop("data/action"), "there is no data/action", "replay.zarr"),
        (drop("meta"), "there is none", "meta/episode_ends"),
        (cut("data/action/1.0", 0), "0 bytes in all", "data/action, chunk 1.0"),
        (cut("data/action/1.0", 40), "40 packed bytes where its header says", "data/action, chunk 1.0"),
        (cut("data/state/.zarray", 50), "not readable as JSON", "data/state/.zarray"),
        (cut(".zgroup", 0), "not readable as JSON", ".zgroup"),
        (say_other_sizes, "1000000000 bytes by its header", "data/state, chunk 1.0"),
        (link, "1.0 is a link", "data/state/1.0"),
        (shorten, "data/state has 24 rows, the last episode ends at 25", "episode 2"),
        (lambda store: ends(store, [6, 10, 24]), "has 25 rows, the last episode ends at 24", "episode 2"),
        (lambda store: ends(store, [6, 6, 25]), "an episode ends at row 6.*after row 6", "episode 1"),
        (lambda store: ends(store, [10, 6, 25]), "an episode ends at row 6.*after row 10", "episode 1"),
        (lambda store: ends(store, [-1, 25]), "an episode ends at row -1", "episode 0"),
        (lambda store: header(store, "data/state", chunks=[7, 4]), "chunk 0.1 is missing", "data/state"),
        (lambda store: header(store, "data/state", chunks=[8, 5]), "140 bytes by its header.*160 bytes", "data/state"),
        (lambda store: header(store, "data/state", dtype="<f8"), "140 bytes by its header.*280 bytes", "chunk 0.0"),
        (lambda store: header(store, "data/state", shape="many"), "shape is 'many'", "data/state/.zarray"),
        (lambda store: header(store, "data/state", zarr_format=3), "zarr_format is 3", "data/state/.zarray"),
        (lambda store: header(store, "data/state", chunks=[10**10, 5]), "chunks of 200000000000 bytes", "data/state"),
        (lambda store: header(store, "data/state", filters=[{"id": "delta"}]), "the array has filters", "data/state"),
        (lambda store: header(store, "data/state", compressor={"id": "jpeg"}), "compressor 'jpeg'", "data/state"),
        (lambda store: (store / "zarr.json").write_text("{}"), "Zarr format 3", "replay.zarr"),
    ],
)
def test_what_is_broken_is_one_error_at_its_place(store: Path, how: Change, what: str, where: str) -> None:
    """Chunks that are missing, cut, flipped, of another size or a link; headers; ends of episodes."""
    how(store)
    with pytest.raises(DataError, match=what) as error:
        everything(store)
    assert where in error.value.where


def test_a_flipped_byte_within_a_chunk_is_one_error(tmp_path: Path) -> None:
    """Where the compressor can tell, as zlib can; a recorded hash tells the rest."""
    store = write_store(tmp_path / "replay.zarr", content(), compressors=numcodecs.Zlib())
    path = store / "data/action/2.0"
    packed = bytearray(path.read_bytes())
    packed[30] ^= 0xFF
    path.write_bytes(packed)
    with pytest.raises(DataError, match="not readable as a Zarr store") as error:
        everything(store)
    assert "data/action, chunk 2.0" in error.value.where


def test_a_chunk_beyond_the_shape_is_noticed(store: Path) -> None:
    """A header that was shortened everywhere still does not lose steps in silence."""
    for name, values in content().items():
        header(store, f"data/{name}", shape=[14, *values.shape[1:]])
    ends(store, [6, 10, 14])
    with pytest.raises(DataError, match=r"chunk 2(\.0)* has no place in the shape"):
        everything(store)


def test_nothing_is_unpickled(store: Path, tmp_path: Path) -> None:
    """Neither an array of objects nor a codec that unpickles is opened."""
    spoiled = tmp_path / "spoiled"
    header(store, "data/state", compressor={"id": "pickle", "protocol": 5})
    (store / "data/state/0.0").write_bytes(pickle.dumps(Touch(spoiled)))
    with pytest.raises(DataError, match="compressor 'pickle'"):
        everything(store)
    header(store, "data/state", dtype="|O", compressor=None, filters=[{"id": "pickle"}])
    everything(store)
    assert {left.name: left.kind for left in zarr_replay.describe(store).left_out}["state"] == "other"
    assert not spoiled.exists()


class Touch:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_zip_that_was_cut_or_changed_is_one_error(store: Path) -> None:
    """Also where only a byte within one member differs."""
    path = zipped(store)
    whole = path.read_bytes()
    for size in range(0, len(whole), len(whole) // 8):
        path.write_bytes(whole[:size])
        assert zarr_replay.recognises(path)
        with pytest.raises(DataError):
            everything(path)
    place = whole.index(b"data/action/1.0") + 40
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(DataError, match=r"data/action/1\.0"):
        everything(path)
