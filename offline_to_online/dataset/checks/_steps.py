"""What the checks that look at time share: the rows that were really logged, step sizes as they stream by, runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offline_to_online.dataset.checks import Seen
from offline_to_online.dataset.spec import Array

SHIFT, BINS = 20, 2048  # of a float32's bits: 8 bins an octave, over all that float32 can be
ALL_ROWS = 65_536
TURNS = (2 * np.pi, 360.0)
ROUNDING = 4 * float(np.finfo(np.float32).eps)


def logged_rows(seen: Seen) -> Array:
    """Observations that the file holds, float32 (rows, O): without the last, where assembly had to repeat it."""
    logged, rows = seen.logged, seen.episode.observations
    final = bool(logged.following) or any(len(values) > len(logged) for values in logged.sensors.values())
    return rows if final or len(rows) <= len(logged) else rows[:-1]


def runs(mask: Array) -> tuple[Array, Array]:
    """Starts and lengths of the runs of true in a flat mask."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    starts = np.flatnonzero(edges == 1)
    return starts, np.flatnonzero(edges == -1) - starts


def columns_with_run(mask: Array, length: int) -> Array:
    """Indices of the columns of a mask (T, O) that hold a run of at least ``length``; cheap where there is none."""
    held, reach = mask, 1
    while reach < length and len(held):
        shift = min(reach, length - reach)
        held = held[shift:] & held[:-shift]
        reach += shift
    return np.flatnonzero(held.any(axis=0)) if len(held) else np.zeros(0, dtype=np.int64)


def percent(count: float, total: float) -> str:
    """``2.4 %``; a share above 0 is never shown as 0."""
    share = 100 * count / max(total, 1)
    return f"{share:.2g} %" if share < 10 else f"{share:.0f} %"


def named(prefix: str, names: Sequence[str], index: int) -> str:
    """``observation.<name>``, or its number where there is no name."""
    return f"{prefix}.{names[index]}" if index < len(names) else f"{prefix}.{index}"


class StepSizes:
    """How far each dimension moves in a step: counts of |step| in bins an eighth of an octave wide.

    Memory is fixed: 2048 counts a dimension, whatever the number of steps. Beyond ``ALL_ROWS`` steps every fourth
    is counted, which a quantile does not notice.

    Attributes:
        moves: (O,) steps in which the dimension moved at all; every step counts here.
    """

    def __init__(self, width: int) -> None:
        self.counts = np.zeros((width, BINS), dtype=np.int64)
        self.moves = np.zeros(width, dtype=np.int64)
        self.rows = 0

    def add(self, sizes: Array) -> None:
        """Count |step|, float32 (T, O)."""
        width = len(self.counts)
        self.moves += np.count_nonzero(sizes, axis=0)
        sample = sizes[::4] if self.rows > ALL_ROWS else sizes
        self.rows += len(sizes)
        bins = (np.ascontiguousarray(sample, dtype=np.float32).view(np.int32) >> SHIFT).astype(np.intp)
        bins += np.arange(width) * BINS
        self.counts += np.bincount(bins.ravel(), minlength=width * BINS).reshape(width, BINS)

    def quantile(self, share: float | Array) -> Array:
        """(O,) of the steps that move, the size that a share of them does not exceed (to an eighth of an octave)."""
        cumulative = np.cumsum(self.counts[:, 1:], axis=1)
        wanted = np.asarray(share) * cumulative[:, -1]
        bins = 1 + (cumulative < wanted[:, None]).sum(axis=1)
        edges = ((bins + 1).astype(np.int32) << SHIFT).view(np.float32)
        return np.where(cumulative[:, -1] > 0, edges, np.inf).astype(np.float64)


class Ranges:
    """Smallest and largest value of each dimension so far; which of them are angles that wrap round."""

    def __init__(self, width: int) -> None:
        self.low, self.high = np.full(width, np.inf), np.full(width, -np.inf)

    def add(self, rows: Array) -> None:
        """Take note of rows (T, O)."""
        self.low = np.minimum(self.low, rows.min(axis=0))
        self.high = np.maximum(self.high, rows.max(axis=0))

    def unwrap(self, sizes: Array) -> Array:
        """|step| (T, O), in place: a step of nearly a whole turn in a dimension that spans one turn is a short one."""
        for turn in TURNS:
            slack = 0.01 * turn
            centred = (self.low >= -turn / 2 - slack) & (self.high <= turn / 2 + slack)
            positive = (self.low >= -slack) & (self.high <= turn + slack)
            for column in np.flatnonzero((centred | positive) & (self.high - self.low > 0.75 * turn)):
                far = sizes[:, column] > 0.75 * turn
                sizes[far, column] = np.abs(turn - sizes[far, column])
        return sizes
