"""Which injected faults are seen, and by whom: AUROC, and false alarms at 95 % recall, by kind of fault and log.

    python -m benchmarks.support_detection              # every log, five seeds, about fifteen minutes on two cores
    python -m benchmarks.support_detection --quick      # a small Fetch log, recorded on the spot; needs no data
    python -m benchmarks.support_detection --logs door nao    # those alone; nothing is saved
    python -m benchmarks.support_detection --choose     # the grid that the settings were chosen by, pendulum alone

Each seed splits a log by episode. Everybody is fitted on the same episodes and asked about the same steps: clean ones
of other episodes, and the same with one kind of fault, inside the robot's bounds. ``never_reset_to`` are clean steps
of episodes that start where none of the data does: nothing is wrong with those actions, but nothing was logged there.
Ours is one configuration for all logs. Each peer comes twice, on the rows whose neighbours our own distance searches
and on ``plain`` standardised ones, and counts by the better of the two.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from joblib import Parallel, delayed, parallel_config

from benchmarks.results_file import commit, save
from benchmarks.support_calibration import small_fetch
from benchmarks.support_data import CHOSEN_ON, DATA_SETS, UNTOUCHED, load
from benchmarks.support_detection.choosing import choice, choose, print_choice
from benchmarks.support_detection.measuring import Data, measure
from benchmarks.support_detection.peers import INSTALL, PYOD, pyod_is_here
from benchmarks.support_detection.summary import Measured, print_tables
from offline_to_online.errors import ParameterError, one_line
from offline_to_online.progress import progress

NAME = "support_detection"
LOGS = (*DATA_SETS, CHOSEN_ON, *UNTOUCHED)
SEEDS, QUICK_SEEDS = tuple(range(1, 6)), (1, 2)
MOST_STEPS, QUICK_STEPS = 1500, 300  # of a kind
LACKING = f"{' and '.join(PYOD)} need PyOD"


@one_line
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables and the claims, write the result."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{NAME}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small Fetch log, two seeds")
    parser.add_argument("--choose", action="store_true", help="the grid of settings, on pendulum alone")
    parser.add_argument("--logs", nargs="+", choices=LOGS, help="those logs alone; nothing is saved")
    parser.add_argument("--jobs", type=int, default=2, help="processes; the result does not depend on it")
    options = parser.parse_args(arguments)
    if options.choose:
        show_choice(options.jobs)
        return
    if not pyod_is_here():
        if not options.quick:
            raise ParameterError(LACKING, remedy=INSTALL)
        print(f"left out: {LACKING}: {INSTALL}")
    show_detection(options.logs, quick=options.quick, jobs=options.jobs)


def show_detection(logs: Sequence[str] | None, *, quick: bool, jobs: int) -> None:
    """Every detector on every log and seed."""
    at, seeds = commit(), QUICK_SEEDS if quick else SEEDS
    data = [Data.of(small_fetch())] if quick else [Data.of(load(name, jobs=jobs)) for name in logs or LOGS]
    measured = Measured(run(data, seeds, QUICK_STEPS if quick else MOST_STEPS, jobs))
    print_tables(measured)
    found = measured.claims()
    print_claims(found)
    if quick or not logs:
        print(save(f"{NAME}_quick" if quick else NAME, seeds=seeds, rows=measured.rows(), claims=found, at=at))


def run(data: Sequence[Data], seeds: Sequence[int], most: int, jobs: int) -> list[dict[str, Any]]:
    """The rows of every log and seed, each in a process of one thread."""
    work = [delayed(measure)(one, seed, most) for one in data for seed in seeds]
    rows = list[dict[str, Any]]()
    with parallel_config(backend="loky", inner_max_num_threads=1), progress(NAME) as tell:
        for done, found in enumerate(Parallel(n_jobs=jobs, return_as="generator")(work), start=1):
            rows += found
            tell(done, len(work))
    return rows


def show_choice(jobs: int) -> None:
    """The grid on the pendulum."""
    at = commit()
    rows = choose(Data.of(load(CHOSEN_ON)), SEEDS, MOST_STEPS, jobs)
    print_choice(rows)
    found = choice(rows)
    print_claims(found)
    print(save(f"{NAME}_choice", seeds=SEEDS, rows=rows, claims=found, at=at))


def print_claims(found: Sequence[dict[str, Any]]) -> None:
    """A line a claim."""
    print()
    for one in found:
        measured = one["measured"]
        figure = f"{measured['difference']:+.4f}" if isinstance(measured, dict) else measured
        print(f"{'holds' if one['holds'] else 'FAILS':<7}{one['claim']}: {figure} (limit {one['limit']})")


if __name__ == "__main__":
    main()
