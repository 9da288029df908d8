"""The aligned table: one row per logged operator and per policy, in the same columns, by the same definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.evaluation.failures import tally
from offline_to_online.evaluation.statistics import wilson_interval

COPIED = (
    *("success_rate", "success_interval", "score", "return_discounted", "support_score", "share_outside"),
    *("constraint_cost", "interventions", "failures"),
)


class Scores(Protocol):
    """What the table asks of a support estimator: support scores (N,) of observations (N, O) with actions (N, A)."""

    @property
    def episodes(self) -> tuple[str, ...]:
        """Identities of the episodes it was made from, in its order."""

    def score(self, observations: Array, actions: Array) -> Array:
        """How far outside the logged data: higher is farther."""

    def leaving_out(self, episode: int) -> Scores:
        """The estimator of all logged episodes but one (its index among those this one was made from)."""


def policy_row(kind: str, name: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """A row from an evaluation's ``metrics.json``: exactly its numbers, on the nominal condition.

    Args:
        kind: ``policy`` (on the robot that was logged), ``baseline`` or ``champion`` (on the robot that is tuned on).
        name: the policy's.
        metrics: what ``evaluate_policy`` returned.
    """
    episodes = int(metrics["tasks"])
    row = {"kind": kind, "name": name, "episodes": episodes, "support_score_of": f"{episodes} panel tasks"}
    return row | {key: metrics.get(key) for key in COPIED}


def operator_rows(
    episodes: Sequence[Episode],
    estimator: Scores,
    step_threshold: float,
    failure: Callable[[Episode], str],
    gamma: float,
) -> list[dict[str, Any]]:
    """A row per operator of the logged episodes, by the definitions of an evaluation.

    Cost and interventions (steps) are means per episode; support scores and the share outside are over all steps
    measured.
    An episode that the estimator was made from is never measured against itself: an operator's scores are of
    its episodes outside the train split where there are any, else of all its episodes, each left out in turn; the
    row's ``support_score_of`` says which.

    Args:
        episodes: all logged episodes.
        estimator: the support estimator; its ``episodes`` are the train split.
        step_threshold: the support score beyond which a step is outside the support.
        failure: the robot's ``failure``.
        gamma: discount of the return.
    """
    rows = []
    for operator in sorted({e.operator for e in episodes}):
        own = [e for e in episodes if e.operator == operator]
        scores, scores_of = _scores(own, estimator)
        successes = sum(e.success for e in own)
        rows.append(
            {
                "kind": "operator",
                "name": operator,
                "episodes": len(own),
                "success_rate": successes / len(own),
                "success_interval": list(wilson_interval(successes, len(own))),
                "score": float(np.mean([e.score for e in own])),
                "return_discounted": float(np.mean([e.discounted_return(gamma) for e in own])),
                "support_score": {
                    "median": float(np.quantile(scores, 0.5)),
                    "p95": float(np.quantile(scores, 0.95)),
                },
                "share_outside": float(np.mean(scores > step_threshold)),
                "constraint_cost": float(np.mean([e.cost.sum(dtype=np.float64) for e in own])),
                "interventions": float(np.mean([e.intervened.sum() for e in own])),
                "failures": tally(failure(e) for e in own),
                "support_score_of": scores_of,
            }
        )
    return rows


def _scores(own: Sequence[Episode], estimator: Scores) -> tuple[Array, str]:
    """Support scores (N,) of one operator's steps, and which episodes they are of."""
    position = {identity: index for index, identity in enumerate(estimator.episodes)}
    apart = [e for e in own if e.identity not in position]
    if apart:
        observations = np.concatenate([e.observations[:-1] for e in apart])
        actions = np.concatenate([e.actions for e in apart])
        return estimator.score(observations, actions), f"{len(apart)} episodes outside the train split"
    each = [estimator.leaving_out(position[e.identity]).score(e.observations[:-1], e.actions) for e in own]
    return np.concatenate(each), f"{len(own)} episodes, each left out in turn"
