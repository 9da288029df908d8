"""A small made-up robot: two observation dimensions, one action, episodes that are real arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from offline_to_online.dataset import examination
from offline_to_online.dataset.checks import Seen
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import file_sha256
from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.manifest import Manifest, load_manifest
from offline_to_online.dataset.spec import ActionSchema, Dimension, ObservationSchema, SafetyLimits
from offline_to_online.robots import Labels, RobotSpec

Fields = dict[str, Any]


def manifest_fields(**changes: Any) -> Fields:
    """A whole manifest; ``changes`` replace fields, and None removes one."""
    fields: Fields = {
        "name": "slider",
        "robot": "slider",
        "robot_body": "a block on a rail",
        "sensors": ["encoder"],
        "action_schema": {
            "kind": "vector",
            "out_of_bounds": "refuse",
            "dimensions": [{"name": "push", "unit": "N", "low": -1, "high": 1}],
        },
        "observation_schema": {
            "dimensions": [
                {"name": "place", "unit": "m", "low": -10, "high": 10},
                {"name": "speed", "unit": "m/s", "low": -10, "high": 10},
            ]
        },
        "control_rate_hz": 10,
        "operators": ["expert", "novice"],
        "split": {"train": 0.6, "calibration": 0.2, "heldout": 0.2, "stratify": "operator"},
        "reset_distribution": "uniform along the rail",
        "episode_horizon": 20,
        "reward_source": "file",
        "licence": "MIT",
        "source": "made up",
        "hashes": "recorded",
    }
    fields.update(changes)
    return {key: value for key, value in fields.items() if value is not None}


def one_episode(seed: int, *, length: int = 6, operator: str = "expert", **changes: Any) -> Episode:
    """A random walk inside the bounds."""
    rng = np.random.default_rng(seed)
    fields: Fields = {
        "observations": rng.uniform(-9, 9, (length + 1, 2)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (length, 1)).astype(np.float32),
        "rewards": rng.normal(size=length).astype(np.float32),
        "cost": np.zeros(length, dtype=np.float32),
        "intervened": np.zeros(length, dtype=np.bool_),
        "terminated": False,
        "truncated": True,
        "operator": operator,
        "seed": seed,
        "success": bool(seed % 2),
        "score": 0.5,
    }
    return Episode(**{**fields, **changes})


@pytest.fixture(scope="session")
def make_episode() -> Callable[..., Episode]:
    """``make_episode(seed, length=, operator=, ...)``."""
    return one_episode


@pytest.fixture(scope="session")
def fields() -> Callable[..., Fields]:
    """``fields(**changes)``: a manifest before it is YAML."""
    return manifest_fields


@pytest.fixture(scope="session")
def make_manifest(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Manifest]:
    """``make_manifest(**changes)``: a manifest through YAML and back."""

    def make(**changes: Any) -> Manifest:
        path = tmp_path_factory.mktemp("manifest") / "slider.yaml"
        path.write_text(yaml.safe_dump(manifest_fields(**changes)))
        return load_manifest(path)

    return make


@pytest.fixture(scope="session")
def log() -> list[Episode]:
    """Twenty episodes by two operators, of different lengths."""
    return [one_episode(i, length=4 + i % 5, operator="novice" if i % 4 == 0 else "expert") for i in range(20)]


@pytest.fixture
def write_hdf5(tmp_path: Path) -> Callable[..., Path]:
    """``write_hdf5(**data sets)``: a D4RL-layout file of 24 steps, episodes of 6; None removes a data set."""

    def write(**changes: Any) -> Path:
        rng = np.random.default_rng(0)
        observations = rng.uniform(-9, 9, (28, 2)).astype(np.float32)
        rows = np.array([e * 7 + t for e in range(4) for t in range(6)])
        content: Fields = {
            "observations": observations[rows],
            "next_observations": observations[rows + 1],
            "actions": rng.uniform(-1, 1, (24, 1)).astype(np.float32),
            "rewards": rng.normal(size=24).astype(np.float32),
            "terminals": np.zeros(24, dtype=bool),
            "timeouts": np.arange(24) % 6 == 5,
            "episodes/operator": np.array([b"expert", b"expert", b"expert", b"novice"]),
            **changes,
        }
        path = tmp_path / "log.hdf5"
        with h5py.File(path, "w") as file:
            for name, values in content.items():
                if values is not None:
                    file[name] = values
        return path

    return write


@pytest.fixture
def manifest_of(make_manifest: Callable[..., Manifest]) -> Callable[..., Manifest]:
    """``manifest_of(path, **changes)``: a manifest that gives the file's own hash."""
    return lambda path, **changes: make_manifest(hashes={path.name: file_sha256(path)}, **changes)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``plant(*findings)``: an examination has one check only, which finds these."""

    class Planted:
        def __init__(self, findings: tuple[Finding, ...]) -> None:
            self.found = findings

        def see(self, seen: Seen) -> None:
            """Look away."""

        def findings(self) -> tuple[Finding, ...]:
            """What was planted."""
            return self.found

    def planted(*findings: Finding) -> None:
        family = ModuleType("planted")
        family.checks = lambda subject: [Planted(findings)]  # type: ignore[attr-defined]
        monkeypatch.setattr(examination, "available", lambda kind: ["planted"])
        monkeypatch.setattr(examination, "module_for", lambda kind, name: family)

    return planted


@pytest.fixture(scope="session")
def slider() -> ModuleType:
    """The plug-in of the made-up robot: a reward of 1 a step, and the manifest's own dimensions."""
    push = Dimension(name="push", unit="N", low=-1, high=1)
    place, speed = (Dimension(name=n, unit=u, low=-10, high=10) for n, u in (("place", "m"), ("speed", "m/s")))
    module = ModuleType("slider")
    module.SPEC = RobotSpec(  # type: ignore[attr-defined]
        name="slider",
        body="a block on a rail",
        sensors=("encoder",),
        action=ActionSchema(dimensions=(push,)),
        observation=ObservationSchema(dimensions=(place, speed)),
        limits=SafetyLimits(max_action_change=(2.0,), max_episode_cost=1.0),
        control_rate_hz=10,
        horizon=20,
        reward_meaning="1 a step",
        cost_meaning="none",
        score_meaning="none",
        success_rule="last",
        failures=(),
        regions={},
    )
    module.label = lambda observations, actions: Labels(  # type: ignore[attr-defined]
        rewards=np.ones(len(actions)), cost=np.zeros(len(actions)), success=True, score=1.0
    )
    module.regions = lambda observations, actions: {}  # type: ignore[attr-defined]
    return module
