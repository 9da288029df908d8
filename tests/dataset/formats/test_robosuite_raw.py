"""robosuite's raw demonstrations: the six files that robosuite 1.0.0 itself carries, and broken ones to its layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from offline_to_online.dataset.assembly import assemble, implied_layout
from offline_to_online.dataset.formats import d4rl_hdf5, robomimic_hdf5, robosuite_raw
from offline_to_online.errors import DataError

STEPS = {"door": 261, "lift": 412, "nut-assembly": 1036, "pick-place": 1482, "stack": 532, "wipe": 174}
Change = Callable[[Any], None]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Three demonstrations of 6, 7 and 8 steps to robosuite's published layout."""
    rng = np.random.default_rng(0)
    path = tmp_path / "demo.hdf5"
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs.update({"env": "Lift", "repository_version": "1.4.0", "env_info": '{"control_freq": 20}'})
        for number, steps in ((1, 6), (2, 7), (10, 8)):
            demo = data.create_group(f"demo_{number}")
            demo.attrs["model_file"] = "<mujoco/>" * 40
            demo["states"] = np.c_[np.arange(steps) / 20, rng.normal(size=(steps, 4))]
            demo["actions"] = rng.uniform(-1, 1, (steps, 2))
            demo["joint_torques"] = rng.normal(size=(steps, 3))
            demo["gripper_actuations"] = np.empty((steps, 0))
    return path


def change(path: Path, how: Change) -> None:
    """Alter a file that was already written."""
    with h5py.File(path, "a") as file:
        how(file)


def everything(path: Path) -> None:
    """What an import does: headers, then every episode."""
    robosuite_raw.describe(path)
    for _ in robosuite_raw.read(path, extra=True):
        pass


@pytest.mark.parametrize("task", STEPS)
def test_robosuites_own_files_come_in_bit_for_bit(shared_data: Path, task: str) -> None:
    """One demonstration each, with the values of a plain h5py read and the documented number of steps."""
    path = shared_data / "formats" / "robosuite_raw" / f"{task}_panda.hdf5"
    contents, episodes = robosuite_raw.describe(path), list(robosuite_raw.read(path, extra=True))
    with h5py.File(path) as file:
        plain = {name: data[()] for name, data in file["data/demo_1"].items()}
    assert (contents.episodes, contents.steps, len(episodes)) == (1, STEPS[task], 1)
    assert episodes[0].sensors["states"].tobytes() == plain["states"].tobytes()
    assert episodes[0].actions.tobytes() == plain["actions"].tobytes()
    assert episodes[0].extra["joint_torques"].tobytes() == plain["joint_torques"].tobytes()
    assert np.array_equal(episodes[0].times, plain["states"][:, 0])
    assert contents.sensor("states").width == plain["states"].shape[1]
    assert len(assemble(episodes[0], implied_layout(contents))) == STEPS[task] - 1


def test_an_action_moves_the_state_of_the_next_row(shared_data: Path) -> None:
    """Rows are not shifted: the fingers of the lift start to close between the command's row and the next."""
    path = shared_data / "formats" / "robosuite_raw" / "lift_panda.hdf5"
    episode = next(robosuite_raw.read(path))
    command = int(np.argmax(episode.actions[:, 6] > 0))
    moved = np.abs(np.diff(episode.sensors["states"][:, 8]))
    assert moved[:command].max() < 0.01
    assert moved[command] > 10 * moved[command - 1]


def test_only_this_format_recognises_it(recording: Path) -> None:
    """Neither robomimic's nor D4RL's plug-in takes it for its own; without states it is not ours either."""
    assert robosuite_raw.recognises(recording)
    assert not robomimic_hdf5.recognises(recording)
    assert not d4rl_hdf5.recognises(recording)
    assert not robosuite_raw.recognises(recording.parent)
    assert not robosuite_raw.recognises(recording.with_name("absent.hdf5"))


def test_demonstrations_come_by_number(recording: Path) -> None:
    """demo_10 after demo_2, and the gap between them is a warning."""
    assert [len(e) for e in robosuite_raw.read(recording)] == [6, 7, 8]
    (finding,) = robosuite_raw.describe(recording).findings
    assert (finding.check, finding.severity, finding.count) == ("missing_demonstrations", "warning", 7)
    assert "after demo_2" in finding.message


def test_what_is_no_sensor_is_listed(recording: Path) -> None:
    """Torques measured during the action are extra, an array without width is empty, the model is text."""
    contents = robosuite_raw.describe(recording)
    kinds = {left.name: left.kind for left in contents.left_out}
    assert kinds == {"joint_torques": "other", "gripper_actuations": "empty", "model_file": "text"}
    assert [s.name for s in contents.sensors] == ["states"]
    assert contents.control_rate_hz == 20
    assert contents.facts["env"] == "Lift"
    assert not next(robosuite_raw.read(recording)).extra


