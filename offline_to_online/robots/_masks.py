"""Masks over rows of observations and actions, shared by the robots' regions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from offline_to_online.dataset.spec import ActionSchema, Array


def outside(values: Array, low: Array | float, high: Array | float) -> Array:
    """Bool (N,): rows of (N, ...) with some number below ``low`` or above ``high``."""
    beyond = ((values < low) | (values > high)).reshape(len(values), -1)
    return some(beyond)


def at_bounds(actions: Array, schema: ActionSchema) -> Array:
    """Bool (N, A): commands that stand at a bound of their dimension."""
    return np.asarray((actions <= schema.low) | (actions >= schema.high))


def some(masks: Array) -> Array:
    """Bool (N,): rows of (N, K) in which some mask holds."""
    return np.asarray(np.any(masks, axis=1))


def by_name(kinds: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
    """``{kind: {name: mask}}`` as ``{kind/name: mask}``."""
    return {
        f"{kind}/{name}": np.asarray(mask, dtype=bool) for kind, named in kinds.items() for name, mask in named.items()
    }
