"""Updates a second of every learning algorithm, beside d3rlpy's own fit, bare torch and the matrix products alone.

    python -m benchmarks.learning_speed            # about a quarter of an hour on two idle cores
    python -m benchmarks.learning_speed --quick    # a third of a minute; its figures mean little

Batch 256, two layers of 256, observations of 39 and actions of 28 numbers, made up. The sides take turns in blocks of
about a second; ratios are of blocks of the same round: their median, with the interval in which it lies at 95 %. All
are measured on one of torch's threads and on two (`threads:` of params.yaml), and count by the better. d3rlpy is given
normalised data, so that it need not scale, and neither prints nor saves. Then: what an update costs from a larger
replay, and an online episode after more of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.learning_speed.contenders import THREADS, dataset_of, sides_of
from benchmarks.learning_speed.graphics import graphics_rows
from benchmarks.learning_speed.growth import online_rows, replay_rows
from benchmarks.learning_speed.made_up import SEED, made_up_episodes
from benchmarks.learning_speed.summary import claims, heading, lines, plain, speed_row
from benchmarks.learning_speed.timing import take_turns
from benchmarks.results_file import commit, save
from offline_to_online.errors import one_line
from offline_to_online.plugins import available

NAME = "learning_speed"
EPISODES_A_ROUND = 5  # one takes a fifth of a second


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes.

    Attributes:
        rounds: blocks of each side.
        seconds: that a block lasts, about.
        logged: transitions that the speeds are measured on, and those of the offline half of online batches.
        replays: transitions of the replays.
        before: online episodes before the one that is measured.
        threads: of torch, on each of which all sides of an algorithm are measured.
    """

    rounds: int
    seconds: float
    logged: int
    replays: tuple[int, ...]
    before: tuple[int, ...]
    threads: tuple[int, ...] = THREADS


FULL = Plan(
    rounds=9, seconds=1.0, logged=10_000, replays=(10_000, 100_000, 1_000_000, 5_000_000), before=(10, 1000, 10_000)
)
QUICK = Plan(rounds=1, seconds=0.02, logged=1000, replays=(2000, 10_000), before=(2, 20), threads=(1,))


@one_line
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table and the claims, write the result."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{NAME}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one short block each, on one thread")
    quick = parser.parse_args(arguments).quick
    plan, at = QUICK if quick else FULL, commit()
    rows = measured(plan, available("algorithms"))
    found = claims(rows)
    print()
    for one in found:
        holds = "holds" if one["holds"] else "FAILS"
        print(f"{holds:<7}{one['claim']}: {one['measured']:.3g} (limit {one['limit']:g})")
    print(save(f"{NAME}_quick" if quick else NAME, seeds=[SEED], rows=plain(rows), claims=found, at=at))


def measured(plan: Plan, names: Sequence[str]) -> list[dict[str, Any]]:
    """All rows, each printed as soon as it is there."""
    episodes = made_up_episodes(plan.logged)
    dataset, rows = dataset_of(episodes), list[dict[str, Any]]()
    print(heading(), flush=True)
    for name in names:
        sides = sides_of(name, episodes, dataset, plan.threads)
        taken = take_turns(sides, rounds=plan.rounds, seconds=plan.seconds)
        rows += shown([speed_row(name, taken)])
    print("\nwhat more data costs")
    rows += shown(replay_rows(plan.replays, plan.rounds, plan.seconds))
    rows += shown(online_rows(plan.before, plan.logged, EPISODES_A_ROUND * plan.rounds))
    return rows + shown(graphics_rows(episodes, dataset, plan.rounds, plan.seconds))


def shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, after printing them."""
    for row in rows:
        print("\n".join(lines(row)), flush=True)
    return rows


if __name__ == "__main__":
    main()
