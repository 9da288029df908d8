"""The committed project in an empty folder, and the environment that `make` gives its commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def clone_into(folder: Path) -> Path:
    """A clone of what is committed here; uncommitted changes are not in it."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    return clone


def environment() -> dict[str, str]:
    """This Python's commands first, one thread a process."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
