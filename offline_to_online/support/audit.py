"""The audit: every action that a policy proposes on held-out states, against what the data supports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import replacing, write_json
from offline_to_online.dataset.spec import ActionSchema, Array
from offline_to_online.errors import PolicyError, SupportError
from offline_to_online.support.calibration import Calibration
from offline_to_online.support.estimator import SupportEstimator
from offline_to_online.support.regions import RobotModule, joined, supported

# A proposal this near to a bound (share of the dimension's range) is saturated: squashed actors never quite reach it.
SATURATION_MARGIN = 0.005
WORST_REGIONS = 5


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
class Audit:
    """What came out: ``metrics`` for metrics.json, and one row per proposal in ``actions``.

    Columns of ``actions``: episode (identity), step, mode (``greedy``, ``exploring``, ``data``),
    distance, log_prob, saturated, outside (beyond the step threshold), region (names joined by ``;``).
    """

    metrics: dict[str, Any]
    actions: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write ``metrics.json`` and ``actions.parquet``; same content, same bytes."""
        with replacing(folder / "actions.parquet") as partial:
            self.actions.to_parquet(partial, index=False, compression="zstd")
        write_json(folder / "metrics.json", self.metrics)


def audit(
    policy: AuditedPolicy,
    estimator: SupportEstimator,
    calibration: Calibration,
    episodes: Sequence[Episode],
    module: RobotModule,
    rng: np.random.Generator,
    *,
    name: str = "",
    minimum_share: float = 0.01,
) -> Audit:
    """Judge the greedy and the exploring policy on every state of held-out episodes, beside the data's own actions.

    Distances and densities are those of the action brought inside the robot's bounds, as the guard
    would measure it; saturation is that of the proposal itself.

    Args:
        policy: proposes actions.
        estimator: fitted on the train split.
        calibration: the thresholds of that estimator.
        episodes: held-out episodes.
        module: the robot.
        rng: noise of the exploring policy.
        name: the policy's name in the metrics.
        minimum_share: regions with a smaller share of the data's steps count as unsupported, in [0, 1].

    Raises:
        SupportError: no held-out episode, or thresholds of another estimator.
        PolicyError: a proposal is of the wrong size or not finite.
    """
    _belongs(estimator, calibration, episodes)
    modes = {
        "greedy": _proposals(policy, episodes, module.SPEC.action.size, None),
        "exploring": _proposals(policy, episodes, module.SPEC.action.size, rng),
        "data": np.concatenate([e.actions for e in episodes]),
    }
    observations, schema = np.concatenate([e.observations[:-1] for e in episodes]), module.SPEC.action
    masks = {mode: module.regions(observations, schema.clip(actions)) for mode, actions in modes.items()}
    frames = {
        mode: _judged(mode, observations, actions, masks[mode], estimator, calibration, schema, episodes)
        for mode, actions in modes.items()
    }
    logged = module.regions(estimator.observations, estimator.actions)
    regions = _regions(logged, masks, frames)
    metrics = _metrics(frames, calibration) | {
        "policy": name,
        "policy_sha256": policy.sha256,
        "estimator_sha256": estimator.sha256,
        "calibration_sha256": calibration.sha256,
        "states": len(observations),
        "regions": regions,
        **_named(regions, minimum_share),
    }
    return Audit(metrics=metrics, actions=pd.concat(frames.values(), ignore_index=True))


def _belongs(estimator: SupportEstimator, calibration: Calibration, episodes: Sequence[Episode]) -> None:
    if not episodes:
        raise SupportError(
            "no held-out episode to audit on", where="split", limit="at least 1", remedy="mend the split rule"
        )
    if calibration.estimator_sha256 != estimator.sha256:
        raise SupportError(
            f"thresholds of another estimator, {calibration.estimator_sha256[:12]}",
            where="calibration",
            limit=estimator.sha256[:12],
            remedy="run the stage support again",
        )


