"""How a benchmark leaves its result: one JSON file with where, what, and which claims hold."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """The machine in plain words: processor architecture, cores, system, Python."""
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit that is checked out, with ``+changes`` if the tree differs from it (no fresh clone has those)."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    status = ["git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results"]
    changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    return head + ("+changes" if changed.strip() else "")


def claim(text: str, measured: Any, limit: Any, holds: bool) -> dict[str, Any]:
    """One figure that an issue or the README asks for, against what was measured."""
    return {"claim": text, "measured": measured, "limit": limit, "holds": bool(holds)}


def tell(claims: Sequence[Mapping[str, Any]]) -> None:
    """Print which claims hold, a line each."""
    for one in claims:
        measured = f"{one['measured']:.3f}" if isinstance(one["measured"], float) else one["measured"]
        print(f"{'holds' if one['holds'] else 'FAILS'}: {one['claim']}: {measured} (limit {one['limit']})")


def save(
    name: str, *, seeds: Sequence[int], rows: Sequence[Mapping[str, Any]], claims: Sequence[Mapping[str, Any]], at: str
) -> Path:
    """Write ``benchmarks/results/<name>.json``; ``at`` is the commit that was measured."""
    path = RESULTS / f"{name}.json"
    content = {"commit": at, "machine": machine(), "seeds": list(seeds), "rows": list(rows), "claims": list(claims)}
    path.parent.mkdir(exist_ok=True)  # git keeps no empty folder
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return path
