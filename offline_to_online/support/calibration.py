"""Two thresholds on the support distance, each with the guarantee it carries.

The *step threshold* bounds the share of a clean episode's steps that lie beyond it (conformal risk
control, Angelopoulos et al. 2022, arXiv 2208.02814). The *episode threshold* bounds the share of clean
episodes that ever cross it (split conformal, Vovk et al. 2005). Episodes, not steps, are exchangeable:
so episodes are what is counted.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError, SupportError
from offline_to_online.support.estimator import SupportEstimator

# Slack for sums and products of floats: 20 * (1 - 0.95) must be 1, not 1.0000000000000009.
ROUNDING = 1e-9
AGAIN = "run the stage support again"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """When a distance counts as outside the support.

    Attributes:
        alpha: the error rate asked for, in (0, 1).
        step_threshold: a step beyond it is outside the support (distance of the estimator).
        episode_threshold: a step beyond it is a guard stop; never below the step threshold.
        method: ``split`` (episodes that the estimator never saw) or ``cross-conformal``.
        episodes: how many episodes it was calibrated on.
        guarantee: what may be said of each threshold, ``{"step": text, "episode": text}``.
        data_sha256: hash of the identities of those episodes.
        estimator_sha256: the estimator whose distances these are.
    """

    alpha: float
    step_threshold: float
    episode_threshold: float
    method: Literal["split", "cross-conformal"]
    episodes: int
    guarantee: Mapping[str, str]
    data_sha256: str
    estimator_sha256: str

    @property
    def sha256(self) -> str:
        """Content hash."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any], *, where: str = "calibration") -> Calibration:
        """The inverse of ``to_json``.

        Raises:
            SupportError: a field is missing or unknown, or a threshold is not a finite number.
        """
        try:
            calibration = cls(**row)
            finite = math.isfinite(calibration.step_threshold) and math.isfinite(calibration.episode_threshold)
        except TypeError as error:
            raise SupportError(f"not a calibration, {error}", where=where, remedy=AGAIN) from error
        if not finite:
            raise SupportError("a threshold is not finite", where=where, remedy=AGAIN)
        return calibration

    def save(self, path: Path) -> None:
        """Write it as JSON; same content, same bytes."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """The inverse of ``save``; raises what ``from_json`` raises, DataError for a missing file."""
        return cls.from_json(read_json(path), where=str(path))


def episodes_needed(alpha: float) -> int:
    """Fewest episodes with which a threshold at ``alpha`` is finite: ceil(1/alpha) - 1.

    Raises:
        ParameterError: alpha is not in (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        raise ParameterError(f"alpha = {alpha!r}", where="support.alpha", limit="between 0 and 1, both excluded")
    return math.ceil(1.0 / alpha - ROUNDING) - 1


def step_threshold(distances: Sequence[Array], alpha: float) -> float:
    """Smallest t with n/(n+1) * mean_i share(distances_i > t) + 1/(n+1) <= alpha (conformal risk control).

    Args:
        distances: one array (T_i,) per episode.
        alpha: in (0, 1).

    Raises:
        SupportError: fewer than ``episodes_needed(alpha)`` episodes.
    """
    count = _enough(len(distances), alpha)
    every = np.concatenate(distances).astype(np.float64)
    weights = np.concatenate([np.full(len(d), 1.0 / (count * len(d))) for d in distances])
    values, position = np.unique(every, return_inverse=True)
    at = np.bincount(position, weights=weights, minlength=len(values))
    beyond = at.sum() - np.cumsum(at)
    beyond[-1] = 0.0
    fits = count / (count + 1) * beyond + 1.0 / (count + 1) <= alpha + ROUNDING
    return float(values[np.argmax(fits)])


def episode_threshold(distances: Sequence[Array], alpha: float) -> float:
    """The ceil((n+1)(1-alpha))-th smallest of the episodes' largest distances (split conformal).

    Raises:
        SupportError: fewer than ``episodes_needed(alpha)`` episodes.
    """
    count = _enough(len(distances), alpha)
    largest = np.sort([float(d.max()) for d in distances])
    rank = math.ceil((count + 1) * (1.0 - alpha) - ROUNDING)
    return float(largest[max(rank, 1) - 1])


def calibrate(
    estimator: SupportEstimator,
    episodes_calibration: Sequence[Episode],
    episodes_train: Sequence[Episode],
    alpha: float,
) -> Calibration:
    """Both thresholds, on held-out episodes, or leaving one episode out where those are too few.

    Args:
        estimator: fitted on ``episodes_train``.
        episodes_calibration: episodes it has never seen.
        episodes_train: the episodes it was fitted on, in that order.
        alpha: the error rate asked for, in (0, 1).

    Raises:
        SupportError: too few episodes either way, with how many are needed; or an estimator that was
            fitted on other episodes.
    """
    needed = episodes_needed(alpha)
    if len(episodes_calibration) >= needed:
        return _calibration(estimator, episodes_calibration, _held_out(estimator, episodes_calibration), alpha, "split")
    if len(episodes_train) < needed:
        raise SupportError(
            f"too few episodes to calibrate: {len(episodes_calibration)} held out, {len(episodes_train)} for training",
            where="split",
            limit=f"{needed} of either for alpha {alpha:g}",
            remedy="log more episodes, or raise alpha",
        )
    if tuple(e.identity for e in episodes_train) != estimator.episodes:
        raise SupportError("the support estimator was fitted on other episodes", where="train split", remedy=AGAIN)
    distances = [
        estimator.distance_leaving_out(e.observations[:-1], e.actions, i) for i, e in enumerate(episodes_train)
    ]
    return _calibration(estimator, episodes_train, distances, alpha, "cross-conformal")


def _held_out(estimator: SupportEstimator, episodes: Sequence[Episode]) -> list[Array]:
    seen = set(estimator.episodes) & {e.identity for e in episodes}
    if seen:
        raise SupportError(
            f"{len(seen)} calibration episodes were also fitted on",
            where=f"episode {min(seen)[:12]}",
            limit="no episode in both",
            remedy="mend the split",
        )
    return [estimator.distance(e.observations[:-1], e.actions) for e in episodes]


def _calibration(
    estimator: SupportEstimator,
    episodes: Sequence[Episode],
    distances: Sequence[Array],
    alpha: float,
    method: Literal["split", "cross-conformal"],
) -> Calibration:
    identities = "\n".join(sorted(e.identity for e in episodes))
    return Calibration(
        alpha=alpha,
        step_threshold=step_threshold(distances, alpha),
        episode_threshold=episode_threshold(distances, alpha),
        method=method,
        episodes=len(episodes),
        guarantee=_guarantee(method, alpha, len(episodes)),
        data_sha256=hashlib.sha256(identities.encode()).hexdigest(),
        estimator_sha256=estimator.sha256,
    )


def _guarantee(method: str, alpha: float, count: int) -> dict[str, str]:
    given = f"({count} episodes, exchangeable with those to come)"
    if method == "split":
        return {
            "step": f"a clean episode spends on average at most {alpha:g} of its steps beyond it, "
            f"by conformal risk control {given}",
            "episode": f"at most {alpha:g} of clean episodes ever cross it, by split conformal prediction {given}",
        }
    return {
        "step": f"a clean episode spends on average about {alpha:g} of its steps beyond it, "
        f"measured leaving one episode out; no finite-sample bound is claimed {given}",
        "episode": f"about {alpha:g} of clean episodes cross it; worst case at most {2 * alpha:g}, that of jackknife+ "
        f"(Barber et al. 2021), as far as one episode leaves the whitening as it is {given}",
    }


def _enough(count: int, alpha: float) -> int:
    needed = episodes_needed(alpha)
    if count < needed:
        raise SupportError(
            f"{count} episodes to calibrate on",
            where="support.alpha",
            limit=f"{needed} needed for alpha {alpha:g}",
            remedy="log more episodes, or raise alpha",
        )
    return count
