"""What every picture has in common."""

from __future__ import annotations

import numpy as np
import pytest

from offline_to_online.support.drawing import BINS, INK, bin_edges, figure_in_style, shares, svg


def test_a_few_far_proposals_do_not_hide_the_data():
    """Bins end at twice the data's own range beyond it, and the outer one holds what lies farther."""
    values = {"data": np.linspace(0, 1, 101), "greedy": np.append(np.linspace(0, 1, 90), np.full(10, 1e4))}
    edges = bin_edges(values, {})
    assert edges[-1] == pytest.approx(3.0, rel=0.02)
    assert shares(values["greedy"], edges)[-1] == pytest.approx(0.1)


def test_marks_lie_inside_the_bins():
    """A threshold that nothing reaches is seen all the same."""
    edges = bin_edges({"data": np.linspace(0, 1, 101)}, {"limit": 50.0})
    assert edges[0] < 50.0 < edges[-1]
    assert len(edges) == BINS + 1


@pytest.mark.parametrize("values", [np.zeros(0), np.full(3, 2.0), np.array([1.0, np.nan, np.inf, -np.inf])])
def test_odd_samples_have_bins(values):
    """None, all alike, or some that are not finite: edges are finite and ascend."""
    edges = bin_edges({"data": values}, {})
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()


def test_an_infinite_value_is_in_the_outer_bin():
    """It is farther than any other; what is not a number is in no bin, and counts as an action."""
    assert shares(np.array([-np.inf, np.inf, np.nan, 0.5]), np.array([0.0, 0.4, 0.6, 1.0])).tolist() == [0.25] * 3


def test_a_picture_has_no_date_and_two_grounds():
    """On white as a file; transparent for a page, which brings its own."""
    with figure_in_style(2, 1) as figure:
        figure.text(0.5, 0.5, "word")
        alone, inline = svg(figure), svg(figure, transparent=True)
        assert svg(figure) == alone
    assert "word" in alone
    assert INK in alone
    assert "dc:date" not in alone
    assert "fill: #ffffff" in alone
    assert "fill: #ffffff" not in inline
