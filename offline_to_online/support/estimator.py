"""Where the data supports an action: distance to the nearest logged transitions, and the behaviour's density."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_from
from safetensors.numpy import save as bytes_of

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import read_json, replacing, write_json
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError, SupportError
from offline_to_online.support.density import local_log_density
from offline_to_online.support.neighbours import BLOCK, Neighbours, Whitening, compressed

FARTHEST = 10.0
TENSORS, CARD = "estimator.safetensors", "estimator.json"


@dataclass(frozen=True, kw_only=True)
class SupportConfig:
    """How support is measured (``support:`` in params.yaml).

    Attributes:
        k: the distance is that to the k-th nearest logged transition (count).
        action_weight: how much more the whole action counts than the whole observation, however many
            dimensions either has (factor).
        density_neighbours: nearest states whose actions make the behaviour density (count).
        bandwidth_floor: narrowest kernel of that density, in standard deviations of the data's actions.
    """

    k: int = 5
    action_weight: float = 3.0
    density_neighbours: int = 50
    bandwidth_floor: float = 0.05

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0 or not np.isfinite(value):
                raise ParameterError(f"{name} = {value!r}", where=f"support.{name}", limit="above 0 and finite")


class SupportEstimator:
    """Logged transitions, whitened, ready to be asked how near a proposed action is to any of them.

    The space is observation and action side by side, each dimension in standard deviations of the data
    (logarithmic beyond one, see ``neighbours.compressed``), the action's times action_weight * sqrt(O / A).
    A distance is divided by sqrt(O * (1 + action_weight^2)), so that 1 means "one standard deviation off
    in every dimension", whatever the robot.
    """

    def __init__(
        self,
        *,
        config: SupportConfig,
        observations: Array,
        actions: Array,
        lengths: Array,
        episodes: tuple[str, ...],
        whitening: Whitening | None = None,
    ) -> None:
        """Observations (N, O) and actions (N, A), episode after episode; ``lengths`` (E,) steps of each of
        the ``episodes``, named by identity. Without a ``whitening`` it is measured on these rows.
        """
        self.config, self.episodes = config, episodes
        self.observations: Array = np.ascontiguousarray(observations, dtype=np.float32)
        self.actions: Array = np.ascontiguousarray(actions, dtype=np.float32)
        self.lengths: Array = np.asarray(lengths, dtype=np.int64)
        if len(self.observations) < config.k:
            raise SupportError(
                f"{len(self.observations)} logged transitions",
                where="support.k",
                limit=f"at least k = {config.k}",
                remedy="log more, or lower k",
            )
        self.whitening = whitening or Whitening.from_rows(self._rows(self.observations, self.actions))
        width = self.observations.shape[1]
        self._weights = np.ones(width + self.actions.shape[1], dtype=np.float32)
        self._weights[width:] = config.action_weight * np.sqrt(width / self.actions.shape[1])
        self._unit = np.float32(np.sqrt(np.square(self._weights).sum()))
        self._joint = Neighbours(self._whitened(self.observations, self.actions))

    @classmethod
    def fit(cls, episodes: Sequence[Episode], config: SupportConfig) -> SupportEstimator:
        """Take in the executed actions of the train split, each with the observation it was taken at.

        Raises:
            SupportError: no episode, or a value that is not finite.
        """
        if not episodes:
            raise SupportError("no episode to fit the support estimator on", where="train split", limit="at least 1")
        observations = np.concatenate([e.observations[:-1] for e in episodes])
        actions = np.concatenate([e.actions for e in episodes])
        if not (np.isfinite(observations).all() and np.isfinite(actions).all()):
            raise SupportError("NaN or infinite values", where="train split", remedy="run the stage validate")
        return cls(
            config=config,
            observations=observations,
            actions=actions,
            lengths=np.array([len(e) for e in episodes]),
            episodes=tuple(e.identity for e in episodes),
        )

    @property
    def episode_of(self) -> Array:
        """Index of the episode that each row came from, int64 (N,)."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def score(self, observations: Array, actions: Array) -> Array:
        """How far outside the support, float32 (Q,): higher is farther, +inf for a query that is not finite.

        The number that the thresholds are set on, for the guard, the drift and the audit.

        Raises:
            SupportError: other sizes than those it was fitted on.
        """
        return self.distance(observations, actions)

    def terms(self, observations: Array, actions: Array) -> dict[str, Array]:
        """``score`` and what it is made of, by name, each float32 (Q,): ``score``, ``distance``, ``log_prob``."""
        return {
            "score": self.score(observations, actions),
            "distance": self.distance(observations, actions),
            "log_prob": self.log_prob(observations, actions),
        }

    def nearest(self, observations: Array, actions: Array, k: int) -> tuple[Array, Array]:
        """The k nearest logged transitions of each query: distances (Q, k), ascending, and their rows (Q, k).

        A row's episode is ``episodes[episode_of[row]]``, its step ``step_of[row]``. Queries that are not finite are
        answered as if they were zero.
        """
        queries, _ = self._queries(observations, actions)
        distances, rows = self._joint.nearest(queries, min(k, len(self._joint)))
        return distances / self._unit, rows

    @property
    def step_of(self) -> Array:
        """Step within its episode of each row, int64 (N,)."""
        starts = np.cumsum(self.lengths) - self.lengths
        steps: Array = np.arange(len(self.observations)) - np.repeat(starts, self.lengths)
        return steps

    def distance(self, observations: Array, actions: Array) -> Array:
        """Distance to the k-th nearest logged transition, float32 (Q,).

        A query that is not finite is infinitely far away, so that no comparison lets it pass. A logged transition finds
        itself: ask ``distance_leaving_out`` for those.

        Args:
            observations: (Q, O).
            actions: (Q, A), as the robot would execute them.

        Raises:
            SupportError: other sizes than those it was fitted on.
        """
        queries, finite = self._queries(observations, actions)
        distances, _ = self._joint.nearest(queries, self.config.k)
        far: Array = np.where(finite, distances[:, -1] / self._unit, np.float32(np.inf))
        return far

    def log_prob(self, observations: Array, actions: Array) -> Array:
        """Behaviour log-density log p(a | s), float32 (Q,), nats, over actions in standard deviations.

        From the actions of the ``density_neighbours`` nearest states (see ``density.local_log_density``).
        -inf for a query that is not finite.

        Raises:
            SupportError: other sizes than those it was fitted on.
        """
        width = self.observations.shape[1]
        queries, finite = self._queries(observations, actions)
        count = min(self.config.density_neighbours, len(self._states))
        logs = [np.zeros(0, dtype=np.float32)]
        for start in range(0, len(queries), BLOCK):
            rows = slice(start, start + BLOCK)
            _, nearest = self._states.nearest(queries[rows, :width], count)
            proposed, local = self._standardised(actions[rows]), self._standardised(self.actions[nearest])
            logs.append(local_log_density(proposed, local, self.config.bandwidth_floor))
        return np.where(finite, np.concatenate(logs), np.float32(-np.inf))

    def leaving_out(self, episode: int) -> SupportEstimator:
        """The estimator that would have been fitted without the episode of that index, whitening included.

        Raises:
            SupportError: no such episode, or none would be left.
        """
        if not 0 <= episode < len(self.lengths) or len(self.lengths) < 2:
            limit = f"one of {len(self.lengths)}, at least 2"
            raise SupportError(f"cannot leave out episode {episode}", where="support estimator", limit=limit)
        kept = self.episode_of != episode
        return SupportEstimator(
            config=self.config,
            observations=self.observations[kept],
            actions=self.actions[kept],
            lengths=np.delete(self.lengths, episode),
            episodes=self.episodes[:episode] + self.episodes[episode + 1 :],
        )

    def distance_leaving_out(self, observations: Array, actions: Array, episode: int) -> Array:
        """``distance`` (Q,), exactly as if the episode of that index had never been logged."""
        return self.leaving_out(episode).distance(observations, actions)

    @cached_property
    def sha256(self) -> str:
        """Content hash of what was fitted: configuration, rows, whitening and episode identities."""
        return _content_sha256(self._bytes(), asdict(self.config), self.episodes)

    def save(self, folder: Path) -> None:
        """Write ``estimator.safetensors`` and ``estimator.json``; same content, same bytes.

        The index is not saved: a flat one is rebuilt on loading in less time than it takes to read.
        """
        with replacing(folder / TENSORS) as partial:
            partial.write_bytes(self._bytes())
        card = {"config": asdict(self.config), "episodes": list(self.episodes), "sha256": self.sha256}
        write_json(folder / CARD, card | {"transitions": len(self.actions)})

    @classmethod
    def load(cls, folder: Path) -> SupportEstimator:
        """The inverse of ``save``.

        Raises:
            SupportError: a file is missing or broken, or its content is not what its hash says.
        """
        card = read_json(folder / CARD)
        try:
            content = (folder / TENSORS).read_bytes()
            if _content_sha256(content, card["config"], card["episodes"]) != card["sha256"]:
                raise _broken(folder, "its content is not what its hash says")
            tensors = tensors_from(content)
            return cls(
                config=SupportConfig(**card["config"]),
                observations=tensors["observations"],
                actions=tensors["actions"],
                lengths=tensors["lengths"],
                episodes=tuple(card["episodes"]),
                whitening=Whitening(mean=tensors["mean"], scale=tensors["scale"]),
            )
        except (OSError, SafetensorError, KeyError, TypeError) as error:
            raise _broken(folder, f"{type(error).__name__}: {error}") from error

    @cached_property
    def _states(self) -> Neighbours:
        """Neighbours by state alone; only the density needs them, the guard does not."""
        return Neighbours(self._joint.points[:, : self.observations.shape[1]])

    def _bytes(self) -> bytes:
        tensors: Mapping[str, Any] = {
            "observations": self.observations,
            "actions": self.actions,
            "lengths": self.lengths,
            "mean": self.whitening.mean,
            "scale": self.whitening.scale,
        }
        return bytes_of(dict(tensors))

    def _queries(self, observations: Array, actions: Array) -> tuple[Array, Array]:
        """Whitened queries (Q, O + A), and which of them are finite (Q,); the others are zero."""
        queries = self._whitened(observations, actions)
        finite: Array = np.asarray(np.isfinite(queries).all(axis=1))
        return (queries if finite.all() else np.where(finite[:, None], queries, np.float32(0))), finite

    def _whitened(self, observations: Array, actions: Array) -> Array:
        return compressed(self.whitening.apply(self._rows(observations, actions))) * self._weights

    def _standardised(self, actions: Array) -> Array:
        """Actions (..., A) in standard deviations, ended at +-10: beyond that no density needs to tell them apart."""
        width = self.observations.shape[1]
        deviations = (actions - self.whitening.mean[width:]) / self.whitening.scale[width:]
        return np.clip(np.nan_to_num(deviations), -FARTHEST, FARTHEST)

    def _rows(self, observations: Array, actions: Array) -> Array:
        got = (observations.ndim, observations.shape[-1], actions.ndim, actions.shape[-1])
        want = (2, self.observations.shape[1], 2, self.actions.shape[1])
        if got != want or len(observations) != len(actions):
            raise SupportError(
                f"shapes {observations.shape} and {actions.shape}",
                where="support estimator",
                limit=f"(N, {want[1]}) and (N, {want[3]})",
                remedy="ask the estimator of this robot",
            )
        return np.concatenate([observations, actions], axis=1)


def _content_sha256(tensors: bytes, config: Mapping[str, Any], episodes: Sequence[str]) -> str:
    card = json.dumps({"config": dict(config), "episodes": list(episodes)}, sort_keys=True)
    return hashlib.sha256(tensors + card.encode()).hexdigest()


def _broken(path: Path, why: str) -> SupportError:
    return SupportError(f"unreadable support estimator, {why}", where=str(path), remedy="run the stage support again")
