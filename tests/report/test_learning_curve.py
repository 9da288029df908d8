"""Learning curves from plain arrays: the dip, its band, and what chance alone would show."""

from __future__ import annotations

import numpy as np
import pytest

from offline_to_online.evaluation.statistics import wilson_interval
from offline_to_online.report.learning_curve import (
    Curve,
    draw_learning_curves,
    lowest_by_chance,
    outcome_interval,
    rolling,
    rolling_curve,
)
from offline_to_online.support.drawing import HUES, figure_in_style, svg


def curve(episodes, mean, *, name="ours", before=None):
    """A curve with a band of 0.1 on either side."""
    values = np.array(mean, dtype=float)
    return Curve(name, np.array(episodes), values, values - 0.1, values + 0.1, before)


def test_the_dip_is_the_lowest_after_the_switch_minus_the_last_before_it():
    """Points up to 0 are before; what was lower long before the switch is no dip."""
    found = curve([-40, 0, 15, 30, 60], [0.1, 0.7, 0.55, 0.6, 0.9]).dip
    assert (found.before, found.lowest, found.at) == (0.7, 0.55, 15)
    assert found.change == pytest.approx(-0.15)


def test_a_curve_that_never_falls_below_has_no_dip_to_speak_of():
    """The change is then not negative."""
    assert curve([0, 10, 20], [0.5, 0.6, 0.7]).dip.change == pytest.approx(0.1)


def test_the_value_before_may_be_measured_elsewhere():
    """On a panel, say; it then counts instead of the curve's own points."""
    assert curve([0, 10], [0.5, 0.4], before=0.8).dip.change == pytest.approx(-0.4)


@pytest.mark.parametrize(
    ("episodes", "mean"), [([10, 20], [0.5, 0.6]), ([-5, 0], [0.5, 0.6]), ([0, 10], [0.5, np.nan])]
)
def test_without_both_sides_there_is_no_dip(episodes, mean):
    """Nothing known before the switch, or nothing after it."""
    assert curve(episodes, mean).dip is None


def test_curves_are_drawn_with_band_switch_and_dip():
    """A colour each, the depth in the name, a triangle at the bottom; a method without a dip has none."""
    with figure_in_style(4, 3) as figure:
        axes = figure.subplots()
        draw_learning_curves(axes, [curve([0, 10, 20], [0.7, 0.5, 0.9]), curve([0, 10], [0.2, 0.3], name="other")])
        lines = {line.get_label(): line for line in axes.get_lines()}
        assert {"switch to online", "ours (dip -0.20)", "other"} <= set(lines)
        assert [lines[name].get_color() for name in ("ours (dip -0.20)", "other")] == list(HUES[:2])
        marks = [line.get_xydata().tolist() for line in axes.get_lines() if line.get_marker() == "v"]
        assert marks == [[[10.0, 0.5]]]
        assert len(axes.collections) == 2
        assert "ours" not in svg(figure)
        figure.legend()
        assert "ours (dip -0.20)" in svg(figure)


def test_more_methods_than_colours_differ_by_stroke():
    """The seventh has the first one's colour and another stroke."""
    with figure_in_style(4, 3) as figure:
        axes = figure.subplots()
        draw_learning_curves(axes, [curve([0, 1], [0.1, 0.2], name=str(i)) for i in range(7)])
        first, seventh = (next(line for line in axes.get_lines() if line.get_label() == n) for n in "06")
        assert first.get_color() == seventh.get_color()
        assert first.get_linestyle() != seventh.get_linestyle()


def test_a_rolling_mean_starts_with_what_there_is():
    """The mean of the last two, or of one."""
    assert rolling(np.array([1.0, 3.0, 5.0]), 2).tolist() == [1.0, 2.0, 4.0]


def test_a_rolling_curve_begins_with_its_first_full_window():
    """A single failure right after the switch is no rate of 0; the band is that of the window."""
    success = np.array([False] * 2 + [True] * 8)
    found = rolling_curve("collected", success, window=4, before=0.75)
    assert found.episodes.tolist() == [4, 5, 6, 7, 8, 9, 10]
    assert found.mean.tolist() == [0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert (found.low[0], found.high[0]) == pytest.approx(wilson_interval(2, 4))
    assert (found.dip.lowest, found.dip.at) == (0.5, 4)


def test_too_few_episodes_have_a_curve_but_no_dip():
    """Of what there is, from the first on."""
    found = rolling_curve("collected", np.array([False, True]), window=4, before=0.75)
    assert found.episodes.tolist() == [1, 2]
    assert found.dip is None


def test_scores_have_a_band_too():
    """By the bootstrap, around the mean and within what was seen."""
    scores = np.array([0.1, 0.4, 0.2, 0.3])
    low, high = outcome_interval(scores)
    assert 0.1 <= low < scores.mean() < high <= 0.4


def test_the_lowest_by_chance_lies_below_an_unchanged_policys_rate():
    """The lower the longer one looks, the same for the same seed, and at the rate where nothing can vary."""
    panel = np.array([1.0] * 60 + [0.0] * 40)
    short, long = (lowest_by_chance(panel, n, np.random.default_rng(0), draws=200) for n in (20, 200))
    assert np.median(long) < np.median(short) - 0.1 < 0.6
    assert (np.diff(long) >= 0).all()
    assert np.array_equal(long, lowest_by_chance(panel, 200, np.random.default_rng(0), draws=200))
    assert (lowest_by_chance(np.ones(10), 50, np.random.default_rng(0), draws=5) == 1).all()
