"""Episodes as rows of a regression: the next change of every observation against actions, present value and momentum.

Present value and the change before take out momentum and the pull that absolute targets have towards the present
value; what the actions explain beyond them is their effect. Every episode is centred by itself, so that a constant
load or an unequal resting pose is no effect of anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.spec import Array

EDGE = 4
LAGS = tuple(range(-EDGE, EDGE + 1))
SHORTEST = 4 * EDGE
"""Steps below which an episode says nothing of lags."""

WIDEST = 96
"""Observation dimensions that are looked at; of more, as many are taken at equal distances."""

RIDGE = 1e-4
FAR = 3.0
"""A change beyond 3 times the 99.5 % quantile is a jump (a wrapped angle, a lost position), and is cut there."""

UNUSUAL = 4.0

Pair = tuple[Array, Array]
"""Observations (T+1, O) and actions (T, A) of one episode."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scales:
    """What one is, of every column: standard deviations, infinite where a column never changes.

    ``chosen`` are the observation dimensions looked at, of ``width`` in all.
    """

    width: int
    chosen: Array
    observation: Array
    change: Array
    limit: Array
    action: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """One episode, float32: changes (N, O) and states (N, 2O), centred; actions (T, A), of every step."""

    changes: Array
    states: Array
    actions: Array

    def lagged(self, lag: int) -> Array:
        """The actions ``lag`` steps before each row, (N, A), centred."""
        taken = self.actions[EDGE - lag : len(self.actions) - EDGE - lag]
        return np.asarray(taken - taken.mean(axis=0))

    def moments(self, lag: int) -> Moments:
        """All that a regression on these rows needs."""
        columns = np.concatenate([self.lagged(lag), self.states], axis=1, dtype=np.float64)
        changes = self.changes.astype(np.float64)
        return Moments(
            gram=columns.T @ columns, cross=columns.T @ changes, square=(changes**2).sum(axis=0), rows=len(changes)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Sums over rows: columns with columns (P, P), with changes (P, O), changes squared (O,), how many."""

    gram: Array
    cross: Array
    square: Array
    rows: int

    def plus(self, other: Moments, sign: int = 1) -> Moments:
        """The rows of both; with ``sign`` -1, without those of the other."""
        return Moments(
            gram=self.gram + sign * other.gram,
            cross=self.cross + sign * other.cross,
            square=self.square + sign * other.square,
            rows=self.rows + sign * other.rows,
        )

    def without(self, columns: int) -> Moments:
        """The same rows without their first columns."""
        return Moments(
            gram=self.gram[columns:, columns:], cross=self.cross[columns:], square=self.square, rows=self.rows
        )

    def ridged(self) -> Array:
        """The matrix to invert."""
        return np.asarray(self.gram + RIDGE * max(self.rows, 1) * np.eye(len(self.gram)))

    def solved(self) -> Array:
        """Coefficients (P, O)."""
        return np.asarray(np.linalg.solve(self.ridged(), self.cross))

    def left(self, coefficients: Array, *, freedom: int = 0) -> Array:
        """Variance of the changes that coefficients leave, (O,); ``freedom`` is how many were fitted on these rows."""
        explained = (coefficients * (2 * self.cross - self.gram @ coefficients)).sum(axis=0)
        return np.asarray(np.maximum(self.square - explained, 0.0) / max(self.rows - freedom, 1))


def total(moments: Iterable[Moments]) -> Moments:
    """Those of all rows together."""
    first, *others = moments
    for other in others:
        first = first.plus(other)
    return first


def rows_of(pair: Pair, scales: Scales) -> Rows:
    """The rows of one episode from step EDGE on, up to EDGE steps before its end."""
    observations, actions = pair
    seen = observations if len(scales.chosen) == scales.width else observations[:, scales.chosen]
    steps = len(actions)
    change = np.clip(seen[1:] - seen[:-1], -scales.limit, scales.limit) / scales.change
    states = np.concatenate([seen[EDGE : steps - EDGE] / scales.observation, change[EDGE - 1 : steps - EDGE - 1]], 1)
    changes = change[EDGE : steps - EDGE]
    return Rows(
        changes=changes - changes.mean(axis=0), states=states - states.mean(axis=0), actions=actions / scales.action
    )


def scales_of(episodes: Sequence[Pair], wanted: Sequence[int]) -> Scales:
    """Scales of some episodes; ``wanted`` observation dimensions are looked at however many there are."""
    width = episodes[0][0].shape[1]
    chosen = np.unique(np.linspace(0, width - 1, min(width, WIDEST)).astype(int))
    chosen = np.union1d(chosen, np.asarray(list(wanted), dtype=int))
    seen = [o[:, chosen].astype(np.float64) for o, _ in episodes]
    change = np.concatenate([np.diff(o, axis=0) for o in seen])
    limit = FAR * np.quantile(np.abs(change), 0.995, axis=0)
    everything = np.concatenate(seen)
    # Below what float32 resolves at that height nothing has moved.
    floor = 1e-6 * np.abs(everything).max(axis=0)
    commanded = np.concatenate([a for _, a in episodes]).astype(np.float64)
    return Scales(
        width=width,
        chosen=chosen,
        observation=_or_infinite(everything.std(axis=0), floor),
        change=_or_infinite(np.clip(change, -limit, limit).std(axis=0), floor),
        limit=limit.astype(np.float32),
        action=_or_infinite(commanded.std(axis=0), 1e-6 * np.abs(commanded).max(axis=0)),
    )


def of_usual_size(episodes: Sequence[Pair]) -> list[bool]:
    """Whose actions vary within a factor of 4 of what is usual: one in other units would outweigh all others."""
    deviation = np.stack([actions.std(axis=0, dtype=np.float64) for _, actions in episodes])
    usual = np.median(deviation, axis=0)
    if not usual.any():
        return [True] * len(episodes)
    size = np.median(deviation[:, usual > 0] / usual[usual > 0], axis=1)
    return [bool(1 / UNUSUAL < s < UNUSUAL) for s in size]


def _or_infinite(deviation: Array, floor: Array) -> Array:
    return np.where(deviation > np.maximum(floor, 1e-30), deviation, np.inf).astype(np.float32)
