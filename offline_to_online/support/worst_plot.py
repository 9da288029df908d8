"""The worst proposals beside what was recorded nearest to them, action dimension by dimension."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from offline_to_online.dataset.spec import Array, VectorSchema
from offline_to_online.support.drawing import GREY, INK, MODES, figure_in_style, write_svg

MOST_DIMENSIONS = 12
PREFIX = "action/"
# Half of the width that a dimension's range takes of the 1 from one dimension to the next.
HALF = 0.42


def write_worst(worst: pd.DataFrame, action: VectorSchema, folder: Path, *, title: str) -> None:
    """Write ``worst.svg``; its numbers are the audit's ``worst.parquet``. Same content, same bytes.

    Args:
        worst: the audit's table, see ``worst.worst_table``.
        action: names and bounds of the action's dimensions.
        folder: where the file goes.
        title: of the picture.
    """
    with figure_in_style(*worst_size(worst, action)) as figure:
        draw_worst(figure, worst, action)
        figure.suptitle(title)
        write_svg(folder / "worst.svg", figure)


def worst_size(worst: pd.DataFrame, action: VectorSchema) -> tuple[float, float]:
    """Width and height in inches that the picture needs to be read."""
    dimensions, proposals = min(action.size, MOST_DIMENSIONS), int((worst["neighbour"] == 0).sum())
    return 2.4 + max(dimensions * 0.62, 5.0), 1.6 + 0.24 * proposals + 0.3 * worst["mode"].nunique()


def draw_worst(
    figure: Any, worst: pd.DataFrame, action: VectorSchema, episodes: Mapping[str, str] | None = None
) -> None:
    """Draw a row per proposal, a strip per action dimension from its lowest to its highest command.

    In each strip the proposal is a dot, the recorded actions nearest to it are ticks, and a bar spans these.
    ``episodes`` says by identity what people call an episode; without, it is the first of its hash.
    """
    called = worst["episode"].map(lambda identity: (episodes or {}).get(identity, identity[:8]))
    modes = list(dict.fromkeys(worst["mode"]))
    names = _shown(worst, action)
    heights = [int((worst.loc[worst["mode"] == mode, "neighbour"] == 0).sum()) + 1 for mode in modes]
    all_axes = figure.subplots(len(modes), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, mode in zip(all_axes, modes, strict=True):
        own = worst.assign(episode=called)[worst["mode"] == mode]
        _draw_mode(axes, own, _places(own, names, action), mode)
        axes.set_title(f"{mode}, the worst first", fontsize=9, loc="left")
    slant = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if len(names) > 6 else {}
    all_axes[-1].set_xticks(range(len(names)), names, **slant)
    legend = {label: line for axes in all_axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    part = f"{len(names)} of {action.size} dimensions: where the proposals are farthest from what was recorded"
    figure.legend(
        legend.values(),
        legend.keys(),
        loc="outside lower center",
        ncols=4,
        title=part if len(names) < action.size else "",
    )


def _draw_mode(axes: Any, worst: pd.DataFrame, places: Array, mode: str) -> None:
    """Places (rows of the table, dimensions) in [0, 1]."""
    proposals = worst[worst["neighbour"] == 0]
    own, ranks = (worst["neighbour"] == 0).to_numpy(), worst["rank"].to_numpy()
    at = np.arange(places.shape[1]) + (places - 0.5) * 2 * HALF
    heights = np.repeat(ranks[:, None], places.shape[1], axis=1)
    _draw_strips(axes, at[~own], ranks[~own], proposals["rank"].to_numpy())
    axes.plot(at[~own].ravel(), heights[~own].ravel(), "|", color=INK, markersize=6, label="nearest recorded")
    axes.plot(at[own].ravel(), heights[own].ravel(), "o", color=MODES.get(mode, INK), markersize=5, label=mode)
    axes.set_yticks(proposals["rank"].to_numpy(), [_label(one) for one in proposals.itertuples()])
    axes.set(ylim=(ranks.max() + 0.6, 0.4), xlim=(-0.5, places.shape[1] - 0.5))
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _draw_strips(axes: Any, near: Array, ranks: Array, every: Array) -> None:
    """The range of each dimension as a line, at every rank; what was recorded near (rows, dimensions) as a bar."""
    centres = np.tile(np.arange(near.shape[1]), len(every))
    heights = np.repeat(every, near.shape[1])
    axes.hlines(heights, centres - HALF, centres + HALF, color=GREY, linewidth=0.6, alpha=0.6)
    spans = pd.DataFrame(near).groupby(ranks).agg(["min", "max"])
    low, high = (spans.xs(which, axis=1, level=1).to_numpy().ravel() for which in ("min", "max"))
    at = np.repeat(spans.index.to_numpy(), near.shape[1])
    axes.hlines(at, low, high, color=GREY, linewidth=5, alpha=0.5, label="their span")


def _label(proposal: Any) -> str:
    return f"{proposal.rank}.  {proposal.episode}, step {proposal.step}, score {proposal.score:.3g}"


def _places(worst: pd.DataFrame, names: list[str], action: VectorSchema) -> Array:
    """Actions (rows, dimensions) by where they lie between the bounds: 0 the lowest command, 1 the highest."""
    numbers = worst[[PREFIX + name for name in names]].to_numpy(dtype=np.float64)
    columns = [action.names.index(name) for name in names]
    low, high = action.low[columns].astype(np.float64), action.high[columns].astype(np.float64)
    places: Array = np.clip((numbers - low) / np.maximum(high - low, np.finfo(np.float32).tiny), 0, 1)
    return places


def _shown(worst: pd.DataFrame, action: VectorSchema) -> list[str]:
    """The dimensions to draw, in their own order: all, or the twelve in which proposals and recorded part most."""
    names = list(action.names)
    if len(names) <= MOST_DIMENSIONS:
        return names
    places = pd.DataFrame(_places(worst, names, action), columns=names)
    keys = [worst["mode"].to_numpy(), worst["rank"].to_numpy()]
    own = (worst["neighbour"] == 0).to_numpy()
    apart = places[own].groupby([k[own] for k in keys]).first() - places[~own].groupby([k[~own] for k in keys]).mean()
    far = apart.abs().mean().sort_values(ascending=False, kind="stable").index[:MOST_DIMENSIONS]
    return [name for name in names if name in set(far)]
