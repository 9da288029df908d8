"""What every format keeps, whichever there are: the directory is the list."""

from __future__ import annotations

import dataclasses
import inspect
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from offline_to_online.dataset._parts import parts_of
from offline_to_online.dataset.assembly import assemble, implied_layout
from offline_to_online.dataset.detection import format_of, name_of
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.export import export, exporters
from offline_to_online.dataset.formats import d4rl_hdf5
from offline_to_online.dataset.logged import Contents, LoggedEpisode
from offline_to_online.dataset.store import write_episode, write_episodes
from offline_to_online.errors import DataError, PipelineError
from offline_to_online.plugins import available, module_for

FORMATS = available("formats")
SHARED = {
    **{f"d4rl/{name}.hdf5": "d4rl_hdf5" for name in ("adroit_door_human", "pusht_human", "nao_push_ball_real")},
    **{f"d4rl/{name}.hdf5": "d4rl_hdf5" for name in ("fetch_pick_and_place_scripted", "pendulum_expert")},
    "formats/d4rl_generator/maze2d-umaze-v1.hdf5": "d4rl_hdf5",
    "formats/d4rl_variants/FetchPush-v2.hdf5": "d4rl_hdf5",
    **{f"formats/robosuite_raw/{n}_panda.hdf5": "robosuite_raw" for n in ("lift", "door", "stack", "wipe")},
    **{f"formats/robosuite_raw/{n}_panda.hdf5": "robosuite_raw" for n in ("pick-place", "nut-assembly")},
    "formats/zarr_pusht/pusht_cchi_v7_replay.zarr": "zarr_replay",
    "formats/minari_adroit/door-human-hdf5-v0": "minari",
    "formats/minari_adroit/door-human-arrow-v0": "minari",
    "formats/lerobot_v21_unitree_g1": "lerobot",
    "formats/rlds_bridge": "rlds",
}


def missing(folder: Path) -> Path:
    """Nothing at all."""
    return folder / "absent"


def empty_file(folder: Path) -> Path:
    """No byte."""
    (folder / "log.bin").touch()
    return folder / "log.bin"


def empty_folder(folder: Path) -> Path:
    """No file."""
    return folder


def text(folder: Path) -> Path:
    """Words."""
    (folder / "notes.txt").write_text("hello\n" * 100)
    return folder / "notes.txt"


def truncated_hdf5(folder: Path) -> Path:
    """The first half of an HDF5 file."""
    path = folder / "log.hdf5"
    with h5py.File(path, "w") as file:
        file["observations"] = np.zeros((100, 3))
    path.write_bytes(path.read_bytes()[:1500])
    return path


def other_hdf5(folder: Path) -> Path:
    """A whole HDF5 file of something else."""
    with h5py.File(folder / "weights.hdf5", "w") as file:
        file["layer/weights"] = np.zeros((3, 3))
    return folder / "weights.hdf5"


def junk_folder(folder: Path) -> Path:
    """Files by the names that formats look for, none of which holds what it should."""
    names = ("meta/info.json", "data/metadata.json", ".zgroup", "meta/.zgroup", "data/.zgroup", "zarr.json")
    names += ("dataset_info.json", "features.json", "data/main_data.hdf5", "meta/episodes.jsonl", "x.parquet")
    names += ("x-train.tfrecord-00000-of-00001", "episodes/000001.parquet", "data/chunk-000/episode_000000.parquet")
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(rng.bytes(200))
    return folder


def folders_for_files(folder: Path) -> Path:
    """Folders where formats expect files."""
    for name in ("meta/info.json", "data/metadata.json", ".zgroup", "dataset_info.json", "transitions.parquet"):
        (folder / name).mkdir(parents=True)
    return folder


