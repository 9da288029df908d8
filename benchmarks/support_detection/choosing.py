"""What the settings were chosen by: one at a time around the defaults, on the pendulum, and on nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed, parallel_config

from benchmarks.results_file import claim
from benchmarks.support_detection.measuring import SCORE, Data, judged, prepared, terms
from benchmarks.support_detection.summary import FIGURES, difference, interval, named
from offline_to_online.support.estimator import SupportConfig, SupportEstimator

GRID: Mapping[str, Sequence[Any]] = {
    "neighbourhoods": ((10, 50, 250), (50, 250), (20, 100), (10, 50), (10,)),
    "anywhere": (0.01, 0.03, 0.1, 0.3),
    "bandwidth_floor": (0.01, 0.03, 0.1),
}
DEFAULT = "defaults"


def settings() -> dict[str, SupportConfig]:
    """The defaults, and every configuration that differs from them in one field."""
    defaults = SupportConfig()
    changed = {
        f"{field} {value}": dataclasses.replace(defaults, **{field: value})
        for field, values in GRID.items()
        for value in values
        if value != getattr(defaults, field)
    }
    return {DEFAULT: defaults} | changed


def choose(data: Data, seeds: Sequence[int], most: int, jobs: int) -> list[dict[str, Any]]:
    """A row a setting: the mean AUROC over kinds, and its difference to that of the defaults, paired by seed."""
    grid = settings()
    with parallel_config(backend="loky", inner_max_num_threads=1):
        work = (delayed(mean_auroc)(data, config, seed, most) for config in grid.values() for seed in seeds)
        found = np.array(Parallel(n_jobs=jobs)(work)).reshape(len(grid), len(seeds), len(FIGURES))
    rows = []
    for name, values in zip(grid, found, strict=True):
        row: dict[str, Any] = {"log": data.name, "setting": name}
        for i, figure in enumerate(FIGURES):
            row |= named(figure, interval(values[:, i]))
        rows.append(row | named("difference", interval(values[:, 0] - found[0, :, 0])))
    return rows


def mean_auroc(data: Data, config: SupportConfig, seed: int, most: int) -> tuple[float, ...]:
    """Mean over kinds of AUROC and of false alarms, of the score alone."""
    parts, clean, faulty = prepared(data, seed, most)
    estimator = SupportEstimator.fit(parts.fit, config)
    usual = terms(estimator, clean)[SCORE]
    of_kind = [judged(usual, terms(estimator, steps)[SCORE]) for steps in faulty.values()]
    return tuple(float(np.mean([one[figure] for one in of_kind])) for figure in FIGURES)


def choice(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The claim that no single change is better by more than its interval; the changes that are, by name."""
    better = [row["setting"] for row in rows if (row["difference_low"] or 0) > 0]
    return [
        claim(
            "single changes of the defaults that are better on pendulum, beyond their 95 % interval",
            better,
            [],
            not better,
        )
    ]


def print_choice(rows: Sequence[Mapping[str, Any]]) -> None:
    """A line a setting, in the order of the grid."""
    print(f"{'pendulum':32}{'AUROC':>8}{'FPR95':>8}{'difference, paired':>28}")
    for row in rows:
        print(f"{row['setting']:32}{row['auroc']:8.4f}{row['fpr95']:8.3f}{difference(row):>28}")
