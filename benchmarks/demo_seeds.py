"""The whole demo, seed by seed: each in a fresh clone, through DVC, Prefect and MLflow, as `make demo` runs it.

    python -m benchmarks.demo_seeds            # seeds 7, 1, 2, 3, 4
    python -m benchmarks.demo_seeds --quick    # the demo's seed only

Prints a row per seed: behaviour cloning and offline RL on the panel as logged; then, on the arm that moves half as far,
the handed-off baseline and the champion on the same 100 tasks. Two seeds run side by side, one process each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.fresh_clone import ROOT, clone_into, environment
from benchmarks.results_file import claim, commit, save

SEEDS = (7, 1, 2, 3, 4)


def run_seed(seed: int, jobs: int) -> dict[str, Any]:
    """Clone the checkout, set the seed, run the offline stages and one online run; what they left, as a row."""
    with tempfile.TemporaryDirectory(prefix=f"demo-{seed}-") as folder:
        clone = clone_into(Path(folder))
        text = (clone / "params.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
        swapped = [_swap(line, seed, jobs) for line in text]
        (clone / "params.yaml").write_text("".join(swapped), encoding="utf-8")
        started = time.monotonic()
        for command in (["dvc", "repro", "-q"], [sys.executable, "-m", "flows.finetune"]):
            done = subprocess.run(command, cwd=clone, env=environment(), capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"seed {seed}: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
        row = _row(clone, seed, time.monotonic() - started)
    print(f"seed {seed}: {row['difference']:+.2f} after {row['seconds']} s", file=sys.stderr, flush=True)
    return row


def _swap(line: str, seed: int, jobs: int) -> str:
    if line.startswith("seed:"):
        return f"seed: {seed}\n"
    return f"jobs: {jobs}\n" if line.startswith("jobs:") else line


def _row(clone: Path, seed: int, seconds: float) -> dict[str, Any]:
    handoff = json.loads((clone / "models/handoff/handoff.json").read_text(encoding="utf-8"))
    policies = {
        name: json.loads((clone / f"data/evaluation/{name}/metrics.json").read_text(encoding="utf-8"))
        for name in ("bc", "iql")
    }
    summary = json.loads(next((clone / "data/online").glob("*/summary.json")).read_text(encoding="utf-8"))
    if summary["halted"]:
        raise SystemExit(f"error: seed {seed} has nothing to compare, its run was halted: {summary['halt_reason']}")
    return {
        "seed": seed,
        **{name: metrics["success_rate"] for name, metrics in policies.items()},
        **{f"{name}_interval": metrics["success_interval"] for name, metrics in policies.items()},
        "chosen": handoff["chosen"],
        "p_value": handoff["comparison"]["p_value"],
        "seconds": round(seconds),
        **{key: summary[key] for key in KEPT},
    }


KEPT = (
    "baseline_success", "baseline_interval", "champion_success", "champion_interval",
    "difference", "difference_interval", "episodes",
    "executed_episodes", "rounds", "accepted", "rejected", "halted", "interventions", "constraint_cost",
    "worst_support_drift", "champion_version",
)  # fmt: skip


def report(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print the table; the claims that the issue makes of it."""
    print("seed   bc  iql chosen  baseline -> champion  difference [95 %]      accepted  collected  interventions  s")
    for row in rows:
        low, high = row["difference_interval"]
        print(
            f"{row['seed']:4d} {row['bc']:.2f} {row['iql']:.2f} {row['chosen']:6s}  {row['baseline_success']:8.2f} -> "
            f"{row['champion_success']:.2f}      {row['difference']:+.2f} [{low:+.2f}, {high:+.2f}]   "
            f"{row['accepted']}/{row['rounds']}      {row['episodes']:9d}  {row['interventions']:13d}  {row['seconds']}"
        )
    gains = np.array([row["difference"] for row in rows])
    mean, half = float(gains.mean()), 0.0
    if len(rows) > 1:
        half = float(stats.t.ppf(0.975, len(rows) - 1) * gains.std(ddof=1) / np.sqrt(len(rows)))
        print(f"mean gain {mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}] (t interval over {len(rows)} seeds)")
    return [
        claim("champion above the handed-off baseline, worst seed", float(gains.min()), 0.20, gains.min() >= 0.2),
        *([claim("mean gain over seeds, lower end of its 95 % interval", mean - half, 0.20, mean - half >= 0.2)]
          if len(rows) > 1 else []),
        claim("IQL beats BC, paired on the panel, on every seed", max(r["p_value"] for r in rows), 0.05,
              all(r["chosen"] == "iql" for r in rows)),
        claim("collected episodes", max(r["episodes"] for r in rows), 150, all(r["episodes"] <= 150 for r in rows)),
    ]  # fmt: skip


def markdown(rows: list[dict[str, Any]]) -> list[str]:
    """The table's rows as README and docs/results.md show them (tests/test_docs.py holds them to it)."""

    def cell(row: dict[str, Any], name: str, interval: str, style: str = ".2f") -> str:
        low, high = row[interval]
        return f"{row[name]:{style}} [{low:{style}}, {high:{style}}]"

    def cells(row: dict[str, Any]) -> list[str]:
        rates = [(name, f"{name}_interval") for name in ("bc", "iql")]
        rates += [(f"{side}_success", f"{side}_interval") for side in ("baseline", "champion")]
        gain = cell(row, "difference", "difference_interval", "+.2f")
        return [
            str(row["seed"]),
            *(cell(row, *names) for names in rates),
            gain,
            f"{row['accepted']} of {row['rounds']}",
        ]

    return [f"| {' | '.join(cells(row))} |" for row in rows]


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """The README's picture: baseline and champion on the same 100 tasks, a line per seed, with 95 % intervals."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "offline_to_online", "font.size": 10}):
        figure = Figure(figsize=(7.2, 0.45 * len(rows) + 1.2), layout="constrained")
        axes = figure.subplots()
        for at, row in enumerate(rows):
            sides = ((row["baseline_success"], row["baseline_interval"], "#8a8a8a"),
                     (row["champion_success"], row["champion_interval"], "#1a6fb5"))  # fmt: skip
            axes.plot([side[0] for side in sides], [at, at], color="#c8c8c8", zorder=1)
            for offset, (value, (low, high), colour) in zip((0.12, -0.12), sides, strict=True):
                axes.plot([low, high], [at + offset, at + offset], color=colour, linewidth=1.2)
                axes.plot(value, at + offset, "o", color=colour)
        axes.plot([], [], "o", color="#8a8a8a", label="handed-off baseline")
        axes.plot([], [], "o", color="#1a6fb5", label="champion after at most 150 episodes")
        axes.set(xlim=(0, 1), yticks=range(len(rows)), yticklabels=[f"seed {r['seed']}" for r in rows])
        axes.set_xlabel("success on 100 tasks, on an arm that moves half as far as the logged one (95 % intervals)")
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    """Run the seeds, print the table, write benchmarks/results/demo_seeds.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the demo's seed only")
    seeds = SEEDS[:1] if parser.parse_args().quick else SEEDS
    at, side_by_side = commit(), min(2, len(seeds))
    with ThreadPoolExecutor(side_by_side) as pool:
        rows = list(pool.map(lambda seed: run_seed(seed, jobs=2 // side_by_side), seeds))
    claims = report(rows)
    if seeds == SEEDS:
        draw(rows, ROOT / "docs/demo_seeds.svg")
        print("\n".join(markdown(rows)))
    print(save("demo_seeds" + ("" if seeds == SEEDS else "_quick"), seeds=seeds, rows=rows, claims=claims, at=at))


if __name__ == "__main__":
    main()
