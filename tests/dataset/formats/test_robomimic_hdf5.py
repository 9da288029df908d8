"""robomimic HDF5, in a file that robomimic 0.3.0 wrote, and in changed copies of it.

``files/robomimic_point.hdf5`` was written by robomimic's own ``scripts/dataset_states_to_obs.py`` (``--done_mode 1``)
and ``scripts/split_train_val.py`` from states and actions of a made-up point mass, whose environment is ours: 11
demonstrations with observations, next observations, rewards, dones and filter keys.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from offline_to_online.dataset.assembly import assemble, implied_layout
from offline_to_online.dataset.formats import d4rl_hdf5, robomimic_hdf5, robosuite_raw
from offline_to_online.errors import DataError

WRITTEN = Path(__file__).parent / "files" / "robomimic_point.hdf5"
DEFAULT = ("obs/object", "obs/robot0_eef_pos", "obs/robot0_eef_quat", "obs/robot0_gripper_qpos")
Change = Callable[[Any], None]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copy(WRITTEN, tmp_path / "point.hdf5"))


def change(path: Path, how: Change) -> None:
    """Alter a file that was already written."""
    with h5py.File(path, "a") as file:
        how(file)


def replace(file: Any, name: str, values: Any) -> None:
    """Another content under the same name."""
    del file[name]
    file[name] = values


def everything(path: Path) -> None:
    """What an import does: headers, then every episode."""
    robomimic_hdf5.describe(path)
    for _ in robomimic_hdf5.read(path, extra=True):
        pass


def test_robomimics_own_file_comes_in_bit_for_bit() -> None:
    """Every array of every demonstration as a plain h5py read gives it, in the order of their numbers."""
    episodes = list(robomimic_hdf5.read(WRITTEN))
    assert len(episodes) == 11
    with h5py.File(WRITTEN) as file:
        for number, episode in enumerate(episodes):
            demo = file[f"data/demo_{number}"]
            for key in demo["obs"]:
                assert episode.sensors[f"obs/{key}"].tobytes() == demo[f"obs/{key}"][()].tobytes()
                assert episode.following[f"obs/{key}"].tobytes() == demo[f"next_obs/{key}"][()].tobytes()
            assert episode.sensors["states"].tobytes() == demo["states"][()].tobytes()
            assert episode.actions.tobytes() == demo["actions"][()].tobytes()
            assert np.array_equal(episode.rewards, demo["rewards"][()])
            assert np.array_equal(episode.terminals, demo["dones"][()])


def test_it_says_what_it_holds() -> None:
    """Counts, rate, filter keys, and robomimic's own choice of observations."""
    contents = robomimic_hdf5.describe(WRITTEN)
    with h5py.File(WRITTEN) as file:
        total = int(file["data"].attrs["total"])
    assert (contents.episodes, contents.steps, contents.control_rate_hz) == (11, total, 20)
    assert (contents.rewards, contents.ends, contents.final_observation) == (True, True, True)
    assert contents.observation == DEFAULT
    assert {s.name for s in contents.sensors} == {*DEFAULT, "obs/robot0_eef_vel_lin", "states"}
    assert contents.facts["env_name"] == "PointReach"
    assert {key for key in contents.facts if key.startswith("mask/")} == {"mask/train", "mask/valid"}
    assert contents.findings == ()


def test_it_becomes_episodes_of_ours() -> None:
    """The last observation is that of next_obs, the last reward and the end are kept."""
    contents = robomimic_hdf5.describe(WRITTEN)
    for logged in robomimic_hdf5.read(WRITTEN):
        episode = assemble(logged, implied_layout(contents))
        after = np.concatenate([logged.following[name][-1] for name in DEFAULT]).astype(np.float32)
        assert len(episode) == len(logged)
        assert np.array_equal(episode.observations[-1], after)
        assert episode.terminated


