"""Exact neighbours and the whitening before them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_to_online.support.neighbours import BLOCK, Neighbours, Whitening, compressed


def brute(points, queries, k):
    """The k smallest distances of each query, by subtraction in float64."""
    gaps = np.linalg.norm(points[None].astype(float) - queries[:, None].astype(float), axis=-1)
    return np.sort(gaps, axis=1)[:, :k]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 6), queries=st.sampled_from([1, 7, 64]))
def test_the_distances_are_those_of_brute_force(seed, k, queries):
    """One query or many, the answer is the exact one."""
    rng = np.random.default_rng(seed)
    points, asked = rng.normal(size=(200, 5)).astype("f4"), rng.normal(size=(queries, 5)).astype("f4")
    distances, indices = Neighbours(points).nearest(asked, k)
    np.testing.assert_allclose(distances, brute(points, asked, k), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(points[indices] - asked[:, None], axis=-1), distances, rtol=1e-5)


def test_a_point_finds_itself_at_zero_among_many_queries():
    """The matrix-product path's rounding, which makes duplicates look apart, does not come through."""
    points = np.random.default_rng(0).normal(loc=50.0, size=(500, 8)).astype("f4")
    distances, indices = Neighbours(points).nearest(points, 1)
    assert (distances == 0).all()
    assert (indices[:, 0] == np.arange(500)).all()


def test_the_answer_does_not_depend_on_how_many_are_asked():
    """Asked alone, in a small batch or across blocks, a query gets bit for bit the same distance."""
    rng = np.random.default_rng(1)
    index = Neighbours(rng.normal(size=(300, 4)).astype("f4"))
    queries = rng.normal(size=(BLOCK + 3, 4)).astype("f4")
    many, _ = index.nearest(queries, 3)
    for i in (0, 5, BLOCK - 1, BLOCK, BLOCK + 2):
        alone, _ = index.nearest(queries[i : i + 1], 3)
        assert (alone[0] == many[i]).all()


def test_no_query_gives_no_answer():
    """An empty batch comes back empty rather than failing."""
    distances, indices = Neighbours(np.zeros((5, 2), dtype="f4")).nearest(np.zeros((0, 2), dtype="f4"), 2)
    assert distances.shape == indices.shape == (0, 2)


def test_whitening_gives_deviations():
    """Rows come out with mean 0 and deviation 1 in each dimension, whatever its unit."""
    rows = np.random.default_rng(2).normal(loc=[5, -300], scale=[0.01, 40], size=(1000, 2))
    whitened = Whitening.from_rows(rows).apply(rows)
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(whitened.std(axis=0), 1, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e4])
def test_a_constant_dimension_neither_explodes_nor_goes_blind(value):
    """Rounding noise stays below a deviation, a real change is seen, and no change is infinite."""
    whitening = Whitening.from_rows(np.full((10, 1), value))
    noise = compressed(whitening.apply(np.array([[np.nextafter(np.float32(value), np.float32(2e4))]])))
    change = compressed(whitening.apply(np.array([[value + max(0.1, 0.01 * value)]])))
    assert abs(noise[0, 0]) < 0.01
    assert 1.0 < change[0, 0] < 10.0


@given(st.floats(-1e6, 1e6, width=32), st.floats(-1e6, 1e6, width=32))
def test_compression_keeps_the_order(a, b):
    """Further out is never nearer, and within one deviation nothing changes."""
    low, high = compressed(np.array(sorted([a, b]), dtype="f4"))
    assert low <= high
    assert abs(a) > 1 or compressed(np.array([a], dtype="f4"))[0] == np.float32(a)
