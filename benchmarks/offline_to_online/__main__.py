"""Offline, then online, on the same data, tasks and budgets: every method, setting and seed, cell by cell.

    python -m benchmarks.offline_to_online                      # both Fetch settings, five seeds: hours of one core
    python -m benchmarks.offline_to_online --settings pusht door --methods bc iql --seeds 1    # those cells
    python -m benchmarks.offline_to_online --methods cal_ql     # one that is slow; by itself in the table, in no claim
    python -m benchmarks.offline_to_online --table              # no cell is run: the table of those there are
    python -m benchmarks.offline_to_online --quick              # a minute, to see that it works; says nothing
    python -m benchmarks.offline_to_online --confirm 1          # after a change of code that should change no figure

A cell that is there is not run again, so that a run goes on where it was stopped: each lies in
benchmarks/results/offline_to_online/ with the settings that it was made with, and one of other settings is refused, or
of other code. Where the settings are the same, --confirm runs one seed of each again: if it comes out alike, to the
last digit, the other seeds are taken over, and say so.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config

from benchmarks.offline_to_online.cell import run_cell
from benchmarks.offline_to_online.kept import (
    NAME,
    Cell,
    compact,
    folder,
    keep,
    made_with,
    of_other_code,
    path_of,
    results,
    take_over,
    there,
)
from benchmarks.offline_to_online.settings import ALL, METHODS, SETTINGS
from benchmarks.offline_to_online.summary import FETCH, Results, claims, draw, rows, table
from benchmarks.results_file import commit, machine, save
from offline_to_online.errors import one_line
from offline_to_online.progress import progress

SEEDS = (1, 2, 3, 4, 5)
PICTURE, HUMAN_PICTURE = Path("docs/offline_to_online.svg"), Path("docs/offline_to_online_human.svg")
QUICK_CONFIG = {"updates": 20, "hidden_units": (32, 32)}


@one_line
def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, print the table and the claims, write the result."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{NAME}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settings", nargs="+", choices=tuple(SETTINGS), default=FETCH)
    parser.add_argument("--methods", nargs="+", choices=tuple(ALL), default=tuple(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=2, help="processes; the result does not depend on it")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--confirm", type=int, metavar="SEED", help="take over cells of other code that come out alike")
    parser.add_argument("--quick", action="store_true", help="one seed, tiny budgets and networks")
    options = parser.parse_args(arguments)
    if options.quick:
        quick()
        return
    if options.confirm is not None:
        confirm([(s, m, options.confirm) for s in options.settings for m in options.methods], options.jobs)
    wanted = [(s, m, seed) for seed in options.seeds for s in options.settings for m in options.methods]
    if not options.table:
        run([cell for cell in wanted if not there(cell, folder())], options.jobs, folder())
    show(results())


def quick() -> None:
    """One tiny seed of every method on the weaker arm; the whole way, and nothing to conclude from."""
    weak = SETTINGS["fetch_weak"]
    setting = dataclasses.replace(weak, data="fetch_small", episodes=4, per_round=2, tasks=2, updates_per_step=0.05)
    found = dict[tuple[str, str], list[dict[str, Any]]]()
    for name, method in METHODS.items():
        small = dataclasses.replace(method, config={**method.config, **QUICK_CONFIG})
        found["fetch_weak", name] = [{"seed": 1, **compact(run_cell(setting, small, 1))}]
    whole = Results(found)
    print("\n".join(table(rows(whole))))
    print(save(f"{NAME}_quick", seeds=[1], rows=rows(whole), claims=claims(whole), at=commit()))


def confirm(cells: Sequence[Cell], jobs: int) -> None:
    """Run these again where other code has made them, and take over what comes out alike."""
    again = folder() / "again"
    behind = [cell for cell in cells if of_other_code(cell)]
    run([cell for cell in behind if not there(cell, again)], jobs, again)
    for cell in behind:
        print(f"{cell[1]} on {cell[0]}: seed {cell[2]} comes out alike, {take_over(cell, again)} cells taken over")
        path_of(cell, again).unlink()


def run(cells: Sequence[Cell], jobs: int, within: Path) -> None:
    """Cells of one data set and seed in one process, which prepares what they share once."""
    at = commit()
    groups = dict[tuple[str, int], list[Cell]]()
    for cell in cells:
        groups.setdefault((SETTINGS[cell[0]].data, cell[2]), []).append(cell)
    work = [delayed(_run_group)(group, at, within) for group in groups.values()]
    with parallel_config(backend="loky", inner_max_num_threads=1), progress(NAME) as tell:
        for done, _ in enumerate(Parallel(n_jobs=jobs, return_as="generator")(work), start=1):
            tell(done, len(work))


def _run_group(cells: Sequence[Cell], at: str, within: Path) -> None:
    for cell in cells:
        setting, method, seed = cell
        found = run_cell(SETTINGS[setting], ALL[method], seed)
        content = {
            "seed": seed,
            "commit": at,
            "machine": machine(),
            "made_with": made_with(SETTINGS[setting], ALL[method]),
            **compact(found),
        }
        keep(cell, content, within)


def show(found: Results) -> None:
    """Print the table and the claims; write the result and the picture."""
    lines, judged = rows(found), claims(found)
    print("\n".join(table(lines)))
    for one in judged:
        print(f"{'holds' if one['holds'] else 'FAILS'}: {one['claim']}: {one['measured']} against {one['limit']}")
    every = [cell for cells in found.cells.values() for cell in cells]
    seeds, commits = sorted({int(cell["seed"]) for cell in every}), sorted({str(cell["commit"]) for cell in every})
    print(save(NAME, seeds=seeds, rows=lines, claims=judged, at=" ".join(commits)))
    for path, recorded in ((PICTURE, True), (HUMAN_PICTURE, False)):
        part = {key: cells for key, cells in found.cells.items() if (key[0] in FETCH) is recorded}
        if part:
            draw(Results(part), path)


if __name__ == "__main__":
    main()
