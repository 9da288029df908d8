"""Which feature of a LeRobotDataset is what to us, and the episode that its columns make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from offline_to_online.dataset.formats._lerobot_info import Feature, Info
from offline_to_online.dataset.formats._lerobot_parquet import numbers, texts
from offline_to_online.dataset.formats._lerobot_rows import COUNTERS, Rows
from offline_to_online.dataset.formats._lerobot_stats import Statistics
from offline_to_online.dataset.logged import LoggedEpisode
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

ACTIONS = ("action", "actions")
NEXT = "next."
# What a scalar feature means, by the names it is published under; the first that is there counts.
SCALARS = {
    "rewards": ("next.reward", "reward"),
    "done": ("next.done", "done"),
    "terminated": ("next.terminated", "terminated"),
    "truncated": ("next.truncated", "truncated"),
    "successes": ("next.success", "success"),
    "times": ("timestamp",),
    "cost": ("next.cost", "complementary_info.cost"),
    "intervened": ("complementary_info.is_intervention", "is_intervention"),
    "seed": ("complementary_info.seed",),
    "score": ("complementary_info.score",),
}
FLAGS = ("done", "terminated", "truncated", "successes", "intervened")
OPERATOR = "operator"


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The features of a data set by their meaning. ``following`` maps a sensor to the feature with its next value."""

    sensors: Mapping[str, Feature]
    following: Mapping[str, Feature]
    actions: Feature
    scalars: Mapping[str, Feature]
    operator: bool
    extra: tuple[Feature, ...]

    @property
    def observation(self) -> tuple[str, ...]:
        """Sensors that are the observation by default: the state that lerobot's policies take, else all."""
        state = tuple(n for n in ("observation.state", "observation.environment_state") if n in self.sensors)
        return state or tuple(self.sensors)

    def select(self, sensors: Sequence[str] | None, *, where: str) -> dict[str, Feature]:
        """The sensors of these names, or all.

        Raises:
            DataError: there is no such sensor.
        """
        unknown = [name for name in sensors or () if name not in self.sensors]
        if unknown:
            limit = f"the sensors are {', '.join(self.sensors)}"
            raise DataError(f"no sensor {unknown[0]!r}", where=where, limit=limit, remedy="select one of these")
        return dict(self.sensors) if sensors is None else {name: self.sensors[name] for name in sensors}


def roles(info: Info) -> Roles:
    """What each feature means.

    Raises:
        DataError: there is no vector of actions or of observations, or a counter of rows is missing.
    """
    vectors = {name: feature for name, feature in info.features.items() if feature.is_vector}
    actions = next((vectors[name] for name in ACTIONS if name in vectors), None)
    sensors = {name: f for name, f in vectors.items() if name == "observation" or name.startswith("observation.")}
    missing = [name for name in COUNTERS if name not in vectors]
    if actions is None or not sensors or missing:
        wanted = "action" if actions is None else "observation.*" if not sensors else missing[0]
        raise DataError(
            f"no numeric feature {wanted!r}",
            where=str(info.root),
            limit=f"observation.*, action and {', '.join(COUNTERS)}; here are {', '.join(info.features)}",
            remedy="mend the features in meta/info.json",
        )
    following = {name: vectors[NEXT + name] for name in sensors if NEXT + name in vectors}
    scalars = {role: found for role, names in SCALARS.items() if (found := _scalar(vectors, names)) is not None}
    used = {*sensors, actions.name, *COUNTERS, *(f.name for f in (*following.values(), *scalars.values()))}
    operator = info.features.get(OPERATOR)
    return Roles(
        sensors=sensors,
        following=following,
        actions=actions,
        scalars=scalars,
        operator=operator is not None and operator.dtype == "string",
        extra=tuple(feature for name, feature in vectors.items() if name not in used),
    )


def columns(info: Info, found: Roles, sensors: Mapping[str, Feature], *, extra: bool) -> list[str]:
    """Names of the columns that an import reads."""
    following = [found.following[name].name for name in sensors if name in found.following]
    others = [feature.name for feature in found.extra] if extra else []
    task = ["task_index"] if "task_index" in info.features else []
    operator = [OPERATOR] if found.operator else []
    scalars = [feature.name for feature in found.scalars.values()]
    return list(
        dict.fromkeys([*COUNTERS, *sensors, *following, found.actions.name, *scalars, *others, *task, *operator])
    )