def test_a_sensor_that_is_not_wanted_is_not_read(recording: Path) -> None:
    """An empty selection leaves actions and times."""
    episode = next(robosuite_raw.read(recording, sensors=()))
    assert not episode.sensors
    assert len(episode) == 6


def test_the_default_observation_does_not_hold_the_clock(recording: Path) -> None:
    """The first number of a state is the time, and stays the time alone; a manifest may still select all of it."""
    contents, logged = robosuite_raw.describe(recording), next(robosuite_raw.read(recording))
    episode = assemble(logged, implied_layout(contents))
    assert episode.observations.shape == (6, 4)
    assert np.array_equal(episode.observations, logged.sensors["states"][:, 1:].astype(np.float32))
    assert np.array_equal(logged.times, logged.sensors["states"][:, 0])
    assert assemble(logged, implied_layout(contents, ("states",))).observations.shape == (6, 5)


def shorten(file: Any) -> None:
    states = file["data/demo_2/states"][:-1]
    del file["data/demo_2/states"]
    file["data/demo_2/states"] = states


def narrow(file: Any) -> None:
    states = file["data/demo_10/states"][:, :-1]
    del file["data/demo_10/states"]
    file["data/demo_10/states"] = states


def remove(name: str) -> Change:
    return lambda file: file.__delitem__(name)


def link(file: Any) -> None:
    del file["data/demo_2/actions"]
    file["data/demo_2/actions"] = h5py.ExternalLink("elsewhere.hdf5", "/actions")


def link_demonstration(file: Any) -> None:
    file["data/demo_3"] = h5py.SoftLink("/data/demo_2")


def never_written(file: Any) -> None:
    del file["data/demo_2/actions"]
    file["data/demo_2"].create_dataset("actions", shape=(7, 2), chunks=(7, 2), dtype="f8")


def no_room(file: Any) -> None:
    del file["data/demo_2/states"]
    file["data/demo_2"].create_dataset("states", shape=(7, 10**9), dtype="f8")


def texts(file: Any) -> None:
    del file["data/demo_2/actions"]
    file["data/demo_2/actions"] = [b"left"] * 7


def stranger(file: Any) -> None:
    file["data/notes"] = [1, 2]


def bad_json(file: Any) -> None:
    file["data"].attrs["env_info"] = "{"


@pytest.mark.parametrize(
    ("how", "what", "where"),
    [
        (shorten, r"demo_2/states has 6 rows", "episode 1 (demo_2)"),
        (narrow, r"states is 4 wide", "episode 2 (demo_10)"),
        (remove("data/demo_2/states"), "no states", "episode 1 (demo_2)"),
        (remove("data/demo_2/actions"), "no actions", "episode 1 (demo_2)"),
        (texts, "no vector a step", "episode 1 (demo_2)"),
        (link, r"/data/demo_2/actions is a link", "demo.hdf5"),
        (link_demonstration, r"/data/demo_3 is a link", "demo.hdf5"),
        (never_written, "never written in whole", "episode 1 (demo_2)"),
        (no_room, "states is 1000000000 wide", "episode 1 (demo_2)"),
        (stranger, "/data/notes is no demonstration", "demo.hdf5"),
        (bad_json, "env_info is not readable as JSON", "/data"),
        (lambda file: file["data/demo_1"].attrs.__setitem__("num_samples", 9), "num_samples says 9", "episode 0"),
        (lambda file: file["data"].attrs.__setitem__("total", 22), "total says 22.* 21 actions", "/data"),
        (lambda file: file["data"].attrs.__setitem__("total", "many"), "total is 'many'", "/data"),
    ],
)
def test_what_is_broken_is_one_error_at_its_place(recording: Path, how: Change, what: str, where: str) -> None:
    """Lengths, widths, links, values never written, contradicted counts."""
    change(recording, how)
    with pytest.raises(DataError, match=what) as error:
        everything(recording)
    assert where in error.value.where


def test_what_the_file_only_announces_takes_no_memory(recording: Path) -> None:
    """A width that every demonstration claims and none holds is refused before room is made for it."""

    def claim(file: Any) -> None:
        for demo in file["data"].values():
            del demo["states"]
            demo.create_dataset("states", shape=(len(demo["actions"]), 10**11), dtype="f8")

    change(recording, claim)
    with pytest.raises(DataError, match="never written in whole"):
        everything(recording)


def test_a_file_that_was_cut_is_one_error(recording: Path) -> None:
    """Wherever it was cut, HDF5's own complaint becomes a DataError."""
    whole = recording.read_bytes()
    for size in range(0, len(whole), len(whole) // 12):
        recording.write_bytes(whole[:size])
        with pytest.raises(DataError):
            everything(recording)
        assert not robosuite_raw.recognises(recording)
