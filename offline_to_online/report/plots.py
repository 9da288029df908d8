"""Plots as inline SVG: the same numbers give the same bytes, and the ink follows the page's own colour."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from offline_to_online.dataset.spec import Array
from offline_to_online.support.drawing import GREY, HUES, INK, draw_histogram, figure_in_style, svg


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A measured value with its interval, for ``intervals``."""

    row: str
    series: str
    value: float
    low: float
    high: float


def inline(figure: Any, name: str, alt: str) -> Markup:
    """The figure as an ``<svg>`` element to stand in a page: titled, its ids its own, its size and ink the page's.

    Args:
        figure: of ``figure_in_style``.
        name: unique in its page.
        alt: what a person who does not see it should know.
    """
    text = svg(figure, transparent=True)
    body = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", body).replace(INK, "currentColor")
    body = re.sub(r"font: ([^\"';]*?)'[^\"]*?(?=[;\"])", r"font: \1inherit", body)
    width, height = (round(float(x) * 72, 2) for x in figure.get_size_inches())
    return Markup(  # noqa: S704 - matplotlib drew the body and escaped its texts; the title is escaped here
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="{name}-title">'
        f'<title id="{name}-title">{escape(alt)}</title>{body}</svg>'
    )


def intervals(name: str, points: Sequence[Interval], *, label: str, alt: str) -> Markup:
    """Values with their intervals, a row each, grouped; the series (a policy, say) by colour.

    Args:
        name: of the figure, unique in its page.
        points: rows are drawn in the order in which they first occur.
        label: of the horizontal axis, which goes from 0 to 1.
        alt: what a person who does not see it should know.
    """
    rows, series = (list(dict.fromkeys(getattr(p, part) for p in points)) for part in ("row", "series"))
    spread = 0.6 / max(len(series), 1)
    with figure_in_style(5.2, 0.7 + 0.28 * len(rows) * max(len(series), 2)) as figure:
        axes = figure.subplots()
        for number, who in enumerate(series):
            own = [p for p in points if p.series == who]
            height = [rows.index(p.row) + (number - (len(series) - 1) / 2) * spread for p in own]
            errors = np.abs([[p.value - p.low for p in own], [p.high - p.value for p in own]])
            axes.errorbar(
                [p.value for p in own],
                height,
                xerr=errors,
                fmt="o",
                color=HUES[number % len(HUES)],
                capsize=3,
                label=who,
            )
        axes.set(
            yticks=range(len(rows)), yticklabels=rows, xlim=(-0.02, 1.02), ylim=(len(rows) - 0.5, -0.5), xlabel=label
        )
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside upper right", ncols=max(len(series), 1))
        return inline(figure, name, alt)


def histograms(
    name: str, values: Mapping[str, Array], *, label: str, alt: str, marks: Mapping[str, float] | None = None
) -> Markup:
    """Shares of the values of each series over common bins; ``data`` as a filled grey area, the others as lines.

    Args:
        name: of the figure, unique in its page.
        values: float arrays (N,) by series; the outer bins hold the tails beyond the 0.5 and 99.5 percentiles.
        label: of the horizontal axis.
        alt: what a person who does not see it should know.
        marks: vertical lines by name.
    """
    with figure_in_style(4.6, 2.6) as figure:
        draw_histogram(figure.subplots(), values, label=label, marks=marks or {})
        figure.legend(loc="outside upper center", ncols=3, fontsize=8)
        return inline(figure, name, alt)


@dataclass(frozen=True, kw_only=True)
class Course:
    """One line of ``courses``: y over x. ``faint``: single episodes behind their mean; ``dots``: marks, no line."""

    label: str
    x: Array
    y: Array
    faint: bool = False
    dots: bool = False
    hue: int = 0


def courses(
    name: str,
    lines: Sequence[Course],
    *,
    label: str,
    alt: str,
    limit: tuple[str, float] | None = None,
    rounds: Sequence[int] = (),
    share: bool = False,
) -> Markup:
    """Something over the collected episodes.

    Args:
        name: of the figure, unique in its page.
        lines: what is drawn.
        label: of the vertical axis.
        alt: what a person who does not see it should know.
        limit: a horizontal line with its name.
        rounds: episodes after which a round ended, drawn as thin vertical lines.
        share: the axis goes from 0 to 1.
    """
    with figure_in_style(4.6, 2.6) as figure:
        axes = figure.subplots()
        for end in rounds:
            axes.axvline(end + 0.5, color=GREY, linewidth=0.8, alpha=0.5)
        for line in lines:
            colour = HUES[line.hue % len(HUES)]
            if line.faint:
                axes.plot(line.x, line.y, ".", color=colour, alpha=0.35, markersize=4, label=line.label)
            else:
                axes.plot(line.x, line.y, "o" if line.dots else "-", color=colour, linewidth=1.6, label=line.label)
        if limit:
            axes.axhline(limit[1], color=INK, linestyle="--", linewidth=1, label=limit[0])
        axes.set(xlabel="collected episodes", ylabel=label)
        if share:
            axes.set_ylim(-0.03, 1.03)
        else:
            axes.set_ylim(bottom=0)
        figure.legend(loc="outside upper center", ncols=2, fontsize=8)
        return inline(figure, name, alt)
