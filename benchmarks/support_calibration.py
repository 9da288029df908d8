"""Whether the two thresholds keep their promises, over random re-splits of every log; beside one threshold for both.

python -m benchmarks.support_calibration [--quick] [--jobs 2]

A re-split draws which recorded episodes the estimator is fitted on, which calibrate it, and which test it. A cell has
a few fits, and many re-splits of what each fit leaves: those need no new scores. Which of the remaining episodes
calibrate and which test is drawn uniformly, so that they are exchangeable by construction, and both promises hold for
the mean over all such draws, whatever the fit. That mean, for the fits of the cell, is what a row estimates; ``se`` is
the standard error of it, from the independent draws within each fit. (How far fits differ is in ``by_fit``.)

The thresholds:
    step      conformal risk control over episodes, for drift
    episode   split conformal over episodes, for guard stops
    pooled    the (1 - alpha) quantile of all calibration steps, as if steps were exchangeable: what people do
and their columns:
    flagged   share of clean test episodes that ever go beyond it
    drift     mean share of a clean test episode's steps beyond it
    random    the same for actions uniform in the robot's bounds, at every fifth state of the test episodes

``cross-conformal`` rows leave one episode out at a time, on a log too short to hold out any. Nothing is promised of
them, so nothing is claimed: one re-split a fit, and ``se`` is over fits. --quick needs no data: a small Fetch log.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from benchmarks.results_file import claim, commit, save
from benchmarks.support_data import HERE, RECORDING_SEED, Log, load
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import SupportError
from offline_to_online.params import load_params
from offline_to_online.plugins import module_for
from offline_to_online.robots._recording import record_log
from offline_to_online.support.calibration import (
    calibrate,
    conformal_rank,
    episode_threshold,
    episodes_needed,
    step_threshold,
)
from offline_to_online.support.estimator import SupportConfig, SupportEstimator

SEED, FITS, RESPLITS, QUICK_FITS = 13, 10, 100, 2
ENOUGH_RESPLITS, RANDOM_DRIFT = 200, 0.5  # what the issue asks for
QUICK_SHARE = 0.2  # of the episodes that the stage collect records
STRIDE = 5
STATISTICS = ("flagged", "drift", "random")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """How a log is split, and the levels it is judged at. What is neither fitted on nor calibrated on tests.

    Without calibration episodes the train episodes calibrate, leaving one out.
    """

    log: str
    train: int
    calibration: int
    alphas: tuple[float, ...]

    @property
    def method(self) -> str:
        """As a ``Calibration`` calls it."""
        return "split" if self.calibration else "cross-conformal"

    @property
    def count(self) -> int:
        """How many episodes calibrate."""
        return self.calibration or self.train


# Where there are episodes enough (n + 1) * alpha is kept off whole numbers: there the true share of flagged episodes is
# exactly alpha, and chance puts a right implementation above it half the time.
# Few tests and many re-splits, rather than few calibration episodes: risk control charges 1 / (n + 1), which at alpha
# 0.01 is most of it, so that a random policy's drift there grows with n (fetch: 0.49 at 134, 0.56 at 174).
CELLS = (
    Cell(log="fetch", train=100, calibration=174, alphas=(0.01, 0.05, 0.1)),
    Cell(log="door", train=3, calibration=19, alphas=(0.01, 0.05)),
    Cell(log="door", train=6, calibration=14, alphas=(0.1,)),
    Cell(log="door", train=20, calibration=0, alphas=(0.01, 0.05, 0.1)),
    Cell(log="pusht", train=50, calibration=134, alphas=(0.01, 0.05, 0.1)),
    Cell(log="nao", train=16, calibration=34, alphas=(0.01, 0.05, 0.1)),
)
QUICK = (Cell(log="fetch", train=12, calibration=34, alphas=(0.01, 0.05, 0.1)),)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every cell, print the table and the claims, write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.support_calibration", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small Fetch log, recorded on the spot; needs no data")
    parser.add_argument("--jobs", type=int, default=2, help="processes; the result does not depend on it")
    options = parser.parse_args(arguments)
    cells, fits, at = (QUICK, QUICK_FITS, commit()) if options.quick else (CELLS, FITS, commit())
    logs = {name: small_fetch() if options.quick else load(name) for name in {cell.log: 0 for cell in cells}}
    rows = [row for cell in cells for row in measure(cell, logs[cell.log], fits=fits, jobs=options.jobs)]
    judged = claims(rows)
    print_table(rows)
    for one in judged:
        print(f"{'holds' if one['holds'] else 'BROKEN':<7}{one['claim']}: {one['measured']} (limit {one['limit']})")
    name = "support_calibration_quick" if options.quick else "support_calibration"
    print(save(name, seeds=[SEED, RECORDING_SEED], rows=rows, claims=judged, at=at))


def small_fetch() -> Log:
    """A fifth of the episodes that the stage collect records, by the same operators."""
    module = module_for("robots", "fetch_pick_and_place")
    counts = load_params(HERE / "params.yaml").collect.operators
    fewer = {name: round(QUICK_SHARE * count) for name, count in counts.items()}
    return Log(name="fetch", episodes=tuple(record_log(module, fewer, RECORDING_SEED)), module=module)


def measure(cell: Cell, log: Log, *, fits: int, resplits: int = RESPLITS, jobs: int = 1) -> list[dict[str, Any]]:
    """Rows of one cell: for each level one a threshold, or the one line with which ``calibrate`` refuses it."""
    feasible = tuple(alpha for alpha in cell.alphas if cell.count >= episodes_needed(alpha))
    about = {"log": cell.log, "method": cell.method, "train": cell.train, "calibration": cell.count}
    rows: list[dict[str, Any]] = [
        {**about, "alpha": alpha, "needed": episodes_needed(alpha), "refusal": refusal(cell, log, alpha)}
        for alpha in cell.alphas
        if alpha not in feasible
    ]
    work = (delayed(one_fit)(cell, log.episodes, (log.low, log.high), feasible, fit, resplits) for fit in range(fits))
    found = np.array(Parallel(n_jobs=jobs)(work))  # (fits, re-splits, levels, thresholds, statistics)
    about |= {"test": len(log.episodes) - cell.train - cell.calibration, "resplits": found.shape[0] * found.shape[1]}
    for i, alpha in enumerate(feasible):
        for j, threshold in enumerate(THRESHOLDS):
            rows.append({**about, "alpha": alpha, "threshold": threshold, **summary(found[:, :, i, j])})
    return rows


def summary(values: Array) -> dict[str, Any]:
    """Means, standard errors and the means of every fit, from statistics of shape (fits, re-splits, statistics)."""
    row: dict[str, Any] = {"by_fit": {}}
    for k, name in enumerate(STATISTICS):
        of_fit = values[:, :, k].mean(axis=1)
        row[name], row[f"{name}_se"] = float(of_fit.mean()), standard_error(values[:, :, k])
        row["by_fit"][name] = of_fit.tolist()
    return row


def standard_error(values: Array) -> float:
    """Of the mean of (fits, re-splits): given the fits, over re-splits; over the fits where each has one re-split."""
    fits, resplits = values.shape
    if resplits == 1:
        return float(values.std(ddof=1) / math.sqrt(fits))
    return float(np.sqrt(values.var(axis=1, ddof=1).mean() / (fits * resplits)))


def one_fit(
    cell: Cell, episodes: Sequence[Episode], bounds: tuple[Array, Array], alphas: Sequence[float], fit: int, count: int
) -> Array:
    """Statistics (re-splits, levels, thresholds, statistics) of ``count`` re-splits of what one fit leaves."""
    rng = np.random.default_rng([SEED, fit])
    train, rest = drawn(episodes, cell.train, rng)
    estimator = SupportEstimator.fit(train, SupportConfig())
    clean, random = scores(estimator, rest), random_scores(estimator, rest, bounds, rng)
    if not cell.calibration:
        left = [estimator.leaving_out(i).score(one.observations[:-1], one.actions) for i, one in enumerate(train)]
        return judged(left, clean, random, alphas)[None]
    tables = []
    for _ in range(count):
        order = rng.permutation(len(rest))
        calibrating, testing = order[: cell.calibration], order[cell.calibration :]
        tables.append(judged(taken(clean, calibrating), taken(clean, testing), taken(random, testing), alphas))
    return np.stack(tables)


def drawn(episodes: Sequence[Episode], count: int, rng: np.random.Generator) -> tuple[list[Episode], list[Episode]]:
    """``count`` episodes at random, and the others."""
    order = rng.permutation(len(episodes))
    return [episodes[i] for i in order[:count]], [episodes[i] for i in order[count:]]


def taken(rows: Sequence[Array], indices: Array) -> list[Array]:
    """The rows at those indices."""
    return [rows[i] for i in indices]


def scores(estimator: SupportEstimator, episodes: Sequence[Episode]) -> list[Array]:
    """Scores (T,) of every episode's recorded steps."""
    return [estimator.score(one.observations[:-1], one.actions) for one in episodes]


