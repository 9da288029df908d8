"""Learning curves across the switch from offline to online: what is reached over collected episodes, and the dip.

The dip is the lowest value after the switch minus the value before it. The lowest of many rolling means lies below
the truth even where nothing changes, so that a dip of a rolling mean says little alone: ``lowest_by_chance`` tells what
an unchanged policy would show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.evaluation.statistics import mean_interval, wilson_interval
from offline_to_online.support.drawing import HUES, INK

WINDOW = 20
STYLES = ("-", "--", ":", "-.")
BAND_RESAMPLES = 500
DRAWS = 1000


@dataclass(frozen=True, kw_only=True)
class Dip:
    """The lowest value of a curve after the switch, after how many episodes, and the value before the switch."""

    before: float
    lowest: float
    at: int

    @property
    def change(self) -> float:
        """Lowest minus before: below 0 is a dip, else there is none."""
        return self.lowest - self.before


@dataclass(frozen=True, eq=False)
class Curve:
    """What one method or run reached over its episodes.

    Attributes:
        name: for the legend.
        episodes: how many were collected by then, (N,), rising; points up to 0 are before the switch.
        mean, low, high: the value and its interval at each of them, (N,); NaN where nothing was measured.
        before: the value right before the switch where that is no point of the curve; else its last point up to 0.
    """

    name: str
    episodes: Array
    mean: Array
    low: Array
    high: Array
    before: float | None = None

    @property
    def dip(self) -> Dip | None:
        """The dip at the switch, or None where nothing is known on one side of it."""
        known = np.isfinite(self.mean)
        offline, online = self.mean[known & (self.episodes <= 0)], np.flatnonzero(known & (self.episodes > 0))
        before = self.before if self.before is not None else float(offline[-1]) if len(offline) else None
        if before is None or not len(online):
            return None
        lowest = online[np.argmin(self.mean[online])]
        return Dip(before=before, lowest=float(self.mean[lowest]), at=int(self.episodes[lowest]))


def draw_learning_curves(axes: Any, curves: Sequence[Curve], *, label: str = "success rate") -> None:
    """Every curve with its band, the switch at 0, and a triangle at the bottom of each dip, whose depth is in the name.

    Args:
        axes: of matplotlib, whose figure is best made by ``support.drawing.figure_in_style``; the legend is for the
            caller to draw.
        curves: one colour each, then the same colours with other strokes.
        label: of the vertical axis, which goes from 0 to 1.
    """
    axes.axvline(0, color=INK, linestyle="--", linewidth=1, label="switch to online")
    for number, curve in enumerate(curves):
        colour, style = HUES[number % len(HUES)], STYLES[number // len(HUES) % len(STYLES)]
        dip = curve.dip
        name = f"{curve.name} (dip {dip.change:+.2f})" if dip and dip.change < 0 else curve.name
        axes.fill_between(curve.episodes, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(curve.episodes, curve.mean, linestyle=style, color=colour, linewidth=1.6, label=name)
        if dip and dip.change < 0:
            axes.plot([dip.at], [dip.lowest], "v", color=colour, markersize=6)
    axes.set(xlabel="episodes collected online", ylabel=label, ylim=(-0.03, 1.03))


def rolling(values: Array, window: int) -> Array:
    """Mean over the last ``window`` values, or as many as there are: float64 (N,) of (N,)."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    means: Array = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def rolling_curve(name: str, values: Array, *, window: int = WINDOW, before: float | None = None) -> Curve:
    """The rolling mean of the outcomes of collected episodes, with the 95 % interval of each window.

    It begins with the first full window; where there is none, it is of what there is, and nothing is known before the
    switch, so that it has no dip: the first episode alone is no rate.

    Args:
        name: of the curve.
        values: outcomes in [0, 1] in their order, (N,); bool gets Wilson's intervals, float the bootstrap's.
        window: episodes.
        before: the value before the switch.
    """
    first = window if len(values) >= window else 1
    ends = np.arange(first, len(values) + 1)
    bands = [outcome_interval(values[max(0, end - window) : end], resamples=BAND_RESAMPLES) for end in ends]
    low, high = np.array(bands).reshape(-1, 2).T
    return Curve(name, ends, rolling(values, window)[first - 1 :], low, high, before if len(values) >= window else None)


def outcome_interval(values: Array, *, resamples: int = 4000) -> tuple[float, float]:
    """95 % interval of the mean of outcomes (N,), N at least 1: Wilson's for bool, the bootstrap's for float."""
    if values.dtype == np.bool_:
        return wilson_interval(int(values.sum()), len(values))
    return mean_interval(values, resamples=resamples)


def lowest_by_chance(
    outcomes: Array, episodes: int, rng: np.random.Generator, *, window: int = WINDOW, draws: int = DRAWS
) -> Array:
    """The lowest full-window rolling mean that a policy would show over so many episodes if it did not change at all.

    Its outcomes are known from a panel only: every draw first resamples the panel, as the bootstrap does, and then
    draws the episodes from that.

    Args:
        outcomes: of the panel's tasks, (P,), P at least 1.
        episodes: at least ``window``.
        rng: draws.
        window: episodes of the rolling mean.
        draws: how many.

    Returns:
        float64 (draws,), sorted.
    """
    lowest = np.empty(draws)
    for draw in range(draws):
        panel = rng.choice(outcomes, len(outcomes))
        lowest[draw] = rolling(rng.choice(panel, episodes), window)[window - 1 :].min()
    return np.sort(lowest)
