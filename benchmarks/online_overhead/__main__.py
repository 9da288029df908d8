"""What gate, journal, Prefect and MLflow cost an online run, and whether an episode gets dearer as the run grows.

    python -m benchmarks.online_overhead            # params.yaml's run over models/handoff; minutes
    python -m benchmarks.online_overhead --quick    # a small run, and 10 against 100 episodes

The flow is really run, with spans around the doors of all four; panel rollouts, training and collection are work. The
rest, after the start-up, is their overhead. Needs what `dvc repro` left, except with --quick.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.crash.outages import environment
from benchmarks.crash.small import ROOT, workplace
from benchmarks.online_overhead.growing import growth
from benchmarks.online_overhead.spans import OVERHEAD
from benchmarks.results_file import claim, commit, save, tell

NAME = "online_overhead"
MOST_SHARE, MOST_START_UP_S, MOST_RATIO = 0.05, 30.0, 1.1
FEW, MANY, QUICK_MANY = 10, 1000, 100


def run_row(place: Path, name: str) -> dict[str, Any]:
    """Run a workplace's flow to its end; where its time went."""
    out = place / "overhead.json"
    command = [sys.executable, "-m", "benchmarks.online_overhead.measured", str(out)]
    surroundings = environment()
    del surroundings["OMP_NUM_THREADS"]
    done = subprocess.run(command, cwd=place, env=surroundings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the run ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    found = json.loads(out.read_text(encoding="utf-8"))
    seconds = {part: found["seconds"][part] for part in OVERHEAD}
    seconds["prefect"] += found["flow_end_s"]
    total = sum(seconds.values())
    return {
        "part": name,
        "start_up_s": found["start_up_s"],
        "wall_s": found["wall_s"],
        **{f"{part}_s": taken for part, taken in seconds.items()},
        "overhead_s": total,
        "share": total / found["wall_s"],
    }


def default_run(folder: Path) -> Path:
    """A workplace with this checkout's params.yaml and handoff."""
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copytree(ROOT / "models/handoff", folder / "models/handoff")
    return folder


def report(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Print the tables; the claims made of them."""
    run, episode = rows
    print(f"{run['part']}: {run['wall_s']:.1f} s after a start-up of {run['start_up_s']:.1f} s")
    for part in OVERHEAD:
        print(f"    {part:8} {run[f'{part}_s']:8.2f} s  {run[f'{part}_s'] / run['wall_s']:7.2%}")
    print(f"    together {run['overhead_s']:8.2f} s  {run['share']:7.2%}")
    print(
        f"an episode's overhead: {episode['few_ms']:.2f} ms after {episode['few']}, {episode['many_ms']:.2f} ms after "
        f"{episode['many']} episodes: {episode['ratio']:.3f} times ({episode['low']:.3f} to {episode['high']:.3f})"
    )
    return [
        claim(
            f"gate, journal, Prefect and MLflow, share of the wall time of {run['part']}",
            run["share"],
            MOST_SHARE,
            run["share"] <= MOST_SHARE,
        ),
        claim("start-up, seconds", run["start_up_s"], MOST_START_UP_S, run["start_up_s"] <= MOST_START_UP_S),
        claim(
            f"an episode's overhead after {episode['many']} episodes over that after {episode['few']}",
            episode["ratio"],
            MOST_RATIO,
            episode["ratio"] <= MOST_RATIO,
        ),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the tables, write benchmarks/results/online_overhead.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small run, 10 against 100 episodes")
    quick = parser.parse_args(arguments).quick
    at, folder = commit(), Path(tempfile.mkdtemp(prefix="overhead-"))
    try:
        episode = growth(folder / "growth", few=FEW, many=QUICK_MANY if quick else MANY, blocks=3 if quick else 9)
        if quick:
            run = run_row(workplace(folder / "run", folder / "growth" / "handoff"), "a small run")
        else:
            run = run_row(default_run(folder / "run"), "the default run")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    claims = report([run, episode])
    tell(claims)
    print(save(NAME + ("_quick" if quick else ""), seeds=[1], rows=[run, episode], claims=claims, at=at))


if __name__ == "__main__":
    main()
