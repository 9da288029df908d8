"""The contract of every transition: one column per dimension, finite and inside its bounds. The only Pandera door."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.spec import Dimension, VectorSchema
from offline_to_online.errors import DataError


def transition_frame(episodes: Iterable[tuple[int, Episode]], manifest: Manifest) -> pd.DataFrame:
    """A row per step: episode, step, ``observation.<name>`` ..., ``action.<name>`` ..., reward, cost."""
    numbered = list(episodes)
    values = [
        np.column_stack([e.observations[:-1], e.actions, e.rewards, e.cost]).astype(np.float32, copy=False)
        for _, e in numbered
    ]
    columns = [*_names("observation", manifest.observation), *_names("action", manifest.action), "reward", "cost"]
    frame = pd.DataFrame(np.concatenate(values), columns=columns, copy=False)
    frame.insert(0, "episode", np.repeat([index for index, _ in numbered], [len(e) for _, e in numbered]))
    frame.insert(1, "step", np.concatenate([np.arange(len(e)) for _, e in numbered]))
    return frame


def final_frame(episodes: Iterable[tuple[int, Episode]], manifest: Manifest) -> pd.DataFrame:
    """A row per episode for the observation after its last step: ``episode``, ``step``, ``observation.<name>`` ..."""
    numbered = list(episodes)
    last = np.stack([e.observations[-1] for _, e in numbered])
    frame = pd.DataFrame(last, columns=_names("observation", manifest.observation))
    frame.insert(0, "episode", [index for index, _ in numbered])
    frame.insert(1, "step", [len(e) for _, e in numbered])
    return frame


def check_transitions(frame: pd.DataFrame, manifest: Manifest, *, where: str = "") -> None:
    """Hold transitions against the manifest's schemas.

    Every number must be finite; observations and actions inside their bounds (closed intervals in
    float32). Actions beyond theirs pass where the manifest says ``out_of_bounds: clip``.

    Raises:
        DataError: names the first failure (episode, step, dimension, value, limit) and counts the rest.
    """
    _check(frame, _transition_schema(manifest), manifest, where=where)


def check_final(frame: pd.DataFrame, manifest: Manifest, *, where: str = "") -> None:
    """Hold final observations against the manifest's observation schema.

    Raises:
        DataError: as ``check_transitions``.
    """
    _check(frame, _final_schema(manifest), manifest, where=where)


def require_shapes(episode: Episode, manifest: Manifest, *, where: str) -> None:
    """Refuse arrays whose shapes do not belong together or to the manifest.

    Raises:
        DataError: names the array, its shape and the shape it must have.
    """
    steps, width = len(episode.actions), manifest.observation.size
    wanted = {
        "observations": (steps + 1, width),
        "actions": (steps, manifest.action.size),
        **dict.fromkeys(("rewards", "cost", "intervened"), (steps,)),
    }
    for name, shape in wanted.items():
        found = np.shape(getattr(episode, name))
        if found != shape:
            limit = f"the manifest and the {steps} actions ask for {shape}"
            raise DataError(
                f"{name} have the shape {found}", where=where, limit=limit, remedy="mend the data or the manifest"
            )


def _names(prefix: str, schema: VectorSchema) -> list[str]:
    return [f"{prefix}.{name}" for name in schema.names]


def _transition_schema(manifest: Manifest) -> Any:
    import pandera.pandas as pa

    clips = manifest.action.out_of_bounds == "clip"
    columns = {f"action.{d.name}": _column(None if clips else d) for d in manifest.action.dimensions}
    return pa.DataFrameSchema(
        {**_observation_columns(manifest), **columns, "reward": _column(), "cost": _column(floor=0.0)}
    )


def _final_schema(manifest: Manifest) -> Any:
    import pandera.pandas as pa

    return pa.DataFrameSchema(_observation_columns(manifest))


def _observation_columns(manifest: Manifest) -> dict[str, Any]:
    return {f"observation.{d.name}": _column(d) for d in manifest.observation.dimensions}


def _column(bounds: Dimension | None = None, *, floor: float | None = None) -> Any:
    import pandera.pandas as pa

    checks = [pa.Check(_finite, error="a finite number", ignore_na=False)]
    if bounds is not None:
        # The data is float32: a bound such as 0.1 is compared as the float32 it is stored as.
        low, high = float(np.float32(bounds.low)), float(np.float32(bounds.high))
        inside = functools.partial(_inside, low=low, high=high)
        checks.append(pa.Check(inside, error=f"[{bounds.low:g}, {bounds.high:g}] {bounds.unit}"))
    if floor is not None:
        checks.append(pa.Check(functools.partial(_inside, low=floor, high=np.inf), error=f"at least {floor:g}"))
    return pa.Column(np.float32, checks, nullable=True, coerce=True)


def _finite(values: pd.Series[Any]) -> pd.Series[Any]:
    return pd.Series(np.isfinite(values.to_numpy()), index=values.index)


def _inside(values: pd.Series[Any], *, low: float, high: float) -> pd.Series[Any]:
    # What is not finite fails the check before this one; it is not counted twice.
    numbers = values.to_numpy()
    return pd.Series(~np.isfinite(numbers) | ((numbers >= low) & (numbers <= high)), index=values.index)


def _check(frame: pd.DataFrame, schema: Any, manifest: Manifest, *, where: str) -> None:
    import pandera.errors

    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        raise _first_failure(error.failure_cases, frame, manifest, where=where) from error


def _first_failure(cases: pd.DataFrame, frame: pd.DataFrame, manifest: Manifest, *, where: str) -> DataError:
    absent = cases[cases["index"].isna()]
    if len(absent):
        missing = ", ".join(sorted(str(name) for name in absent["failure_case"]))
        return DataError(f"no column {missing}", where=where, limit="one column per dimension", remedy="mend the data")
    first = cases.sort_values("index", kind="stable").iloc[0]
    row = frame.loc[first["index"]]
    place = f"episode {int(row['episode'])}, step {int(row['step'])}"
    kind = str(first["column"]).split(".")[0]
    remedies = {
        "action": "mend the data, the unit and bounds, or declare out_of_bounds: clip where the robot clips",
        "observation": "mend the data, or the unit and bounds in the manifest",
    }
    return DataError(
        f"{first['column']} is {row[first['column']]:g}; {len(cases)} value(s) fail in all",
        where=f"{where}, {place}" if where else place,
        limit=f"limit {first['check']} in manifest {manifest.name}" if kind in remedies else f"limit {first['check']}",
        remedy=remedies.get(kind, "mend the data"),
    )
