"""A map of support: the two kinds of region where the policy leaves the data most, against each other.

A cell is what lies in one region of either kind at once: so much data, so many proposals, so many of them outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from offline_to_online.dataset.spec import Array
from offline_to_online.support.drawing import AMBER, GREY, HUES, INK, RED, figure_in_style, write_csv, write_svg
from offline_to_online.support.sensors import ALIVE

MODES = ("greedy", "exploring")
ELSEWHERE = "elsewhere"
MOST, MOST_BESIDE, LEAST_SAID = 12, 5, 0.001
LEGEND = (
    "grey: share of the data's steps; disc: the policy's proposals, by area; out: of so many, beyond the step\n"
    "threshold; red frame: it goes where nothing was recorded; what lies in several regions counts in each"
)
COLUMNS = (
    *("row", "column", "mode", "data_steps", "data_share", "proposals", "proposal_share", "outside", "outside_share"),
)


def region_map(actions: pd.DataFrame, logged: Mapping[str, Array], order: Sequence[str]) -> pd.DataFrame:
    """The numbers of the map.

    The two kinds are those whose regions come first in ``order``, the one with fewer regions across; ``elsewhere``
    is what lies in no region of its kind, and a region that holds neither data nor proposals is left out. Of each
    kind the first twelve are kept. A robot with one kind has one column, a robot with none an empty map.

    Args:
        actions: an audit's actions.
        logged: region name (``kind/name``) -> bool mask over the logged rows (N,).
        order: region names, those to look at first in front (an audit's exposures).

    Returns:
        A row per cell and mode, the first regions first: ``row``, ``column`` (names), ``mode`` (``greedy``,
        ``exploring``), ``data_steps``, ``data_share`` (of all logged steps), ``proposals``, ``proposal_share`` (of the
        mode's), ``outside``, ``outside_share`` (of the cell's proposals; NaN where there is none).
    """
    known = [name for name in order if name in logged and not name.startswith(ALIVE)]
    kinds = list(dict.fromkeys(_kind(name) for name in known))[:2]
    if not kinds:
        return pd.DataFrame(columns=list(COLUMNS))
    policy = actions[actions["mode"].isin(MODES)]
    used = _masks(policy["region"], known)
    sides = [_side(kind, logged, used) for kind in kinds]
    down, across = sorted(sides, key=len, reverse=True) if len(sides) == 2 else (sides[0], _everywhere(sides[0]))
    rows = [
        {"row": row, "column": column, "mode": mode, **_cell(policy, mode, down[row], across[column])}
        for row in list(down)[:MOST]
        for column in list(across)[:MOST]
        for mode in MODES
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def write_map(table: pd.DataFrame, folder: Path, *, title: str) -> None:
    """Write ``map.svg`` and its numbers, ``map.csv``; same content, same bytes."""
    write_csv(folder / "map.csv", table)
    with figure_in_style(*map_size(table)) as figure:
        draw_map(figure, table)
        figure.suptitle(title)
        figure.supxlabel("" if table.empty else LEGEND, fontsize=7)
        write_svg(folder / "map.svg", figure)


def map_size(table: pd.DataFrame) -> tuple[float, float]:
    """Width and height in inches that the map needs to be read."""
    down, across = max(table["row"].nunique(), 2), max(table["column"].nunique(), 2)
    wide, high = (1, 2) if _stacked(table) else (2, 1)
    return 2.8 + 0.8 * across * wide, 1.7 + (0.5 * down + 0.2) * high


def draw_map(figure: Any, table: pd.DataFrame) -> None:
    """Draw the map, greedy beside exploring or above it, into a figure of ``map_size``."""
    if table.empty:
        figure.text(0.5, 0.5, "This robot names no regions.", ha="center", va="center")
        return
    largest = float(table["proposal_share"].max())
    shape = (2, 1) if _stacked(table) else (1, 2)
    for axes, mode in zip(figure.subplots(*shape, sharex=True, sharey=True).flat, MODES, strict=True):
        _draw_mode(axes, table[table["mode"] == mode], largest)
        axes.set_title(mode, fontsize=9)
    figure.legend(
        handles=[_disc(share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)],
        title="proposals outside",
        loc="outside right center",
        alignment="left",
    )


def _stacked(table: pd.DataFrame) -> bool:
    return table["column"].nunique() > MOST_BESIDE


def _draw_mode(axes: Any, table: pd.DataFrame, largest: float) -> None:
    rows, columns = list(dict.fromkeys(table["row"])), list(dict.fromkeys(table["column"]))
    darkest = max(float(table["data_share"].max()), 1e-12)
    cells: Iterable[Any] = table.itertuples()
    for cell in cells:
        _draw_cell(axes, cell, columns.index(cell.column), rows.index(cell.row), cell.data_share / darkest)
    some = table[table["proposals"] > 0]
    axes.scatter(
        [columns.index(c) for c in some["column"]],
        [rows.index(r) for r in some["row"]],
        s=230 * some["proposal_share"] / max(largest, 1e-12) + 8,
        c=some["outside_share"],
        cmap=_scale(),
        vmin=0,
        vmax=1,
        edgecolors=INK,
        linewidths=0.4,
        zorder=3,
    )
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.set_xticks(range(len(columns)), [_words(c) for c in columns], rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), [_words(r) for r in rows])
    axes.set(xlabel=_words(_kind(columns[0])), ylabel=_words(_kind(rows[0])))
    axes.label_outer()
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _draw_cell(axes: Any, cell: Any, x: int, y: int, share: float) -> None:
    from matplotlib.patches import Rectangle

    corner = (x - 0.47, y - 0.46)
    axes.add_patch(Rectangle(corner, 0.94, 0.92, facecolor=GREY, alpha=0.75 * share**0.5, linewidth=0))
    lacking = cell.proposals > 0 and cell.data_steps == 0
    edge, width = (RED, 1.4) if lacking else (GREY, 0.4)
    axes.add_patch(Rectangle(corner, 0.94, 0.92, facecolor="none", edgecolor=edge, linewidth=width))
    axes.text(x - 0.43, y - 0.3, _data(cell), fontsize=6.5, va="center")
    if cell.proposals:
        axes.text(x + 0.43, y + 0.32, f"{cell.outside}/{cell.proposals} out", fontsize=6.5, va="center", ha="right")


def _data(cell: Any) -> str:
    if not cell.data_steps:
        return "no data"
    return f"data {cell.data_share:.1%}" if cell.data_share >= LEAST_SAID else f"data <{LEAST_SAID:.1%}"


def _disc(share: float) -> Any:
    from matplotlib.lines import Line2D

    disc = Line2D([], [], marker="o", linestyle="", markersize=8, color=_scale()(share), label=f"{share:.0%}")
    disc.set(markeredgecolor=INK, markeredgewidth=0.4)
    return disc


def _scale() -> Any:
    """From blue, inside the support, over amber to red, outside it."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("outside", [HUES[0], AMBER, RED])


def _cell(policy: pd.DataFrame, mode: str, row: tuple[Array, Array], column: tuple[Array, Array]) -> dict[str, Any]:
    """Counts and shares of where a row and a column meet, each as masks over the logged rows and over the proposals."""
    data = row[0] & column[0]
    own = (policy["mode"] == mode).to_numpy()
    inside = own & row[1] & column[1]
    proposals, outside = int(inside.sum()), int(policy["outside"].to_numpy()[inside].sum())
    return {
        "data_steps": int(data.sum()),
        "data_share": float(data.mean()),
        "proposals": proposals,
        "proposal_share": proposals / max(int(own.sum()), 1),
        "outside": outside,
        "outside_share": outside / proposals if proposals else float("nan"),
    }


def _side(kind: str, logged: Mapping[str, Array], used: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
    """Masks over the logged rows and over the proposals of each region of a kind that anything lies in."""
    side = {name: (logged[name], used[name]) for name in used if _kind(name) == kind}
    here = [np.any(masks, axis=0) for masks in zip(*side.values(), strict=True)]
    side[f"{kind}/{ELSEWHERE}"] = (~here[0], ~here[1])
    return {name: masks for name, masks in side.items() if masks[0].any() or masks[1].any()}


def _everywhere(side: Mapping[str, tuple[Array, Array]]) -> dict[str, tuple[Array, Array]]:
    """One column that holds everything, for a robot with one kind of region."""
    first = next(iter(side.values()))
    return {"all/steps": (np.ones(len(first[0]), dtype=bool), np.ones(len(first[1]), dtype=bool))}


def _masks(regions: pd.Series[str], names: Sequence[str]) -> dict[str, Array]:
    """Bool masks (M,) by name, from names joined by ``;``."""
    position, patterns = pd.factorize(regions)
    holds = [set(pattern.split(";")) for pattern in patterns]
    return {name: np.array([name in pattern for pattern in holds], dtype=bool)[position] for name in names}


def _kind(name: str) -> str:
    return name.partition("/")[0]


def _words(name: str) -> str:
    return name.rpartition("/")[2].replace("_", " ")
