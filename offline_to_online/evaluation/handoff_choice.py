"""Which policy goes online: behaviour cloning, unless an offline policy beats it, paired on the panel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import HandoffError
from offline_to_online.evaluation.statistics import paired_difference_interval, paired_mcnemar_p

COLUMNS = {"success": "success", "score": "score", "return": "return_discounted"}
NOMINAL = "nominal"
BASELINE = "bc"


@dataclass(frozen=True, kw_only=True)
class HandoffConfig:
    """How an offline policy earns the handoff.

    ``metric`` is what the pairs are compared on: ``success`` (exact McNemar), or ``score`` or ``return``
    (discounted; a sign-flip permutation test with ``permutations`` draws), for tasks that are hardly
    ever finished. ``alpha`` is the chance, over all offline policies together (Holm), of handing off one
    that is no better than behaviour cloning.
    """

    metric: Literal["success", "score", "return"] = "success"
    alpha: float = 0.05
    permutations: int = 20_000


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The policy's name, and the comparison that chose it, as it stands in ``handoff.json``."""

    name: str
    comparison: dict[str, Any]


def choose(bc_outcomes: pd.DataFrame, offline_outcomes: Mapping[str, pd.DataFrame], config: HandoffConfig) -> Choice:
    """Compare every offline policy with behaviour cloning on the panel's nominal condition, task by task.

    Args:
        bc_outcomes: one row per task and condition (``outcomes.parquet`` of an evaluation).
        offline_outcomes: the same of every offline policy, by name.
        config: what is compared, and the error rate.

    Raises:
        HandoffError: a policy was played on other tasks than behaviour cloning.
    """
    rows = [_compare(name, bc_outcomes, offline_outcomes[name], config) for name in sorted(offline_outcomes)]
    for row, adjusted in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["adjusted_p_value"] = adjusted
        row["beats_bc"] = bool(adjusted <= config.alpha and row["difference"] > 0)
    winners = [row for row in rows if row["beats_bc"]]
    best = max(winners or rows, key=lambda row: row["difference"], default=None)
    name = str(best["policy"]) if best and winners else BASELINE
    return Choice(name=name, comparison=_comparison(best, rows, config))


def holm(p_values: list[float]) -> list[float]:
    """Adjusted p-values, in the order given: at most ``alpha`` of them wrong in any family (Holm, 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = highest
    return adjusted


def sign_flip_p(differences: Array, permutations: int, rng: np.random.Generator) -> float:
    """One-sided p-value of a mean difference above zero, by flipping the signs of the pairs.

    Args:
        differences: paired differences, shape (N,).
        permutations: draws; the p-value is never below 1 / (permutations + 1).
        rng: its own generator.
    """
    observed = float(differences.sum())
    tolerance = 1e-9 * float(np.abs(differences).sum())
    reached = 0
    for start in range(0, permutations, 1000):
        signs = rng.integers(0, 2, size=(min(1000, permutations - start), len(differences))) * 2 - 1
        reached += int(np.sum(signs @ differences >= observed - tolerance))
    return (1 + reached) / (1 + permutations)


def _compare(name: str, bc: pd.DataFrame, offline: pd.DataFrame, config: HandoffConfig) -> dict[str, Any]:
    old, new = _pairs(name, bc, offline, COLUMNS[config.metric])
    difference = new - old
    low, high = paired_difference_interval(difference)
    if config.metric == "success":
        p_value = paired_mcnemar_p(new.astype(bool), old.astype(bool))
    else:
        p_value = sign_flip_p(difference, config.permutations, np.random.default_rng(len(difference)))
    return {
        "policy": name,
        "pairs": len(difference),
        "policy_mean": float(new.mean()),
        "bc_mean": float(old.mean()),
        "better": int((difference > 0).sum()),
        "worse": int((difference < 0).sum()),
        "difference": float(difference.mean()),
        "interval": [float(low), float(high)],
        "p_value": float(p_value),
    }


def _pairs(name: str, bc: pd.DataFrame, offline: pd.DataFrame, column: str) -> tuple[Array, Array]:
    """The nominal values of behaviour cloning and of a policy, float64, task by task."""
    old = bc[bc["condition"] == NOMINAL].set_index("task")[column].sort_index()
    new = offline[offline["condition"] == NOMINAL].set_index("task")[column].sort_index()
    if len(old) == 0 or not old.index.is_unique or not old.index.equals(new.index):
        raise HandoffError(
            f"{name!r} was played on {len(new)} tasks, 'bc' on {len(old)}",
            where=f"evaluation of {name}",
            limit="the same tasks of the panel, once each",
            remedy="run `dvc repro handoff`, so that both are evaluated on one panel",
        )
    return old.to_numpy(dtype=np.float64), new.to_numpy(dtype=np.float64)


def _comparison(best: dict[str, Any] | None, rows: list[dict[str, Any]], config: HandoffConfig) -> dict[str, Any]:
    top = best or {"policy": None, "p_value": None, "adjusted_p_value": None, "difference": None, "interval": None}
    return {
        **top,
        "metric": config.metric,
        "alpha": config.alpha,
        "test": "exact McNemar, one-sided" if config.metric == "success" else "sign-flip permutation, one-sided",
        "reason": _reason(best, config),
        "all": rows,
    }


def _reason(best: dict[str, Any] | None, config: HandoffConfig) -> str:
    if best is None:
        return "no offline policy was trained, so nothing was compared"
    low, high = best["interval"]
    measured = (
        f"{config.metric} {best['policy_mean']:.3f} against {best['bc_mean']:.3f} on {best['pairs']} paired tasks: "
        f"difference {best['difference']:+.3f} [{low:+.3f}, {high:+.3f}], p {_p(best['adjusted_p_value'])}"
    )
    if best["beats_bc"]:
        return f"{best['policy']} beats bc: {measured} ≤ alpha {config.alpha:g}"
    return f"{best['policy']} does not beat bc: {measured} (alpha {config.alpha:g})"


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 1e-4 else f"{value:.1e}"
