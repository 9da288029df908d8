"""The outlier detectors that people have, each fitted on rows (N, D) with its library's own settings.

LOF (Breunig et al. 2000), IsolationForest (Liu et al. 2008), Mahalanobis and the k-th nearest neighbour's distance from
scikit-learn; ECOD (Li et al. 2022, arXiv 2201.00382) and COPOD (Li et al. 2020, arXiv 2009.09463) from PyOD, which is
optional. Higher is always more of an outlier.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError

INSTALL = "pip install pyod==3.6.7"  # this project's extra "bench"
PYOD = ("ECOD", "COPOD")
SPOT_CHECK = 2  # rows of each fit that PyOD itself is asked about

Scores = Callable[[Array], Array]
Fit = Callable[[Array, int], Scores]


def available() -> dict[str, Fit]:
    """By name, as many as there are libraries for."""
    return SCIKIT | ({name: pyod_detector(name) for name in PYOD} if pyod_is_here() else {})


def pyod_is_here() -> bool:
    """Whether ECOD and COPOD can be asked."""
    return importlib.util.find_spec("pyod") is not None


def local_outlier_factor(rows: Array, seed: int) -> Scores:
    """20 neighbours."""
    from sklearn.neighbors import LocalOutlierFactor

    with warnings.catch_warnings():
        # Robots stand still: samples that repeat each other are in the nature of these logs.
        warnings.filterwarnings("ignore", "Duplicate values are leading to incorrect results")
        fitted = LocalOutlierFactor(novelty=True).fit(rows)
    return lambda queries: -fitted.score_samples(queries)


def isolation_forest(rows: Array, seed: int) -> Scores:
    """100 trees of 256 rows."""
    from sklearn.ensemble import IsolationForest

    fitted = IsolationForest(random_state=seed).fit(rows)
    return lambda queries: -fitted.score_samples(queries)


def mahalanobis(rows: Array, seed: int) -> Scores:
    """Squared distance by the empirical covariance."""
    from sklearn.covariance import EmpiricalCovariance

    fitted = EmpiricalCovariance().fit(rows.astype(np.float64))
    return lambda queries: np.asarray(fitted.mahalanobis(queries.astype(np.float64)))


def nearest_neighbours(rows: Array, seed: int) -> Scores:
    """Distance to the fifth neighbour."""
    from sklearn.neighbors import NearestNeighbors

    fitted = NearestNeighbors().fit(rows)
    return lambda queries: np.asarray(fitted.kneighbors(queries)[0][:, -1])


SCIKIT: dict[str, Fit] = {
    "LOF": local_outlier_factor,
    "IsolationForest": isolation_forest,
    "Mahalanobis": mahalanobis,
    "kNN": nearest_neighbours,
}


def pyod_detector(name: str) -> Fit:
    """ECOD or COPOD with its own settings; see ``OneAtATime``."""
    return lambda rows, seed: OneAtATime(name, rows.astype(np.float64))


class OneAtATime:
    """What PyOD's ECOD or COPOD says of each query asked alone, for many at once.

    Its ``decision_function`` adds the queries to the fitted rows before it counts how extreme each is, so that a
    batch of faults hides itself: fitted on 4,000 steps of the door, ECOD's AUROC of random actions is 0.84 asked 600 at
    a time, and 0.998 asked one at a time, as a guard asks. Every fit is held against PyOD's own answers for some rows.
    """

    def __init__(self, name: str, rows: Array) -> None:
        self._name, self._sorted = name, np.sort(rows, axis=0)
        self._mean = rows.mean(axis=0)
        deviations = rows - self._mean
        self._moments = [np.sum(deviations**power, axis=0) for power in (1, 2, 3)]
        self._check(rows)

    def __call__(self, queries: Array) -> Array:
        """Scores (Q,) of queries (Q, D)."""
        columns = range(queries.shape[1])
        count = len(self._sorted)
        below = [np.searchsorted(self._sorted[:, j], queries[:, j], side="right") for j in columns]
        above = [count - np.searchsorted(self._sorted[:, j], queries[:, j], side="left") for j in columns]
        left, right = (-np.log((np.stack(side, axis=1) + 1) / (count + 1)) for side in (below, above))
        sign = self._skewness(queries)
        tail = np.where(sign > 0, right, np.where(sign < 0, left, left + right))
        other = np.maximum(left, right) if self._name == "ECOD" else (left + right) / 2
        scores: Array = np.maximum(tail, other).sum(axis=1)
        return scores

    def _skewness(self, queries: Array) -> Array:
        """Sign of every column's skewness (Q, D) with each query in turn among the rows; 0 where nothing varies."""
        first, second, third = self._moments
        count, far = len(self._sorted), queries - self._mean
        shift = (first + far) / (count + 1)
        spread = second - 2 * shift * first + count * shift**2 + (far - shift) ** 2
        cubes = third - 3 * shift * second + 3 * shift**2 * first - count * shift**3 + (far - shift) ** 3
        smallest = (np.finfo(np.float64).eps * (self._mean + shift)) ** 2
        return np.where(spread / (count + 1) <= smallest, 0.0, np.sign(cubes))

    def _check(self, rows: Array) -> None:
        queries = np.random.default_rng(0).permuted(rows[:: max(1, len(rows) // 100)], axis=0)[:SPOT_CHECK] * 1.5
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # scipy's skewness of a column that never changes
            theirs: Any = getattr(importlib.import_module(f"pyod.models.{self._name.lower()}"), self._name)().fit(rows)
            wanted = np.array([theirs.decision_function(one[None])[0] for one in queries])
        if not np.allclose(self(queries), wanted, rtol=1e-6):
            found = f"{self._name} of this version of PyOD says {wanted}"
            raise ParameterError(found, limit=f"{self(queries)}", remedy=INSTALL)
