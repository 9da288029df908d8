"""Where the data supports an action: how far it lies from all that was logged, and how likely the behaviour made it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_from
from safetensors.numpy import save as bytes_of

from offline_to_online.configs import build
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import read_json, replacing, write_json
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError, SupportError
from offline_to_online.support.config import SupportConfig
from offline_to_online.support.logged_rows import SCORED, TERMS, LoggedRows
from offline_to_online.support.surprise import Reference

VERSION = 2  # of the files; 1 knew the distance alone
TENSORS, CARD = "estimator.safetensors", "estimator.json"
FOLDS = 10  # parts of the log, each judged by the others, that make the reference and the radii
REFERENCE_STEPS = 4000
RECALL_SAMPLE = 500


class SupportEstimator:
    """Logged transitions, ready to be asked whether a proposed action is like any of them.

    ``score`` is the sum of two surprises (see ``surprise``), each in nats against clean steps of the log itself: of the
    behaviour's density of the action given the state, and of that of its commands one by one. Both are about the
    action: a new state alone moves the score little. How far both lie from anything logged is told beside it, or is the
    score where ``config.score`` says so.
    """

    def __init__(self, rows: LoggedRows, reference: Reference, *, lengths: Array, episodes: tuple[str, ...]) -> None:
        """Rows episode after episode; ``lengths`` (E,) steps of each of the ``episodes``, named by identity."""
        self._rows, self._reference = rows, reference
        self.lengths: Array = np.asarray(lengths, dtype=np.int64)
        self.episodes = episodes

    @classmethod
    def fit(cls, episodes: Sequence[Episode], config: SupportConfig) -> SupportEstimator:
        """Take in the executed actions of the train split, each with the observation it was taken at.

        Raises:
            SupportError: no episode, too few transitions, or a value that is not finite.
        """
        if not episodes:
            raise SupportError("no episode to fit the support estimator on", where="train split", limit="at least 1")
        _require_alike(episodes)
        observations = np.concatenate([e.observations[:-1] for e in episodes]).astype(np.float32)
        actions = np.concatenate([e.actions for e in episodes]).astype(np.float32)
        if not (np.isfinite(observations).all() and np.isfinite(actions).all()):
            raise SupportError("NaN or infinite values", where="train split", remedy="run the stage validate")
        lengths = np.array([len(e) for e in episodes])
        return cls._fitted(observations, actions, lengths, tuple(e.identity for e in episodes), config)

    @classmethod
    def _fitted(
        cls, observations: Array, actions: Array, lengths: Array, episodes: tuple[str, ...], config: SupportConfig
    ) -> SupportEstimator:
        parts = _parts(lengths)
        if len(actions) - int(np.bincount(parts).max()) < config.k:
            raise SupportError(
                f"{len(actions)} logged transitions",
                where="support.k",
                limit=f"more than k = {config.k} without the largest of {parts.max() + 1} parts of the log",
                remedy="log more, or lower k",
            )
        rows = LoggedRows.fit(observations, actions, parts, config)
        return cls(rows, _reference(rows, parts), lengths=lengths, episodes=episodes)

    @property
    def config(self) -> SupportConfig:
        """The settings it was fitted with."""
        return self._rows.config

    @property
    def observations(self) -> Array:
        """Logged observations, float32 (N, O)."""
        return self._rows.observations

    @property
    def actions(self) -> Array:
        """Logged executed actions, float32 (N, A)."""
        return self._rows.actions

    @property
    def episode_of(self) -> Array:
        """Index of the episode that each row came from, int64 (N,)."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def step_of(self) -> Array:
        """Step within its episode of each row, int64 (N,)."""
        starts = np.cumsum(self.lengths) - self.lengths
        steps: Array = np.arange(len(self.actions)) - np.repeat(starts, self.lengths)
        return steps

    def score(self, observations: Array, actions: Array) -> Array:
        """How far outside the support, float32 (Q,), nats: higher is farther, +inf for a query that is not finite.

        The number that the thresholds are set on, for the guard, the drift and the audit. A logged transition finds
        itself: ask ``leaving_out`` its episode for those.

        Args:
            observations: (Q, O).
            actions: (Q, A), as the robot would execute them.

        Raises:
            SupportError: other sizes than those it was fitted on.
        """
        finite, safe = self._judged(observations, actions)
        if self.config.score == "distance":
            asked = {"distance": self._rows.distance(self._rows.space.joint(*safe))}
        else:
            asked = self._rows.rarities(*safe)
        return np.where(finite, self._sum(asked), np.float32(np.inf))

    def terms(self, observations: Array, actions: Array) -> dict[str, Array]:
        """``score``, what it is made of and what is told beside it, each float32 (Q,).

        ``log_prob``: the behaviour's log p(a | s), nats, over actions in standard deviations; ``log_prob_each``: the
        sum of those of its commands, each for itself. ``distance``: to the k nearest logged transitions, where 1 is
        about how far these lie from others. ``surprise_...`` of each of the three: -log of the share of clean steps at
        least as unlikely, or as far; those of both log_probs make the score ``action``. ``state_distance``: of the
        state alone to the nearest logged ones, in deviations a dimension.
        """
        finite, safe = self._judged(observations, actions)
        asked = self._rows.asked(*safe)
        answers = {
            "score": self._sum(asked),
            "distance": asked["distance"],
            "log_prob": -asked["rarity"],
            "log_prob_each": -asked["rarity_each"],
            "surprise_distance": self._reference.surprise("distance", asked["distance"]),
            "surprise_log_prob": self._reference.surprise("rarity", asked["rarity"]),
            "surprise_log_prob_each": self._reference.surprise("rarity_each", asked["rarity_each"]),
            "state_distance": asked["state_distance"],
        }
        worst = {name: np.float32(-np.inf if name.startswith("log_prob") else np.inf) for name in answers}
        return {name: np.where(finite, values, worst[name]) for name, values in answers.items()}

    def distance(self, observations: Array, actions: Array) -> Array:
        """Distance to the logged transitions in units of their own spacing, float32 (Q,); see ``terms``."""
        finite, safe = self._judged(observations, actions)
        return np.where(finite, self._rows.distance(self._rows.space.joint(*safe)), np.float32(np.inf))

    def log_prob(self, observations: Array, actions: Array) -> Array:
        """Behaviour log-density log p(a | s), float32 (Q,), nats; see ``terms``."""
        finite, safe = self._judged(observations, actions)
        return np.where(finite, -self._rows.rarities(*safe)["rarity"], np.float32(-np.inf))

    def features(self, observations: Array, actions: Array) -> Array:
        """The whitened, weighted rows (Q, O + A) whose Euclidean neighbours the distance is to.

        Raises:
            SupportError: other sizes than those it was fitted on, or a value that is not finite.
        """
        finite = self._rows.finite(observations, actions)
        if not finite.all():
            raise SupportError(
                "NaN or infinite values", where=f"query {int(np.argmin(finite))}", remedy="ask for its score instead"
            )
        return self._rows.space.joint(observations, actions)

    def nearest(self, observations: Array, actions: Array, k: int) -> tuple[Array, Array]:
        """The k nearest logged transitions of each finite query: distances (Q, k), ascending, and their rows (Q, k).

        A row's episode is ``episodes[episode_of[row]]``, its step ``step_of[row]``. Distances are in deviations a
        dimension, the action weighted.
        """
        return self._rows.nearest(self.features(observations, actions), k)

    def add(self, episode: Episode) -> None:
        """Count an episode's executed actions as logged, at the cost of that episode.

        Whitening, regression and reference stay those of the fit, so that scores before and after are comparable.

        Raises:
            SupportError: another robot's episode, or a value that is not finite.
        """
        finite = self._rows.finite(episode.observations[:-1], episode.actions)
        if not finite.all():
            raise SupportError("NaN or infinite values", where=f"episode {episode.identity[:12]}")
        self._rows.add(episode.observations[:-1], episode.actions)
        self.lengths = np.append(self.lengths, len(episode))
        self.episodes = (*self.episodes, episode.identity)
        self.__dict__.pop("sha256", None)

    def copy(self) -> SupportEstimator:
        """One of its own to add to; what was logged so far is shared until then."""
        twin = copy.copy(self)
        twin._rows = self._rows.copy()
        return twin

    def leaving_out(self, episode: int) -> SupportEstimator:
        """The estimator that would have been fitted without the episode of that index, at the cost of a fit.

        Raises:
            SupportError: no such episode, or too little would be left.
        """
        if not 0 <= episode < len(self.lengths) or len(self.lengths) < 2:
            limit = f"one of {len(self.lengths)}, at least 2"
            raise SupportError(f"cannot leave out episode {episode}", where="support estimator", limit=limit)
        kept = self.episode_of != episode
        return SupportEstimator._fitted(
            self.observations[kept],
            self.actions[kept],
            np.delete(self.lengths, episode),
            self.episodes[:episode] + self.episodes[episode + 1 :],
            self.config,
        )

    def score_leaving_out(self, observations: Array, actions: Array, episode: int) -> Array:
        """``score`` (Q,), exactly as if the episode of that index had never been logged."""
        return self.leaving_out(episode).score(observations, actions)

    def recall(self) -> dict[str, float]:
        """Share of the true nearest rows that the indices find, of (s, a) and of states; 1 where they are exact."""
        return self._rows.recall(RECALL_SAMPLE)

    @cached_property
    def sha256(self) -> str:
        """Content hash of what was fitted: configuration, rows, all that was measured on them, episode identities."""
        return _content_sha256(self._bytes(), asdict(self.config), self.episodes)

    def save(self, folder: Path) -> None:
        """Write ``estimator.safetensors`` and ``estimator.json``: same content, same bytes, no index to build later."""
        with replacing(folder / TENSORS) as partial:
            partial.write_bytes(self._bytes())
        card = {
            "version": VERSION,
            "config": asdict(self.config),
            "episodes": list(self.episodes),
            "sha256": self.sha256,
        }
        write_json(folder / CARD, card | {"transitions": len(self.actions), "recall": self.recall()})

    @classmethod
    def load(cls, folder: Path) -> SupportEstimator:
        """The inverse of ``save``.

        Raises:
            SupportError: a file is broken, of another version, or its content is not what its hash says.
            DataError: there is none.
        """
        card = read_json(folder / CARD)
        if not isinstance(card, dict) or card.get("version") != VERSION:
            raise _broken(folder, "it was written by another version of this project")
        try:
            content = (folder / TENSORS).read_bytes()
            if _content_sha256(content, card["config"], card["episodes"]) != card["sha256"]:
                raise _broken(folder, "its content is not what its hash says")
            tensors = tensors_from(content)
            config = build(SupportConfig, card["config"], where=str(folder / CARD))
            rows = LoggedRows.from_tensors(tensors, config)
            values = {name: tensors[f"reference.{name}"] for name in TERMS}
            lengths, episodes = tensors["lengths"], tuple(card["episodes"])
            loaded = cls(rows, Reference(values=values), lengths=lengths, episodes=episodes)
            loaded.__dict__["sha256"] = card["sha256"]  # it was just held against the content
            return loaded
        except (OSError, SafetensorError, KeyError, TypeError, ParameterError) as error:
            raise _broken(folder, f"{type(error).__name__}: {error}") from error

    def _judged(self, observations: Array, actions: Array) -> tuple[Array, tuple[Array, Array]]:
        """Which queries are finite, bool (Q,), and the queries with zeros in place of the others."""
        finite = self._rows.finite(observations, actions)
        if finite.all():
            return finite, (observations, actions)
        kept = finite[:, None]
        return finite, (np.where(kept, observations, np.float32(0)), np.where(kept, actions, np.float32(0)))

    def _sum(self, asked: Mapping[str, Array]) -> Array:
        total: Array = np.sum(
            [self._reference.surprise(name, asked[name]) for name in SCORED[self.config.score]], axis=0
        )
        return total

    def _bytes(self) -> bytes:
        reference = {f"reference.{name}": values for name, values in self._reference.values.items()}
        return bytes_of({**self._rows.tensors(), **reference, "lengths": self.lengths})


