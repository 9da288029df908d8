"""Fit what says where the data supports an action, calibrate its two thresholds, and report coverage by region.

reads   data/episodes
writes  models/support/estimator/, models/support/calibration.json, models/support/behaviour/, data/support/
run     dvc repro support
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from offline_to_online.dataset.files import write_json
from offline_to_online.dataset.store import load_episodes
from offline_to_online.errors import one_line
from offline_to_online.params import load_params, robot_of
from offline_to_online.support.calibration import calibrate
from offline_to_online.support.estimator import SupportEstimator
from offline_to_online.support.penalty import SupportPenalty
from offline_to_online.support.plots import logged_frame, write_plots
from offline_to_online.support.regions import coverage


@one_line
def main() -> None:
    """Fit, calibrate, and print both thresholds."""
    params, folder = load_params(), Path("data/episodes")
    train, held_back = load_episodes(folder, "train"), load_episodes(folder, "calibration")
    heldout = load_episodes(folder, "heldout", at_least=1)
    estimator = SupportEstimator.fit(train, params.support)
    calibration = calibrate(estimator, held_back, train, params.calibration.alpha)
    penalty = SupportPenalty.fit(train, params.behaviour, params.seed)
    covered = coverage(train, robot_of(params))
    estimator.save(Path("models/support/estimator"))
    calibration.save(Path("models/support/calibration.json"))
    penalty.save(Path("models/support/behaviour"))
    write_json(Path("data/support/coverage.json"), covered)
    observations = np.concatenate([e.observations[:-1] for e in heldout])
    actions = np.concatenate([e.actions for e in heldout])
    logged = logged_frame(estimator.terms(observations, actions))
    write_plots(logged, calibration, Path("data/support"), title="held-out episodes against the train split")
    print(
        f"support: {calibration.method} on {calibration.episodes} episodes, alpha {calibration.alpha:g}: "
        f"step threshold {calibration.step_threshold:.3f}, episode threshold {calibration.episode_threshold:.3f}"
    )


if __name__ == "__main__":
    main()
