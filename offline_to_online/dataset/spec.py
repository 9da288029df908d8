"""What an action and an observation are made of: names, units and bounds of every dimension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from offline_to_online.errors import ManifestError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One number of a vector: its name, its unit, and the closed interval it lies in."""

    name: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class VectorSchema:
    """An ordered list of dimensions. ``low`` and ``high`` are float32 arrays of shape (size,)."""

    dimensions: tuple[Dimension, ...]

    @property
    def size(self) -> int:
        """Number of dimensions."""
        return len(self.dimensions)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(d.name for d in self.dimensions)

    @property
    def low(self) -> Array:
        """Lower bounds, float32, shape (size,)."""
        return np.array([d.low for d in self.dimensions], dtype=np.float32)

    @property
    def high(self) -> Array:
        """Upper bounds, float32, shape (size,)."""
        return np.array([d.high for d in self.dimensions], dtype=np.float32)

    def to_json(self) -> list[dict[str, Any]]:
        """A list of ``{name, unit, low, high}``, as it stands in a manifest."""
        return [{"name": d.name, "unit": d.unit, "low": d.low, "high": d.high} for d in self.dimensions]


@dataclass(frozen=True, kw_only=True)
class ObservationSchema(VectorSchema):
    """What a policy sees at a step."""


@dataclass(frozen=True, kw_only=True)
class ActionSchema(VectorSchema):
    """What a policy commands at a step.

    ``kind`` is ``vector``; a discrete choice is named here and refused until it is supported.
    ``out_of_bounds`` says what the robot does beyond its bounds: ``refuse`` makes such data an
    error, ``clip`` clips, counts and reports it, as the robot itself does.
    """

    kind: Literal["vector"] = "vector"
    out_of_bounds: Literal["refuse", "clip"] = "refuse"

    def clip(self, actions: Array) -> Array:
        """Actions (..., size) brought back inside the bounds."""
        return np.clip(actions, self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class SafetyLimits:
    """What one robot may do.

    ``max_action_change`` (shape (size,), action units per step) bounds the rate of every action
    dimension, infinite where the robot has none; ``max_episode_cost`` bounds c(tau) of one episode.
    """

    max_action_change: tuple[float, ...]
    max_episode_cost: float


def dimensions_from(rows: list[Mapping[str, Any]], *, where: str) -> tuple[Dimension, ...]:
    """Dimensions from a manifest's rows ``{name, unit, low, high}``.

    Raises:
        ManifestError: a key is missing or unknown, a name stands twice, or low is not below high.
    """
    dimensions = tuple(_dimension(row, where=f"{where}[{i}]") for i, row in enumerate(rows))
    names = [d.name for d in dimensions]
    for name in names:
        if names.count(name) > 1:
            raise ManifestError(f"dimension {name!r} stands twice", where=where, remedy="give each its own name")
    if not dimensions:
        raise ManifestError(
            "no dimensions", where=where, limit="at least 1", remedy="list name, unit, low, high of each"
        )
    return dimensions


def _dimension(row: Mapping[str, Any], *, where: str) -> Dimension:
    wanted = {"name", "unit", "low", "high"}
    keys = set(row) if isinstance(row, Mapping) else set()
    if keys != wanted:
        odd = sorted(keys ^ wanted)
        raise ManifestError(
            f"missing or unknown key {', '.join(map(str, odd))}",
            where=where,
            limit="name, unit, low, high",
            remedy="mend the row",
        )
    try:
        low, high = float(row["low"]), float(row["high"])
    except (TypeError, ValueError) as error:
        raise ManifestError(
            f"bounds {row['low']!r}, {row['high']!r} are no numbers", where=where, remedy="give numbers"
        ) from error
    if not low < high:
        raise ManifestError(f"low {low:g} is not below high {high:g}", where=where, remedy="mend the bounds")
    return Dimension(name=str(row["name"]), unit=str(row["unit"]), low=low, high=high)
