"""What a policy proposes on held-out states, every proposal measured against the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import ActionSchema, Array
from offline_to_online.errors import PolicyError
from offline_to_online.support.calibration import Calibration
from offline_to_online.support.estimator import SupportEstimator
from offline_to_online.support.regions import joined
from offline_to_online.support.sensors import ALIVE

# A proposal this near to a bound (share of the dimension's range) is saturated: squashed actors never quite reach it.
SATURATION_MARGIN = 0.005
FIRST_TERMS = ("score", "distance", "log_prob")
Disagreement = Callable[[Array, Array], Array]
"""Standard deviation (N,) over a critic ensemble's values at observations (N, O) and actions (N, A)."""


class AuditedPolicy(Protocol):
    """What the audit needs of a policy."""

    @property
    def sha256(self) -> str:
        """Content hash of the exported policy."""

    def reset(self) -> None:
        """Begin an episode."""

    def act(self, observations: Array) -> Array:
        """Greedy actions (N, A) at observations (N, O)."""

    def explore(self, observations: Array, rng: np.random.Generator) -> Array:
        """Exploring actions (N, A) at observations (N, O)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Proposals:
    """One action at each of N held-out states.

    Attributes:
        mode: ``greedy``, ``exploring``, or ``data`` for what was executed there.
        observations: (N, O), episode after episode.
        actions: (N, A), inside the robot's bounds.
        episode_of: (N,), index of the held-out episode.
        masks: region name -> bool (N,).
        frame: a row each; the columns are those of ``audit.Audit``.
    """

    mode: str
    observations: Array
    actions: Array
    episode_of: Array
    masks: Mapping[str, Array]
    frame: pd.DataFrame


def proposed_by(
    policy: AuditedPolicy, episodes: Sequence[Episode], size: int, rng: np.random.Generator | None
) -> Array:
    """Actions (N, A) proposed at every step, the policy reset at each episode; exploring where an rng is given.

    Raises:
        PolicyError: a proposal is of the wrong size or not finite.
    """
    parts = []
    for index, episode in enumerate(episodes):
        policy.reset()
        states = episode.observations[:-1]
        actions = policy.act(states) if rng is None else policy.explore(states, rng)
        if actions.shape != (len(states), size) or not np.isfinite(actions).all():
            raise PolicyError(
                f"proposals of shape {actions.shape}, or not finite",
                where=f"held-out episode {index}",
                limit=f"finite, ({len(states)}, {size})",
                remedy="train the policy again",
            )
        parts.append(actions)
    return np.concatenate(parts)


def measured(
    mode: str,
    episodes: Sequence[Episode],
    proposed: Array,
    masks: Mapping[str, Array],
    estimator: SupportEstimator,
    calibration: Calibration,
    schema: ActionSchema,
    disagreement: Disagreement | None = None,
) -> Proposals:
    """Actions (N, A), as proposed at every step of the episodes, by what the support says of them.

    Score, distance, density and disagreement are those of the action brought inside the bounds, as the guard would
    measure it; saturation is that of the proposal itself.
    """
    observations, executable = np.concatenate([e.observations[:-1] for e in episodes]), schema.clip(proposed)
    terms = estimator.terms(observations, executable)
    margin = SATURATION_MARGIN * (schema.high - schema.low)
    saturated = (proposed <= schema.low + margin) | (proposed >= schema.high - margin)
    lengths = [len(e) for e in episodes]
    columns = {
        "episode": np.repeat([e.identity for e in episodes], lengths),
        "step": np.concatenate([np.arange(n) for n in lengths]),
        "mode": mode,
        **{name: terms[name] for name in FIRST_TERMS},
        "saturated": saturated.any(axis=1),
        "outside": ~(terms["score"] <= calibration.step_threshold),
        "region": joined({n: m for n, m in masks.items() if not n.startswith(ALIVE)}, len(observations)),
        **{name: values for name, values in terms.items() if name not in FIRST_TERMS},
    }
    if disagreement is not None:
        columns["disagreement"] = np.asarray(disagreement(observations, executable), dtype=np.float32)
    return Proposals(
        mode=mode,
        observations=observations,
        actions=executable,
        episode_of=np.repeat(np.arange(len(lengths)), lengths),
        masks=masks,
        frame=pd.DataFrame(columns),
    )