def test_only_this_format_recognises_it(recording: Path) -> None:
    """Observations, rewards or dones tell it from robosuite's raw demonstrations."""
    for name in ("next_obs", "obs", "dones"):
        assert robomimic_hdf5.recognises(recording)
        assert not robosuite_raw.recognises(recording)
        assert not d4rl_hdf5.recognises(recording)
        change(recording, lambda file, name=name: [file.__delitem__(f"data/demo_{n}/{name}") for n in range(11)])


def test_a_selection_is_read_alone() -> None:
    """Only the sensors that were asked for, before and after the action."""
    episode = next(robomimic_hdf5.read(WRITTEN, sensors=["obs/object"]))
    assert list(episode.sensors) == list(episode.following) == ["obs/object"]


def test_pictures_are_left_out_by_name(recording: Path) -> None:
    """A camera is listed as an image, its absence from the sensors is no error; the model is text."""

    def add(file: Any) -> None:
        for demo in file["data"].values():
            for group in ("obs", "next_obs"):
                demo[f"{group}/agentview_image"] = np.zeros((len(demo["actions"]), 4, 4, 3), dtype=np.uint8)
            demo.attrs["model_file"] = "<mujoco/>"

    change(recording, add)
    contents = robomimic_hdf5.describe(recording)
    assert {left.name: left.kind for left in contents.left_out} == {
        "obs/agentview_image": "image",
        "model_file": "text",
    }
    assert "obs/agentview_image" not in next(robomimic_hdf5.read(recording)).sensors


def test_without_the_usual_keys_all_vectors_are_the_observation(recording: Path) -> None:
    """In the order of their names; states stay apart."""
    change(
        recording,
        lambda file: [
            file.__delitem__(f"{demo.name}/{group}/robot0_eef_pos")
            for demo in file["data"].values()
            for group in ("obs", "next_obs")
        ],
    )
    assert robomimic_hdf5.describe(recording).observation == (
        "obs/object",
        "obs/robot0_eef_quat",
        "obs/robot0_eef_vel_lin",
        "obs/robot0_gripper_qpos",
    )


def test_dones_at_every_step_in_success_are_one_ending(recording: Path) -> None:
    """robomimic's done_mode 2: they stay as logged, and assembly takes them for one ending if they last to the end."""
    rewards = next(robomimic_hdf5.read(recording)).rewards
    change(recording, lambda file: file["data/demo_0/dones"].write_direct(rewards.astype(np.int64)))
    logged = next(robomimic_hdf5.read(recording))
    assert logged.terminals.sum() == rewards.sum() == 2
    assert assemble(logged, implied_layout(robomimic_hdf5.describe(recording))).terminated
    change(recording, lambda file: file["data/demo_0/dones"].write_direct(np.roll(rewards, -1).astype(np.int64)))
    with pytest.raises(DataError, match=r"end_before_the_last_step.*terminals: ignore"):
        assemble(next(robomimic_hdf5.read(recording)), implied_layout(robomimic_hdf5.describe(recording)))


def test_other_forms_of_the_action_are_extra(recording: Path) -> None:
    """Absolute actions and an action dictionary are handed out where they are asked for."""

    def add(file: Any) -> None:
        for demo in file["data"].values():
            demo["actions_abs"] = demo["actions"][()]
            demo["action_dict/gripper"] = demo["actions"][:, 3:]

    change(recording, add)
    episode = next(robomimic_hdf5.read(recording, extra=True))
    assert set(episode.extra) == {"actions_abs", "action_dict/gripper"}
    assert {left.name for left in robomimic_hdf5.describe(recording).left_out} == {"actions_abs", "action_dict"}


