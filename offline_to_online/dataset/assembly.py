"""From what was logged to an episode: sensors selected and concatenated, T+1 observations, one honest ending.

Where the observation after the last step was never logged, a last step that is terminal keeps its reward and
repeats the last observation, which is never bootstrapped from; any other last step is dropped, and the episode
counts as cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from offline_to_online.dataset._parts import Part, distinct, names_of, parts_of
from offline_to_online.dataset._shapes import require_shapes
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.logged import Contents, LoggedEpisode
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError, ManifestError

SAME = 1e-3  # of a dimension's declared width: more apart, and two readings are not of the same moment


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How logged episodes become episodes of ours.

    Attributes:
        observation: the parts that make the observation, in order.
        observation_names, action_names: of the dimensions.
        reward_source: ``file`` needs the logged rewards, ``robot`` takes them where there are any (the robot's come
            later), ``none`` takes none.
        terminals: whether the file's terminals are believed; if not, every end is a cut.
        operators: who may have acted; empty where anybody may.
        widths: (O,) of the declared intervals; None where none are declared.
    """

    observation: tuple[Part, ...]
    observation_names: tuple[str, ...]
    action_names: tuple[str, ...]
    reward_source: Literal["file", "robot", "none"]
    terminals: bool = True
    operators: tuple[str, ...] = ()
    widths: Array | None = None

    @property
    def sensors(self) -> tuple[str, ...]:
        """The sensors to read, each once."""
        return tuple(dict.fromkeys(part.sensor for part in self.observation))


def layout_of(manifest: Manifest, contents: Contents, *, where: str) -> Layout:
    """What a manifest makes of a data set.

    Raises:
        ManifestError: it selects a sensor or entries that there are not, or another number of them than it has names.
    """
    parts = parts_of(manifest.observation_keys or contents.observation, contents, where=where)
    _require_size("observation", sum(p.stop - p.start for p in parts), manifest.observation.size, manifest, where)
    _require_size("action", contents.actions.width, manifest.action.size, manifest, where)
    return Layout(
        observation=parts,
        observation_names=manifest.observation.names,
        action_names=manifest.action.names,
        reward_source=manifest.reward_source,
        terminals=manifest.terminals != "ignore",
        operators=manifest.operators,
        widths=manifest.observation.high - manifest.observation.low,
    )


def implied_layout(contents: Contents, keys: Sequence[str] = (), *, terminals: bool = True) -> Layout:
    """What a data set gives by itself, before anybody has described it."""
    parts = parts_of(keys or contents.observation, contents, where=contents.format)
    names = [name for part in parts for name in names_of(part, contents, alone=len(parts) == 1)]
    return Layout(
        observation=parts,
        observation_names=distinct(names),
        action_names=distinct(contents.actions.names or [f"a{i}" for i in range(contents.actions.width)]),
        reward_source="robot",
        terminals=terminals,
    )


def assemble(logged: LoggedEpisode, layout: Layout) -> Episode:
    """One episode of ours from one that was logged; actions are not clipped yet.

    Raises:
        DataError: lengths disagree, a number is not finite, an end is flagged before the last step, the reward or
            the operator is needed and was not logged, nothing is left of the episode.
    """
    steps = len(logged)
    if steps == 0:
        raise DataError("an empty episode", where=logged.where, limit="at least 1 step", remedy="remove it")
    require_shapes(
        logged, sensors=[(part.sensor, part.stop) for part in layout.observation], actions=len(layout.action_names)
    )
    terminated = layout.terminals and _ends(logged, "terminals")
    _ends(logged, "timeouts")
    observations, final = _observations(logged, layout)
    if not final and terminated:
        observations = np.concatenate([observations, observations[-1:]])
    kept = len(observations) - 1
    if kept < 1:
        raise DataError(
            "an empty episode",
            where=f"{logged.where} (its last step has no next observation)",
            limit="at least 1 step",
            remedy="remove it from the data",
        )
    return Episode(
        observations=observations,
        actions=_finite(logged.actions, "actions", layout.action_names, logged, kept),
        rewards=_rewards(logged, layout, kept),
        cost=_optional(logged.cost, "cost", logged, kept),
        intervened=_optional(logged.intervened, "intervened", logged, kept).astype(np.bool_),
        terminated=terminated,
        truncated=not terminated or _ends(logged, "timeouts"),
        operator=_operator(logged, layout),
        seed=-1 if logged.seed is None else logged.seed,
        success=_success(logged),
        score=0.0 if logged.score is None else logged.score,
    )


def _observations(logged: LoggedEpisode, layout: Layout) -> tuple[Array, bool]:
    """Observations (T+1, O) where the last is known, else (T, O); and whether it is."""
    rows = min(len(logged.sensors[part.sensor]) for part in layout.observation)
    known = all(part.sensor in logged.following for part in layout.observation)
    before = _concatenated(logged.sensors, layout, rows)
    observed = _finite(before, "observations", layout.observation_names, logged, rows)
    if rows == len(logged) + 1 or not known:
        return observed, rows == len(logged) + 1
    following = _concatenated(logged.following, layout, len(logged))
    after = _finite(following, "next_observations", layout.observation_names, logged, len(logged))
    _require_same_moments(observed, after, layout, logged)
    return np.concatenate([observed, after[-1:]]), True


