"""The behaviour's log-density of an action given a state, learned: what would whoever logged the data have done here.

A mixture density network (Bishop 1994) that takes the action one dimension after the other,

    p(a | s) = prod_i p(a_i | a_1 .. a_(i-1), s),

each factor a mixture over one number (RNADE, Uria et al. 2013, arXiv 1306.0186; all factors in one pass of a masked
network, MADE, Germain et al. 2015, arXiv 1502.03509). Its parts are Student's t with four degrees of freedom: their
tails fall by a power, so that neither the density of a far action nor its gradient runs away.
Asking needs numpy alone; torch is imported by training and by ``log_prob_torch``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError, SupportError
from offline_to_online.support.behaviour_network import TENSORS, check_tensors, log_density, shown_states
from offline_to_online.support.neighbours import Whitening

if TYPE_CHECKING:
    import torch

LEAST_TRANSITIONS, LEAST_EPISODES = 32, 2
BLOCK = 1024
WHOLE = ("components", "hidden", "updates", "batch_size", "patience")
SHARES = ("dropout", "held_out_share", "floor_quantile")


@dataclass(frozen=True, kw_only=True)
class BehaviourConfig:
    """How the behaviour's density is learned, and where its penalty begins: the section ``behaviour:`` of params.yaml.

    Attributes:
        components: parts of the mixture in each action dimension (count).
        hidden: units of each of the three hidden layers (count).
        blur: the density is that of the action plus Gaussian noise of so many standard deviations. Without it an
            action at its bound, or one that never changes, has no density at all: it would grow without limit.
        dropout: share of hidden units left out in each update, in [0, 1); a log has few episodes.
        updates: gradient steps at most (count).
        batch_size: transitions of one step (count).
        learning_rate: of AdamW, falling along a cosine to a twentieth.
        weight_decay: of AdamW (factor).
        held_out_share: share of the episodes, never trained on, that say when to stop, in (0, 1).
        patience: checks on those, 200 updates apart, without a gain before training stops (count).
        floor_quantile: of the held-out episodes' own log-probabilities, in (0, 1): an action less likely than that is
            penalised. So this share of the log's own steps is, a little.
    """

    components: int = 8
    hidden: int = 128
    blur: float = 0.03
    dropout: float = 0.1
    updates: int = 4000
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    held_out_share: float = 0.15
    patience: int = 5
    floor_quantile: float = 0.1

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            # Against NaN every comparison is false.
            positive = 0 < value < math.inf or (value == 0 and name in ("dropout", "weight_decay"))
            whole = isinstance(value, int) or name not in WHOLE
            if not (positive and whole and (value < 1 or name not in SHARES)):
                kind = "a whole number" if name in WHOLE else "a number"
                limit = kind + " above 0" + (" and below 1" if name in SHARES else "")
                raise ParameterError(f"{name} = {value!r}", where=f"behaviour.{name}", limit=limit)


class BehaviourDensity:
    """The learned density log p(a | s), in nats, over actions in standard deviations of the data.

    Asked alone or among many it gives the same number but for float32's rounding (1e-4 nats, or 1e-5 of the number).
    """

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        """From what ``tensors`` gave.

        Raises:
            SupportError: a tensor is missing, misshapen, not finite or not float32.
        """
        check_tensors(tensors)
        self._tensors: dict[str, Array] = {name: np.ascontiguousarray(tensors[name]) for name in TENSORS}
        self._observation = Whitening(mean=tensors["observation.mean"], scale=tensors["observation.scale"])
        self._action = Whitening(mean=tensors["action.mean"], scale=tensors["action.scale"])
        self._on_device: dict[torch.device, dict[str, torch.Tensor]] = {}

    @classmethod
    def fit(
        cls, observations: Array, actions: Array, episode_of: Array, config: BehaviourConfig, seed: int
    ) -> BehaviourDensity:
        """Learn it from logged transitions, on one thread; same inputs, same bytes.

        Args:
            observations: (N, O).
            actions: (N, A), as executed.
            episode_of: which episode each row is of, integers (N,).
            config: how.
            seed: of the first weights, the batches and the episodes that are held out.

        Raises:
            SupportError: under 32 transitions or 2 episodes, a value that is not finite, or training turned so.
        """
        from offline_to_online.support.behaviour_training import trained

        _require_enough(observations, actions, episode_of)
        observation, action = Whitening.from_rows(observations), Whitening.from_rows(actions)
        tensors = {
            "observation.mean": observation.mean,
            "observation.scale": observation.scale,
            "action.mean": action.mean,
            "action.scale": action.scale,
            "blur": np.array([config.blur], dtype=np.float32),
        }
        states = shown_states(observation.apply(observations))
        return cls(tensors | trained(states, action.apply(actions), episode_of, config, seed))

    @staticmethod
    def held_out(episode_of: Array, config: BehaviourConfig, seed: int) -> Array:
        """Which rows bool (N,) ``fit`` never trains on, given the same: those of the episodes that say when to stop."""
        from offline_to_online.support.behaviour_training import held_out_rows

        return held_out_rows(episode_of, config.held_out_share, seed)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array]) -> BehaviourDensity:
        """The inverse of ``tensors``; raises SupportError for tensors that are not those of a density."""
        return cls(tensors)

    def tensors(self) -> dict[str, Array]:
        """All that was learned, by name, float32: for a safetensors file."""
        return dict(self._tensors)

    def log_prob(self, observations: Array, actions: Array) -> Array:
        """log p(a | s), float32 (N,), natural logarithm; -inf for a query that is not finite.

        Args:
            observations: (N, O).
            actions: (N, A), as the robot would execute them.

        Raises:
            SupportError: other sizes than those it was fitted on.
        """
        self._require_sizes(observations.shape, actions.shape)
        logs = np.empty(len(actions), dtype=np.float32)
        for start in range(0, len(actions), BLOCK):
            rows = slice(start, start + BLOCK)
            logs[rows] = self._block(observations[rows], actions[rows])
        return logs

    def log_prob_torch(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """``log_prob`` for training: the same numbers but for rounding, differentiable in both arguments.

        Args:
            observations: float32 (..., O). Shapes broadcast: states (B, 1, O) with candidates (B, C, A) costs
                the part of the network that looks at the state B times, not B * C.
            actions: float32 (..., A), on the same device.

        Raises:
            SupportError: other sizes than those it was fitted on.
        """
        from offline_to_online.support import behaviour_training as training

        if actions.device not in self._on_device:
            self._on_device[actions.device] = training.on_device(self._tensors, actions.device)
        self._require_widths(observations.shape[-1], actions.shape[-1])
        return training.log_density(self._on_device[actions.device], observations, actions)

    def _block(self, observations: Array, actions: Array) -> Array:
        states, deviations = self._observation.apply(observations), self._action.apply(actions)
        finite: Array = np.isfinite(np.concatenate([states, deviations], axis=1)).all(axis=1, keepdims=True)
        if not finite.all():
            states, deviations = np.where(finite, states, 0), np.where(finite, deviations, 0)
        logs = log_density(self._tensors, shown_states(states), deviations)
        return np.where(finite[:, 0], logs, np.float32(-np.inf))

    def _require_sizes(self, observations: tuple[int, ...], actions: tuple[int, ...]) -> None:
        if len(observations) != 2 or len(actions) != 2 or observations[0] != actions[0]:
            raise SupportError(
                f"shapes {observations} and {actions}", where="behaviour density", limit="(N, O), (N, A)"
            )
        self._require_widths(observations[1], actions[1])

    def _require_widths(self, *got: int) -> None:
        want = (len(self._observation.mean), len(self._action.mean))
        if got != want:
            raise SupportError(
                f"{got[0]} observation and {got[1]} action dimensions",
                where="behaviour density",
                limit=f"{want[0]} and {want[1]}",
                remedy="ask the estimator of this robot",
            )


def _require_enough(observations: Array, actions: Array, episode_of: Array) -> None:
    episodes = len(np.unique(episode_of))
    if len(actions) < LEAST_TRANSITIONS or episodes < LEAST_EPISODES:
        raise SupportError(
            f"{len(actions)} transitions of {episodes} episodes",
            where="behaviour density",
            limit=f"at least {LEAST_TRANSITIONS} of {LEAST_EPISODES}",
            remedy="log more",
        )
    if not (len(observations) == len(actions) == len(episode_of)):
        shapes = f"{len(observations)} observations, {len(actions)} actions, {len(episode_of)} episode indices"
        raise SupportError(shapes, where="behaviour density", limit="as many of each")
    if not (np.isfinite(observations).all() and np.isfinite(actions).all()):
        raise SupportError("NaN or infinite values", where="behaviour density", remedy="run the stage validate")