def random_scores(
    estimator: SupportEstimator, episodes: Sequence[Episode], bounds: tuple[Array, Array], rng: np.random.Generator
) -> list[Array]:
    """Scores (T / 5,) of uniform actions at every fifth state of every episode."""
    found = []
    for one in episodes:
        states = one.observations[:-1:STRIDE]
        actions = rng.uniform(*bounds, size=(len(states), len(bounds[0]))).astype(np.float32)
        found.append(estimator.score(states, actions))
    return found


def pooled_threshold(calibrating: Sequence[Array], alpha: float) -> float:
    """Split conformal with steps in the place of episodes."""
    every = np.sort(np.concatenate(calibrating))
    return float(every[min(conformal_rank(len(every), alpha), len(every)) - 1])


THRESHOLDS = {"step": step_threshold, "episode": episode_threshold, "pooled": pooled_threshold}


def judged(
    calibrating: Sequence[Array], clean: Sequence[Array], random: Sequence[Array], alphas: Sequence[float]
) -> Array:
    """Flagged, drift and random drift of test episodes: (levels, thresholds, statistics)."""
    table = np.empty((len(alphas), len(THRESHOLDS), len(STATISTICS)))
    for i, alpha in enumerate(alphas):
        for j, threshold in enumerate(THRESHOLDS.values()):
            limit = threshold(calibrating, alpha)
            beyond = np.array([np.mean(row > limit) for row in clean])
            table[i, j] = np.mean(beyond > 0), beyond.mean(), np.mean([np.mean(row > limit) for row in random])
    return table


