"""The audit: every action that a policy proposes on held-out states, against what the data supports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import replacing, write_json
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import SupportError
from offline_to_online.support.calibration import Calibration
from offline_to_online.support.estimator import SupportEstimator
from offline_to_online.support.exposures import ORDER_RULE, Exposure, exposures, gaps
from offline_to_online.support.gaps import GAP_ALPHA
from offline_to_online.support.proposals import AuditedPolicy, Disagreement, measured, proposed_by
from offline_to_online.support.regions import RobotModule, supported
from offline_to_online.support.sensors import sensor_regions
from offline_to_online.support.worst import worst_table

WORST_REGIONS = 5
Masks = Mapping[str, Array]


@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """What came out.

    Attributes:
        metrics: for metrics.json.
        actions: a row per proposal: episode (identity), step, mode (``greedy``, ``exploring``, ``data``), score,
            distance, log_prob, saturated, outside (beyond the step threshold), region (names joined by ``;``, sensors
            only where missing), the estimator's further terms, and disagreement where critics were given.
        exposures: every region, what a person should look at first in front.
        worst: the ten worst proposals of each mode beside the recorded transitions nearest to them; the columns
            are those of ``worst.worst_table``.
    """

    metrics: dict[str, Any]
    actions: pd.DataFrame
    exposures: list[Exposure]
    worst: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write ``metrics.json``, ``exposures.json`` and both tables as Parquet; same content, same bytes."""
        for name, frame in (("actions", self.actions), ("worst", self.worst)):
            with replacing(folder / f"{name}.parquet") as partial:
                frame.to_parquet(partial, index=False, compression="zstd")
        write_json(folder / "metrics.json", self.metrics)
        rows = [one.to_json() for one in self.exposures]
        content = {"rule": ORDER_RULE, "alpha": GAP_ALPHA, "gaps": gaps(self.exposures), "exposures": rows}
        write_json(folder / "exposures.json", content)


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
    disagreement: Disagreement | None = None,
) -> Audit:
    """Judge the greedy and the exploring policy on every state of held-out episodes, beside the data's own actions.

    Args:
        policy: proposes actions.
        estimator: fitted on the train split.
        calibration: the thresholds of that estimator.
        episodes: held-out episodes.
        module: the robot.
        rng: noise of the exploring policy.
        name: the policy's name in the metrics.
        minimum_share: regions with a smaller share of the data's steps count as unsupported, in [0, 1].
        disagreement: of a critic ensemble, where there is one: standard deviation of its values (N,) at observations
            (N, O) and actions (N, A).

    Raises:
        SupportError: no held-out episode, or thresholds of another estimator.
        PolicyError: a proposal is of the wrong size or not finite.
    """
    _belongs(estimator, calibration, episodes)
    schema = module.SPEC.action
    proposed = {
        "greedy": proposed_by(policy, episodes, schema.size, None),
        "exploring": proposed_by(policy, episodes, schema.size, rng),
        "data": np.concatenate([e.actions for e in episodes]),
    }
    logged, masks = _masks(estimator, episodes, module, {mode: schema.clip(a) for mode, a in proposed.items()})
    modes = {
        mode: measured(mode, episodes, actions, masks[mode], estimator, calibration, schema, disagreement)
        for mode, actions in proposed.items()
    }
    greedy, exploring = modes["greedy"], modes["exploring"]
    found = exposures(logged, estimator, greedy, exploring, alpha=calibration.alpha, action=schema)
    metrics = _metrics({mode: one.frame for mode, one in modes.items()}, calibration) | {
        "policy": name,
        "policy_sha256": policy.sha256,
        "estimator_sha256": estimator.sha256,
        "calibration_sha256": calibration.sha256,
        "states": len(greedy.frame),
        "gaps": gaps(found),
        **_by_region(found, minimum_share),
    }
    return Audit(
        metrics=metrics,
        actions=pd.concat([one.frame for one in modes.values()], ignore_index=True),
        exposures=found,
        worst=worst_table((greedy, exploring), estimator, module.SPEC.observation, schema),
    )


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