def _proposals(policy: AuditedPolicy, episodes: Sequence[Episode], size: int, rng: np.random.Generator | None) -> Array:
    """Actions (N, A) proposed at every step, the policy reset at each episode; exploring where an rng is given."""
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


def _judged(
    mode: str,
    observations: Array,
    proposed: Array,
    masks: Mapping[str, Array],
    estimator: SupportEstimator,
    calibration: Calibration,
    schema: ActionSchema,
    episodes: Sequence[Episode],
) -> pd.DataFrame:
    executable = schema.clip(proposed)
    distance = estimator.distance(observations, executable)
    margin = SATURATION_MARGIN * (schema.high - schema.low)
    saturated = (proposed <= schema.low + margin) | (proposed >= schema.high - margin)
    return pd.DataFrame(
        {
            "episode": np.repeat([e.identity for e in episodes], [len(e) for e in episodes]),
            "step": np.concatenate([np.arange(len(e)) for e in episodes]),
            "mode": mode,
            "distance": distance,
            "log_prob": estimator.log_prob(observations, executable),
            "saturated": saturated.any(axis=1),
            "outside": distance > calibration.step_threshold,
            "region": joined(masks, len(observations)),
        }
    )


def _summary(frame: pd.DataFrame, calibration: Calibration) -> dict[str, Any]:
    distance, log_prob = frame["distance"].to_numpy(), frame["log_prob"].to_numpy()
    beyond = distance > calibration.episode_threshold
    return {
        "outside_support_rate": float(frame.groupby("episode", sort=False)["outside"].mean().mean()),
        "beyond_episode_threshold_rate": float(beyond.mean()),
        "episodes_beyond_threshold_rate": float(frame.assign(beyond=beyond).groupby("episode")["beyond"].any().mean()),
        "distance": {"median": float(np.median(distance)), "p95": float(np.quantile(distance, 0.95))},
        "log_prob": {"median": float(np.median(log_prob)), "p05": float(np.quantile(log_prob, 0.05))},
        "saturation_rate": float(frame["saturated"].mean()),
    }


def _metrics(frames: Mapping[str, pd.DataFrame], calibration: Calibration) -> dict[str, Any]:
    """Of each mode by its name; and at the top level the greedy policy, with the exploring one's rate beside it."""
    modes = {mode: _summary(frame, calibration) for mode, frame in frames.items()}
    return {
        **modes["greedy"],
        "outside_support_rate_exploring": modes["exploring"]["outside_support_rate"],
        **modes,
    }


def _regions(
    logged: Mapping[str, Array], masks: Mapping[str, Mapping[str, Array]], frames: Mapping[str, pd.DataFrame]
) -> dict[str, dict[str, float]]:
    rows = {}
    for name in sorted(logged):
        row = {"data_share": float(np.mean(logged[name]))}
        for mode, suffix in (("greedy", ""), ("exploring", "_exploring")):
            inside = masks[mode][name]
            some = bool(inside.any())
            row["proposal_share" + suffix] = float(np.mean(inside))
            row["outside_rate" + suffix] = float(frames[mode]["outside"].to_numpy()[inside].mean()) if some else 0.0
            row["worst_distance" + suffix] = float(frames[mode]["distance"].to_numpy()[inside].max()) if some else 0.0
        rows[name] = row
    return rows


def _named(regions: Mapping[str, Mapping[str, float]], minimum_share: float) -> dict[str, list[str]]:
    """By name what one number would hide: where the greedy policy is most often outside, worst first, and
    which regions the data hardly holds, and of those the ones that the policy goes to all the same.
    """
    outside = [name for name, row in regions.items() if row["outside_rate"] > 0]
    unsupported = [name for name, row in regions.items() if not supported(row["data_share"], minimum_share)]
    reached = [n for n in unsupported if max(regions[n]["proposal_share"], regions[n]["proposal_share_exploring"]) > 0]
    return {
        "worst_regions": sorted(outside, key=lambda name: (-regions[name]["outside_rate"], name))[:WORST_REGIONS],
        "unsupported_regions": unsupported,
        "unsupported_regions_proposed": reached,
    }
