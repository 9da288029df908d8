"""The support penalty for learning: how many nats less likely an action is than what the log itself still dares.

    penalty(s, a) = max(0, floor - log p(a | s))

``floor`` is a quantile of log p over the log's own actions, in episodes that the density was not trained on: what the
logged behaviour does in nine steps of ten costs nothing, and beyond that the penalty grows with the improbability,
so that its gradient leads back to the data. Where it acts is told by region of the robot, beside what it says of the
data's own actions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_from
from safetensors.numpy import save as bytes_of

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import replacing, write_json
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import SupportError
from offline_to_online.support.behaviour import BehaviourConfig, BehaviourDensity

if TYPE_CHECKING:
    import torch

TENSORS, CARD = "behaviour.safetensors", "behaviour.json"
Regions = Callable[[Array, Array], Mapping[str, Array]]
"""Region name -> bool mask (N,), of observations (N, O) and actions (N, A): a robot module's ``regions``."""


class SupportPenalty:
    """The penalty of candidate actions, in nats.

    Attributes:
        density: the behaviour's log-density.
        floor: log-probability, nats, under which an action is penalised.
        made: how both came about: ``config``, ``seed``, the held-out ``episodes`` and ``steps`` that gave the floor.
    """

    def __init__(self, density: BehaviourDensity, floor: float, made: Mapping[str, Any] | None = None) -> None:
        self.density, self.floor, self.made = density, floor, dict(made or {})

    @classmethod
    def fit(cls, episodes: Sequence[Episode], config: BehaviourConfig, seed: int) -> SupportPenalty:
        """From logged episodes: the density of most of them, the floor from the rest; same inputs, same bytes.

        Raises:
            SupportError: under 32 transitions or 2 episodes, or a value that is not finite.
        """
        if not episodes:
            raise SupportError("no episode to fit the behaviour density on", where="train split", limit="at least 2")
        observations = np.concatenate([e.observations[:-1] for e in episodes]).astype(np.float32)
        actions = np.concatenate([e.actions for e in episodes]).astype(np.float32)
        episode_of = np.repeat(np.arange(len(episodes)), [len(e) for e in episodes])
        density = BehaviourDensity.fit(observations, actions, episode_of, config, seed)
        rest = BehaviourDensity.held_out(episode_of, config, seed)
        floor = float(np.quantile(density.log_prob(observations[rest], actions[rest]), config.floor_quantile))
        counts = {"episodes": len(np.unique(episode_of[rest])), "steps": int(rest.sum())}
        return cls(density, floor, {"config": asdict(config), "seed": seed, **counts})

    def __call__(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Penalties in nats, at least 0, differentiable in the actions.

        Args:
            observations: float32 (B, O), robot units.
            actions: float32 (B, A), or C candidates in each state (B, C, A), robot units.

        Returns:
            (B,), or (B, C).

        Raises:
            SupportError: other sizes than those it was fitted on.
        """
        states = observations if actions.ndim == observations.ndim else observations.unsqueeze(-2)
        return (self.floor - self.density.log_prob_torch(states, actions)).relu()

    def measure(self, observations: Array, actions: Array) -> Array:
        """The same of observations (N, O) and actions (N, A) without torch, float32 (N,)."""
        penalties: Array = np.maximum(np.float32(self.floor) - self.density.log_prob(observations, actions), 0)
        return penalties

    @property
    def sha256(self) -> str:
        """Content hash: the density's tensors, the floor, and how both came about."""
        return _content_sha256(bytes_of(self.density.tensors()), self.floor, self.made)

    def save(self, folder: Path) -> None:
        """Write ``behaviour.safetensors`` and ``behaviour.json``; same content, same bytes."""
        with replacing(folder / TENSORS) as partial:
            partial.write_bytes(bytes_of(self.density.tensors()))
        write_json(folder / CARD, {"floor": self.floor, "made": self.made, "sha256": self.sha256})

    @classmethod
    def load(cls, folder: Path) -> SupportPenalty:
        """The inverse of ``save``.

        Raises:
            SupportError: a file is missing or broken, or its content is not what its hash says.
        """
        try:
            row = json.loads((folder / CARD).read_text(encoding="utf-8"))
            content = (folder / TENSORS).read_bytes()
            if _content_sha256(content, row["floor"], row["made"]) != row["sha256"]:
                raise _broken(folder, "its content is not what its hash says")
            return cls(BehaviourDensity.from_tensors(tensors_from(content)), float(row["floor"]), row["made"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise _broken(folder, f"{type(error).__name__}: {error}") from error


def by_region(
    regions: Regions, observations: Array, actions: Array, penalties: Array
) -> dict[str, dict[str, float | int]]:
    """Where the penalty acts, by the regions that the actions lie in.

    Args:
        regions: the robot module's.
        observations: (N, O).
        actions: (N, A).
        penalties: (N,), of those actions.

    Returns:
        Region name -> ``mean`` (nats a step), ``share_penalised`` (of its steps, in [0, 1]) and ``steps``;
        zeros where no step lies in the region.
    """
    return {name: _summary(penalties[mask]) for name, mask in sorted(regions(observations, actions).items())}


def where_it_acts(
    penalty: SupportPenalty, regions: Regions, episodes: Sequence[Episode], act: Callable[[Array], Array]
) -> dict[str, Any]:
    """The penalty of a policy's greedy actions in logged states, by region, beside that of the data's own actions.

    Args:
        penalty: what the policy was trained with.
        regions: the robot module's.
        episodes: logged ones, at least one.
        act: greedy actions (N, A) at observations (N, O).

    Returns:
        ``sha256`` and ``floor`` of the penalty; ``greedy`` and ``data``: the summary over all states, as ``by_region``
        gives it; ``regions``: ``{"region", "greedy", "data"}`` of each, the one with the most penalty in all in front.
    """
    observations = np.concatenate([e.observations[:-1] for e in episodes])
    sides = {"greedy": act(observations), "data": np.concatenate([e.actions for e in episodes])}
    measured = {side: penalty.measure(observations, actions) for side, actions in sides.items()}
    found = {side: by_region(regions, observations, actions, measured[side]) for side, actions in sides.items()}
    rows = [{"region": name, **{side: found[side][name] for side in sides}} for name in found["greedy"]]
    return {
        "sha256": penalty.sha256,
        "floor": penalty.floor,
        **{side: _summary(measured[side]) for side in sides},
        "regions": sorted(rows, key=lambda row: (-row["greedy"]["mean"] * row["greedy"]["steps"], row["region"])),
    }


def table(found: Mapping[str, Any], most: int = 4) -> str:
    """What ``where_it_acts`` found, for a person: a line over all states, and at most so many regions."""
    head = f"penalty of the greedy actions in logged states: {_line(found)}"
    acting = [row for row in found["regions"] if row["greedy"]["share_penalised"] > 0]
    return "\n".join([head, *(f"  {row['region']}: {_line(row)}" for row in acting[:most])])


def _line(row: Mapping[str, Any]) -> str:
    greedy, data = row["greedy"], row["data"]
    return (
        f"{greedy['mean']:.2f} nats a step, {greedy['share_penalised']:.1%} of {greedy['steps']} steps penalised "
        f"(data: {data['mean']:.2f}, {data['share_penalised']:.1%} of {data['steps']})"
    )


def _summary(penalties: Array) -> dict[str, float | int]:
    if not len(penalties):
        return {"mean": 0.0, "share_penalised": 0.0, "steps": 0}
    share = float((penalties > 0).mean())
    return {"mean": float(penalties.mean(dtype=np.float64)), "share_penalised": share, "steps": len(penalties)}


def _content_sha256(tensors: bytes, floor: float, made: Mapping[str, Any]) -> str:
    return hashlib.sha256(tensors + json.dumps({"floor": floor, "made": made}, sort_keys=True).encode()).hexdigest()


def _broken(folder: Path, why: str) -> SupportError:
    limit = f"{CARD} and {TENSORS} as they were written"
    return SupportError(
        f"unreadable support penalty: {why}", where=str(folder), limit=limit, remedy="run the stage support again"
    )
