"""A policy's audit as a page shows it: where it leaves the data, by name, with its pictures and its worst proposals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from offline_to_online.dataset.files import read_json
from offline_to_online.dataset.spec import VectorSchema
from offline_to_online.dataset.store import episode_rows
from offline_to_online.report.plots import histograms, inline
from offline_to_online.support.drawing import figure_in_style
from offline_to_online.support.gaps import GAP, SUPPORTED, THIN
from offline_to_online.support.plots import LABELS, by_mode, thresholds
from offline_to_online.support.region_map import draw_map, map_size
from offline_to_online.support.worst_plot import draw_worst, worst_size

LEADING = 8
# 9 points are 0.875 rem, a little less than the text.
REM = 7.0
PROPOSED = ("mode", "episode", "step")


def audit_view(
    name: str, folder: Path, *, calibration: Mapping[str, Any], action: VectorSchema, episodes: Mapping[str, str]
) -> dict[str, Any]:
    """What the page says of one policy's audit.

    An audit of an earlier version has no exposures, no map and no worst proposals: those are empty then.

    Args:
        name: of the policy.
        folder: of its audit.
        calibration: as it stands in the handoff.
        action: the robot's action schema.
        episodes: what people call an episode, by identity.

    Returns:
        ``metrics``, ``figures`` (histograms, each with its caption), ``exposures`` (see ``exposure_rows``), ``worst``
        (see ``worst_rows``); ``map`` and ``worst_figure``, each an SVG with the width, in rem, at which its letters are
        as large as the text, or None.

    Raises:
        DataError: a file is missing or broken.
    """
    actions = pd.read_parquet(folder / "actions.parquet")
    table = pd.read_csv(folder / "map.csv") if (folder / "map.csv").is_file() else pd.DataFrame()
    worst = pd.read_parquet(folder / "worst.parquet") if (folder / "worst.parquet").is_file() else pd.DataFrame()
    return {
        "metrics": read_json(folder / "metrics.json"),
        "figures": support_figures(name, actions, calibration),
        "exposures": exposure_rows(folder / "exposures.json"),
        "map": None if table.empty else map_figure(name, table),
        "worst_figure": None if worst.empty else worst_figure(name, worst, action, episodes),
        "worst": worst_rows(worst, actions, episodes),
    }


def episode_names(folder: Path) -> dict[str, str]:
    """``episode 17`` by identity, as the data checks count them.

    Raises:
        DataError: the table of episodes is missing or broken.
    """
    return {str(row["identity"]): f"episode {row['index']}" for row in episode_rows(folder)}


def exposure_rows(path: Path) -> dict[str, Any]:
    """The regions of ``exposures.json``: ``leading``, which a person should look at, and ``others``; none without it.

    Leading are gaps, thin regions and those where the policy is outside more often than elsewhere and than clean data
    is, at most eight.
    """
    content = read_json(path) if path.is_file() else {}
    rows = content.get("exposures", [])
    leading = [row for row in rows if _stands_out(row)][:LEADING]
    return {
        "rule": content.get("rule", ""),
        "gaps": content.get("gaps", []),
        "leading": leading,
        "others": [row for row in rows if row not in leading],
    }


def support_figures(name: str, actions: pd.DataFrame, calibration: Mapping[str, Any]) -> list[tuple[Markup, str]]:
    """Score, distance and log-probability of every proposal on held-out states, against the data's own."""
    captions = {
        "score": "Support score of each proposed action: the number that the thresholds are set on. Tails: outer bins.",
        "distance": "Distance of each proposed action to the nearest logged transitions.",
        "log_prob": "Log-probability of each proposed action under the behaviour.",
    }
    known = [column for column in LABELS if column in actions]
    marks = thresholds(calibration["step_threshold"], calibration["episode_threshold"])
    found = []
    for column in known:
        values = by_mode(actions, column)
        medians = ", ".join(f"{mode} {pd.Series(v).median():.3f}" for mode, v in values.items())
        figure = histograms(
            f"{column}-{name}",
            values,
            label=LABELS[column],
            alt=f"{LABELS[column]} of {name}'s actions against the data's; medians: {medians}",
            # In audits of earlier versions the score was the distance.
            marks=marks if column == known[0] else None,
        )
        found.append((figure, captions[column]))
    return found


def map_figure(name: str, table: pd.DataFrame) -> tuple[Markup, float]:
    """The map of ``map.csv``."""
    own = table[table["mode"] == "greedy"]
    lacking = own[(own["proposals"] > 0) & (own["data_steps"] == 0)]
    said = "; ".join(f"{c.row} with {c.column}, {c.proposals} proposals" for c in lacking.itertuples()) or "none"
    size = map_size(table)
    with figure_in_style(*size) as figure:
        draw_map(figure, table)
        alt = f"Data and proposals of {name} by region; greedy proposals where nothing was recorded: {said}"
        return inline(figure, f"map-{name}", alt), REM * size[0]


def worst_figure(
    name: str, worst: pd.DataFrame, action: VectorSchema, episodes: Mapping[str, str]
) -> tuple[Markup, float]:
    """The ten worst proposals of each mode, by action dimension."""
    size = worst_size(worst, action)
    with figure_in_style(*size) as figure:
        draw_worst(figure, worst, action, episodes)
        alt = f"The worst proposals of {name}, greedy and exploring, by action dimension, beside the nearest recorded"
        return inline(figure, f"worst-{name}", alt), REM * size[0]


def worst_rows(
    worst: pd.DataFrame, actions: pd.DataFrame, episodes: Mapping[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """By mode the worst proposals: ``rank``, ``episode``, ``step``, ``score``, ``distance``, ``log_prob``, ``regions``.

    And of each ``nearest``, the recorded transitions: ``episode``, ``step``, ``distance`` (in deviations a dimension).
    """
    if worst.empty:
        return {}
    terms = actions.set_index(list(PROPOSED))[["distance", "log_prob"]]
    rows: dict[str, list[dict[str, Any]]] = {}
    for (mode, _), group in worst.groupby(["mode", "rank"], sort=False):
        own, *nearest = (_called(row, episodes) for row in group.to_dict("records"))
        said = terms.loc[tuple(group.iloc[0][list(PROPOSED)])]
        own |= {"distance": float(said["distance"]), "log_prob": float(said["log_prob"])}
        rows.setdefault(str(mode), []).append(own | {"regions": own["region"].split(";"), "nearest": nearest})
    return rows


def _called(row: Mapping[Any, Any], episodes: Mapping[str, str]) -> dict[str, Any]:
    identity = str(row["episode"])
    return {**row, "episode": episodes.get(identity, f"episode {identity[:8]}"), "identity": identity}


def _stands_out(row: Mapping[str, Any]) -> bool:
    excess = max(row[mode].get("excess", 0.0) for mode in ("greedy", "exploring"))
    return row["status"] in (GAP, THIN) or (row["status"] == SUPPORTED and excess > 0)
