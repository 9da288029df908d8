"""Adoption: a draft with all that could be measured, blanks for the rest, and both files or neither."""

from __future__ import annotations

import dataclasses
import math
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from offline_to_online.dataset import adoption
from offline_to_online.dataset.adoption import adopt, manifest_text
from offline_to_online.dataset.files import file_sha256, folder_sha256
from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.hashes import verify_hashes
from offline_to_online.dataset.inspection import Inspection, inspect
from offline_to_online.dataset.manifest import load_manifest
from offline_to_online.dataset.store import load_episodes, write_episodes
from offline_to_online.dataset.validation import validate
from offline_to_online.errors import DataError, ManifestError, ParameterError
from offline_to_online.params import use_overlay
from offline_to_online.plugins import available, module_for

ROOT = Path(__file__).resolve().parent.parent.parent
Write = Callable[..., Path]
Plant = Callable[..., None]
NOBODY: dict[str, Any] = {"episodes/operator": None}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Where the two files go."""
    (tmp_path / "checkout").mkdir()
    return tmp_path / "checkout"


def drafted(found: Inspection, **changes: Any) -> dict[str, Any]:
    """The draft manifest of an inspection, parsed."""
    arguments = {"name": "slider", "keys": (), "robot": None, "robot_name": None, **changes}
    content: dict[str, Any] = yaml.safe_load(manifest_text(found, **arguments))
    return content


def fill(path: Path, **facts: Any) -> None:
    """What a person does: every blank replaced, and what is wrong mended."""
    content = yaml.safe_load(path.read_text())

    def stated(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: stated(v) for k, v in value.items()}
        if isinstance(value, list):
            return [stated(v) for v in value]
        return "stated" if isinstance(value, str) and value.startswith("<state: ") else value

    path.write_text(yaml.safe_dump({**stated(content), **facts}))


def test_what_could_be_measured_is_filled_in(write_hdf5: Write, plant: Plant, checkout: Path) -> None:
    """Counts, rate, operators, horizon, hash, the range of every dimension with a margin."""
    plant(Finding(check="dull", severity="warning", message="nothing\nmoves \x1b[31m"))
    path = write_hdf5(**{"infos/time": np.arange(24) / 25})
    draft = adopt(path, name="slider", root=checkout)
    content = yaml.safe_load(draft.manifest.read_text())
    assert draft.manifest == checkout / "data/manifests/slider.yaml"
    assert (content["name"], content["control_rate_hz"], content["episode_horizon"]) == ("slider", 25, 6)
    assert (content["operators"], content["split"]["stratify"]) == (["expert", "novice"], "operator")
    assert content["hashes"] == {"log.hdf5": file_sha256(path)}
    assert content["reward_source"] == "file"
    with h5py.File(path) as file:
        actions = file["actions"][:]
    (push,) = content["action_schema"]["dimensions"]
    margin = 0.1 * float(np.ptp(actions))
    assert push["low"] == pytest.approx(actions.min() - margin, abs=0.05 * margin)
    assert push["high"] == pytest.approx(actions.max() + margin, abs=0.05 * margin)
    assert "# warning: dull: nothing moves" in draft.manifest.read_text()


def test_what_a_person_must_say_is_a_blank_that_is_refused(write_hdf5: Write, plant: Plant, checkout: Path) -> None:
    """Each is listed with its place, and the manifest does not load until it is said."""
    plant()
    draft = adopt(write_hdf5(**NOBODY), name="slider", root=checkout)
    places = [blank.partition(": <state: ")[0] for blank in draft.blanks[draft.manifest]]
    assert places == [
        *("robot", "robot_body", "sensors.0", "action_schema.dimensions.0.unit"),
        *("observation_schema.dimensions.0.unit", "observation_schema.dimensions.1.unit"),
        *("control_rate_hz", "operators.0", "reset_distribution", "licence", "source"),
    ]
    with pytest.raises(
        ManifestError, match=r"11 blank\(s\) are left: robot: <state: the robot's plug-in.*slider\.yaml"
    ):
        load_manifest(draft.manifest)


def test_filled_in_it_is_valid(write_hdf5: Write, plant: Plant, checkout: Path) -> None:
    """From a stranger's file to stored episodes: every kept step is there, unclipped."""
    plant()
    path = write_hdf5(**NOBODY)
    draft = adopt(path, name="slider", root=checkout)
    fill(draft.manifest, control_rate_hz=10)
    manifest = load_manifest(draft.manifest)
    folder = checkout / "episodes"
    summary = validate(path=path, format_name=None, manifest=manifest, robot=None, seed=0, folder=folder)
    assert (summary["episodes"], summary["steps"], summary["clipped"]["entries"]) == (4, 24, 0)
    assert {episode.operator for episode in load_episodes(folder)} == {"stated"}