def json_of_another_kind(folder: Path) -> Path:
    """Metadata files that are JSON, and no objects."""
    for name in (
        "meta/info.json",
        "data/metadata.json",
        "dataset_info.json",
        "features.json",
        ".zgroup",
        "meta/.zgroup",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("[1, null]")
    return folder


def magic_only(folder: Path) -> Path:
    """The first bytes of an HDF5 file, and a size that is not there."""
    (folder / "log.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + struct.pack("<q", 2**60))
    return folder / "log.h5"


NOT_DATA = (
    *(missing, empty_file, empty_folder, text, truncated_hdf5, other_hdf5, junk_folder, folders_for_files),
    *(json_of_another_kind, magic_only),
)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_a_module_of_three_functions(name: str) -> None:
    """With the arguments that everybody calls them with."""
    module = module_for("formats", name)
    assert list(inspect.signature(module.recognises).parameters) == ["path"]
    assert list(inspect.signature(module.describe).parameters) == ["path"]
    parameters = inspect.signature(module.read).parameters
    assert list(parameters) == ["path", "sensors", "extra"]
    assert (parameters["sensors"].default, parameters["extra"].default) == (None, False)
    if hasattr(module, "export"):
        assert list(inspect.signature(module.export).parameters) == ["folder", "episodes", "about"]


@pytest.mark.parametrize("make", NOT_DATA, ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", FORMATS)
def test_looking_never_raises(name: str, make: Callable[[Path], Path], tmp_path: Path) -> None:
    """Whatever lies there, the answer is yes or no, and nothing is left behind."""
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert module_for("formats", name).recognises(path) in (True, False)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("make", NOT_DATA, ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", FORMATS)
def test_reading_what_is_no_data_is_one_line(name: str, make: Callable[[Path], Path], tmp_path: Path) -> None:
    """A forced format says what is wrong, when it describes and when it reads."""
    module, path = module_for("formats", name), make(tmp_path)
    for attempt in (module.describe, lambda path: list(module.read(path))):
        with pytest.raises(PipelineError) as caught:
            attempt(path)
        assert "\n" not in str(caught.value)


def test_nobody_takes_what_is_no_data(tmp_path: Path) -> None:
    """Only a broken HDF5 file is somebody's: the one who can say that it is broken."""
    for make in NOT_DATA:
        folder = tmp_path / make.__name__
        folder.mkdir()
        path = make(folder)
        takers = [name for name in FORMATS if module_for("formats", name).recognises(path)]
        if make not in (junk_folder, json_of_another_kind):  # those look like several formats at once
            assert len(takers) <= 1, (make.__name__, takers)
        if make in (truncated_hdf5, magic_only):
            assert takers == ["d4rl_hdf5"]
        if make in (missing, empty_file, empty_folder, text, other_hdf5):
            assert takers == []


@pytest.fixture(params=sorted(SHARED))
def real(request: pytest.FixtureRequest, shared_data: Path) -> tuple[Path, str]:
    """A real data set, and the name of its format."""
    return shared_data / request.param, SHARED[request.param]


def test_exactly_one_format_recognises_real_data(real: tuple[Path, str]) -> None:
    """Each file and folder of the shared data."""
    path, name = real
    assert [n for n in FORMATS if module_for("formats", n).recognises(path)] == [name]


def test_no_real_data_is_forgotten(shared_data: Path) -> None:
    """What lies under the shared data is in the table above."""
    found = {p.relative_to(shared_data).as_posix() for p in shared_data.rglob("*.hdf5") if "data" not in p.parent.name}
    assert found == {name for name in SHARED if name.endswith(".hdf5")}
    folders = {name.split("/")[1] for name in SHARED if name.startswith("formats/")}
    assert {p.name for p in (shared_data / "formats").iterdir() if p.is_dir()} == folders


def test_what_is_read_is_what_was_described(real: tuple[Path, str]) -> None:
    """The first episodes have the sensors, widths and arrays that the headers promise, and so has a selection."""
    path, name = real
    module = module_for("formats", name)
    contents: Contents = module.describe(path)
    assert contents.format == name
    names = [sensor.name for sensor in contents.sensors]
    assert len(set(names)) == len(names)
    assert {part.sensor for part in parts_of(contents.observation, contents, where=name)} <= set(names)
    for logged in first(module, path, 2):
        steps = len(logged)
        assert "episode" in logged.where
        assert set(logged.sensors) == set(names)
        for sensor in contents.sensors:
            assert logged.sensors[sensor.name].shape in {(steps, sensor.width), (steps + 1, sensor.width)}
        assert logged.actions.shape == (steps, contents.actions.width)
        assert (logged.rewards is not None) == contents.rewards
        assert (logged.times is not None) == contents.times
        assert logged.extra == {}
    for logged in first(module, path, 1, sensors=names[:1]):
        assert list(logged.sensors) == names[:1]


def first(module: ModuleType, path: Path, count: int, **selected: list[str]) -> list[LoggedEpisode]:
    """The first few episodes."""
    stream: Iterator[LoggedEpisode] = module.read(path, **selected)
    return [logged for _, logged in zip(range(count), stream, strict=False)]


def identities(path: Path, bound: float = np.inf) -> list[str]:
    """Of the episodes of any data set, told by looking; actions clipped, as ``validate`` stores them."""
    reader = format_of(path)
    layout = implied_layout(reader.describe(path))
    episodes = (assemble(logged, layout) for logged in reader.read(path))
    return [dataclasses.replace(e, actions=np.clip(e.actions, -bound, bound)).identity for e in episodes]


def test_an_episode_has_one_identity(tmp_path: Path, log: list[Episode], make_episode: Callable[..., Episode]) -> None:
    """Through D4RL, our store, an online run's files, and every format that is written here."""
    logged = [*log[:4], make_episode(50, terminated=True, truncated=False), make_episode(51, length=1)]
    wanted = [episode.identity for episode in logged]
    d4rl_hdf5.write(tmp_path / "raw.hdf5", logged, {})
    write_episodes(tmp_path / "store", logged)
    for number, episode in enumerate(logged):
        write_episode(tmp_path / "run" / "episodes" / f"{number + 1:06d}.parquet", episode)
    for to in exporters():
        assert export(tmp_path / "store", tmp_path / f"{to}-v0", to=to, control_rate_hz=10) == len(logged)
    for path in sorted(tmp_path.iterdir()):
        assert identities(path) == wanted, path.name
    assert len(list(tmp_path.iterdir())) == 3 + len(exporters())


def test_the_real_door_is_one_data_set_in_three_formats(shared_data: Path) -> None:
    """D4RL, Minari HDF5 and Minari Arrow of the same demonstrations; Minari's were clipped when they were written."""
    folder = shared_data / "formats" / "minari_adroit"
    wanted = identities(shared_data / "d4rl" / "adroit_door_human.hdf5", 1.0)
    assert len(set(wanted)) == 25
    assert identities(folder / "door-human-hdf5-v0") == wanted
    assert identities(folder / "door-human-arrow-v0") == wanted


def test_what_was_exported_is_recognised_by_its_own_format_alone(tmp_path: Path, log: list[Episode]) -> None:
    """Also where our own Parquet and JSON lie beside."""
    write_episodes(tmp_path / "store", log[:2])
    for to in exporters():
        export(tmp_path / "store", tmp_path / to, to=to, control_rate_hz=10)
        assert name_of(format_of(tmp_path / to)) == to


def test_a_store_changed_by_a_byte_is_noticed(tmp_path: Path, log: list[Episode]) -> None:
    """Whatever byte it is: unreadable, or not what was written; never other episodes."""
    write_episodes(tmp_path, log[:3])
    path = tmp_path / "transitions.parquet"
    content, wanted = path.read_bytes(), identities(tmp_path)
    for at in np.random.default_rng(0).integers(0, len(content), 60):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        try:
            found = identities(tmp_path)
        except DataError:
            continue
        assert found == wanted, at


@pytest.mark.parametrize("shape", [(24, 2), (24, 10**10), (10**12, 2)])
def test_what_a_d4rl_file_announces_and_does_not_hold_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    """HDF5 would give zeros for it, and as much memory as the header claims."""
    path = tmp_path / "log.hdf5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("observations", shape=shape, dtype="f4", chunks=(6, 2))
        data[:6, :2] = 1
        for name, width in (("actions", (1,)), ("rewards", ()), ("terminals", ())):
            file.create_dataset(name, shape=(shape[0], *width), dtype="f4", chunks=(6, *width))
            file[name][:6] = 0
    for attempt in (d4rl_hdf5.describe, lambda path: next(d4rl_hdf5.read(path))):
        with pytest.raises(DataError, match=r"never written in whole.*log\.hdf5"):
            attempt(path)
