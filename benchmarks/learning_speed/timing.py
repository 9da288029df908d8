"""Taking turns: each side works for a short block, then the next, so that what else the machine does hits all alike."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

Run = Callable[[int], float]
"""Does so many updates and returns the seconds they took."""
LEAST = 2  # updates of a block; blocks have an even number of them: some policies move at every second one
TRIAL = 0.2  # share of a block that is tried first, to say how many updates it has
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Side:
    """Who works, and on how many of torch's threads."""

    name: str
    threads: int


@dataclass(frozen=True)
class Interval:
    """A median with what it could as well have been, by the order statistics of the rounds (95 %, or all there are)."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Of independent measurements, at least one."""
        ordered, cut = sorted(values), _cut(len(values))
        return cls(statistics.median(ordered), ordered[cut], ordered[len(ordered) - 1 - cut])

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def take_turns(runs: Mapping[Side, Run], *, rounds: int, seconds: float) -> dict[Side, list[float]]:
    """Seconds per update of each side in each round; every other round in the opposite order.

    Args:
        runs: the sides.
        rounds: blocks of each.
        seconds: that a block lasts, about.
    """
    return in_turns(runs, {side: _block(side, run, seconds) for side, run in runs.items()}, rounds=rounds)


def in_turns(runs: Mapping[Side, Run], counts: Mapping[Side, int], *, rounds: int) -> dict[Side, list[float]]:
    """``take_turns`` in blocks of so many updates each."""
    measured: dict[Side, list[float]] = {side: [] for side in runs}
    for turn in range(rounds):
        for side in list(runs)[:: -1 if turn % 2 else 1]:
            with threads(side.threads):
                measured[side].append(runs[side](counts[side]) / counts[side])
    return measured


def ratio(slow: Sequence[float], fast: Sequence[float]) -> Interval:
    """How many times as long the first side took as the second, round by round."""
    return Interval.of([a / b for a, b in zip(slow, fast, strict=True)])


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute on so many of torch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _block(side: Side, run: Run, seconds: float) -> int:
    """How many updates last about so long, after a few that are not counted."""
    with threads(side.threads):
        run(LEAST)
        each, tried = run(LEAST) / LEAST, LEAST
        if TRIAL * seconds / each > tried:
            tried = int(TRIAL * seconds / each)
            each = run(tried) / tried
    return max(LEAST, 2 * round(0.5 * seconds / each))


def _cut(count: int) -> int:
    """How many of the smallest and of the largest values lie outside the interval of the median."""
    cut, outside = 0, 0.0
    for below in range(count // 2):
        outside += 2 * math.comb(count, below) / 2**count
        if outside > 1 - CONFIDENCE:
            break
        cut = below
    return cut
