"""A working folder with params.yaml and a small handoff, in which a flow can really be run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.online.small_handoff import GENEROUS, LENIENT, shared_handoff

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workplace(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a checkout has it: params.yaml with a small online run, and models/handoff."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["jobs"] = 1
    params["online"] |= {"rounds": 2, "episodes_per_round": 2, "registered_model": "small"}
    params["online"]["switch"]["updates_per_step"] = 0.1
    params["online"]["gates"] = {"safety": GENEROUS, "acceptance": LENIENT}
    params["online"]["screen"] = {"margin": 1e6, "members": 2, "updates": 10, "hidden_units": [8]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    shutil.copytree(shared_handoff(tmp_path_factory.getbasetemp()), tmp_path / "models" / "handoff")
    return tmp_path


def environment() -> dict[str, str]:
    """As a person's shell: this checkout on the path, and nothing of Prefect set."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    return {**clean, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def start(workplace: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start ``python -m`` something in a workplace."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=workplace,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL a started process and all that it started (an ephemeral Prefect server among them)."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def change_online(workplace: Path, **values: object) -> None:
    """Change values of the section ``online``."""
    path = workplace / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["online"] |= values
    path.write_text(yaml.safe_dump(params))
