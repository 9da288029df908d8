"""Which sensors were there: a dead one shows as the same frozen reading in episode after episode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import SupportError

ALIVE, MISSING = "sensor/", "missing_sensor/"


def sensor_regions(spec: Any, observations: Array, lengths: Array) -> dict[str, Array]:
    """Rows of some episodes by the sensors that they have and lack.

    A sensor is missing from an episode when all its dimensions stand still for the whole of it (two steps at least) at
    a reading at which they stand still in another episode too; of several such readings, the most frequent. A goal
    that differs from episode to episode is therefore there, and so is a joint that happens to rest once; a
    placeholder that somebody logged in place of a camera is not. A reading is compared exactly, without rounding.

    Args:
        spec: the robot's SPEC; its ``sensor_dimensions``, or without any each dimension as its own sensor.
        observations: (N, O), episode after episode.
        lengths: (E,), steps of each episode, at least 1.

    Returns:
        ``sensor/<name>`` of every sensor: bool (N,), the rows of episodes that have it; and ``missing_sensor/<name>``,
        the other rows, of each sensor that is missing from some episode.

    Raises:
        SupportError: a sensor is declared to give a dimension that the robot does not have.
    """
    masks = {}
    for name, columns in _columns(spec).items():
        missing = np.repeat(_missing(observations[:, columns], lengths), lengths)
        masks[ALIVE + name] = ~missing
        if missing.any():
            masks[MISSING + name] = missing
    return masks


def _columns(spec: Any) -> dict[str, list[int]]:
    names = list(spec.observation.names)
    # A module of somebody's own may be older than the field.
    declared: Mapping[str, tuple[str, ...]] = getattr(spec, "sensor_dimensions", {}) or {n: (n,) for n in names}
    unknown = sorted({d for dimensions in declared.values() for d in dimensions} - set(names))
    if unknown:
        raise SupportError(
            f"no observation dimension {unknown[0]!r}",
            where="SPEC.sensor_dimensions",
            limit=", ".join(names),
            remedy="mend the robot's SPEC",
        )
    return {sensor: [names.index(d) for d in dimensions] for sensor, dimensions in declared.items()}


def _missing(readings: Array, lengths: Array) -> Array:
    """Bool (E,): which episodes lack the sensor of these readings (N, D)."""
    starts = np.cumsum(lengths) - lengths
    first = readings[starts]
    still = np.logical_and.reduceat((readings == np.repeat(first, lengths, axis=0)).all(axis=1), starts) & (lengths > 1)
    if not still.any():
        return still
    _, of, count = np.unique(first[still], axis=0, return_inverse=True, return_counts=True)
    missing = np.zeros(len(lengths), dtype=bool)
    if count.max() > 1:
        missing[still] = of.reshape(-1) == np.argmax(count)
    return missing
