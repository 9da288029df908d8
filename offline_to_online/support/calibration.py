"""Two thresholds on the support score, each with the guarantee it carries.

The *step threshold* bounds the share of a clean episode's steps that lie beyond it (conformal risk
control, Angelopoulos et al. 2022, arXiv 2208.02814). The *episode threshold* bounds the share of clean
episodes that ever go beyond it (split conformal, Vovk et al. 2005). Episodes, not steps, are exchangeable:
so episodes are what is counted.

Both bounds are means over the draw of the calibration episodes, not promises about the ones that were drawn.
Where these are too few to be held out, every episode is left out once and scored by an estimator of the
others. That is the jackknife, for which no such bound exists (Barber et al. 2021, arXiv 1905.02928: theirs
of twice alpha is for jackknife+, which asks all those estimators again at every step), and the text says so.
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
Method = Literal["split", "cross-conformal"]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """When a score counts as outside the support: when it is larger than a threshold.

    Attributes:
        alpha: the error rate asked for, in (0, 1).
        step_threshold: a step beyond it is outside the support (``score`` of the estimator).
        episode_threshold: a step beyond it is a guard stop; never below the step threshold, since where
            ceil((n+1)(1-alpha)) episodes have no step outside, the bound on the mean share holds as well.
        method: ``split`` (episodes that the estimator never saw) or ``cross-conformal``.
        episodes: how many episodes it was calibrated on.
        guarantee: what may be said of each threshold, ``{"step": text, "episode": text}``.
        data_sha256: hash of those episodes' contents, ``data_sha256`` of this module.
        estimator_sha256: the estimator whose scores these are.
    """

    alpha: float
    step_threshold: float
    episode_threshold: float
    method: Method
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
            SupportError: a field is missing or unknown, a threshold is not a finite number, or the step threshold
                lies above the episode threshold.
        """
        try:
            calibration = cls(**row)
            step, episode = calibration.step_threshold, calibration.episode_threshold
            finite = math.isfinite(step) and math.isfinite(episode)
        except TypeError as error:
            raise SupportError(f"not a calibration, {error}", where=where, remedy=AGAIN) from error
        if not finite:
            raise SupportError("a threshold is not finite", where=where, remedy=AGAIN)
        if step > episode:
            found = f"step threshold {step:g} above episode threshold {episode:g}"
            raise SupportError(found, where=where, remedy=AGAIN)
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
        raise ParameterError(f"alpha = {alpha!r}", where="calibration.alpha", limit="between 0 and 1, both excluded")
    return math.ceil(1.0 / alpha - ROUNDING) - 1


def conformal_rank(count: int, alpha: float) -> int:
    """ceil((n+1)(1-alpha)), at least 1: at most a share alpha of exchangeable values exceed that smallest of n."""
    return max(math.ceil((count + 1) * (1.0 - alpha) - ROUNDING), 1)


def step_threshold(scores: Sequence[Array], alpha: float) -> float:
    """Smallest t with n/(n+1) * mean_i share(scores_i > t) + 1/(n+1) <= alpha (conformal risk control).

    Every episode counts alike, however many steps it has.

    Args:
        scores: one array (T_i,) per episode. A score that is not a number counts as infinite: the guard stops there.
        alpha: in (0, 1).

    Raises:
        SupportError: fewer than ``episodes_needed(alpha)`` episodes, one without a step, or so many infinite scores
            that no finite threshold holds.
    """
    rows = _sound(scores, alpha)
    count = len(rows)
    every = np.concatenate(rows)
    weights = np.concatenate([np.full(len(row), 1.0 / (count * len(row))) for row in rows])
    values, position = np.unique(every, return_inverse=True)
    at = np.bincount(position, weights=weights, minlength=len(values))
    beyond = at.sum() - np.cumsum(at)
    beyond[-1] = 0.0
    fits = count / (count + 1) * beyond + 1.0 / (count + 1) <= alpha + ROUNDING
    return _finite(float(values[np.argmax(fits)]), rows, alpha)


