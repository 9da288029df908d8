"""A small real run, killed anywhere: is what it ends as what it would have been?

    python -m benchmarks.crash            # every record, file and word to MLflow; random instants; outages; minutes
    python -m benchmarks.crash --quick    # a dozen kills

Real processes die by SIGKILL: forked from a parent that has imported everything, so that over a hundred restarts are
affordable, and, several times, `python -m flows.finetune` with its Prefect server. Each run is gone on with to its
end and held, byte for byte, against one that nobody interrupted, and against what MLflow was told of that one. Then
MLflow is away for a minute in the middle, Prefect is restarted, and the disk is full.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

# Threads that were started before a fork are not there after it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.crash.flow_kills import flow_kills
from benchmarks.crash.full_disk import full_disk
from benchmarks.crash.killing import ended, forked
from benchmarks.crash.kills import at_every_place, at_random, uninterrupted
from benchmarks.crash.outages import mlflow_away, prefect_restarted
from benchmarks.crash.small import make_handoff, workplace
from benchmarks.results_file import claim, commit, save, tell

# What a run imports on its way: imported once, before the forks.
IMPORTED = ("mlflow.pyfunc", "pandas", "offline_to_online.learning.algorithms.bc")

NAME, SEED = "crash", 7
RANDOM_KILLS, AWAY_S, QUICK_STRIDE, QUICK_ROUNDS = 40, 60.0, 6, 1


def measure(folder: Path, *, quick: bool) -> list[dict[str, Any]]:
    """All rows. Nothing is computed in this process, which is what the others are forked from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, about its own type hints
        for name in IMPORTED:
            importlib.import_module(name)
    # Threads that were started before a fork are not there after it.
    if threading.active_count() > 1:
        raise SystemExit("threads before the first fork")
    # What a killed process leaves among the system's temporary files is cleaned up with everything else.
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "scratch")
    Path(tempfile.tempdir).mkdir()
    ended(forked(lambda: make_handoff(folder), said=folder / "handoff.txt"))
    handoff, rounds = folder / "handoff", QUICK_ROUNDS if quick else 2
    reference = workplace(folder / "reference", handoff, rounds=rounds)
    seconds = uninterrupted(reference)
    rows: list[dict[str, Any]] = [{"kind": "uninterrupted", "seconds": seconds, "differences": []}]
    show(rows[0])

    def add(*found: dict[str, Any]) -> None:
        for row in found:
            rows.append(row)
            show(row)

    stride = QUICK_STRIDE if quick else 1
    add(at_every_place(workplace(folder / "every", handoff, rounds=rounds), reference, stride=stride))
    if quick:
        return rows
    add(*at_random(folder, handoff, reference, kills=RANDOM_KILLS, rng=Random(SEED)))
    add(flow_kills(folder / "flow", handoff, reference))
    add(full_disk(folder / "full", handoff, reference))
    add(mlflow_away(folder / "mlflow", handoff, away_s=AWAY_S))
    add(prefect_restarted(folder / "prefect", handoff, away_s=10.0))
    return rows


def show(row: dict[str, Any]) -> None:
    """Print a row."""
    facts = ", ".join(f"{key} {row[key]}" for key in row if key not in ("kind", "differences", "halts"))
    verdict = "; ".join(row["differences"][:3]) or "nothing differs"
    print(f"{row['kind']}: {facts}: {verdict}", flush=True)
    for halt in row.get("halts", []):
        print(f"    ended with {halt['status']}: {halt['said']}", flush=True)


def report(rows: Sequence[dict[str, Any]], *, quick: bool = False) -> list[dict[str, Any]]:
    """The claims made of the rows."""
    kills = sum(row.get("kills", 0) for row in rows)
    differing = sum(len(row["differences"]) for row in rows)
    least = 10 if quick else 100
    every = next(row for row in rows if "places" in row)
    made = [
        claim("kills", kills, f"at least {least}", kills >= least),
        claim(
            f"places of a run that it was killed at, of {every['places']}: before, within and after every record, "
            "before every file, before and after every word to MLflow",
            every["kills"],
            every["places"] // every["stride"],
            every["kills"] == every["places"] // every["stride"] and every["places"] > 3 * every["records"],
        ),
        claim(
            "files, records, versions and metrics lost, doubled, left over or different", differing, 0, not differing
        ),
    ]
    for row in rows:
        if "halts" in row:
            clear = sum(halt["clear"] for halt in row["halts"])
            halted = sum(halt["status"] == 2 for halt in row["halts"])
            text = f"{row['kind']}: ended with one clear line, {halted} of them halted"
            made.append(claim(text, clear, len(row["halts"]), clear == len(row["halts"]) and halted > 0))
        elif "away" in row["kind"] or "restarted" in row["kind"]:
            fine = bool(row.get("said")) and row.get("clear", True)
            made.append(claim(f"{row['kind']}: waits or halts with one clear line", row.get("said", ""), "one", fine))
    return made


def main(arguments: list[str] | None = None) -> None:
    """Kill, compare, write benchmarks/results/crash.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a dozen kills, no outages")
    quick = parser.parse_args(arguments).quick
    at, folder = commit(), Path(tempfile.mkdtemp(prefix="crash-"))
    try:
        rows = measure(folder, quick=quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    claims = report(rows, quick=quick)
    tell(claims)
    print(save(NAME + ("_quick" if quick else ""), seeds=[SEED], rows=rows, claims=claims, at=at))


if __name__ == "__main__":
    main()