def refusal(cell: Cell, log: Log, alpha: float) -> str:
    """The line with which ``calibrate`` refuses this cell; empty if it gives thresholds."""
    train, rest = drawn(log.episodes, cell.train, np.random.default_rng([SEED, 0]))
    try:
        calibrate(SupportEstimator.fit(train, SupportConfig()), rest[: cell.calibration], train, alpha)
    except SupportError as error:
        return str(error)
    return ""


def claims(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the issue asks of every cell with a promise, of every refusal, and of a random policy on every log."""
    promised = [row for row in rows if row["method"] == "split" and "threshold" in row]
    made = [kept(row) for row in promised if row["threshold"] != "pooled"]
    for row in rows:
        if "refusal" in row:
            text = (
                f"{row['log']}, alpha {row['alpha']:g}: {row['calibration']} episodes where {row['needed']} are needed"
            )
            made.append(claim(text, "refused" if row["refusal"] else "a threshold", "refused", bool(row["refusal"])))
    for row in promised:
        if row["threshold"] == "step":
            text = f"{row['log']}, alpha {row['alpha']:g}: mean drift of a random policy"
            made.append(claim(text, round(row["random"], 4), RANDOM_DRIFT, row["random"] > RANDOM_DRIFT))
    fewest = min(row["resplits"] for row in promised)
    return [*made, claim("random re-splits of every cell", fewest, ENOUGH_RESPLITS, fewest >= ENOUGH_RESPLITS)]


def kept(row: dict[str, Any]) -> dict[str, Any]:
    """The promise of one threshold, within two standard errors."""
    alpha, count = row["alpha"], row["calibration"]
    name, lowest = ("flagged", alpha - 1 / (count + 1)) if row["threshold"] == "episode" else ("drift", 0.0)
    what = "share of clean episodes beyond the episode threshold" if name == "flagged" else "mean clean drift"
    slack = 2 * row[f"{name}_se"]
    text = (
        f"{row['log']}, alpha {alpha:g}, {count} calibration episodes: {what}, within two standard errors ({slack:.4f})"
    )
    holds = lowest - slack <= row[name] <= alpha + slack
    return claim(text, round(row[name], 4), [round(lowest, 4), alpha] if name == "flagged" else alpha, holds)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """A line a threshold; a refused level is one line too."""
    print(f"{'log':<6} {'method':<16}{'alpha':>5} {'n':>4}  {'threshold':<10}", end="")
    print("".join(f"{name:>9}{'+- se':>9}" for name in STATISTICS) + "   flagged must lie in")
    for row in rows:
        line = f"{row['log']:<6} {row['method']:<16}{row['alpha']:>5g} {row['calibration']:>4}  "
        if "refusal" in row:
            print(line + "refused: " + row["refusal"])
            continue
        found = "".join(f"{row[name]:>9.4f}{row[name + '_se']:>9.4f}" for name in STATISTICS)
        line += f"{row['threshold']:<10}{found}"
        if (row["threshold"], row["method"]) == ("episode", "split"):
            count, alpha = row["calibration"], row["alpha"]
            exact = 1 - conformal_rank(count, alpha) / (count + 1)
            line += f"   {alpha - 1 / (count + 1):.4f} .. {alpha:g}; {exact:.4f} without ties"
        print(line)


if __name__ == "__main__":
    main()
