"""One log and one seed: everybody fitted on the same episodes, and asked about the same steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from benchmarks.support_data import Log
from benchmarks.support_detection.faults import RESET, Split, Steps, broken, some_of, split
from benchmarks.support_detection.peers import available
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.support.estimator import SupportConfig, SupportEstimator

RECALL = 0.95
SCORE, PLAIN = "score", ", plain"
NEGATED = ("log_prob", "log_prob_each")  # terms of which smaller is stranger
Answers = Mapping[str, Array]


@dataclass(frozen=True, kw_only=True)
class Data:
    """A log as a process can be handed it."""

    name: str
    episodes: tuple[Episode, ...]
    low: Array
    high: Array

    @classmethod
    def of(cls, log: Log) -> Data:
        """Without the robot's module."""
        return cls(name=log.name, episodes=log.episodes, low=log.low, high=log.high)


def measure(data: Data, seed: int, most: int) -> list[dict[str, Any]]:
    """Rows of every detector and kind: AUROC and false alarms."""
    parts, clean, faulty = prepared(data, seed, most)
    rows = list[dict[str, Any]]()
    for ours, ask in detectors(parts, seed):
        usual = ask(clean)
        answers = {kind: ask(steps) for kind, steps in faulty.items()}
        for name, scores in usual.items():
            about = {"log": data.name, "seed": seed, "detector": name, "ours": ours}
            rows += [
                about | {"kind": kind, "steps": len(faulty[kind])} | judged(scores, answer[name])
                for kind, answer in answers.items()
            ]
    return rows


def prepared(data: Data, seed: int, most: int) -> tuple[Split, Steps, dict[str, Steps]]:
    """The split, at most so many clean test steps, and as many or fewer of each kind of fault; by seed alone."""
    rng = np.random.default_rng(seed)
    parts = split(data.episodes, rng)
    spread = np.concatenate([one.actions for one in data.episodes]).std(axis=0)
    test, far = (some_of(part, data.low, data.high, spread, most, rng) for part in (parts.test, parts.far))
    return parts, test.clean(), broken(test, rng) | {RESET: far.clean()}


def detectors(parts: Split, seed: int) -> Iterator[tuple[bool, Callable[[Steps], Answers]]]:
    """Ours, all its terms at once, and each peer twice: on the rows whose neighbours ours searches, and on plain ones.

    Plain are observation and action side by side, every dimension in standard deviations. Each comes with whether
    it is ours.
    """
    estimator = SupportEstimator.fit(parts.fit, SupportConfig())
    yield True, lambda steps: terms(estimator, steps)
    fitted = Steps(
        observations=np.concatenate([one.observations[:-1] for one in parts.fit]),
        actions=np.concatenate([one.actions for one in parts.fit]),
    )
    spaces = {"": lambda steps: estimator.features(steps.observations, steps.actions), PLAIN: standardised(fitted)}
    for suffix, space in spaces.items():
        logged = space(fitted)
        for name, fit in available().items():
            ask = fit(logged, seed)
            yield False, _asking(name + suffix, ask, space)


def terms(estimator: SupportEstimator, steps: Steps) -> Answers:
    """The score and its terms, higher is stranger."""
    answers = estimator.terms(steps.observations, steps.actions)
    return {f"-{name}" if name in NEGATED else name: -v if name in NEGATED else v for name, v in answers.items()}


def standardised(fitted: Steps) -> Callable[[Steps], Array]:
    """Rows (N, O + A) in standard deviations of the fitted ones, as scikit-learn's ``StandardScaler`` makes them."""
    from sklearn.preprocessing import StandardScaler

    def side_by_side(steps: Steps) -> Array:
        return np.concatenate([steps.observations, steps.actions], axis=1).astype(np.float64)

    scaler = StandardScaler().fit(side_by_side(fitted))
    return lambda steps: np.asarray(scaler.transform(side_by_side(steps)))


def _asking(name: str, ask: Callable[[Array], Array], space: Callable[[Steps], Array]) -> Callable[[Steps], Answers]:
    return lambda steps: {name: ask(space(steps))}


def judged(clean: Array, faulty: Array) -> dict[str, float]:
    """How well a score tells faulty from clean; what it has no number for counts as an alarm."""
    usual, strange = (np.where(np.isnan(scores), np.inf, scores) for scores in (clean, faulty))
    return {"auroc": auroc(usual, strange), "fpr95": false_alarms(usual, strange)}


def auroc(clean: Array, faulty: Array) -> float:
    """Probability that a faulty step scores above a clean one, ties half (Mann-Whitney), in [0, 1]."""
    ranks = rankdata(np.concatenate([clean, faulty]))[len(clean) :]
    above = ranks.sum() - len(faulty) * (len(faulty) + 1) / 2
    return float(above / (len(clean) * len(faulty)))


def false_alarms(clean: Array, faulty: Array) -> float:
    """Share of clean steps at or above the threshold that at least 95 % of the faulty ones reach."""
    threshold = np.sort(faulty)[int((1 - RECALL) * len(faulty))]
    return float(np.mean(clean >= threshold))
