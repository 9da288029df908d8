"""From a stranger's file to running stages, by the commands of the README: real DVC, no plug-in for the robot."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from small_checkout import SMALL, Checkout, clone

from offline_to_online.dataset.files import read_json

EPISODES, STEPS = 60, 30
STATED = {
    "robot": "recorded_only",
    "the robot's body": "a block on a rail",
    "the sensors": "encoder",
    "unit of": "m",
    "control steps": "10",
    "who acted": "script",
    "how the start": "uniform along the rail",
    "the licence": "MIT",
    "where the data": "made up",
}


def write_log(path: Path) -> None:
    """A block that is pushed towards the middle of its rail, logged in D4RL's layout."""
    rng = np.random.default_rng(5)
    rows: dict[str, list[np.ndarray]] = {"observations": [], "next_observations": [], "actions": [], "rewards": []}
    for _ in range(EPISODES):
        state = np.array([rng.uniform(-1, 1), 0.0])
        for _ in range(STEPS):
            push = np.clip(-state[:1] - 0.5 * state[1:] + 0.1 * rng.normal(size=1), -0.9, 0.9)
            speed = 0.9 * state[1] + 0.2 * push[0]
            after = np.array([state[0] + 0.1 * speed, speed])
            step = {"observations": state, "next_observations": after, "actions": push, "rewards": -np.abs(after[0])}
            for name, value in step.items():
                rows[name].append(np.asarray(value, dtype=np.float32))
            state = after
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        for name, values in rows.items():
            file[name] = np.stack(values)
        file["terminals"] = np.zeros(EPISODES * STEPS, dtype=bool)
        file["timeouts"] = np.arange(EPISODES * STEPS) % STEPS == STEPS - 1


def state_all(path: Path) -> None:
    """Fill every blank of an adopted file, as a person would."""
    text = path.read_text(encoding="utf-8")
    for what, said in STATED.items():
        text = re.sub(rf"'?<state: [^>]*{what}[^>]*>'?", said, text)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clone in which a stranger's log was adopted, with its blanks filled."""
    checkout = clone(tmp_path_factory.mktemp("adopted"))
    write_log(checkout.folder / "mine/rail.hdf5")
    (checkout.folder / "small.yaml").write_text(SMALL)
    checkout.run(sys.executable, "-m", "offline_to_online.params", "use", "small.yaml")
    command = (sys.executable, "-m", "offline_to_online.dataset", "adopt", "mine/rail.hdf5", "--name", "rail")
    said = checkout.run(*command).stdout
    assert "left to state in data/manifests/rail.yaml" in said
    left = checkout.run(
        *command[:3], "validate", "mine/rail.hdf5", "--manifest", "data/manifests/rail.yaml", "--to", "x", check=False
    )
    assert (left.returncode, "blank(s) are left" in left.stderr) == (2, True)
    for name in ("rail.yaml", "rail.params.yaml"):
        state_all(checkout.folder / "data/manifests" / name)
    checkout.run(sys.executable, "-m", "offline_to_online.params", "use", "data/manifests/rail.params.yaml")
    return checkout


def test_a_stranger_s_log_is_audited_without_a_plug_in(adopted: Checkout) -> None:
    """validate, support, train and audit run; the audit has regions, and validation lists what it found."""
    ran = adopted.repro("audit")
    assert sorted(ran) == ["audit@bc", "audit@iql", "support", "train@bc", "train@iql", "validate"]
    validation = read_json(adopted.folder / "data/episodes/validation.json")
    assert (validation["episodes"], validation["steps"]) == (EPISODES, EPISODES * STEPS)
    assert [row for row in validation["findings"] if row["severity"] == "error"] == []
    assert "saturation/none" in read_json(adopted.folder / "data/audit/iql/metrics.json")["regions"]


def test_another_word_in_a_finding_trains_nothing(adopted: Checkout) -> None:
    """What stands beside the episodes in their folder is no reason to fit or train anew."""
    adopted.repro("audit")
    manifest = adopted.folder / "data/manifests/rail.yaml"
    manifest.write_text(manifest.read_text() + "# a remark\n")
    path = adopted.folder / "offline_to_online/dataset/checks/sampling.py"
    path.write_text(path.read_text() + "# another word\n")
    assert adopted.repro("audit") == ["validate"]


def test_another_bound_in_the_manifest_fits_and_trains_anew(adopted: Checkout) -> None:
    """A robot that is known from its manifest only has its bounds from there."""
    adopted.repro("audit")
    manifest = adopted.folder / "data/manifests/rail.yaml"
    fields = yaml.safe_load(manifest.read_text())
    fields["action_schema"]["dimensions"][0]["high"] = 1.5
    manifest.write_text(yaml.safe_dump(fields))
    ran = adopted.repro("audit")
    assert sorted(ran) == ["audit@bc", "audit@iql", "support", "train@bc", "train@iql", "validate"]


def test_a_robot_that_cannot_be_played_is_one_line(adopted: Checkout) -> None:
    """Somebody who asks for its panel is told what works without one."""
    make = ("make-panel", "--robot", "recorded_only", "--seed", "1", "--path", "data/panels/recorded_only.json")
    done = adopted.run(sys.executable, "-m", "offline_to_online.evaluation", *make, check=False)
    assert done.returncode == 2
    assert "dvc repro audit" in done.stderr
    assert done.stderr.count("\n") == 1
