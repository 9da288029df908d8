"""How numbers are written, and what plots are made of."""

from __future__ import annotations

import re

import numpy as np
import pytest
from jinja2 import UndefinedError

from offline_to_online.report.page import (
    TEMPLATES,
    by_kind,
    compact,
    interval,
    kinds,
    limit,
    number,
    p_value,
    render,
    settings,
)
from offline_to_online.report.plots import Course, Interval, courses, histograms, intervals


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.456, 2, "0.46"), (None, 2, "–"), (float("nan"), 2, "–"), (True, 2, "yes"), (3, 0, "3"), (-0.001, 2, "0.00"),
        (-0.5, 2, "-0.50"), (-0.0049, 3, "-0.005"),
    ],
)  # fmt: skip
def test_numbers_have_fixed_digits(value, digits, text):
    """So that they align; what was not measured is a dash, and nothing is minus zero."""
    assert number(value, digits) == text


def test_other_numbers_are_written_for_people():
    """Limits, intervals, p-values, counts of failures."""
    assert (compact(12345.678), compact(None), limit(float("inf")), limit(0.5)) == ("1.235e+04", "–", "none", "0.5")
    assert (interval([0.1, 0.25]), interval(None)) == ("[0.10, 0.25]", "–")
    assert (p_value(0.03), p_value(1.5e-7), p_value(None)) == ("0.0300", "1.5e-07", "–")
    assert kinds({"missed_grasp": 2, "dropped": 5}) == "dropped 5, missed grasp 2"
    assert kinds({}) == "–"


def test_settings_are_said_in_words():
    """Numbers, words and nested settings, by name."""
    config = {"k": 5, "index": {"kind": "exact", "ef_search": 256}, "floor": 1e-05, "seed": None}
    assert settings(config) == "floor 1e-05, index ef search 256, index kind exact, k 5, seed –"


def test_groups_keep_their_order():
    """As the kinds first occur, not by the alphabet."""
    rows = [{"kind": "z", "n": 1}, {"kind": "a", "n": 2}, {"kind": "z", "n": 3}]
    assert [[r["n"] for r in group] for group in by_kind(rows)] == [[1, 3], [2]]


def test_a_name_that_a_page_lacks_is_an_error():
    """A page never shows a hole where a number should be."""
    with pytest.raises(UndefinedError):
        render("offline.html.j2", {"title": "x", "kicker": "y", "contents": ()})


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.j2")), ids=lambda p: p.name)
def test_templates_name_no_address(path):
    """Nothing to fetch stands in any template."""
    text = path.read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text


def test_a_figure_is_the_pages_own():
    """Ids carry the figure's name, the ink is the page's, the title is escaped, no date is in it."""
    points = [Interval(row="r", series="<b>", value=0.5, low=0.4, high=0.6)]
    text = intervals("one", points, label="x", alt="a < b")
    assert all(i.startswith("one-") for i in re.findall(r'\bid="([^"]+)"', text))
    assert all(i.startswith("one-") for i in re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert '<title id="one-title">a &lt; b</title>' in text
    assert "currentColor" in text
    assert "#010203" not in text
    assert "<metadata" not in text
    assert "&lt;b&gt;" in text


def test_the_same_numbers_give_the_same_figure():
    """Byte for byte."""
    x = np.arange(5)
    lines = [Course(label="l", x=x, y=x / 5, faint=True), Course(label="m", x=x, y=x / 9, dots=True)]
    one, two = (courses("c", lines, label="y", alt="a", limit=("limit", 0.5), rounds=[2]) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("values", [np.zeros(0), np.full(3, 2.0), np.array([1.0, np.nan, np.inf])])
def test_odd_samples_are_drawn_too(values):
    """None, all alike, or some that are not finite."""
    text = histograms("h", {"data": values, "greedy": values}, label="x", alt="a", marks={"limit": 1.0})
    assert text.startswith("<svg")
