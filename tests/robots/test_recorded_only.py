"""A robot known from its manifest only: enough to audit what was learned from its data, and nothing to play."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from offline_to_online.dataset.manifest import Manifest, load_manifest
from offline_to_online.dataset.robot_facts import robot_facts
from offline_to_online.errors import ManifestError, RobotError
from offline_to_online.evaluation.panel import make_panel
from offline_to_online.params import load_params, robot_of
from offline_to_online.robots import Dynamics, recorded_only

ROOT = Path(__file__).resolve().parents[2]


def manifest(folder: Path, **changes: object) -> Manifest:
    """PushT's manifest, as if nobody had written its plug-in."""
    fields = yaml.safe_load((ROOT / "data/manifests/pusht_human.yaml").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**fields, "robot": "recorded_only", **changes}))
    return load_manifest(path)


def test_what_is_known_is_what_the_manifest_says(tmp_path: Path) -> None:
    """Names, bounds, rate and horizon; no limit of its own; no judgement of the data."""
    described = manifest(tmp_path)
    robot = recorded_only.described_by(described)
    described.require_robot(
        "recorded_only",
        action=robot.SPEC.action,
        observation=robot.SPEC.observation,
        control_rate_hz=robot.SPEC.control_rate_hz,
    )
    assert robot.SPEC.horizon == described.episode_horizon
    assert robot_facts(robot) is None


def test_its_regions_are_the_bounds_of_its_commands(tmp_path: Path) -> None:
    """A command at a bound is in its dimension's region, any other in none, and every region is declared."""
    robot = recorded_only.described_by(manifest(tmp_path))
    actions = np.array([[0, 10], [256, 512], [5, 5]], dtype=np.float32)
    masks = robot.regions(np.zeros((3, 5), dtype=np.float32), actions)
    assert masks["saturation/target_x"].tolist() == [True, False, False]
    assert masks["saturation/target_y"].tolist() == [False, True, False]
    assert masks["saturation/none"].tolist() == [False, False, True]
    assert set(masks) == {f"saturation/{name}" for name in robot.SPEC.regions["saturation"]}


def test_its_sensors_are_those_that_its_dimensions_are_named_after(tmp_path: Path) -> None:
    """Adopted data of several sensors says `<sensor>.<entry>`; a name without a dot stands for itself."""
    names = ("observation.arm.0", "observation.arm.1", "gripper.width", "agent_x", "agent_y")
    rows = [{"name": n, "unit": "m", "low": 0.0, "high": 1.0} for n in names]
    robot = recorded_only.described_by(manifest(tmp_path, observation_schema={"dimensions": rows}))
    assert robot.SPEC.sensor_dimensions == {
        "observation.arm": ("observation.arm.0", "observation.arm.1"),
        "gripper": ("gripper.width",),
        "agent_x": ("agent_x",),
        "agent_y": ("agent_y",),
    }


def test_it_cannot_be_played(tmp_path: Path) -> None:
    """Neither connected to nor given a panel: one line that says what works without it."""
    for play in (recorded_only.make, recorded_only.described_by(manifest(tmp_path)).make):
        with pytest.raises(RobotError, match=r"recordings only.*dvc repro audit"):
            play(Dynamics())
    with pytest.raises(RobotError, match="recordings only"):
        make_panel("recorded_only", seed=1)


def test_it_gives_no_rewards(tmp_path: Path) -> None:
    """A manifest that wants the robot's rewards is refused."""
    with pytest.raises(ManifestError, match="knows no reward of its own"):
        recorded_only.described_by(manifest(tmp_path, reward_source="robot"))


def test_stages_get_it_from_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """params.yaml names it, and the data set's manifest describes it."""
    manifest(tmp_path / "data/manifests")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"robot": "recorded_only", "dataset": {"name": "mine", "path": "mine.hdf5"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    assert robot_of(load_params()).SPEC.action.names == ("target_x", "target_y")
