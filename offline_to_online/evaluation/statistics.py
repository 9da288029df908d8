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
# Of the stake at which one lost pair would take all.
LARGEST_STAKE = 0.98
FUTILITY_ERRORS = 2.0
GRID = 1000


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


def fallback_share(rounds_since_spent: int, rounds: int) -> float:
    """The share of a run's error level that its next candidate may use: the online fallback procedure.

    Each of the ``rounds`` owns an equal share. A round that spends none of it (it accepted its candidate, or compared
    none) hands all that it held to the next one, so that a candidate holds the shares of every round since the last
    one that spent (Tian and Ramdas, Statistical Methods in Medical Research 30, 2021). Every share is lost to at most
    one rejected candidate: ``docs/gate.md`` says why that bounds the chance of any wrong acceptance.

    Args:
        rounds_since_spent: this round, and those before it back to the last one that spent its share.
        rounds: of the whole run.

    Raises:
        ParameterError: more rounds than the run has, or none.
    """
    if not 1 <= rounds_since_spent <= rounds:
        raise ParameterError(
            f"{rounds_since_spent} rounds since error was spent, {rounds} in all", limit="from 1 to the rounds of a run"
        )
    return rounds_since_spent / rounds


def least_certain(differences: Array, alpha: float) -> float:
    """The lower end of a one-sided confidence sequence of E[d], in [-1, 1]: what is certain of the difference.

    Inverts the test by betting: the largest mean, on a grid of 0.001, that ``PairedEvidence`` refutes, as it refutes
    every smaller one too (its wealth grows with the margin, pair by pair). It holds after all pairs at once, and
    hence whenever one stopped, with a chance of error of at most ``alpha``; and a candidate is accepted for a margin
    on the grid exactly if this is at least minus that margin.

    Args:
        differences: in [-1, 1], shape (N,).
        alpha: the chance that E[d] lies below what is returned.
    """
    refuted, standing = GRID, -GRID
    while refuted - standing > 1:
        middle = (refuted + standing) // 2
        if PairedEvidence(margin=middle / GRID, alpha=alpha).accepts(differences):
            refuted = middle
        else:
            standing = middle
    return -refuted / GRID


def bound_in_words(pairs: int, alpha: float, least: float, *, who: str, side: str) -> str:
    """What ``least_certain`` found, for a person; a point is 0.01 of success rate or score."""
    bound = (
        f"gains at least {100 * least:.1f} points on"
        if least > 0
        else f"loses at most {abs(100 * least):.1f} points to"
    )
    return f"with {pairs} pairs, at {100 * (1 - alpha):.6g} %, the {who} {bound} the {side}"


@dataclass(frozen=True, kw_only=True)
class PairedEvidence:
    """Is a candidate no worse than the other side by more than ``margin``? A test by betting.

    Against H0: E[d] <= -margin, with d in [-1, 1] the candidate's outcome minus the other side's on one task, a
    gambler who stakes the share lambda of a wealth of 1 on every pair holds prod_i (1 + lambda (d_i + margin)).
    Under H0 no such wealth, nor the mean of several, grows on average, so that it ever reaches 1/alpha with
    probability at most alpha, whenever one looks (Ville's inequality; Waudby-Smith and Ramdas, JRSS B 86, 2024).

    Attributes:
        margin: the loss that would be tolerated, in (-1, 1), in the unit of d. With 0, accepting says "better", and
            with a negative one "better by more than that".
        alpha: the chance of accepting a candidate that is worse than that.
    """

    margin: float
    alpha: float

    def __post_init__(self) -> None:
        if not (-1 < self.margin < 1 and 0 < self.alpha < 1):
            raise ParameterError(
                f"margin {self.margin:g}, alpha {self.alpha:g}", limit="margin in (-1, 1), alpha in (0, 1)"
            )

    @property
    def threshold(self) -> float:
        """The wealth at which the candidate is accepted, 1/alpha."""
        return 1 / self.alpha

    @cached_property
    def bets(self) -> Array:
        """The stakes, float64 (12,), evenly spaced below 1 / (1 - margin), where one lost pair would take all."""
        return np.linspace(0.0, LARGEST_STAKE / (1 - self.margin), BETS + 1)[1:]

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
        wealth = np.zeros(values.shape)
        # What grows beyond a float is infinite wealth, and what shrinks below one is none.
        with np.errstate(over="ignore", under="ignore"):
            for bet in self.bets:
                wealth += np.cumprod(1 + bet * (values + self.margin), axis=-1)
        return wealth / BETS

    def accepts(self, differences: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether the wealth has reached the threshold at any pair so far: bool (...)."""
        return np.asarray((self.wealth(differences) >= self.threshold).any(axis=-1))

    def is_futile(self, differences: Array, remaining: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether to give up, because the pairs that remain would not do even in luck: bool (...).

        Each bet's log-wealth is carried on over ``remaining`` pairs at its mean growth so far plus two standard
        errors; futile is when no bet alone could then lift the mixture to the threshold. Giving up can only turn
        an acceptance into a rejection: it never raises the chance of a wrong acceptance.

        Args:
            differences: the pairs so far, shape (..., N); before the second pair nothing is futile.
            remaining: pairs that may still be played.
        """
        values = np.asarray(differences, dtype=np.float64)
        pairs = values.shape[-1]
        if pairs < 2:
            return np.zeros(values.shape[:-1], dtype=bool)
        hoped = np.full(values.shape[:-1], -np.inf)
        for bet in self.bets:
            growth = np.log1p(bet * (values + self.margin))
            lucky = growth.mean(axis=-1) + FUTILITY_ERRORS * growth.std(axis=-1, ddof=1) / math.sqrt(pairs)
            hoped = np.maximum(hoped, growth.sum(axis=-1) + remaining * lucky)
        hopeless = (hoped < math.log(self.threshold)) | (remaining == 0)
        return np.asarray(hopeless & ~self.accepts(values))
