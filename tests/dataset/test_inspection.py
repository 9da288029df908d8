"""An inspection: what the data is, counted over every step, and every finding; nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

from offline_to_online.dataset import inspection
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import json_bytes
from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.formats import d4rl_hdf5
from offline_to_online.dataset.inspection import inspect, page
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.errors import DataError, ManifestError

Write = Callable[..., Path]
Plant = Callable[..., None]
NO_OPERATOR: dict[str, Any] = {"episodes/operator": None}
ERROR = Finding(check="swapped", severity="error", message="push is pull", remedy="swap", episode=1, step=2)


def test_counts_and_ranges_are_those_of_the_file(write_hdf5: Write, plant: Plant) -> None:
    """Episodes, steps as logged and as kept, lengths, operators, endings, and the range of every dimension."""
    plant()
    terminals = np.isin(np.arange(24), (5, 17, 19))
    found = inspect(write_hdf5(terminals=terminals, next_observations=None, **NO_OPERATOR)).to_json()
    assert (found["format"], found["episodes"], found["steps"], found["steps_kept"]) == ("d4rl_hdf5", 5, 24, 22)
    assert found["lengths"] == {"shortest": 2, "longest": 6}
    assert (found["terminated"], found["operators"]) == (3, {"unknown": 5})
    assert found["control_rate_hz"] is None
    assert found["findings"] == []


def test_a_range_is_over_every_step_that_is_kept(write_hdf5: Write, plant: Plant) -> None:
    """To the last digit of float32, the observation after the last step included."""
    plant()
    path = write_hdf5()
    with h5py.File(path) as file:
        rows = np.concatenate([file["observations"][:], file["next_observations"][:]])
        actions, rewards = file["actions"][:], file["rewards"][:].astype(np.float32)
    found = inspect(path).to_json()
    assert found["observation"] == {f"o{i}": [rows[:, i].min(), rows[:, i].max()] for i in range(2)}
    assert found["action"] == {"a0": [actions.min(), actions.max()]}
    assert found["reward"] == [rewards.min(), rewards.max()]
    assert found["operators"] == {"expert": 3, "novice": 1}


def test_what_is_left_out_is_said(write_hdf5: Write, plant: Plant) -> None:
    """Pictures and texts are listed, not dropped silently; facts of the file are shown."""
    plant()
    path = write_hdf5(**{"infos/camera": np.zeros((24, 8, 8, 3), dtype=np.uint8), "infos/joints": np.ones((24, 3))})
    with h5py.File(path, "a") as file:
        file.attrs["licence"] = "MIT"
    found = inspect(path)
    assert [(item["name"], item["kind"]) for item in found.to_json()["left_out"]] == [("infos/camera", "image")]
    text = page(found)
    assert "left out      infos/camera: image" in text
    assert "observations (2, float32), infos/joints (3, float64)" in text
    assert "licence:      MIT" in text


def test_the_control_rate_comes_from_the_time_stamps(write_hdf5: Write, plant: Plant) -> None:
    """The median step, whatever gap there is between two of them."""
    plant()
    times = np.arange(24) * 0.04
    times[3:] += 5
    found = inspect(write_hdf5(**{"infos/time": times}))
    assert found.to_json()["control_rate_hz"] == pytest.approx(25)
    assert "25 Hz" in page(found)


def test_sensors_can_be_selected(write_hdf5: Write, plant: Plant) -> None:
    """As a manifest would, and an unknown one gets the nearest name."""
    plant()
    path = write_hdf5(**{"infos/joints": np.ones((24, 3))})
    found = inspect(path, keys=["infos/joints[1:]", "observations[:1]"])
    assert list(found.to_json()["observation"]) == ["infos/joints.1", "infos/joints.2", "observations.0"]
    with pytest.raises(ManifestError, match=r"no sensor 'infos/joint' is logged.*did you mean 'infos/joints'\?"):
        inspect(path, keys=["infos/joint"])


def test_a_robot_gives_names_and_bounds(write_hdf5: Write, plant: Plant, slider: ModuleType) -> None:
    """And refuses data of another size, saying both numbers and how to select."""
    plant()
    found = inspect(write_hdf5(), robot=slider).to_json()
    assert (list(found["observation"]), list(found["action"])) == (["place", "speed"], ["push"])
    wide = write_hdf5(observations=np.zeros((24, 3)), next_observations=None)
    with pytest.raises(DataError, match=r"3 observation dimensions are logged.*robot slider has 2.*--keys"):
        inspect(wide, robot=slider)
    assert inspect(wide, robot=slider, keys=["observations[1:3]"]).measured.episodes == 4


def test_a_manifest_gives_its_own_names(
    write_hdf5: Write, plant: Plant, make_manifest: Callable[..., Manifest]
) -> None:
    """And what it demands is demanded."""
    plant()
    found = inspect(write_hdf5(), manifest=make_manifest()).to_json()
    assert list(found["observation"]) == ["place", "speed"]
    with pytest.raises(DataError, match="no operator is logged"):
        inspect(write_hdf5(**NO_OPERATOR), manifest=make_manifest())


def test_findings_are_shown_with_place_and_remedy(write_hdf5: Write, plant: Plant) -> None:
    """Errors first; ``errors`` are those that keep the data out."""
    plant(Finding(check="dull", severity="warning", message="nothing moves"), ERROR)
    found = inspect(write_hdf5())
    assert found.errors == [ERROR]
    lines = page(found).splitlines()
    assert lines[-4:] == [
        "findings",
        "  error   swapped (episode 1, step 2): push is pull",
        "          -> swap",
        "  warning dull: nothing moves",
    ]


def test_everything_is_json(write_hdf5: Write, slider: ModuleType) -> None:
    """With all the checks there are; nothing in it is a number of numpy."""
    content = inspect(write_hdf5(**{"infos/time": np.arange(24) / 10}), robot=slider).to_json()
    assert json.loads(json_bytes(content)) == json.loads(json.dumps(content))


def test_nothing_is_written(write_hdf5: Write, tmp_path: Path) -> None:
    """Neither beside the data nor into it."""
    path = write_hdf5()
    before = path.read_bytes()
    inspect(path)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])


def test_no_episodes_is_an_error(write_hdf5: Write, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an empty page."""
    plant()
    monkeypatch.setattr(d4rl_hdf5, "read", lambda path, **_: iter(()))
    with pytest.raises(DataError, match=r"no episodes.*d4rl_hdf5"):
        inspect(write_hdf5())


def test_one_episode_is_held_at_a_time(write_hdf5: Write, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is seen before the next is read."""
    plant()
    order: list[str] = []
    real_read, real_assemble = d4rl_hdf5.read, inspection.assemble

    def read(path: Path, **kwargs: Any) -> Iterator[Any]:
        for logged in real_read(path, **kwargs):
            order.append("read")
            yield logged

    def assemble(*args: Any) -> Episode:
        order.append("seen")
        return real_assemble(*args)

    monkeypatch.setattr(d4rl_hdf5, "read", read)
    monkeypatch.setattr(inspection, "assemble", assemble)
    inspect(write_hdf5())
    assert order == ["read", "seen"] * 4
