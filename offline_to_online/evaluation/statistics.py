"""How sure a number is: intervals for one policy, and evidence for a pair of them.

Successes are compared with exact tests, scores with the bootstrap, and a sequence of candidates with a
test by betting, which may be looked at after every pair without spending more error than it was given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError

BOOTSTRAP_SEED = 20_250_101
BETS = 12
FUTILITY_ERRORS = 2.0


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a success rate: Wilson's score interval (JASA 22, 1927). (0, 1) without a trial."""
    if trials == 0:
        return 0.0, 1.0
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    rate = successes / trials
    spread = z * math.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    middle = rate + z**2 / (2 * trials)
    low, high = (middle - spread) / scale, (middle + spread) / scale
    return (0.0 if successes == 0 else low), (1.0 if successes == trials else high)


def mean_interval(values: Array, confidence: float = 0.95, *, resamples: int = 4000) -> tuple[float, float]:
    """Interval of a mean, by the percentile bootstrap (Efron, Annals of Statistics 7, 1979).

    The bootstrap's generator has a seed of its own: the same values, in any order, give the same interval.

    Args:
        values: shape (N,), N at least 1.
        confidence: in (0, 1).
        resamples: bootstrap draws.

    Raises:
        ParameterError: no value, or one that is not finite.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if len(ordered) == 0 or not np.isfinite(ordered).all():
        raise ParameterError("interval of no values, or of one that is not finite", limit="at least 1 finite value")
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    means = [
        ordered[rng.integers(0, len(ordered), size=(min(500, resamples - start), len(ordered)))].mean(axis=1)
        for start in range(0, resamples, 500)
    ]
    low, high = np.quantile(np.concatenate(means), [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def paired_mcnemar_p(candidate: Array, baseline: Array) -> float:
    """One-sided p-value of "the candidate succeeds more often": the exact McNemar test.

    Only the pairs in which exactly one side succeeded speak; under no difference the candidate wins each of
    them with probability 1/2 (McNemar, Psychometrika 12, 1947; the exact binomial form).

    Args:
        candidate, baseline: bool, shape (N,), successes on the same tasks.

    Raises:
        ParameterError: the two sides do not pair up.
    """
    new, old = np.asarray(candidate, dtype=bool), np.asarray(baseline, dtype=bool)
    if new.shape != old.shape:
        raise ParameterError(f"{new.size} outcomes against {old.size}", limit="the same tasks on both sides")
    won, lost = int(np.sum(new & ~old)), int(np.sum(~new & old))
    return float(stats.binom.sf(won - 1, won + lost, 0.5)) if won + lost else 1.0


def paired_difference_interval(differences: Array, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the mean of paired differences in [-1, 1] (or returns), shape (N,).

    Differences of successes, each -1, 0 or 1, get Wilson's intervals of the share won and of the share lost, put
    together by squaring and adding with the correlation of a multinomial (Newcombe, Statistics in Medicine 17, 1998;
    Zou and Donner, ibid. 27, 2008), which does not shrink to nothing where no pair differs. All others get the
    percentile bootstrap.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) == 0 or not np.isin(values, (-1.0, 0.0, 1.0)).all():
        return mean_interval(values, confidence)
    won, lost, pairs = int(np.sum(values > 0)), int(np.sum(values < 0)), len(values)
    up, down = wilson_interval(won, pairs, confidence), wilson_interval(lost, pairs, confidence)
    p, q = won / pairs, lost / pairs
    # Won and lost exclude each other, hence correlate negatively.
    phi = -math.sqrt(p * q / ((1 - p) * (1 - q))) if 0 < p < 1 and 0 < q < 1 else 0.0
    below = _square_and_add(p - up[0], down[1] - q, phi)
    above = _square_and_add(up[1] - p, q - down[0], phi)
    return max(-1.0, p - q - below), min(1.0, p - q + above)


def _square_and_add(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(0.0, a**2 - 2 * phi * a * b + b**2))


def alpha_spent(candidate_number: int, alpha: float) -> float:
    """The share of ``alpha`` that the k-th candidate may use: 6 alpha / (pi^2 k^2), which sums to alpha over all k.

    Raises:
        ParameterError: k below 1, or alpha outside (0, 1).
    """
    if candidate_number < 1 or not 0 < alpha < 1:
        raise ParameterError(
            f"candidate {candidate_number}, alpha {alpha:g}", limit="a candidate from 1 on, alpha in (0, 1)"
        )
    return 6 * alpha / (math.pi**2 * candidate_number**2)


@dataclass(frozen=True, kw_only=True)
class PairedEvidence:
    """Is a candidate no worse than the other side by more than ``margin``? A test by betting.

    Against H0: E[d] <= -margin, with d in [-1, 1] the candidate's outcome minus the other side's on one task, a
    gambler who stakes the share lambda of a wealth of 1 on every pair holds prod_i (1 + lambda (d_i + margin)).
    Under H0 no such wealth, nor the mean of several, grows on average, so that it ever reaches 1/alpha with
    probability at most alpha, whenever one looks (Ville's inequality; Waudby-Smith and Ramdas, JRSS B 86, 2024).

    Attributes:
        margin: the loss that would be tolerated, in [0, 1), in the unit of d. With 0, accepting says "better".
        alpha: the chance of accepting a candidate that is worse than that.
    """

    margin: float
    alpha: float

    def __post_init__(self) -> None:
        if not (0 <= self.margin < 1 and 0 < self.alpha < 1):
            raise ParameterError(
                f"margin {self.margin:g}, alpha {self.alpha:g}", limit="margin in [0, 1), alpha in (0, 1)"
            )

    @property
    def threshold(self) -> float:
        """The wealth at which the candidate is accepted, 1/alpha."""
        return 1 / self.alpha

    @cached_property
    def bets(self) -> Array:
        """The stakes, float64 (12,), evenly spaced below 1 / (1 - margin), where one lost pair would take all."""
        return np.linspace(0.0, 0.9 / (1 - self.margin), BETS + 1)[1:]

    def wealth(self, differences: Array) -> Array:
        """The wealth after every pair.

        Args:
            differences: in [-1, 1], shape (..., N): one sequence of pairs, or many.

        Returns:
            float64 (..., N).

        Raises:
            ParameterError: a difference outside [-1, 1].
        """
        values = np.asarray(differences, dtype=np.float64)
        if not (np.abs(values) <= 1).all():
            raise ParameterError("a paired difference outside [-1, 1]", limit="outcomes in [0, 1] on both sides")
        logs = [np.cumsum(np.log1p(bet * (values + self.margin)), axis=-1) for bet in self.bets]
        return np.asarray(np.exp(np.logaddexp.reduce(logs, axis=0) - math.log(BETS)), dtype=np.float64)

    def accepts(self, differences: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether the wealth has reached the threshold at any pair so far: bool (...)."""
        return np.asarray((self.wealth(differences) >= self.threshold).any(axis=-1))

    def is_futile(self, differences: Array, remaining: int) -> bool:
        """Whether to give up, because the pairs that remain would not do even in luck.

        Each bet's log-wealth is carried on over ``remaining`` pairs at its mean growth so far plus two standard
        errors; futile is when no bet alone could then lift the mixture to the threshold. Giving up can only turn
        an acceptance into a rejection: it never raises the chance of a wrong acceptance.

        Args:
            differences: the pairs so far, shape (N,); before the second pair nothing is futile.
            remaining: pairs that may still be played.
        """
        values = np.asarray(differences, dtype=np.float64)
        if len(values) < 2 or self.accepts(values):
            return False
        if remaining == 0:
            return True
        growth = np.log1p(self.bets[:, None] * (values + self.margin))
        error = growth.std(axis=1, ddof=1) / math.sqrt(len(values))
        hoped = growth.sum(axis=1) + remaining * (growth.mean(axis=1) + FUTILITY_ERRORS * error)
        return bool(hoped.max() < math.log(self.threshold))
