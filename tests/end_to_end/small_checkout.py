"""A small copy of the whole project: real DVC, real Prefect, real MLflow, a real simulator, few episodes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SMALL = """
jobs: 2
collect:
  operators: {expert: 16, recovery: 16, biased: 28}
behaviour: {hidden: 16, components: 2, updates: 100}
calibration:
  alpha: 0.1
policies:
  bc:
    config: {updates: 150}
  iql:
    config: {updates: 150}
online:
  rounds: 2
  episodes_per_round: 4
  switch: {updates_per_step: 0.2}
  gates:
    safety:
      interventions: {limit: 100000, run_limit: 100000}
      support_drift: {limit: 1.0}
      constraint_cost: {per_episode: 1000.0, total: 1000.0, run_total: 1000.0}
    acceptance:
      no_regression: {margin: 0.5, alpha: 0.5, max_pairs: 40, batch: 20}
"""


@dataclass(frozen=True)
class Checkout:
    """A clone that commands run in, as a user would type them."""

    folder: Path

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command; its output is shown where it failed unexpectedly."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def repro(self, *stages: str) -> list[str]:
        """``dvc repro``; the stages that ran."""
        said = self.run("dvc", "repro", *stages).stdout
        return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]


def clone(folder: Path) -> Checkout:
    """What git tracks, as it stands in the working tree, in a repository of its own."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\n"):
        if name and (ROOT / name).is_file() and not name.startswith(("tests/", "benchmarks/results/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    checkout = Checkout(folder)
    checkout.run("git", "init", "-q")
    return checkout
