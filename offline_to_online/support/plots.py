"""Distances and log-probabilities, policy against data: numbers for ``dvc plots`` and a picture for people."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd

from offline_to_online.dataset.files import replacing
from offline_to_online.dataset.spec import Array
from offline_to_online.support.calibration import Calibration

BINS = 50
COLOURS = {"data": "#7f7f7f", "greedy": "#1f77b4", "exploring": "#ff7f0e"}


def histogram(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Share of the actions of each mode per bin, bins common to all modes; the outer bins hold the tails.

    Args:
        frame: an audit's actions, or any frame with ``mode`` and the column.
        column: ``distance`` or ``log_prob``.

    Returns:
        Columns: the column itself (the bin's middle), ``mode``, ``share`` in [0, 1].
    """
    values = frame[column].to_numpy(dtype=np.float64)
    low, high = np.quantile(values, [0.005, 0.995])
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    rows = []
    for mode in sorted(set(frame["mode"])):
        counts, _ = np.histogram(np.clip(values[frame["mode"] == mode], edges[0], edges[-1]), bins=edges)
        rows.append(
            pd.DataFrame({column: (edges[:-1] + edges[1:]) / 2, "mode": mode, "share": counts / max(counts.sum(), 1)})
        )
    return pd.concat(rows, ignore_index=True)


def write_plots(frame: pd.DataFrame, calibration: Calibration, folder: Path, *, title: str) -> None:
    """Write ``distances.csv``, ``log_probs.csv`` (for ``dvc plots``) and ``support.svg``; same content, same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    distances, log_probs = histogram(frame, "distance"), histogram(frame, "log_prob")
    _write(folder / "distances.csv", distances.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())
    _write(folder / "log_probs.csv", log_probs.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())
    _write(folder / "support.svg", _picture(distances, log_probs, calibration, title))


def logged_frame(distance: Array, log_prob: Array) -> pd.DataFrame:
    """A frame for ``write_plots`` of the data's own actions alone, float arrays (N,)."""
    return pd.DataFrame({"mode": "data", "distance": distance, "log_prob": log_prob})


def _picture(distances: pd.DataFrame, log_probs: pd.DataFrame, calibration: Calibration, title: str) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # A fixed salt and no date: the same numbers must give the same bytes, for DVC's cache and for the hashes.
    with mpl.rc_context({"svg.hashsalt": "offline_to_online", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, frame, label in (
            (left, distances, "distance to the data (1 = one deviation in every dimension)"),
            (right, log_probs, "behaviour log-density (nats)"),
        ):
            column = frame.columns[0]
            for mode, part in frame.groupby("mode"):
                axes.step(part[column], part["share"], where="mid", label=str(mode), color=COLOURS.get(str(mode)))
            axes.set_xlabel(label)
            axes.set_ylabel("share of actions")
        for value, style, name in (
            (calibration.step_threshold, "--", "step threshold"),
            (calibration.episode_threshold, ":", "episode threshold"),
        ):
            left.axvline(value, color="black", linestyle=style, linewidth=1, label=name)
        left.legend(frameon=False)
        figure.suptitle(title)
        memory = io.BytesIO()
        figure.savefig(memory, format="svg", metadata={"Date": None, "Creator": None})
    return memory.getvalue()


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as partial:
        partial.write_bytes(content)
