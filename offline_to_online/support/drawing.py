"""The house style of every picture: the same numbers give the same bytes, and the ink can follow a page's own."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from offline_to_online.dataset.files import replacing
from offline_to_online.dataset.spec import Array

# Mid-luminance hues (after Okabe and Ito) that keep their contrast on white and on near black.
HUES = ("#3b82c4", "#d9822b", "#2a9d6f", "#b05cc6", "#c94f4f", "#8a7a3b")
GREY, AMBER, RED = "#8b8f98", "#e3b341", HUES[4]
# Nearly black on white; a page replaces it by the colour of its own text.
INK = "#010203"
MODES = {"data": GREY, "greedy": HUES[0], "exploring": HUES[1]}
BINS = 60
# How many times its own range a histogram shows on either side of the data.
ROOM = 2.0


@contextlib.contextmanager
def figure_in_style(width: float, height: float) -> Iterator[Any]:
    """A matplotlib figure without a window, width and height in inches, to be drawn and saved inside the block."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # A fixed salt: the same numbers must give the same bytes, for DVC's cache and for the hashes.
    style: dict[Any, Any] = {
        "svg.hashsalt": "offline_to_online",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GREY,
        "grid.alpha": 0.25,
        "legend.frameon": False,
        "legend.labelcolor": INK,
        **{f"{part}.color": INK for part in ("text", "xtick", "ytick")},
        **{f"axes.{part}": INK for part in ("edgecolor", "labelcolor", "titlecolor")},
    }
    with mpl.rc_context(style):
        yield Figure(figsize=(width, height), layout="constrained")


def svg(figure: Any, *, transparent: bool = False) -> str:
    """The figure as SVG, without a date; ``transparent`` to lie on a page, else on white."""
    memory = io.BytesIO()
    figure.savefig(memory, format="svg", transparent=transparent, metadata={"Date": None, "Creator": None})
    return memory.getvalue().decode()


def write_svg(path: Path, figure: Any) -> None:
    """Write the figure in one step."""
    with replacing(path) as partial:
        partial.write_bytes(svg(figure).encode())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write the numbers behind a picture in one step, six digits each; same content, same bytes."""
    with replacing(path) as partial:
        partial.write_bytes(table.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())


def bin_edges(values: Mapping[str, Array], marks: Mapping[str, float]) -> Array:
    """Edges (BINS + 1,) of bins common to all series, of their finite values (N,) alone.

    From the 0.5 to the 99.5 percentile of all values, but where a series is called ``data`` at most so far that its own
    range is seen: a few proposals hundreds of deviations out would leave nothing else to see. And beyond every mark.
    """
    known = {series: numbers[np.isfinite(numbers)] for series, numbers in values.items()}
    low, high = _range(np.concatenate([*known.values(), np.zeros(0)]))
    if len(known.get("data", ())):
        least, most = _range(known["data"])
        room = ROOM * (most - least) if most > least else np.inf
        low, high = max(low, least - room), min(high, most + room)
    for at in marks.values():
        # A line on the frame cannot be told from it.
        low, high = min(low, at - 0.02 * (high - low)), max(high, at + 0.02 * (high - low))
    edges: Array = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    return edges


def _range(values: Array) -> tuple[float, float]:
    low, high = np.quantile(values, [0.005, 0.995]) if len(values) else (0.0, 1.0)
    return float(low), float(high)


def shares(values: Array, edges: Array) -> Array:
    """Share of the values (N,) in each bin; the outer bins hold the tails, infinite ones included, but no NaN."""
    known = values[~np.isnan(values)]
    counts, _ = np.histogram(np.clip(known, edges[0], edges[-1]), bins=edges)
    part: Array = counts / max(len(values), 1)
    return part


def draw_histogram(axes: Any, values: Mapping[str, Array], *, label: str, marks: Mapping[str, float]) -> None:
    """Shares of the values (N,) of each series over common bins; ``data`` as a filled grey area, the others as lines.

    Args:
        axes: of matplotlib.
        values: by series; the names are for the legend, which the caller draws.
        label: of the horizontal axis.
        marks: vertical lines by name.
    """
    edges = bin_edges(values, marks)
    for number, (series, numbers) in enumerate(values.items()):
        colour = MODES.get(series, HUES[number % len(HUES)])
        if series == "data":
            axes.stairs(shares(numbers, edges), edges, fill=True, color=colour, alpha=0.45, label=series)
        else:
            axes.stairs(shares(numbers, edges), edges, color=colour, linewidth=1.4, label=series)
    for (what, at), line in zip(marks.items(), ("--", ":", "-."), strict=False):
        axes.axvline(at, color=INK, linestyle=line, linewidth=1, label=what)
    axes.set(xlabel=label, ylabel="share of actions")
