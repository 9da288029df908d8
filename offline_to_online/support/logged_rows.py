"""Logged transitions in the spaces in which they are searched, and what a query is told about them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import SupportError
from offline_to_online.support.conditional import Marginal, Residuals, each_log_density, local_log_density, mixed
from offline_to_online.support.config import SupportConfig
from offline_to_online.support.growing import GrowingRows
from offline_to_online.support.index import IndexConfig
from offline_to_online.support.neighbours import Neighbours, Whitening, compressed

SCORED = {"action": ("rarity", "rarity_each"), "distance": ("distance",)}
"""What either score is made of, larger is stranger.

``rarity`` is minus the log-density of the action given the state; ``rarity_each`` minus the sum of those of its
commands, each for itself.
"""

TERMS = ("distance", "rarity", "rarity_each")
FARTHEST = 10.0  # deviations of an action beyond which no density needs to tell two apart
RADIUS_SAMPLE = 10_000  # transitions among which a radius is measured: a million need not all meet each other
MARGINAL_SAMPLE = 1000
BLOCK = 256  # queries whose neighbours' actions are held at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """Whitening of observation and action side by side, and how much the action weighs in the distance."""

    whitening: Whitening
    width: int
    action_weight: float

    def states(self, observations: Array) -> Array:
        """Observations (N, O) in deviations, compressed, float32 (N, O)."""
        scaled = (observations - self.whitening.mean[: self.width]) / self.whitening.scale[: self.width]
        return compressed(scaled).astype(np.float32)

    def commands(self, actions: Array) -> Array:
        """Actions (N, A) in deviations, ended at +-10, float32 (N, A)."""
        scaled = (actions - self.whitening.mean[self.width :]) / self.whitening.scale[self.width :]
        return np.clip(scaled, -FARTHEST, FARTHEST).astype(np.float32)

    def joint(self, observations: Array, actions: Array) -> Array:
        """Both, the whole action weighing ``action_weight`` times the whole observation, float32 (N, O + A)."""
        return self.joined(self.states(observations), self.commands(actions))

    def joined(self, states: Array, commands: Array) -> Array:
        """``joint`` of what ``states`` and ``commands`` gave."""
        weight = np.float32(self.action_weight * np.sqrt(self.width / commands.shape[1]))
        return np.concatenate([states, compressed(commands) * weight], axis=1).astype(np.float32)

    @property
    def unit(self) -> float:
        """The joint distance that is one deviation in every dimension."""
        return float(np.sqrt(self.width * (1 + self.action_weight**2)))


class LoggedRows:
    """Rows (N, O) and (N, A) with their indices, residuals and radii.

    A row's radius is the distance to its own k-th neighbour in other parts of the log, at least that of the share
    ``least_radius`` of all rows: a distance counts against how far apart the log itself is there (Breunig et al. 2000;
    Ran et al. 2023, arXiv 2306.06569, for policies).
    """

    def __init__(
        self,
        observations: Array,
        actions: Array,
        config: SupportConfig,
        *,
        space: Space,
        residuals: Residuals,
        radii: Array,
        marginal: Array,
        fitted: int = 0,
        indices: tuple[Neighbours, Neighbours] | None = None,
    ) -> None:
        """The first ``fitted`` rows are those that everything was measured on; 0 means all."""
        self.config, self.space, self.residuals, self.fitted = config, space, residuals, fitted or len(actions)
        self.marginal = Marginal.of(marginal, config.bandwidth_floor)
        self._log_volume = residuals.log_volume
        states, commands = space.states(observations), space.commands(actions)
        # What a query is told from, row by row, and what grows with an online episode.
        self._observations, self._actions = GrowingRows(observations), GrowingRows(actions)
        self._commands, self._left = GrowingRows(commands), GrowingRows(residuals.apply(states, commands))
        self._radii = GrowingRows(radii)
        self._least_radius = radii[: self.fitted].min()
        if indices is None:
            joint = space.joined(states, commands)
            indices = Neighbours(joint, config.index), Neighbours(states, config.index)
        self._joint, self._states = indices

    @property
    def observations(self) -> Array:
        """Float32 (N, O)."""
        return self._observations.rows

    @property
    def actions(self) -> Array:
        """Float32 (N, A)."""
        return self._actions.rows

    @property
    def radii(self) -> Array:
        """Float32 (N,)."""
        return self._radii.rows

    @classmethod
    def fit(cls, observations: Array, actions: Array, parts: Array, config: SupportConfig) -> LoggedRows:
        """Measured on rows (N, O) and (N, A); ``parts`` (N,) says which rows may not vouch for each other."""
        whitening = Whitening.from_rows(np.concatenate([observations, actions], axis=1))
        space = Space(whitening=whitening, width=observations.shape[1], action_weight=config.action_weight)
        states, commands = space.states(observations), space.commands(actions)
        marginal = commands[_drawn(len(commands), MARGINAL_SAMPLE)]
        return cls(
            observations,
            actions,
            config,
            space=space,
            residuals=Residuals.from_rows(states, commands),
            radii=_radii(space.joined(states, commands), parts, config),
            marginal=marginal,
        )

    def of(self, kept: Array) -> LoggedRows:
        """These rows only, bool (N,), searched exactly; what was measured on all stays."""
        return LoggedRows(
            self.observations[kept],
            self.actions[kept],
            # A few thousand queries do not repay another inverted file or graph.
            dataclasses.replace(self.config, index=IndexConfig(device=self.config.index.device)),
            space=self.space,
            residuals=self.residuals,
            radii=self.radii[kept],
            marginal=self.marginal.sample,
        )

    def copy(self) -> LoggedRows:
        """One that can be added to by itself."""
        twin = copy.copy(self)
        for name in ("_observations", "_actions", "_commands", "_left", "_radii", "_joint", "_states"):
            setattr(twin, name, getattr(self, name).copy())
        return twin

    def finite(self, observations: Array, actions: Array) -> Array:
        """Which queries can be judged, bool (Q,).

        Raises:
            SupportError: other sizes than those of the log.
        """
        got = (observations.ndim, observations.shape[-1], actions.ndim, actions.shape[-1])
        want = (2, self.observations.shape[1], 2, self.actions.shape[1])
        if got != want or len(observations) != len(actions):
            raise SupportError(
                f"shapes {observations.shape} and {actions.shape}",
                where="support estimator",
                limit=f"(N, {want[1]}) and (N, {want[3]})",
                remedy="ask the estimator of this robot",
            )
        with np.errstate(over="ignore", invalid="ignore"):
            seen = np.isfinite(self.space.states(observations)).all(axis=1)
        # Of the action as it is: in deviations it is ended at some number, an infinite one too.
        judged: Array = np.asarray(seen & np.isfinite(actions).all(axis=1))
        return judged

    def asked(self, observations: Array, actions: Array) -> dict[str, Array]:
        """``TERMS`` and ``state_distance``, float32 (Q,) each, of finite queries."""
        return self.rarities(observations, actions) | {
            "distance": self.distance(self.space.joint(observations, actions))
        }

    def rarities(self, observations: Array, actions: Array) -> dict[str, Array]:
        """Both rarities and ``state_distance``, float32 (Q,) each, of finite queries: one search, by state alone."""
        states, commands = self.space.states(observations), self.space.commands(actions)
        far, rows = self._states.nearest(states, max(self._sizes))
        joint, each = self._log_densities(states, commands, rows)
        away = far[:, min(self.config.k, far.shape[1]) - 1] / np.float32(np.sqrt(self.space.width))
        return {"rarity": -joint, "rarity_each": -each, "state_distance": away}

    def distance(self, joint: Array) -> Array:
        """Of joint rows (Q, O + A) to the k-th nearest, over the mean radius of the k, float32 (Q,)."""
        far, rows = self._joint.nearest(joint, self.config.k)
        ratio: Array = far[:, -1] / self.radii[rows].mean(axis=1)
        return ratio

    def nearest(self, joint: Array, k: int) -> tuple[Array, Array]:
        """Distances (Q, k) in deviations a dimension, and rows (Q, k)."""
        far, rows = self._joint.nearest(joint, min(k, len(self._joint)))
        return far / np.float32(self.space.unit), rows

    def add(self, observations: Array, actions: Array) -> None:
        """Append finite rows (n, O) and (n, A); each one's radius is measured where those of the fit were."""
        states, commands = self.space.states(observations), self.space.commands(actions)
        joint = self.space.joined(states, commands)
        far, _ = self._radius_sample.nearest(joint, self.config.k)
        self._radii.append(np.maximum(far[:, -1], self._least_radius))
        self._joint.add(joint)
        self._states.add(states)
        self._commands.append(commands)
        self._left.append(self.residuals.apply(states, commands))
        self._observations.append(observations)
        self._actions.append(actions)

    @cached_property
    def _radius_sample(self) -> Neighbours:
        drawn = _drawn(self.fitted, RADIUS_SAMPLE)
        return Neighbours(self.space.joint(self.observations[drawn], self.actions[drawn]))

    def recall(self, sample: int) -> dict[str, float]:
        """Share of the true nearest rows that either index finds, in [0, 1]: ``joint`` and ``states``."""
        rng, most = np.random.default_rng(0), max(self._sizes)
        found = self._joint.recall(self.config.k, sample, rng), self._states.recall(most, sample, rng)
        return dict(zip(("joint", "states"), found, strict=True))

    def tensors(self) -> dict[str, Array]:
        """All that ``from_tensors`` needs, by name."""
        return {
            "observations": self.observations,
            "actions": self.actions,
            "mean": self.space.whitening.mean,
            "scale": self.space.whitening.scale,
            "weights": self.residuals.weights,
            "rotation": self.residuals.rotation,
            "radii": self.radii,
            "marginal": self.marginal.sample,
            "fitted": np.array([self.fitted]),
            "index.joint": self._joint.to_bytes(),
            "index.states": self._states.to_bytes(),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array], config: SupportConfig) -> LoggedRows:
        """The inverse of ``tensors``; nothing is measured and no index is built again."""
        observations, actions = tensors["observations"], tensors["actions"]
        whitening = Whitening(mean=tensors["mean"], scale=tensors["scale"])
        space = Space(whitening=whitening, width=observations.shape[1], action_weight=config.action_weight)
        joint = Neighbours.from_bytes(tensors["index.joint"], space.joint(observations, actions), config.index)
        states = Neighbours.from_bytes(tensors["index.states"], space.states(observations), config.index)
        return cls(
            observations,
            actions,
            config,
            space=space,
            residuals=Residuals(weights=tensors["weights"], rotation=tensors["rotation"]),
            radii=tensors["radii"],
            marginal=tensors["marginal"],
            fitted=int(tensors["fitted"][0]),
            indices=(joint, states),
        )

    @property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(min(m, len(self.actions)) for m in self.config.neighbourhoods)

    def _log_densities(self, states: Array, commands: Array, rows: Array) -> tuple[Array, Array]:
        """log p(action | state) over standardised actions, jointly and command by command, (Q,) each.

        ``rows`` (Q, M) are those of the nearest states.
        """
        config, sizes, left = self.config, self._sizes, self.residuals.apply(states, commands)
        joint, each = np.empty(len(rows), dtype=np.float32), np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), BLOCK):
            block = slice(start, start + BLOCK)
            near, asked = rows[block], commands[block]
            local = local_log_density(left[block], self._left.rows[near], sizes, config.bandwidth_floor)
            anywhere = self.marginal.log_density(asked)
            joint[block] = mixed(local + np.float32(self._log_volume), anywhere, config.anywhere)
            each[block] = each_log_density(
                asked, self._commands.rows[near], self.marginal, sizes, config.bandwidth_floor, config.anywhere
            )
        return joint, each


def _radii(joint: Array, parts: Array, config: SupportConfig) -> Array:
    """Distance of each row (N, D) to its k-th neighbour among a sample of the other parts, float32 (N,)."""
    drawn = _drawn(len(joint), RADIUS_SAMPLE)
    radii = np.empty(len(joint), dtype=np.float32)
    for part in np.unique(parts):
        others, mine = drawn[parts[drawn] != part], parts == part
        if len(others) < config.k:  # nearly all of the log is this part
            others = np.flatnonzero(~mine)
        far, _ = Neighbours(joint[others]).nearest(joint[mine], config.k)
        radii[mine] = far[:, -1]
    least = max(float(np.quantile(radii, config.least_radius)), float(np.mean(radii)) * 1e-3, 1e-6)
    return np.maximum(radii, np.float32(least))


def _drawn(count: int, most: int) -> Array:
    """At most so many of the rows, evenly spread: no chance in it."""
    return np.linspace(0, count - 1, min(most, count)).astype(np.int64)
