"""What the demo costs: time and peak memory of `make demo` after installation, in a fresh clone, alone on the machine.

    python -m benchmarks.demo_cost            # the whole demo
    python -m benchmarks.demo_cost --quick    # its offline stages only

Memory is that of the whole process tree (proportional set size, so that shared pages count once), read twice a second.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.fresh_clone import clone_into, environment
from benchmarks.results_file import claim, commit, save
from offline_to_online.params import load_params

STAGES = (["dvc", "repro", "-q"],)
DEMO = (
    *STAGES,
    [sys.executable, "-m", "flows.finetune"],
    [sys.executable, "-m", "offline_to_online.report", "summary"],
)
PERIOD_S, GIB = 0.5, 2.0**30


def memory_of(root: psutil.Process) -> float:
    """Proportional set size of a process and all below it, GiB; one that has just ended counts nothing."""
    total = 0
    try:
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0.0
    for process in family:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / GIB


def measured(command: list[str], folder: Path) -> dict[str, Any]:
    """One command's wall time and peak memory.

    Raises:
        SystemExit: it failed.
    """
    started, peak = time.monotonic(), 0.0
    process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, memory_of(psutil.Process(process.pid)))
        time.sleep(PERIOD_S)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    name = " ".join(part if part != sys.executable else "python" for part in command)
    return {"command": name, "seconds": round(time.monotonic() - started, 1), "peak_gib": round(peak, 2)}


def report(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print the table; the claims made of it."""
    for row in rows:
        print(f"{row['seconds']:7.1f} s  {row['peak_gib']:5.2f} GiB  {row['command']}")
    minutes = sum(row["seconds"] for row in rows) / 60
    peak = max(row["peak_gib"] for row in rows)
    print(f"{minutes:.1f} minutes, peak {peak:.2f} GiB")
    return [
        claim("minutes of the demo after installation", round(minutes, 2), 10, minutes <= 10),
        claim("peak memory of its process tree, GiB", peak, 4, peak <= 4),
    ]


def main() -> None:
    """Run the demo's commands, print the table, write benchmarks/results/demo_cost.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the offline stages only")
    quick, at = parser.parse_args().quick, commit()
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        clone = clone_into(Path(folder))
        rows = [measured(command, clone) for command in (STAGES if quick else DEMO)]
    print(
        save(
            "demo_cost" + ("_quick" if quick else ""), seeds=[load_params().seed], rows=rows, claims=report(rows), at=at
        )
    )


if __name__ == "__main__":
    main()