def logged(
    rows: Rows, found: Roles, sensors: Mapping[str, Feature], statistics: Statistics, *, extra: bool
) -> LoggedEpisode:
    """The episode that these rows are, with the values as they stand in the file.

    Raises:
        DataError: a value is missing, a flag is neither true nor false, or the statistics beside the data
            are of other data.
    """

    def column(feature: Feature) -> Array:
        values = numbers(rows.table, feature, where=rows.where)
        statistics.check(rows.span.index, feature, values, where=rows.where)
        return values

    scalars: dict[str, Array] = {}
    for role, feature in found.scalars.items():
        values = column(feature).reshape(-1)
        scalars[role] = _flags(feature.name, values, where=rows.where) if role in FLAGS else values
    terminals, timeouts = _endings(scalars)
    return LoggedEpisode(
        where=rows.where,
        sensors={name: _matrix(column(feature)) for name, feature in sensors.items()},
        following={name: _matrix(column(found.following[name])) for name in sensors if name in found.following},
        actions=_matrix(column(found.actions)),
        rewards=scalars.get("rewards"),
        terminals=terminals,
        timeouts=timeouts,
        times=scalars.get("times"),
        cost=scalars.get("cost"),
        intervened=scalars.get("intervened"),
        successes=scalars.get("successes"),
        operator=_operator(rows) if found.operator else None,
        seed=_seed(scalars.get("seed"), where=rows.where),
        score=_constant(scalars.get("score")),
        extra={feature.name: column(feature) for feature in found.extra} if extra else {},
    )


def _scalar(vectors: Mapping[str, Feature], names: Sequence[str]) -> Feature | None:
    return next((vectors[name] for name in names if name in vectors and vectors[name].width == 1), None)


def _matrix(values: Array) -> Array:
    return values.reshape(len(values), -1)


def _flags(name: str, values: Array, *, where: str) -> Array:
    odd = np.flatnonzero((values != 0) & (values != 1))
    if len(odd):
        raise DataError(
            f"{name} is {values[odd[0]]}",
            where=f"{where}, step {odd[0]}",
            limit="true or false",
            remedy="mend the data",
        )
    return values.astype(np.bool_)


def _endings(scalars: Mapping[str, Array]) -> tuple[Array | None, Array | None]:
    """Terminals and time-outs. ``done`` alone is lerobot's "terminated or truncated", and counts as terminal."""
    done, terminated, truncated = (scalars.get(role) for role in ("done", "terminated", "truncated"))
    if terminated is None and done is not None:
        terminated = done if truncated is None else done & ~truncated
    elif truncated is None and done is not None and terminated is not None:
        truncated = done & ~terminated
    return terminated, truncated


def _operator(rows: Rows) -> str:
    names = texts(rows.table, OPERATOR, where=rows.where)
    step = next((step for step, name in enumerate(names) if name != names[0]), None)
    if step is not None:
        raise DataError(
            f"operator changes from {names[0]!r} to {names[step]!r}",
            where=f"{rows.where}, step {step}",
            limit="one operator per episode",
            remedy="mark the end of the episode",
        )
    return names[0]


def _seed(values: Array | None, *, where: str) -> int | None:
    if values is None or values.dtype.kind not in "iu":
        return None
    odd = np.flatnonzero(values != values[0])
    if len(odd):
        raise DataError(
            f"the seed changes from {values[0]} to {values[odd[0]]}",
            where=f"{where}, step {odd[0]}",
            limit="one seed per episode",
            remedy="mark the end of the episode",
        )
    return int(values[0])


def _constant(values: Array | None) -> float | None:
    """The value that all steps share; None where they do not: then it is no score of the episode."""
    if values is None or not bool((values == values[0]).all()):
        return None
    return float(values[0])


def unused(info: Info, found: Roles) -> list[Any]:
    """Features that no episode of ours will hold, in the file's order."""
    known = {*found.sensors, *COUNTERS, "task_index", found.actions.name}
    known |= {f.name for f in (*found.following.values(), *found.scalars.values(), *found.extra)}
    return [f for name, f in info.features.items() if name not in known and not (name == OPERATOR and found.operator)]
