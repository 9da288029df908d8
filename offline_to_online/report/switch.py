"""The two sides of an online run's switch: panel values before it, collected episodes and candidates after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from offline_to_online.dataset.files import read_json
from offline_to_online.dataset.spec import Array
from offline_to_online.evaluation.measure import DYNAMICS, NOMINAL
from offline_to_online.evaluation.statistics import wilson_interval
from offline_to_online.online.evidence import RolloutEvidence
from offline_to_online.online.run import CERTIFY, COLLECT
from offline_to_online.report.learning_curve import WINDOW, Curve, outcome_interval, rolling_curve
from offline_to_online.report.offline_page import changes
from offline_to_online.report.online_run import RunRecord

Side = tuple[float, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Before:
    """What a policy reached on the panel before the switch.

    ``outcomes`` (P,) are those of its tasks. ``comparable``: it was played on the robot that is tuned on.
    """

    name: str
    value: float
    bounds: tuple[float, float]
    outcomes: Array
    comparable: bool


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One certification, after so many collected episodes.

    ``value`` is the candidate's certified outcome and ``bounds`` its 95 % interval; ``baseline`` and ``champion`` are
    what those two reached on the same tasks.
    """

    round: int
    episodes: int
    value: float
    bounds: tuple[float, float]
    baseline: float
    champion: float
    accepted: bool


@dataclass(frozen=True, kw_only=True)
class Switch:
    """Both sides of the switch.

    Attributes:
        metric: ``success`` or ``score``: what the acceptance gate compares, everything here is of.
        before: behaviour cloning and, last, the handed-off policy; empty where its evaluation is not there.
        collected: the rolling mean of the collected episodes; None before the first.
        candidates: in their order.
    """

    metric: str
    before: tuple[Before, ...]
    collected: Curve | None
    candidates: tuple[Candidate, ...]


def read_switch(folder: Path, run: RunRecord) -> Switch:
    """What a run's folder holds of its switch.

    Raises:
        DataError: a file of the run is broken.
    """
    rule = run.facts["config"]["gates"]["acceptance"].get("no_regression", {})
    metric = str(rule.get("outcome", "success"))
    before = _before_switch(folder, run, metric)
    judged = (_candidate(folder, number, phases, metric) for number, phases in run.rounds.items())
    return Switch(
        metric=metric,
        before=before,
        collected=_collected(run, metric, before[-1].value if before else None),
        candidates=tuple(one for one in judged if one is not None),
    )


def _before_switch(folder: Path, run: RunRecord, metric: str) -> tuple[Before, ...]:
    chosen = str(run.handoff["chosen"])
    found = [_panel_value(folder, run, name, metric) for name in dict.fromkeys(("bc", chosen))]
    return tuple(one for one in found if one is not None) if found[-1] is not None else ()


def _collected(run: RunRecord, metric: str, before: float | None) -> Curve | None:
    if not run.evidence:
        return None
    values = np.array([getattr(e, metric) for e in run.evidence], dtype=bool if metric == "success" else np.float64)
    name = f"collected, last {WINDOW}" if len(values) >= WINDOW else "collected"
    return rolling_curve(name, values, before=before)


def _candidate(folder: Path, number: int, phases: Mapping[str, Any], metric: str) -> Candidate | None:
    if CERTIFY not in phases or COLLECT not in phases:
        return None
    sides = _certified(folder / "rounds" / f"{number:03d}" / CERTIFY, phases[CERTIFY], metric)
    if not sides:
        return None
    value, bounds = sides["candidate"]
    return Candidate(
        round=number,
        episodes=int(phases[COLLECT]["first"]) + int(phases[COLLECT]["episodes"]),
        value=value,
        bounds=bounds,
        baseline=sides.get("baseline", sides["champion"])[0],
        champion=sides["champion"][0],
        accepted=bool(phases[CERTIFY]["accepted"]),
    )


def _panel_value(folder: Path, run: RunRecord, name: str, metric: str) -> Before | None:
    """Of the evaluation on the robot that is tuned on, wherever there is one; else on the robot as it was logged."""
    places = [folder / "handoff" / "evaluation" / name]
    places += [folder / "final" / "baseline"] if name == run.handoff["chosen"] else []
    known = {place: read_json(place / "metrics.json") for place in places if (place / "metrics.json").is_file()}
    tuned = changes(run.facts["dynamics"])
    for place, metrics in known.items():
        for condition, row in ((NOMINAL, metrics), (DYNAMICS, metrics.get("perturbed", {}).get(DYNAMICS, {}))):
            if "dynamics" in row and changes(row["dynamics"]) == tuned:
                return _before(place, condition, row, name, metric, comparable=True)
    if places[0] in known:
        return _before(places[0], NOMINAL, known[places[0]], name, metric, comparable=False)
    return None


def _before(
    place: Path, condition: str, row: Mapping[str, Any], name: str, metric: str, *, comparable: bool
) -> Before | None:
    value, bounds = row.get("success_rate" if metric == "success" else metric), row.get(f"{metric}_interval")
    if value is None or bounds is None:
        return None
    outcomes = np.zeros(0)
    if (place / "outcomes.parquet").is_file():
        table = pd.read_parquet(place / "outcomes.parquet", columns=["condition", metric])
        outcomes = table.loc[table["condition"] == condition, metric].to_numpy(dtype=np.float64)
    return Before(
        name=name, value=float(value), bounds=(bounds[0], bounds[1]), outcomes=outcomes, comparable=comparable
    )


def _certified(folder: Path, said: Mapping[str, Any], metric: str) -> dict[str, Side]:
    """Certified outcome of each side, empty where it is not there: scores are in the certification's own files only."""
    if metric == "success":
        pairs, rates = int(said["pairs"]), said["certified_success_rate"]
        found = {side: (float(rate), wilson_interval(round(rate * pairs), pairs)) for side, rate in rates.items()}
        return found if pairs else {}
    batches = [read_json(path) for path in sorted(folder.glob("*.json"))]
    scores = {
        side: np.array([RolloutEvidence.from_json(row).certified_score for batch in batches for row in batch[side]])
        for side in (batches[0] if batches else ())
    }
    return {side: (float(values.mean()), outcome_interval(values)) for side, values in scores.items()}