def _masks(
    estimator: SupportEstimator, episodes: Sequence[Episode], module: RobotModule, actions: Mapping[str, Array]
) -> tuple[Masks, dict[str, Masks]]:
    """Every region's mask over the logged rows, and by mode over the held-out ones with those actions.

    Sensors are looked at in logged and held-out episodes together, so that neither side decides what a dead one reads.
    """
    states, count = np.concatenate([e.observations[:-1] for e in episodes]), len(estimator.observations)
    lengths = np.concatenate([estimator.lengths, [len(e) for e in episodes]])
    sensors = sensor_regions(module.SPEC, np.concatenate([estimator.observations, states]), lengths)
    logged = {**module.regions(estimator.observations, estimator.actions)}
    held_out = {n: mask[count:] for n, mask in sensors.items()}
    masks: dict[str, Masks] = {mode: {**module.regions(states, done), **held_out} for mode, done in actions.items()}
    return {**logged, **{n: mask[:count] for n, mask in sensors.items()}}, masks


def _metrics(frames: Mapping[str, pd.DataFrame], calibration: Calibration) -> dict[str, Any]:
    """Of each mode by its name; and at the top level the greedy policy, with the exploring one's rate beside it."""
    modes = {mode: _summary(frame, calibration) for mode, frame in frames.items()}
    return {
        **modes["greedy"],
        "outside_support_rate_exploring": modes["exploring"]["outside_support_rate"],
        **modes,
    }


def _summary(frame: pd.DataFrame, calibration: Calibration) -> dict[str, Any]:
    beyond = ~(frame["score"] <= calibration.episode_threshold)
    summary = {
        "outside_support_rate": float(frame.groupby("episode", sort=False)["outside"].mean().mean()),
        "beyond_episode_threshold_rate": float(beyond.mean()),
        "episodes_beyond_threshold_rate": float(frame.assign(beyond=beyond).groupby("episode")["beyond"].any().mean()),
        "saturation_rate": float(frame["saturated"].mean()),
        "log_prob": _quantiles(frame["log_prob"], "p05", 0.05),
    }
    large = [column for column in ("score", "distance", "disagreement") if column in frame]
    return summary | {column: _quantiles(frame[column], "p95", 0.95) for column in large}


def _quantiles(values: pd.Series[Any], name: str, quantile: float) -> dict[str, float]:
    numbers = values.to_numpy()
    return {"median": float(np.median(numbers)), name: float(np.quantile(numbers, quantile))}


def _by_region(found: Sequence[Exposure], minimum_share: float) -> dict[str, Any]:
    """By name what one number would hide: where the greedy policy is most often outside, worst first, and
    which regions the data hardly holds, and of those the ones that the policy goes to all the same.
    """
    by_name = {one.name: one for one in sorted(found, key=lambda one: one.name)}
    outside = sorted((one for one in found if one.greedy.outside > 0), key=lambda one: (-one.greedy.outside, one.name))
    unsupported = [name for name, one in by_name.items() if not supported(one.data_share, minimum_share)]
    return {
        "regions": {name: _row(one) for name, one in by_name.items()},
        "worst_regions": [one.name for one in outside[:WORST_REGIONS]],
        "unsupported_regions": unsupported,
        "unsupported_regions_proposed": [name for name in unsupported if by_name[name].share > 0],
    }


def _row(one: Exposure) -> dict[str, float]:
    row = {"data_share": one.data_share}
    for use, suffix in ((one.greedy, ""), (one.exploring, "_exploring")):
        row["proposal_share" + suffix] = use.share
        row["outside_rate" + suffix] = use.outside
        row["worst_score" + suffix] = use.worst_score
        row["worst_distance" + suffix] = use.worst_distance
    return row
