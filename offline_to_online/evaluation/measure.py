"""What a policy is worth on the saved panel: every outcome kept for pairing, and the numbers made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from offline_to_online.dataset.spec import Array
from offline_to_online.evaluation.failures import tally
from offline_to_online.evaluation.panel import Panel
from offline_to_online.evaluation.play import PolicySource, load_policy, play
from offline_to_online.evaluation.rollout import Rollout, Stop
from offline_to_online.evaluation.statistics import mean_interval, wilson_interval
from offline_to_online.plugins import module_for
from offline_to_online.robots import Dynamics, Task

NOMINAL, SHIFTED, DYNAMICS = "nominal", "shifted", "dynamics"
OUTCOME_COLUMNS = (
    "task", "condition", "success", "certified_success", "score", "return_discounted", "return_plain", "cost",
    "interventions", "clipped", "support_drift", "support_score_median", "support_score_p95",
    "failure", "steps",
)  # fmt: skip


def evaluate_policy(
    policy: PolicySource,
    *,
    name: str,
    panel: Panel,
    gamma: float,
    dynamics: Dynamics,
    perturbation: Dynamics,
    support_folder: Path | None,
    jobs: int,
    progress: Callable[[int, int], None] | None = None,
    stop_file: Path | None = None,
    stop: Stop | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Play the report block as it is, with its resets shifted, and under other dynamics.

    Args:
        policy: an exported policy's file, or ``random``.
        name: how it is called in the results.
        panel: its report block is played.
        gamma: discount of the return.
        dynamics: of the robot that the policy is for; the nominal and the shifted condition play on it.
        perturbation: the dynamics of the third condition.
        support_folder: holds ``estimator/`` and ``calibration.json``, or None.
        jobs: processes.
        progress: called with (episodes done, episodes in all).
        stop_file: once it is there, no process executes another control step.
        stop: as in ``play``.

    Returns:
        ``metrics.json``, with the two perturbed conditions under ``perturbed``, and the outcomes: one row
        per task and condition, ``task`` counting from 0 in every condition.
    """
    conditions = _conditions(panel, dynamics, perturbation)
    size, metrics, tables = len(panel.report), dict[str, dict[str, Any]](), list[pd.DataFrame]()
    for number, (condition, (tasks, changed)) in enumerate(conditions.items()):
        rollouts = play(
            policy,
            panel.robot,
            tasks,
            dynamics=changed,
            support_folder=support_folder,
            jobs=jobs,
            operator=name,
            progress=_shifted_progress(progress, number * size, len(conditions) * size),
            stop_file=stop_file,
            stop=stop,
        )
        tables.append(outcomes_of(rollouts, condition, gamma))
        metrics[condition] = summarise(rollouts, gamma) | {"dynamics": asdict(changed)}
    said = {
        "policy": name,
        "policy_sha256": load_policy(policy, module_for("robots", panel.robot).SPEC).sha256,
        "panel_sha256": panel.sha256,
        "robot": panel.robot,
        "gamma": gamma,
        **metrics[NOMINAL],
        "perturbed": {condition: metrics[condition] for condition in (SHIFTED, DYNAMICS)},
    }
    return said, pd.concat(tables, ignore_index=True)


def outcomes_of(rollouts: Sequence[Rollout], condition: str, gamma: float) -> pd.DataFrame:
    """One row per rollout, in their order; columns ``OUTCOME_COLUMNS``.

    ``clipped`` counts steps, ``interventions`` steps; support scores are in the estimator's unit, NaN without support.
    """
    rows = [_outcome(rollout, index, condition, gamma) for index, rollout in enumerate(rollouts)]
    return pd.DataFrame(rows, columns=list(OUTCOME_COLUMNS))


def summarise(rollouts: Sequence[Rollout], gamma: float) -> dict[str, Any]:
    """The numbers of one condition.

    Rates are shares of episodes; ``constraint_cost``, ``interventions`` and returns are means per episode;
    ``support_score`` and ``share_outside`` are over all steps, null without support. Intervals are of 95 %: Wilson's
    for the success rate, the bootstrap's for the score.
    """
    table = outcomes_of(rollouts, NOMINAL, gamma)
    scores = np.concatenate([r.support_score for r in rollouts])
    return {
        "tasks": len(rollouts),
        "success_rate": float(table["success"].mean()),
        "success_interval": list(wilson_interval(int(table["success"].sum()), len(table))),
        "certified_success_rate": float(table["certified_success"].mean()),
        "score": float(table["score"].mean()),
        "score_interval": list(mean_interval(table["score"].to_numpy())),
        "return_discounted": float(table["return_discounted"].mean()),
        "return_plain": float(table["return_plain"].mean()),
        "constraint_cost": float(table["cost"].mean()),
        "interventions": float(table["interventions"].mean()),
        "clipped": float(table["clipped"].mean()),
        "support_score": {"median": _quantile(scores, 0.5), "p95": _quantile(scores, 0.95)},
        "share_outside": _share_outside(rollouts) if np.isfinite(scores).all() else None,
        "failures": tally(table["failure"]),
    }


def _conditions(
    panel: Panel, dynamics: Dynamics, perturbation: Dynamics
) -> Mapping[str, tuple[Sequence[Task], Dynamics]]:
    module = module_for("robots", panel.robot)
    return {
        NOMINAL: (panel.report, dynamics),
        SHIFTED: ([module.shift_task(task) for task in panel.report], dynamics),
        DYNAMICS: (panel.report, perturbation),
    }


def _outcome(rollout: Rollout, index: int, condition: str, gamma: float) -> dict[str, Any]:
    episode = rollout.episode
    return {
        "task": index,
        "condition": condition,
        "success": episode.success,
        "certified_success": rollout.certified_success,
        "score": episode.score,
        "return_discounted": episode.discounted_return(gamma),
        "return_plain": episode.discounted_return(1.0),
        "cost": rollout.cost,
        "interventions": rollout.interventions,
        "clipped": int(rollout.clipped.sum()),
        "support_drift": rollout.support_drift,
        "support_score_median": float(np.median(rollout.support_score)),
        "support_score_p95": float(np.quantile(rollout.support_score, 0.95)),
        "failure": rollout.failure,
        "steps": len(episode),
    }


def _quantile(scores: Array, share: float) -> float | None:
    return float(np.quantile(scores, share)) if np.isfinite(scores).all() else None


def _share_outside(rollouts: Sequence[Rollout]) -> float:
    return float(np.mean(np.concatenate([r.outside_support for r in rollouts])))


def _shifted_progress(
    progress: Callable[[int, int], None] | None, before: int, total: int
) -> Callable[[int, int], None] | None:
    return (lambda done, _: progress(before + done, total)) if progress else None
