"""Drift against D_k = D_0 + tau_0 + ... + tau_{k-1}: everything that the run has collected by then counts as data.

The guard and the gate judge against D_0, which never moves. Against D_k alone, a policy that walks away from D_0 a
little each round looks clean, since each round has the one before it for its support: that is the ratchet. The two
side by side show it: drift from D_0 that rises while drift from D_k stays low.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.evaluation.guard import HasThresholds, MeasuresSupport, legal
from offline_to_online.evaluation.play import load_support
from offline_to_online.evaluation.rollout import Rollout, read_rollout
from offline_to_online.online.memory import Kept
from offline_to_online.online.run import OnlineRun
from offline_to_online.robots import RobotSpec


class GrowsSupport(MeasuresSupport, Protocol):
    """What D_k asks of a support estimator."""

    def add(self, episode: Episode) -> None:
        """Take in an episode's executed actions with the observations they were taken at."""


class CollectedData:
    """D_k: the data as handed off, and every episode that was collected since.

    What grows is what learning sees: executed actions, of every collected episode, whatever became of its round's
    candidate. Episodes of certification and of the final evaluation are in neither.

    Args:
        estimator: of D_0; it is grown in place, so that it must not be the guard's.
        calibration: the thresholds of D_0, which stay: a threshold set anew on data that drifted would hide the drift.
        module: the robot; its bounds and rate.
    """

    def __init__(self, estimator: GrowsSupport, calibration: HasThresholds, module: ModuleType) -> None:
        self._estimator, self._threshold, self._spec = estimator, calibration.step_threshold, module.SPEC

    def drift(self, rollout: Rollout) -> float:
        """Share of a rollout's steps, in [0, 1], whose judged action lies beyond the step threshold of D_k so far."""
        scores = self._estimator.score(rollout.episode.observations[:-1], judged_actions(rollout, self._spec))
        return float(np.mean(~(scores <= self._threshold)))

    def add(self, rollout: Rollout) -> None:
        """Count a rollout's episode as data from now on."""
        self._estimator.add(rollout.episode)


def judged_actions(rollout: Rollout, spec: RobotSpec) -> Array:
    """What the guard judged at each step, float32 (T, A): the proposals, inside the robot's bounds and rate."""
    proposed, executed = rollout.proposed, rollout.episode.actions
    return np.concatenate([legal(proposed[:1], None, spec), legal(proposed[1:], executed[:-1], spec)])


def data_of(run: OnlineRun, collected: int) -> CollectedData:
    """D_k after a run's first ``collected`` episodes, in their order; kept in this process, and not to be changed.

    Raises:
        SupportError: the handed-off estimator is broken.
        DataError: an episode of the run is missing or broken.
    """
    return KEPT.after(run, collected)


def as_handed_off(run: OnlineRun) -> CollectedData:
    """D_0, loaded anew."""
    estimator, calibration = load_support(run.handoff_folder)
    return CollectedData(estimator, calibration, run.module)


def add_file(data: CollectedData, path: Path) -> None:
    """Add the collected episode in a file."""
    data.add(read_rollout(path))


KEPT = Kept(as_handed_off, add_file)