def episode_threshold(scores: Sequence[Array], alpha: float) -> float:
    """The ceil((n+1)(1-alpha))-th smallest of the episodes' largest scores (split conformal).

    Args and errors are those of ``step_threshold``.
    """
    rows = _sound(scores, alpha)
    largest = np.sort([row.max() for row in rows])
    return _finite(float(largest[conformal_rank(len(rows), alpha) - 1]), rows, alpha)


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
        SupportError: too few episodes either way, with how many are needed; an estimator that was
            fitted on other episodes; or too many infinite scores for a finite threshold.
    """
    needed = episodes_needed(alpha)
    if len(episodes_calibration) >= needed:
        return _calibration(estimator, episodes_calibration, _held_out(estimator, episodes_calibration), alpha, "split")
    needed = max(needed, 2)  # one left out, one that is left
    if len(episodes_train) < needed:
        raise SupportError(
            f"too few episodes to calibrate: {len(episodes_calibration)} held out, {len(episodes_train)} for training",
            where="split",
            limit=f"{needed} of either for alpha {alpha:g}",
            remedy="log more episodes, or raise alpha",
        )
    if tuple(e.identity for e in episodes_train) != estimator.episodes:
        raise SupportError("the support estimator was fitted on other episodes", where="train split", remedy=AGAIN)
    scores = [estimator.score_leaving_out(e.observations[:-1], e.actions, i) for i, e in enumerate(episodes_train)]
    return _calibration(estimator, episodes_train, scores, alpha, "cross-conformal")


def data_sha256(episodes: Sequence[Episode]) -> str:
    """Hash of what the episodes hold, in any order.

    An episode's identity is a hash of its observations, actions, rewards and ending: of all that a score can depend
    on. Given an estimator, which knows how wide either is, no two different episodes share those bytes.
    """
    return hashlib.sha256("\n".join(sorted(e.identity for e in episodes)).encode()).hexdigest()


def _held_out(estimator: SupportEstimator, episodes: Sequence[Episode]) -> list[Array]:
    seen = set(estimator.episodes) & {e.identity for e in episodes}
    if seen:
        raise SupportError(
            f"{len(seen)} calibration episodes were also fitted on",
            where=f"episode {min(seen)[:12]}",
            limit="no episode in both",
            remedy="mend the split",
        )
    return [estimator.score(e.observations[:-1], e.actions) for e in episodes]


def _calibration(
    estimator: SupportEstimator, episodes: Sequence[Episode], scores: Sequence[Array], alpha: float, method: Method
) -> Calibration:
    return Calibration(
        alpha=alpha,
        step_threshold=step_threshold(scores, alpha),
        episode_threshold=episode_threshold(scores, alpha),
        method=method,
        episodes=len(episodes),
        guarantee=_guarantee(method, alpha, len(episodes)),
        data_sha256=data_sha256(episodes),
        estimator_sha256=estimator.sha256,
    )


def _guarantee(method: Method, alpha: float, count: int) -> dict[str, str]:
    """What is true of either threshold, and no more: a reader of the file has nothing but this text."""
    if method == "split":
        rank = conformal_rank(count, alpha)
        # Given the calibration episodes, the share within the rank-th of them is Beta(rank, count + 1 - rank).
        deviation = math.sqrt(rank * (count + 1 - rank) / (count + 2)) / (count + 1)
        drawn = (
            f"on average over draws of the {count} calibration episodes, not for each draw (they are exchangeable "
            "with the clean episodes to come, and the estimator was not fitted on them)"
        )
        return {
            "step": f"clean episodes spend on average at most {alpha:g} of their steps beyond it: conformal risk "
            f"control, {drawn}",
            "episode": f"at most {alpha:g} of clean episodes ever go beyond it: split conformal prediction, {drawn}; "
            f"from draw to draw that share has a standard deviation of {deviation:.2g} (independent episodes, no ties)",
        }
    left = (
        f"of {count} episodes, each scored by an estimator of the others; an estimate without a finite-sample bound, "
        "since the estimator in use was fitted on all of them (the jackknife; the bound of jackknife+, Barber et al. "
        "2021, is for another rule)"
    )
    return {
        "step": f"a clean episode spends about {alpha:g} of its steps beyond it, judging by the left-out steps {left}",
        "episode": f"about {alpha:g} of clean episodes ever go beyond it, judging by the left-out maxima {left}",
    }


def _sound(scores: Sequence[Array], alpha: float) -> list[Array]:
    """The scores in double precision, what is not a number as infinite; enough episodes, each with a step."""
    needed = episodes_needed(alpha)
    if len(scores) < needed:
        raise SupportError(
            f"{len(scores)} episodes to calibrate on",
            where="calibration.alpha",
            limit=f"{needed} needed for alpha {alpha:g}",
            remedy="log more episodes, or raise alpha",
        )
    for index, row in enumerate(scores):
        if len(row) == 0:
            raise SupportError("an episode without a step", where=f"calibration episode {index}", limit="at least 1")
    return [np.where(np.isnan(row), np.inf, row).astype(np.float64) for row in scores]


def _finite(threshold: float, rows: Sequence[Array], alpha: float) -> float:
    """The threshold, unless it is infinite: one that nothing can cross would let everything pass."""
    if math.isfinite(threshold):
        return threshold
    endless = [index for index, row in enumerate(rows) if np.isinf(row).any()]
    step = int(np.argmax(np.isinf(rows[endless[0]])))
    raise SupportError(
        f"{len(endless)} of {len(rows)} calibration episodes have a step with an infinite score",
        where=f"calibration episode {endless[0]}, step {step}",
        limit=f"few enough for a finite threshold at alpha {alpha:g}",
        remedy="look at those steps: a value is not finite, or far outside what was fitted",
    )