def test_a_known_robot_leaves_few_blanks(
    write_hdf5: Write, plant: Plant, checkout: Path, slider: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, units, bounds, rate, body and sensors are the robot's; its horizon is not cut short."""
    plant()
    monkeypatch.setattr(adoption, "plug_in", lambda name, where: slider)
    draft = adopt(write_hdf5(), name="slider", root=checkout, robot_name="slider")
    assert [blank.partition(": ")[0] for blank in draft.blanks[draft.manifest]] == [
        "reset_distribution",
        "licence",
        "source",
    ]
    fill(draft.manifest)
    manifest, spec = load_manifest(draft.manifest), slider.SPEC
    assert manifest.episode_horizon == spec.horizon
    manifest.require_robot("slider", action=spec.action, observation=spec.observation, control_rate_hz=10)


def test_robots_of_these_sizes_are_suggested(write_hdf5: Write, plant: Plant, checkout: Path) -> None:
    """The blank for the robot names those that fit, and what to say where there is none."""
    plant()
    changes = {"observations": np.ones((24, 5)), "next_observations": None, "actions": np.ones((24, 2))}
    draft = adopt(write_hdf5(**changes), name="t", root=checkout)
    assert "pusht has these sizes; recorded_only where there is none" in draft.blanks[draft.manifest][0]
    with pytest.raises(ParameterError, match=r"unknown robot 'pushd'.*did you mean 'pusht'\?"):
        adopt(write_hdf5(), name="other", root=checkout, robot_name="pushd")


def test_the_params_section_is_one(write_hdf5: Write, plant: Plant, checkout: Path) -> None:
    """``params use`` takes it: this data set, read where it lies, and nothing to record."""
    plant()
    changes = {"observations": np.ones((24, 5)), "next_observations": None, "actions": np.ones((24, 2))}
    path = write_hdf5(**changes)
    draft = adopt(path, name="my_t", root=checkout, robot_name="pusht", format_name="d4rl_hdf5")
    (checkout / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    assert use_overlay(draft.params, checkout / "params.yaml")
    content = yaml.safe_load((checkout / "params.yaml").read_text())
    assert content["dataset"] == {"name": "my_t", "path": str(path), "format": "d4rl_hdf5"}
    assert (content["robot"], content["collect"]["recordings"]) == ("pusht", [])
    assert content["online"]["registered_model"] == "my-t"


@pytest.mark.parametrize("name", ["slider.yaml", "slider.params.yaml"])
def test_nothing_is_overwritten(write_hdf5: Write, plant: Plant, checkout: Path, name: str) -> None:
    """Whichever of the two is there: it stays, and the other is not written."""
    plant()
    folder = checkout / "data/manifests"
    folder.mkdir(parents=True)
    (folder / name).write_text("mine")
    with pytest.raises(ManifestError, match=rf"this file is there already.*{name}.*nothing is overwritten"):
        adopt(write_hdf5(), name="slider", root=checkout)
    assert [(p.name, p.read_text()) for p in folder.iterdir()] == [(name, "mine")]


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "ä"])
def test_a_name_that_no_file_can_have_is_refused(write_hdf5: Write, checkout: Path, name: str) -> None:
    """Before anything is read."""
    with pytest.raises(ManifestError, match="the name "):
        adopt(write_hdf5(), name=name, root=checkout)
    assert list(checkout.iterdir()) == []