def _concatenated(sensors: Any, layout: Layout, rows: int) -> Array:
    if len(layout.observation) == 1:
        part = layout.observation[0]
        return np.asarray(sensors[part.sensor][:rows, part.start : part.stop])
    return np.concatenate([sensors[p.sensor][:rows, p.start : p.stop] for p in layout.observation], axis=1)


def _require_same_moments(observed: Array, after: Array, layout: Layout, logged: LoggedEpisode) -> None:
    widths = np.ptp(observed, axis=0) if layout.widths is None else layout.widths
    # An infinite declared width allows nothing: then the values themselves say what is far.
    scale = np.where(np.isfinite(widths), widths, np.abs(observed).max(axis=0))
    apart = np.abs(after[:-1] - observed[1:]) > SAME * scale
    if apart.any():
        step, dimension = np.argwhere(apart)[0]
        raise DataError(
            f"next_observations says {after[step, dimension]:g}, the next row of observations "
            f"{observed[step + 1, dimension]:g}",
            where=f"{logged.where}, step {step}, observation.{layout.observation_names[dimension]}",
            limit="both are the same moment within an episode",
            remedy="mark the end of the episode in terminals or timeouts",
        )


def _ends(logged: LoggedEpisode, name: str) -> bool:
    """Whether the episode ends with the flag: on its last step and on no other.

    Terminals may begin earlier, in the second half, if they last to the end: robomimic flags every step in which the
    task is done, and that is one ending.
    """
    flags = getattr(logged, name)
    if flags is None:
        return False
    _finite(flags, name, (), logged, len(flags))
    early = np.flatnonzero(flags[:-1])
    lasting = len(early) > 0 and bool(np.all(flags[early[0] :])) and 2 * int(early[0]) >= len(flags)
    early = early[:0] if lasting and name == "terminals" else early
    if len(early):
        raise DataError(
            f"end_before_the_last_step: {name} is set {len(logged) - 1 - early[0]} step(s) before the end; "
            f"{len(early)} such step(s)",
            where=f"{logged.where}, step {early[0]}",
            limit="an episode ends with its last step",
            remedy="cut the episode there; where the flag means otherwise, terminals: ignore (--terminals ignore)",
        )
    return bool(flags[-1])


def _rewards(logged: LoggedEpisode, layout: Layout, kept: int) -> Array:
    if logged.rewards is None or layout.reward_source == "none":
        if layout.reward_source == "file":
            raise DataError(
                "no rewards are logged",
                where=logged.where,
                limit="the manifest says reward_source: file",
                remedy="say reward_source: robot (or none), or add the rewards to the data",
            )
        return np.zeros(kept, dtype=np.float32)
    return _finite(logged.rewards, "rewards", (), logged, kept)


def _optional(values: Array | None, name: str, logged: LoggedEpisode, kept: int) -> Array:
    return np.zeros(kept, dtype=np.float32) if values is None else _finite(values, name, (), logged, kept)


def _finite(values: Array, name: str, names: tuple[str, ...], logged: LoggedEpisode, kept: int) -> Array:
    """The first ``kept`` rows as float32; what is too large for float32 counts as infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = np.asarray(values).astype(np.float32)
    finite = np.isfinite(numbers)
    if not finite.all():
        odd = np.argwhere(~finite)
        step, *dimension = odd[0].tolist()
        label = f"{name}.{names[dimension[0]]}" if dimension else name
        raise DataError(
            f"{label} is {numbers[tuple(odd[0])]}; {len(odd)} such value(s) here",
            where=f"{logged.where}, step {step}",
            limit="a finite number",
            remedy="remove the episode or mend the recording",
        )
    return numbers[:kept]


def _operator(logged: LoggedEpisode, layout: Layout) -> str:
    alone = layout.operators[0] if len(layout.operators) == 1 else None
    name = logged.operator if logged.operator is not None else alone
    if name is None and not layout.operators:
        return "unknown"
    if name is None:
        raise DataError(
            "no operator is logged",
            where=logged.where,
            limit=f"the manifest names {', '.join(layout.operators)}",
            remedy="add episodes/operator to the file, or name the one operator in the manifest",
        )
    return name


def _success(logged: LoggedEpisode) -> bool:
    if logged.success is not None:
        return logged.success
    return logged.successes is not None and bool(np.any(logged.successes))


def _require_size(what: str, found: int, wanted: int, manifest: Manifest, where: str) -> None:
    if found != wanted:
        raise ManifestError(
            f"{found} {what} dimensions are logged",
            where=where,
            limit=f"manifest {manifest.name} describes {wanted}",
            remedy="mend the manifest, or select sensors under observation_schema.keys"
            if what == "observation"
            else "mend the manifest",
        )
