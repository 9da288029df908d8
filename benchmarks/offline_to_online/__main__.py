"""Offline, then online, on the same data, tasks and budgets: every method, setting and seed, cell by cell.

    python -m benchmarks.offline_to_online                      # both Fetch settings, five seeds: hours of one core
    python -m benchmarks.offline_to_online --settings pusht door --methods bc iql --seeds 1    # those cells
    python -m benchmarks.offline_to_online --table              # no cell is run: the table of those there are
    python -m benchmarks.offline_to_online --quick              # a minute, to see that it works; says nothing

A cell that is there is not run again, so that a run goes on where it was stopped: each lies in
benchmarks/results/offline_to_online/ with the settings that it was made with, and one of other settings is refused.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config

from benchmarks import results_file
from benchmarks.offline_to_online.cell import run_cell
from benchmarks.offline_to_online.preparing import config_of, sources
from benchmarks.offline_to_online.settings import METHODS, SETTINGS, Method, Setting
from benchmarks.offline_to_online.summary import FETCH, Results, claims, draw, rows, table
from benchmarks.results_file import commit, machine, save
from offline_to_online.dataset.files import read_json
from offline_to_online.errors import ParameterError, one_line
from offline_to_online.progress import progress

NAME = "offline_to_online"
SEEDS = (1, 2, 3, 4, 5)
PICTURE = Path("docs/offline_to_online.svg")
QUICK_CONFIG = {"updates": 20, "hidden_units": (32, 32)}
Cell = tuple[str, str, int]


@one_line
def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, print the table and the claims, write the result."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{NAME}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settings", nargs="+", choices=tuple(SETTINGS), default=FETCH)
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=tuple(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=2, help="processes; the result does not depend on it")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--quick", action="store_true", help="one seed, tiny budgets and networks")
    options = parser.parse_args(arguments)
    if options.quick:
        quick()
        return
    wanted = [(s, m, seed) for seed in options.seeds for s in options.settings for m in options.methods]
    if not options.table:
        run([cell for cell in wanted if not there(*cell)], options.jobs)
    show(there_are())


def quick() -> None:
    """One tiny seed of every method on the weaker arm; the whole way, and nothing to conclude from."""
    weak = SETTINGS["fetch_weak"]
    setting = dataclasses.replace(weak, data="fetch_small", episodes=4, per_round=2, tasks=2, updates_per_step=0.05)
    found = dict[tuple[str, str], list[dict[str, Any]]]()
    for name, method in METHODS.items():
        small = dataclasses.replace(method, config={**method.config, **QUICK_CONFIG})
        found["fetch_weak", name] = [{"seed": 1, **compact(run_cell(setting, small, 1))}]
    results = Results(found)
    print("\n".join(table(rows(results))))
    print(save(f"{NAME}_quick", seeds=[1], rows=rows(results), claims=claims(results), at=commit()))


def run(cells: Sequence[Cell], jobs: int) -> None:
    """Cells of one data set and seed in one process, which prepares what they share once."""
    at = commit()
    groups = dict[tuple[str, int], list[Cell]]()
    for cell in cells:
        groups.setdefault((SETTINGS[cell[0]].data, cell[2]), []).append(cell)
    work = [delayed(_run_group)(group, at) for group in groups.values()]
    with parallel_config(backend="loky", inner_max_num_threads=1), progress(NAME) as tell:
        for done, _ in enumerate(Parallel(n_jobs=jobs, return_as="generator")(work), start=1):
            tell(done, len(work))


def _run_group(cells: Sequence[Cell], at: str) -> None:
    for setting, method, seed in cells:
        found = run_cell(SETTINGS[setting], METHODS[method], seed)
        content = {
            "seed": seed,
            "commit": at,
            "machine": machine(),
            "made_with": made_with(SETTINGS[setting], METHODS[method]),
            **compact(found),
        }
        path = path_of(setting, method, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(content, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(path)


def compact(found: Mapping[str, Any]) -> dict[str, Any]:
    """A cell as it is kept: collected episodes by column."""
    collected = found["collected"]
    columns = {name: [row[name] for row in collected] for name in collected[0]} if collected else {}
    return {**found, "collected": columns}


def made_with(setting: Setting, method: Method) -> dict[str, Any]:
    """Every setting that a cell rests on, as JSON gives it back."""
    parts: dict[str, Any] = {"setting": dataclasses.asdict(setting), "method": dataclasses.asdict(method)}
    parts |= {"sources": sources(method.algorithm)}
    parts |= {"offline": dataclasses.asdict(config_of(method, setting))}
    parts |= {"online": dataclasses.asdict(config_of(method, setting, online=True))}
    known: dict[str, Any] = json.loads(json.dumps(parts))
    return known


def path_of(setting: str, method: str, seed: int) -> Path:
    """Where a cell is kept."""
    return results_file.RESULTS / NAME / f"{setting}-{method}-{seed}.json"


def there(setting: str, method: str, seed: int) -> bool:
    """Whether a cell was run.

    Raises:
        ParameterError: with other settings than it would be now.
    """
    path = path_of(setting, method, seed)
    if not path.is_file():
        return False
    if read_json(path)["made_with"] != made_with(SETTINGS[setting], METHODS[method]):
        raise ParameterError(
            "a cell of other settings",
            where=str(path),
            limit="one table has one setting of each method",
            remedy="delete it, and it is run again",
        )
    return True


def there_are() -> Results:
    """All cells that were run with the settings as they are."""
    seeds = sorted({int(p.stem.rpartition("-")[2]) for p in (results_file.RESULTS / NAME).glob("*.json")})
    cells = {(s, m): [read_json(path_of(s, m, i)) for i in seeds if there(s, m, i)] for s in SETTINGS for m in METHODS}
    return Results({key: found for key, found in cells.items() if found})


def show(results: Results) -> None:
    """Print the table and the claims; write the result and the picture."""
    found, judged = rows(results), claims(results)
    print("\n".join(table(found)))
    for one in judged:
        print(f"{'holds' if one['holds'] else 'FAILS'}: {one['claim']}: {one['measured']} against {one['limit']}")
    every = [cell for cells in results.cells.values() for cell in cells]
    seeds, commits = sorted({int(cell["seed"]) for cell in every}), sorted({str(cell["commit"]) for cell in every})
    print(save(NAME, seeds=seeds, rows=found, claims=judged, at=" ".join(commits)))
    draw(results, PICTURE)


if __name__ == "__main__":
    main()
