"""Seconds and peak memory of the neighbour search, and the guard's latency, beside bare faiss and scikit-learn.

python -m benchmarks.support_speed [--quick]

Made-up logs of 39 + 28 dimensions. Exact: ``Neighbours.nearest`` beside a flat faiss index (both on one thread, in turn
in one process, the median of the ratios; at a million points by quarters of the queries) and beside scikit-learn's
brute force (at a million points on a tenth of the queries, scaled). Approximate: each kind with its recall, kept and
loaded, and 50 episodes of 50 steps added to what was loaded. Guard: one action at a time on one core. Every line is
measured in a process of its own; memory is the peak of that process, the points and the queries included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.results_file import claim, commit, save

SEED = 11
NARROW, ADD_MS, LATENCY, SCORE_MS = 1.15, 50.0, 1.2, 5.0
MANY = 100_000  # beyond so many points scikit-learn answers a tenth of the queries, and pairs are of quarters of them


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes: points with how many pairs of searches; queries; where approximate indexes and the guard are measured."""

    pairs: dict[int, int]
    queries: int
    approximate: tuple[int, ...]
    guard: int
    rounds: int


FULL = Plan(
    pairs={10_000: 15, 100_000: 7, 1_000_000: 3},
    queries=10_000,
    approximate=(100_000, 1_000_000),
    guard=100_000,
    rounds=40,
)
QUICK = Plan(pairs={10_000: 3, 20_000: 3}, queries=2_000, approximate=(20_000,), guard=10_000, rounds=4)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every size, print the table, write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.support_speed", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help=f"{list(QUICK.pairs)} points instead of {list(FULL.pairs)}"
    )
    quick = parser.parse_args(arguments).quick
    plan, at = QUICK if quick else FULL, commit()
    rows = []
    for points in sorted({*plan.pairs, *plan.approximate, plan.guard}):
        with tempfile.TemporaryDirectory() as folder:
            for row in measure(plan, points, folder):
                print(line(row), flush=True)
                rows.append(row)
    found = claims(rows, plan)
    for one in found:
        print(f"{'holds' if one['holds'] else 'FAILS'}  {one['claim']}: {one['measured']:.3g}, limit {one['limit']:g}")
    print(save("support_speed_quick" if quick else "support_speed", seeds=[SEED], rows=rows, claims=found, at=at))


def measure(plan: Plan, points: int, folder: str) -> list[dict[str, Any]]:
    """All that is measured at one number of points."""
    task("make", folder, points, plan.queries)
    rows: list[dict[str, Any]] = []
    if points in plan.pairs:
        rows += [
            {"what": name, "points": points, **task("alone", folder, name, most(plan, points, name))}
            for name in ("bare", "ours", "scikit")
        ]
        rows.append({"what": "pairs", "points": points, **task("pairs", folder, *repeats_and_parts(plan, points))})
    if points in plan.approximate:
        rows += [{"what": kind, "points": points, **task("approximate", folder, kind)} for kind in ("ivf", "hnsw")]
    if points == plan.guard:
        rows.append({"what": "guard", "points": points, **task("guard", folder, plan.rounds)})
    return rows


def most(plan: Plan, points: int, name: str) -> int:
    """How many queries are answered: fewer only by scikit-learn among many points."""
    return plan.queries // 10 if name == "scikit" and points > MANY else plan.queries


def repeats_and_parts(plan: Plan, points: int) -> tuple[int, int]:
    """How often each part of the queries is searched for, and how many parts: quarters among many points."""
    return plan.pairs[points], 4 if points > MANY else 1


def task(name: str, *values: object) -> dict[str, Any]:
    """Run one task on one thread in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.support_speed_tasks", name, *(str(value) for value in values)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, **threads})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def claims(rows: Sequence[dict[str, Any]], plan: Plan) -> list[dict[str, Any]]:
    """The issue's figures against what was measured."""
    found = [
        limited(f"exact search over a bare faiss one, {row['points']:,} points", row["ratio"], NARROW)
        for row in rows
        if row["what"] == "pairs"
    ]
    for row in rows:
        if row["what"] in ("ivf", "hnsw") and row["points"] == max(plan.approximate):
            for part in ("median", "p99"):
                text = f"50 steps added to {row['points']:,} points in {row['what']}, ms, {part}"
                found.append(limited(text, row[f"add_ms_{part}"], ADD_MS))
    guard = next(row for row in rows if row["what"] == "guard")
    size = f"{guard['points']:,} points"
    tails = guard["nearest_ms_p99"] / guard["bare_ms_p99"]
    return [
        *found,
        limited(f"one action's neighbours over a bare faiss query, {size}, median", guard["ratio"], LATENCY),
        limited(f"one action's neighbours over a bare faiss query, {size}, p99", tails, LATENCY),
        limited(f"one action's score, ms, {size}, median", guard["score_ms_median"], SCORE_MS),
        limited(f"one action's score, ms, {size}, p99", guard["score_ms_p99"], SCORE_MS),
    ]


def limited(text: str, measured: float, limit: float) -> dict[str, Any]:
    """A claim that a figure is at most its limit."""
    return claim(text, measured, limit, measured <= limit)


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    start = f"{row['what']:<7} {row['points']:>9,} points"
    if row["what"] == "pairs":
        low, high = row["ratios"][0], row["ratios"][-1]
        return f"{start}  ours over bare: {row['ratio']:.3f} ({low:.2f} to {high:.2f}, {len(row['ratios'])} pairs)"
    if row["what"] == "guard":
        names = ("bare", "nearest", "score")
        times = (f"{name} {row[f'{name}_ms_median']:.2f} / {row[f'{name}_ms_p99']:.2f}" for name in names)
        return f"{start}  one action, ms, median / p99: {', '.join(times)}; nearest over bare {row['ratio']:.3f}"
    text = f"{start}  {row['seconds']:>8.2f} s {row.get('searched_mib', row['peak_mib']):>6.0f} MiB"
    if row["what"] not in ("ivf", "hnsw"):
        return text
    recall = f"recall {row['recall']:.4f} (other episodes {row['recall_other_episodes']:.4f})"
    built = f"build {row['build_s']:.1f} s, load {row['load_s']:.2f} s"
    added = f"50 steps added {row['add_ms_median']:.1f} / {row['add_ms_p99']:.1f} ms (median / p99)"
    return f"{text}  {recall}, one query {row['one_query_ms_median']:.2f} ms, {built}, {added}"


if __name__ == "__main__":
    main()
