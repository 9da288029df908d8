"""A tiny log of PushT in a clone, sound until a test spoils it in one place; and what every refusal must look like."""

from __future__ import annotations

import copy
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml
from small_checkout import ROOT, Checkout

from offline_to_online.dataset.files import file_sha256

EPISODES, STEPS = 20, 8
# what (where): limit; remedy
LINE = re.compile(r"error: \S.* \(.+\): .+; .+\n")
WRITTEN = (
    "data/episodes",
    "data/support",
    "data/raw",
    "data/online",
    "data/audit",
    "data/evaluation",
    "models",
    "mine",
)
# Bytecode, and the folder that importing the flows makes for Prefect, are nobody's results.
PASSED_OVER = {".git", "__pycache__", "prefect"}


def columns(episodes: int = EPISODES, steps: int = STEPS) -> dict[str, Any]:
    """D4RL-layout columns of random episodes inside PushT's bounds."""
    rng, rows = np.random.default_rng(0), episodes * steps
    observations = rng.uniform([0, 0, -100, -100, 0], [512, 512, 612, 612, 6.28], (episodes, steps + 1, 5))
    return {
        "observations": observations[:, :-1].reshape(rows, 5).astype(np.float32),
        "next_observations": observations[:, 1:].reshape(rows, 5).astype(np.float32),
        "actions": rng.uniform(0, 512, (rows, 2)).astype(np.float32),
        "rewards": rng.uniform(0, 1, rows).astype(np.float32),
        "terminals": np.zeros(rows, dtype=bool),
        "timeouts": np.arange(rows) % steps == steps - 1,
    }


def spoilt(name: str, place: Any, value: float) -> dict[str, Any]:
    """One column with one wrong value in it."""
    column = columns()[name].astype(np.float32)
    column[place] = value
    return {name: column}


def manifest() -> dict[str, Any]:
    """The manifest of the tiny log, but for its hash."""
    fields = yaml.safe_load((ROOT / "data/manifests/pusht_human.yaml").read_text())
    return {**fields, "name": "tiny"}


def schema(field: str, dimension: int, **changes: Any) -> dict[str, Any]:
    """``action_schema`` or ``observation_schema`` with one dimension changed."""
    section = copy.deepcopy(manifest()[field])
    section["dimensions"][dimension].update(changes)
    return {field: section}


@dataclass(frozen=True)
class Place:
    """A clone whose parameters, manifest and log are those of the tiny data set."""

    checkout: Checkout

    @property
    def folder(self) -> Path:
        """Where commands run."""
        return self.checkout.folder

    @property
    def log(self) -> Path:
        """The user's own file, outside every output."""
        return self.folder / "mine/log.hdf5"

    def reset(self) -> None:
        """Nothing written, and everything sound."""
        for name in WRITTEN:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.set_params()
        self.write(columns())
        shutil.copy(ROOT / "data/panels/pusht.json", self.folder / "data/panels/pusht.json")

    def set_params(self, **changes: Any) -> None:
        """params.yaml for the tiny log; ``changes`` replace sections."""
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params |= {"robot": "pusht", "jobs": 1, "support": {"neighbourhoods": [5]}}
        params |= {"behaviour": {"hidden": 8, "components": 2, "updates": 20}}
        params |= {"dataset": {"name": "tiny", "path": "mine/log.hdf5"}, "collect": {"recordings": ["scripted"]}}
        (self.folder / "params.yaml").write_text(yaml.safe_dump({**params, **changes}))

    def set_manifest(self, **changes: Any) -> None:
        """The manifest with the log's own hash; None removes a field."""
        hashes = {"hashes": {self.log.name: file_sha256(self.log)}} if self.log.is_file() else {}
        fields = {key: value for key, value in {**manifest(), **hashes, **changes}.items() if value is not None}
        (self.folder / "data/manifests/tiny.yaml").write_text(yaml.safe_dump(fields))

    def write(self, content: dict[str, Any] | bytes) -> None:
        """Write the log, as columns (None leaves one out) or as bytes, and the manifest with its hash."""
        self.log.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            self.log.write_bytes(content)
        else:
            with h5py.File(self.log, "w") as file:
                for name, values in content.items():
                    if values is not None:
                        file[name] = values
        self.set_manifest()

    def files(self) -> dict[str, bytes | None]:
        """Every file with its content, and every folder."""
        found = (p for p in self.folder.rglob("*") if not PASSED_OVER & set(p.relative_to(self.folder).parts))
        return {str(p.relative_to(self.folder)): p.read_bytes() if p.is_file() else None for p in found}


def demand_one_line(code: object, out: str, err: str) -> str:
    """What a refusal is: exit code 2, and one line that says what, where, limit and remedy."""
    assert code == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    assert LINE.fullmatch(err), err
    return err


class Trap:
    """Unpickled, it makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("sprung",))