def _require_alike(episodes: Sequence[Episode]) -> None:
    widths = {(e.observations.shape[1], e.actions.shape[1]) for e in episodes}
    if len(widths) > 1 or min(len(e) for e in episodes) == 0:
        raise SupportError(
            f"episodes of {len(widths)} different widths, the shortest of {min(len(e) for e in episodes)} steps",
            where="train split",
            limit="one robot, at least 1 step each",
            remedy="run the stage validate",
        )


def _parts(lengths: Array) -> Array:
    """For each row which part of the log it belongs to, int64 (N,): whole episodes, or tenths of an only one."""
    if len(lengths) == 1:
        return np.arange(lengths[0]) * FOLDS // max(int(lengths[0]), 1)
    parts: Array = np.repeat(np.arange(len(lengths)) % FOLDS, lengths)
    return parts


def _reference(rows: LoggedRows, parts: Array) -> Reference:
    """What clean steps look like to the other parts of the log: evenly drawn over all episodes, no chance in it."""
    drawn = np.linspace(0, len(parts) - 1, min(REFERENCE_STEPS, len(parts))).astype(np.int64)
    asked = []
    for part in np.unique(parts[drawn]):
        mine = drawn[parts[drawn] == part]
        asked.append(rows.of(parts != part).asked(rows.observations[mine], rows.actions[mine]))
    return Reference.from_terms({name: np.concatenate([terms[name] for terms in asked]) for name in TERMS})


def _content_sha256(tensors: bytes, config: Mapping[str, Any], episodes: Sequence[str]) -> str:
    card = json.dumps({"config": dict(config), "episodes": list(episodes)}, sort_keys=True)
    return hashlib.sha256(tensors + card.encode()).hexdigest()


def _broken(path: Path, why: str) -> SupportError:
    return SupportError(f"unreadable support estimator, {why}", where=str(path), remedy="run the stage support again")


__all__ = ["SupportConfig", "SupportEstimator"]
