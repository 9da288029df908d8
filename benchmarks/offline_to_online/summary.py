"""What the cells say together: a row per setting and method, the claims of the issue, and the learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.offline_to_online.settings import ALL, METHODS, SETTINGS
from benchmarks.results_file import claim
from offline_to_online.dataset.spec import Array
from offline_to_online.report.learning_curve import Curve, draw_learning_curves
from offline_to_online.support.drawing import figure_in_style

OURS, CLONING = "support_guard", "bc"
FETCH = ("fetch", "fetch_weak")
WEAK_LIMIT = 0.90
SHOWN_SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, eq=False)
class Results:
    """Cells by setting and method, a cell a seed.

    Attributes:
        cells: (setting, method) -> cells in the order of their seeds.
    """

    cells: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]

    def curves(self, setting: str, method: str) -> tuple[Array, Array]:
        """Episodes of the evaluations (K,), and the mean outcome of each seed there (S, K)."""
        cells, outcome = self.cells[setting, method], SETTINGS[setting].outcome
        at = np.array([e["episodes"] for e in cells[0]["evaluations"]])
        return at, np.array([[np.mean(values(e, outcome)) for e in cell["evaluations"]] for cell in cells])

    def final(self, setting: str, method: str) -> Array:
        """The last evaluation of each seed (S,)."""
        return self.curves(setting, method)[1][:, -1]

    def dips(self, setting: str, method: str) -> Array:
        """How far each seed that ends above its start fell below that meanwhile (S,), at least 0; NaN: the others."""
        _, curves = self.curves(setting, method)
        first, least, last = curves[:, 0], curves.min(axis=1), curves[:, -1]
        dips: Array = np.where(last > first, first - least, np.nan)
        return dips

    def cost(self, setting: str, method: str, name: str) -> Array:
        """``cost`` or ``interventions`` of all collected episodes of each seed (S,)."""
        return np.array([float(np.sum(cell["collected"].get(name, [0]))) for cell in self.cells[setting, method]])

    def passed_after(self, setting: str, method: str) -> list[int | None]:
        """Online episodes until an evaluation is above that seed's behaviour cloning, each seed; None: never."""
        at, curves = self.curves(setting, method)
        there = (setting, CLONING) in self.cells
        baseline = dict(zip(self.seeds(setting, CLONING), self.final(setting, CLONING), strict=True)) if there else {}
        rows = zip(self.seeds(setting, method), curves, strict=True)
        return [
            next(
                (int(n) for n, value in zip(at, row, strict=True) if seed in baseline and value > baseline[seed]), None
            )
            for seed, row in rows
        ]

    def seeds(self, setting: str, method: str) -> list[int]:
        """Of its cells, in order."""
        return [int(cell["seed"]) for cell in self.cells[setting, method]]


def values(evaluation: Mapping[str, Any], outcome: str) -> list[float]:
    """A value a task."""
    found = evaluation[outcome]
    return [float(each) for each in found]


def interval(seeds: Array) -> tuple[float, float, float]:
    """Mean over seeds, and its 95 % t interval; no interval of one seed."""
    mean = float(np.mean(seeds))
    if len(seeds) < 2:
        return mean, mean, mean
    half = float(stats.t.ppf(0.975, len(seeds) - 1) * np.std(seeds, ddof=1) / np.sqrt(len(seeds)))
    return mean, mean - half, mean + half


def rows(results: Results) -> list[dict[str, Any]]:
    """A row per setting and method, every figure with its interval over seeds."""
    found = list[dict[str, Any]]()
    for setting, method in results.cells:
        at, curves = results.curves(setting, method)
        dips = results.dips(setting, method)
        risen = np.count_nonzero(~np.isnan(dips))
        found.append(
            {
                "setting": setting,
                "method": method,
                "outcome": SETTINGS[setting].outcome,
                "seeds": len(curves),
                "curve": [
                    {"episodes": int(n), "mean": m, "interval": [low, high]}
                    for n, (m, low, high) in zip(at, map(interval, curves.T), strict=True)
                ],
                "ends_above_start": int(risen) if len(at) > 1 else None,
                "mean_dip": float(np.nanmean(dips)) if risen else None,
                "cost": list(interval(results.cost(setting, method, "cost"))),
                "interventions": list(interval(results.cost(setting, method, "interventions"))),
                "passes_cloning_after": results.passed_after(setting, method),
            }
        )
    return found


def claims(results: Results) -> list[dict[str, Any]]:
    """What the issue asks of Support Guard on both Fetch settings; nothing where a method or a seed is missing."""
    found = list[dict[str, Any]]()
    for setting in FETCH:
        there = [method for (where, method) in results.cells if where == setting and method in METHODS]
        seeds = {tuple(results.seeds(setting, method)) for method in there}
        if set(there) == set(METHODS) and len(seeds) == 1:
            found += [_best_or_tied(results, setting, there), _smallest_dip(results, setting, there)]
    if ("fetch_weak", OURS) in results.cells:
        mean, low, high = interval(results.final("fetch_weak", OURS))
        text = f"Support Guard on the weaker arm, mean success after 150 episodes [{low:.2f}, {high:.2f}]"
        found.append(claim(text, round(mean, 4), WEAK_LIMIT, mean >= WEAK_LIMIT))
    return found