def halve(name: str) -> Change:
    return lambda file: replace(file, name, file[name][: len(file[name]) // 2])


def odd_done(file: Any) -> None:
    file["data/demo_2/dones"][3] = 7


def mask_a_stranger(file: Any) -> None:
    replace(file, "mask/valid", [b"demo_3", b"demo_77"])


def link_observations(file: Any) -> None:
    replace(file, "data/demo_4/obs", h5py.ExternalLink("elsewhere.hdf5", "/obs"))


def odd_attribute(file: Any) -> None:
    """Neither text nor number: of such types h5py does not survive every damage, so none is read."""
    file["data"].attrs["env_args"] = np.array((1, 2.0), dtype=[("a", "i4"), ("b", "f8")])


def store_elsewhere(file: Any) -> None:
    del file["data/demo_4/rewards"]
    steps = len(file["data/demo_4/actions"])
    file["data/demo_4"].create_dataset(
        "rewards", shape=(steps,), dtype="f8", external=[("elsewhere.bin", 0, 8 * steps)]
    )


@pytest.mark.parametrize(
    ("how", "what", "where"),
    [
        (halve("data/demo_2/obs/object"), "obs/object has", "episode 2"),
        (halve("data/demo_2/next_obs/object"), "next_obs/object has the shape", "episode 2"),
        (halve("data/demo_2/rewards"), "rewards has", "episode 2"),
        (halve("data/demo_10/actions"), "num_samples says", "episode 10 (demo_10)"),
        (lambda file: file.__delitem__("data/demo_2/actions"), "no actions", "episode 2"),
        (lambda file: file.__delitem__("data/demo_2/obs/object"), "obs/object is absent", "episode 2"),
        (lambda file: file.__delitem__("data/demo_2/next_obs/object"), "next_obs/object is absent", "episode 2"),
        (lambda file: file.__delitem__("data/demo_2/rewards"), "rewards is absent", "episode 2"),
        (lambda file: file.__delitem__("data/demo_10"), "total says", "/data"),
        (lambda file: file["data/demo_5"].attrs.__setitem__("num_samples", 3), "num_samples says 3", "episode 5"),
        (odd_done, "dones is 7", "episode 2 (demo_2), step 3"),
        (mask_a_stranger, "mask/valid names demo_77", "point.hdf5"),
        (link_observations, "/data/demo_4/obs is a link", "point.hdf5"),
        (store_elsewhere, "/data/demo_4/rewards is stored in another file", "point.hdf5"),
        (lambda file: file["data"].attrs.__setitem__("env_args", "[1]"), "env_args is not readable", "/data"),
        (odd_attribute, "env_args is neither", "/data"),
        (lambda file: replace(file, "mask/valid", [1, 2]), "mask/valid holds no names", "point.hdf5"),
    ],
)
def test_what_is_broken_is_one_error_at_its_place(recording: Path, how: Change, what: str, where: str) -> None:
    """Lengths, what is missing, contradicted counts, flags that are none, links."""
    change(recording, how)
    with pytest.raises(DataError, match=what) as error:
        everything(recording)
    assert where in error.value.where


def test_a_demonstration_that_is_missing_is_noticed(recording: Path) -> None:
    """Even where nobody counted the steps and no filter key names it, by the gap in the numbers."""

    def lose(file: Any) -> None:
        del file["data/demo_4"], file["mask"], file["data"].attrs["total"]

    change(recording, lose)
    (finding,) = robomimic_hdf5.describe(recording).findings
    assert (finding.check, finding.severity, finding.count) == ("missing_demonstrations", "warning", 1)


def test_pictures_alone_are_no_observation(recording: Path) -> None:
    """A file without any vector says how to get some."""

    def only_pictures(file: Any) -> None:
        for demo in file["data"].values():
            steps = len(demo["actions"])
            del demo["obs"], demo["next_obs"], demo["states"]
            demo["obs/agentview_image"] = np.zeros((steps, 4, 4, 3), dtype=np.uint8)

    change(recording, only_pictures)
    with pytest.raises(DataError, match="no vector is logged"):
        robomimic_hdf5.describe(recording)


def test_a_file_that_was_cut_is_one_error(recording: Path) -> None:
    """Wherever it was cut, HDF5's own complaint becomes a DataError."""
    whole = recording.read_bytes()
    for size in range(0, len(whole), len(whole) // 10):
        recording.write_bytes(whole[:size])
        with pytest.raises(DataError):
            everything(recording)
