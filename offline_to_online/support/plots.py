"""Scores, distances and log-probabilities, policy against data: numbers for ``dvc plots`` and a picture for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from offline_to_online.dataset.spec import Array
from offline_to_online.support.calibration import Calibration
from offline_to_online.support.drawing import bin_edges, draw_histogram, figure_in_style, shares, write_csv, write_svg

FILES = {"score": "scores.csv", "distance": "distances.csv", "log_prob": "log_probs.csv"}
LABELS = {
    "score": "support score (nats; higher: farther outside)",
    "distance": "distance to the data",
    "log_prob": "behaviour log-probability (nats)",
}
MODES = ("data", "greedy", "exploring")


def histogram(frame: pd.DataFrame, column: str, marks: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Share of the actions of each mode per bin, bins common to all modes; the outer bins hold the tails.

    Args:
        frame: an audit's actions, or any frame with ``mode`` and the column.
        column: ``score``, ``distance`` or ``log_prob``.
        marks: values by name that the bins should reach.

    Returns:
        Columns: the column itself (the bin's middle), ``mode``, ``share`` in [0, 1].
    """
    values = by_mode(frame, column)
    edges = bin_edges(values, marks or {})
    middles = (edges[:-1] + edges[1:]) / 2
    parts = [pd.DataFrame({column: middles, "mode": m, "share": shares(v, edges)}) for m, v in values.items()]
    return pd.concat(parts, ignore_index=True)


def by_mode(frame: pd.DataFrame, column: str) -> dict[str, Array]:
    """The column's values, float64 (N,), of each mode that there is, the data's own first."""
    return {
        m: frame.loc[frame["mode"] == m, column].to_numpy(dtype=np.float64) for m in MODES if (frame["mode"] == m).any()
    }


def write_plots(frame: pd.DataFrame, calibration: Calibration, folder: Path, *, title: str) -> None:
    """Write ``support.svg`` and, for ``dvc plots``, its numbers: ``scores.csv``, ``distances.csv``, ``log_probs.csv``.

    Same content, same bytes.

    Args:
        frame: an audit's actions, or ``logged_frame``.
        calibration: both thresholds, drawn where the score is.
        folder: where the files go.
        title: of the picture.
    """
    marks = thresholds(calibration.step_threshold, calibration.episode_threshold)
    with figure_in_style(10.5, 3.3) as figure:
        for axes, (column, file) in zip(figure.subplots(1, len(FILES)), FILES.items(), strict=True):
            own = marks if column == "score" else {}
            write_csv(folder / file, histogram(frame, column, own))
            draw_histogram(axes, by_mode(frame, column), label=LABELS[column], marks=own)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        figure.suptitle(f"{title} (the outer bins hold the tails)")
        write_svg(folder / "support.svg", figure)


def thresholds(step: float, episode: float) -> dict[str, float]:
    """Both thresholds by the names that the pictures give them."""
    return {"step threshold": step, "episode threshold": episode}


def logged_frame(terms: Mapping[str, Array]) -> pd.DataFrame:
    """A frame for ``write_plots`` of the data's own actions alone, from what ``SupportEstimator.terms`` gave."""
    return pd.DataFrame({"mode": "data", **{column: terms[column] for column in FILES}})
