"""One episode of a Minari data set as it was logged, held against what is said of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from offline_to_online.dataset.formats._minari_column import Tree
from offline_to_online.dataset.formats._minari_layout import ACTIONS, FLAT, Layout, require_same
from offline_to_online.dataset.formats._minari_metadata import whole
from offline_to_online.dataset.logged import LoggedEpisode
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

LARGEST_SEED = 2**63 - 1
KNOWN = ("id", "total_steps", "seed", "operator", "success", "score")
# Minari writes these of each episode's rewards beside them.
STATISTICS: Mapping[str, Callable[[Array], Any]] = {
    "sum": np.sum,
    "mean": np.mean,
    "std": np.std,
    "max": np.max,
    "min": np.min,
}


def logged_episode(
    tree: Tree, layout: Layout, attributes: Mapping[str, Any], *, number: int, sensors: Sequence[str], extra: bool
) -> LoggedEpisode:
    """An episode, with the named sensors.

    Raises:
        DataError: a column is missing, not all there, of another length or width than it must be, or contradicts
            what the episode's attributes say of it.
    """
    require_same(layout, tree)
    steps = _steps(tree, layout, attributes, number)
    rewards, terminals, timeouts = (_flat(tree, name) for name in FLAT)
    _require_statistics(rewards, attributes, tree.where)
    roles = {role: _flat(tree, name) for role, name in layout.roles.items()}
    success, score = _number("success", attributes, tree.where), _number("score", attributes, tree.where)
    return LoggedEpisode(
        where=tree.where,
        sensors={name: _two_dimensional(tree.values(name)) for name in sensors},
        actions=_two_dimensional(tree.values(ACTIONS)),
        rewards=rewards,
        terminals=terminals,
        timeouts=timeouts,
        cost=_after_steps(roles.get("cost"), steps),
        intervened=_after_steps(roles.get("intervened"), steps),
        successes=_flags(roles.get("successes")),
        operator=operator_in(attributes, tree.where),
        seed=seed_in(attributes, tree.where),
        success=None if success is None else bool(success),
        score=score,
        extra={n: tree.values(n) for n in layout.infos if n in tree.columns} if extra else {},
        facts=_facts(attributes) if extra else {},
    )


def operator_in(attributes: Mapping[str, Any], where: str) -> str | None:
    """Who acted, where it is said.

    Raises:
        DataError: it is no text.
    """
    value = attributes.get("operator")
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is not None and not isinstance(value, str):
        raise DataError(f"the operator is {value!r:.60}", where=where, limit="a text", remedy="mend the recording")
    return value


def seed_in(attributes: Mapping[str, Any], where: str) -> int | None:
    """The seed of the reset; None where none is logged, or it is one of Minari's own beyond 2^63 - 1.

    Raises:
        DataError: it is no whole number.
    """
    value = attributes.get("seed")
    if value is None:
        return None
    seed = whole(value)
    if seed is None or seed < -1:
        limit = "a whole number from -1 (not logged)"
        raise DataError(f"the seed is {value!r:.60}", where=where, limit=limit, remedy="mend the recording")
    return seed if 0 <= seed <= LARGEST_SEED else None


def _steps(tree: Tree, layout: Layout, attributes: Mapping[str, Any], number: int) -> int:
    """T, once every column agrees on it."""
    steps = tree.rows(ACTIONS)
    if steps < 1:
        raise DataError("an empty episode", where=tree.where, limit="at least 1 step", remedy="remove it")
    infos = [name for name in (*layout.roles.values(), *layout.infos) if name in tree.columns]
    wanted: dict[str, tuple[int, ...]] = dict.fromkeys(FLAT, (steps,))
    wanted |= {sensor.name: (steps + 1,) for sensor in layout.sensors} | dict.fromkeys(infos, (steps, steps + 1))
    for name, lengths in wanted.items():
        if tree.rows(name) not in lengths:
            limit = f"{steps} actions ask for {' or '.join(map(str, lengths))}"
            raise DataError(
                f"{name} has {tree.rows(name)} rows", where=tree.where, limit=limit, remedy="mend the recording"
            )
    for key, found in (("total_steps", steps), ("id", number)):
        said = attributes.get(key)
        if said is not None and whole(said) != found:
            limit = f"the data says {found}"
            raise DataError(f"{key} is {said!r:.60}", where=tree.where, limit=limit, remedy="mend whichever is wrong")
    return steps


def _flat(tree: Tree, name: str) -> Array:
    return tree.values(name).reshape(-1)


def _two_dimensional(values: Array) -> Array:
    return values.reshape(len(values), math.prod(values.shape[1:]))


def _after_steps(values: Array | None, steps: int) -> Array | None:
    """What the info after each step says: where there are T+1, the first is the reset's."""
    return None if values is None else values[len(values) - steps :]


def _flags(values: Array | None) -> Array | None:
    """Success of each moment; numbers that are not all 0 or 1 are something else."""
    if values is None or values.dtype == np.bool_ or np.isin(values, (0, 1)).all():
        return values
    return None


def _require_statistics(rewards: Array, attributes: Mapping[str, Any], where: str) -> None:
    numbers = rewards.astype(np.float64)
    # Sums in another order or in float32 differ in the last digits; what is not finite is for the checks.
    slack = 1e-4 * float(np.abs(numbers).max())
    for name, statistic in STATISTICS.items():
        said = attributes.get(f"rewards_{name}")
        if not isinstance(said, float | np.floating) or not np.isfinite(numbers).all():
            continue
        found = float(statistic(numbers)) / (len(numbers) if name == "sum" else 1)
        said = float(said) / (len(numbers) if name == "sum" else 1)
        if not abs(found - said) <= slack:
            what, limit = f"rewards_{name} is {said:g}", f"the rewards give {found:g}"
            raise DataError(what, where=f"{where}, rewards", limit=limit, remedy="mend whichever is wrong")


def _number(name: str, attributes: Mapping[str, Any], where: str) -> float | None:
    value = attributes.get(name)
    if value is None:
        return None
    if not isinstance(value, bool | int | float | np.number | np.bool_) or not math.isfinite(value):
        limit = "a finite number"
        raise DataError(f"the {name} is {value!r:.60}", where=where, limit=limit, remedy="mend the recording")
    return float(value)


def _facts(attributes: Mapping[str, Any]) -> dict[str, Array]:
    numbers = (bool, int, float, np.number, np.bool_, np.ndarray)
    facts = {n: np.asarray(v) for n, v in attributes.items() if n not in KNOWN and isinstance(v, numbers)}
    return {name: value for name, value in facts.items() if value.dtype.kind in "fiub"}