def test_data_with_an_error_is_not_adopted(write_hdf5: Write, plant: Plant, checkout: Path) -> None:
    """The first error with its place, the others by name; no file, no folder."""
    plant(
        Finding(check="swapped", severity="error", message="push is pull", remedy="swap", episode=1),
        Finding(check="torn", severity="error", message="in two", episode=2),
        Finding(check="dull", severity="warning", message="nothing moves"),
    )
    with pytest.raises(DataError, match=r"swapped: push is pull \(.*log\.hdf5, episode 1\).*torn \(episode 2\)$"):
        adopt(write_hdf5(), name="slider", root=checkout)
    plant()
    with pytest.raises(DataError, match="rewards is inf"):
        adopt(write_hdf5(rewards=np.full(24, np.inf)), name="slider", root=checkout)
    assert list(checkout.iterdir()) == []


def test_an_interrupted_write_leaves_neither(
    write_hdf5: Write, plant: Plant, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the second cannot be written, the first is not there either."""
    plant()
    real, written = Path.write_text, []

    def full(self: Path, *args: Any, **kwargs: Any) -> int:
        if written:
            raise KeyboardInterrupt
        written.append(self)
        return real(self, *args, **kwargs)

    path = write_hdf5()
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(KeyboardInterrupt):
        adopt(path, name="slider", root=checkout)
    assert len(written) == 1
    assert [p for p in checkout.rglob("*") if p.is_file()] == []


def test_measured_bounds_hold_all_that_was_measured(write_hdf5: Write, plant: Plant, checkout: Path) -> None:
    """Also where a value is large beside its range, or never changes at all."""
    plant()
    rng = np.random.default_rng(0)
    clock = 1.7e9 + np.arange(24) * 1000.0
    observations = np.stack([clock, np.full(24, -3.0)], axis=1)
    actions = 1000 + 1e-3 * rng.uniform(size=(24, 1))
    path = write_hdf5(observations=observations, next_observations=None, actions=actions, **NOBODY)
    draft = adopt(path, name="slider", root=checkout)
    fill(draft.manifest, control_rate_hz=10)
    folder = checkout / "episodes"
    validate(path=path, format_name=None, manifest=load_manifest(draft.manifest), robot=None, seed=0, folder=folder)
    low, high = load_manifest(draft.manifest).observation.low, load_manifest(draft.manifest).observation.high
    assert low[0] <= clock[0] - 1000 < clock[-1] + 1000 <= high[0]
    assert low[1] < -3 < high[1]


def test_declared_bounds_are_kept_to_the_last_digit(write_hdf5: Write, plant: Plant) -> None:
    """A command at a bound of pi must not lie outside it; an infinite one is measured."""
    plant()
    found = inspect(write_hdf5())
    pi = float(np.float32(math.pi))
    for declared, finite in (((-pi, pi), True), ((-math.inf, math.inf), False), ((-pi, math.inf), False)):
        vector = dataclasses.replace(found.contents.actions, low=declared[:1], high=declared[1:])
        contents = dataclasses.replace(found.contents, actions=vector)
        (push,) = drafted(dataclasses.replace(found, contents=contents))["action_schema"]["dimensions"]
        assert ((push["low"], push["high"]) == declared) is finite
        assert all(map(math.isfinite, (push["low"], push["high"])))


def test_actions_beyond_declared_bounds_are_a_question(write_hdf5: Write, plant: Plant) -> None:
    """Only a person knows whether the robot clips them."""
    plant(Finding(check="out_of_bounds", severity="warning", message="57 is more than 1"))
    assert drafted(inspect(write_hdf5()))["action_schema"]["out_of_bounds"].startswith("<state: clip where")
    plant()
    assert drafted(inspect(write_hdf5()))["action_schema"]["out_of_bounds"] == "refuse"


def test_the_findings_that_a_draft_turns_on_exist() -> None:
    """It looks for two by their names."""
    names = {name for family in available("checks") for name in module_for("checks", family).NAMES}
    assert {"out_of_bounds", "reward_mismatch"} <= names


def test_steps_without_an_operator_are_a_question(write_hdf5: Write, plant: Plant) -> None:
    """One named operator must not silently be taken for the author of everybody else's episodes."""
    plant()
    found = inspect(write_hdf5())
    found.measured.operators = Counter({"expert": 2, "unknown": 2})
    operators = drafted(found)["operators"]
    assert operators[0] == "expert"
    assert operators[1].startswith("<state: who acted")


def test_rewards_are_the_robot_s_where_the_file_s_are_not(write_hdf5: Write, plant: Plant, slider: ModuleType) -> None:
    """None logged, or others than the robot's own; without a robot and without rewards there are none."""
    plant()
    robot = {"robot": slider, "robot_name": "slider"}
    unpaid = inspect(write_hdf5(rewards=None))
    assert drafted(unpaid)["reward_source"] == "none"
    assert drafted(unpaid, **robot)["reward_source"] == "robot"
    assert drafted(inspect(write_hdf5()), **robot)["reward_source"] == "file"
    plant(Finding(check="reward_mismatch", severity="warning", message="0.06 more"))
    assert drafted(inspect(write_hdf5()), **robot)["reward_source"] == "robot"
    assert drafted(inspect(write_hdf5()))["reward_source"] == "file"


def test_facts_of_the_file_are_quoted_as_data(write_hdf5: Write, plant: Plant) -> None:
    """Whatever a stranger wrote there, it stays a text of one field."""
    plant()
    path = write_hdf5()
    odd = "MIT: see\nLICENSE # not YAML\nrobot: other"
    with h5py.File(path, "a") as file:
        file.attrs["license"], file.attrs["url"] = odd, "- {a: [b"
        file.attrs["action_names"] = '["y: no"]'
    content = drafted(inspect(path))
    assert content["licence"] == odd
    assert content["source"] == "- {a: [b"
    assert content["robot"].startswith("<state: ")
    assert content["action_schema"]["dimensions"][0]["name"] == "y: no"


def test_selected_sensors_are_written_down(write_hdf5: Write, plant: Plant, checkout: Path) -> None:
    """So that ``validate`` selects the same."""
    plant()
    path = write_hdf5(**{"infos/joints": np.ones((24, 3))})
    keys = ["infos/joints[1:]", "observations"]
    draft = adopt(path, name="slider", root=checkout, keys=keys)
    fill(draft.manifest, control_rate_hz=10)
    manifest = load_manifest(draft.manifest)
    assert manifest.observation_keys == tuple(keys)
    assert manifest.observation.names == ("infos/joints.1", "infos/joints.2", "observations.0", "observations.1")


def test_many_episodes_get_a_calibration_part(write_hdf5: Write, plant: Plant) -> None:
    """From 50 on there are enough for a part of its own; the shares always sum to 1."""
    plant()
    found = inspect(write_hdf5())
    few, found.measured.episodes = drafted(found)["split"], 50
    many = drafted(found)["split"]
    assert (few["calibration"], many["calibration"]) == (0.0, 0.2)
    for split in (few, many):
        assert sum(split[part] for part in ("train", "calibration", "heldout")) == pytest.approx(1)


def test_the_hash_is_of_what_validate_will_hold(
    plant: Plant, checkout: Path, write_hdf5: Write, log: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder by its name, a link by its own, and ``.`` by that of the folder one stands in."""
    plant()
    folder = checkout / "online"
    write_episodes(folder, log)
    (checkout / "link.hdf5").symlink_to(write_hdf5())
    monkeypatch.chdir(folder)
    for i, (path, name) in enumerate(((folder, "online"), (Path(), "online"), (checkout / "link.hdf5", "link.hdf5"))):
        draft = adopt(path, name=f"d{i}", root=checkout)
        fill(draft.manifest, control_rate_hz=10)
        manifest = load_manifest(draft.manifest)
        assert list(manifest.hashes) == [name]
        assert verify_hashes(path, manifest) == manifest.hashes
    assert folder_sha256(folder) == folder_sha256(Path(os.curdir))
