"""Coverage of the data by region: which poses, contact modes, saturations, reset states and sensors were logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import ActionSchema, Array, ObservationSchema
from offline_to_online.errors import SupportError
from offline_to_online.support.neighbours import RELATIVE_SPREAD, SMALLEST_SPREAD
from offline_to_online.support.sensors import sensor_regions


class Schemas(Protocol):
    """The part of a robot's SPEC that support looks at."""

    @property
    def action(self) -> ActionSchema:
        """What a policy commands."""

    @property
    def observation(self) -> ObservationSchema:
        """What a policy sees."""


class RobotModule(Protocol):
    """What support needs of a robot's module; asked for here, since support and robots do not import each other."""

    @property
    def SPEC(self) -> Schemas:  # noqa: N802 - the robot modules' own constant
        """All that is known of the robot without connecting."""

    def regions(self, observations: Array, actions: Array) -> Mapping[str, Array]:
        """Region name -> bool mask (N,)."""


def coverage(episodes: Sequence[Episode], module: RobotModule, *, minimum_share: float = 0.01) -> dict[str, Any]:
    """What the data holds of every region of the robot and of its sensors, and by name what it does not.

    Args:
        episodes: the logged episodes, at least one.
        module: the robot.
        minimum_share: a region with a smaller share of the steps counts as unsupported, in [0, 1].

    Returns:
        ``regions``: name -> ``{steps, step_share, episodes, episode_share, supported}``;
        ``unsupported``: the names of those that are not; ``silent_sensors`` and ``silent_actions``:
        dimensions that never change in the data, so that nothing can be learned from or about them.

    Raises:
        SupportError: the episodes are of another robot.
    """
    observations = np.concatenate([e.observations[:-1] for e in episodes])
    actions = np.concatenate([e.actions for e in episodes])
    _require_fit((observations.shape[1], actions.shape[1]), module.SPEC)
    lengths = np.array([len(e) for e in episodes])
    episode_of = np.repeat(np.arange(len(episodes)), lengths)
    masks = {**module.regions(observations, actions), **sensor_regions(module.SPEC, observations, lengths)}
    rows = {}
    for name, mask in sorted(masks.items()):
        share, present = float(np.mean(mask)), len(np.unique(episode_of[mask]))
        rows[name] = {
            "steps": int(np.sum(mask)),
            "step_share": share,
            "episodes": present,
            "episode_share": present / len(episodes),
            "supported": supported(share, minimum_share),
        }
    return {
        "regions": rows,
        "unsupported": [name for name, row in rows.items() if not row["supported"]],
        "silent_sensors": _silent(observations, module.SPEC.observation.names),
        "silent_actions": _silent(actions, module.SPEC.action.names),
        "steps": len(actions),
        "episodes": len(episodes),
        "minimum_share": minimum_share,
    }


def supported(share: float, minimum_share: float) -> bool:
    """Whether a region with that share of the logged steps counts as supported: some, and no less than the minimum."""
    return share > 0 and share >= minimum_share


def joined(masks: Mapping[str, Array], count: int) -> list[str]:
    """For each of ``count`` rows the names of the regions it lies in, joined by ``;``."""
    names = sorted(masks)
    if not names:
        return [""] * count
    table = np.stack([masks[name] for name in names], axis=1)
    patterns, position = np.unique(table, axis=0, return_inverse=True)
    texts = [";".join(name for name, inside in zip(names, pattern, strict=True) if inside) for pattern in patterns]
    return [texts[i] for i in position.reshape(-1)]


def _require_fit(found: tuple[int, int], spec: Schemas) -> None:
    wanted = (spec.observation.size, spec.action.size)
    if found != wanted:
        raise SupportError(
            f"{found[0]} observation and {found[1]} action dimensions",
            where="the logged episodes",
            limit=f"the robot has {wanted[0]} and {wanted[1]}",
            remedy="run validate for this robot",
        )


def _silent(rows: Array, names: tuple[str, ...]) -> list[str]:
    wide = rows.astype(np.float64)
    floor = np.maximum(SMALLEST_SPREAD, RELATIVE_SPREAD * np.abs(wide.mean(axis=0)))
    return [name for name, silent in zip(names, wide.std(axis=0) <= floor, strict=True) if silent]