def _best_or_tied(results: Results, setting: str, there: Sequence[str]) -> dict[str, Any]:
    finals = {method: results.final(setting, method) for method in there}
    rival = max((method for method in there if method != OURS), key=lambda method: float(finals[method].mean()))
    difference, low, high = interval(finals[OURS] - finals[rival])
    above = interval(finals[CLONING])[2]
    tied = high >= 0 and min(finals[OURS].mean(), finals[rival].mean()) > above
    said = f"{setting}: Support Guard best or tied at the end; paired difference to the best of the others, "
    text = f"{said}{ALL[rival].label} [{low:+.3f}, {high:+.3f}]"
    limit = f"0 or more, or 0 inside and both above BC's interval ({above:.2f})"
    return claim(text, round(difference, 4), limit, difference >= 0 or tied)


def _smallest_dip(results: Results, setting: str, there: Sequence[str]) -> dict[str, Any]:
    # From scratch there is no offline policy to fall below.
    switches = {method: ALL[method].switch for method in there}
    fall = [method for method, switch in switches.items() if switch is not None and switch.keep]
    dips = {method: results.dips(setting, method) for method in fall}
    means = {method: float(np.nanmean(found)) for method, found in dips.items() if not np.isnan(found).all()}
    text = f"{setting}: dip of Support Guard's runs that end above pi_0, the smallest or tied"
    others = {method: mean for method, mean in means.items() if method != OURS}
    if OURS not in means:
        return claim(f"{text}: none of them ends above", None, "one that does", False)
    if not others:
        return claim(f"{text}; no other's does", round(means[OURS], 4), "smallest", True)
    least = min(others, key=lambda method: others[method])
    apart = dips[OURS] - dips[least]
    _, low, high = interval(apart[~np.isnan(apart)]) if not np.isnan(apart).all() else (0.0, 0.0, 0.0)
    above = interval(results.final(setting, CLONING))[2]
    tied = low <= 0 < high and min(results.final(setting, method).mean() for method in (OURS, least)) > above
    said = f"{text}; {ALL[least].label} has {others[least]:.3f}, paired difference [{low:+.3f}, {high:+.3f}]"
    limit = f"{others[least]:.4f}, or 0 inside and both above BC's interval ({above:.2f}) at the end"
    return claim(said, round(means[OURS], 4), limit, means[OURS] <= others[least] or tied)


def table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows in Markdown, as docs and README show them (tests/test_docs.py); of one seed without an interval."""
    lines = list[str]()
    for setting in dict.fromkeys(row["setting"] for row in found):
        budget = SETTINGS[setting].episodes
        heads = ["before", *(f"{share:.0%}" for share in SHOWN_SHARES[1:])]
        lines += ["", f"| {setting} | {' | '.join(heads)} | dip | cost | interventions | passes BC after |"]
        lines.append("|---" * (len(heads) + 5) + "|")
        for row in (row for row in found if row["setting"] == setting):
            points = {share: _at(row["curve"], share * budget) for share in SHOWN_SHARES}
            several = row["seeds"] > 1
            cells = [_cell(points[share], several) for share in SHOWN_SHARES]
            costs = [_with_interval(row["cost"], 1, several), _with_interval(row["interventions"], 0, several)]
            rest = [_dip(row), *costs, _passed(row)]
            if len(row["curve"]) == 1:
                cells, rest = [cells[0], "", "", "", cells[0]], ["", "", "", ""]
            lines.append(f"| {ALL[row['method']].label} | {' | '.join([*cells, *rest])} |")
    return lines[1:]


def _at(curve: Sequence[Mapping[str, Any]], episodes: float) -> Mapping[str, Any]:
    return next((point for point in curve if point["episodes"] >= episodes), curve[-1])


def _cell(point: Mapping[str, Any], several: bool) -> str:
    # Success and score lie in [0, 1], which a t interval of a few seeds does not know.
    low, high = np.clip(point["interval"], 0.0, 1.0)
    return f"{point['mean']:.2f}" + (f" [{low:.2f}, {high:.2f}]" if several else "")


def _with_interval(three: Sequence[float], digits: int, several: bool) -> str:
    mean, low, high = three
    return f"{mean:.{digits}f}" + (f" [{max(0.0, low):.{digits}f}, {high:.{digits}f}]" if several else "")


def _dip(row: Mapping[str, Any]) -> str:
    if row["mean_dip"] is None:
        return "none rose"
    return f"{row['mean_dip']:.3f} ({row['ends_above_start']} of {row['seeds']})"


def _passed(row: Mapping[str, Any]) -> str:
    return ", ".join("never" if each is None else str(each) for each in row["passes_cloning_after"])


def draw(results: Results, path: Path) -> None:
    """The learning curves of every setting, with bands over seeds."""
    settings = list(dict.fromkeys(setting for setting, _ in results.cells))
    with figure_in_style(7.6, 3.4 * len(settings)) as figure:
        for number, setting in enumerate(settings):
            axes = figure.add_subplot(len(settings), 1, number + 1)
            curves = list[Curve]()
            for method in (method for where, method in results.cells if where == setting):
                at, per_seed = results.curves(setting, method)
                if len(at) == 1:
                    at, per_seed = np.array([0, SETTINGS[setting].episodes]), np.repeat(per_seed, 2, axis=1)
                mean, low, high = np.array([interval(column) for column in per_seed.T]).T
                curves.append(Curve(ALL[method].label, at, mean, low, high))
            draw_learning_curves(axes, curves, label=SETTINGS[setting].outcome)
            axes.set_title(setting)
            axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
        figure.savefig(path, format="svg", metadata={"Date": None})
