"""Exact search: the same by matrix products, by subtraction, and on a device."""

from __future__ import annotations

import numpy as np
import pytest

from offline_to_online.support import index_exact
from offline_to_online.support.index_exact import ExactIndex


def crowded(rng, count, centres=5, gap=1e-4):
    """Points far from the origin and so close together that a matrix product in float32 cannot tell them apart."""
    middles = np.random.default_rng(99).normal(loc=30.0, size=(centres, 6))
    return (middles[rng.integers(centres, size=count)] + gap * rng.normal(size=(count, 6))).astype("f4")


def by_subtraction(points, queries, k):
    """The k smallest squared distances in float64."""
    return np.sort(np.square(points[None].astype(float) - queries[:, None]).sum(axis=-1), axis=1)[:, :k]


def test_neighbours_closer_than_rounding_are_found_in_a_batch():
    """The bound sends such queries to the search by subtraction: the nearest found are the nearest."""
    rng = np.random.default_rng(0)
    points, queries = crowded(rng, 800), crowded(rng, 100)
    squared, _ = ExactIndex(points).search(queries, 5)
    np.testing.assert_allclose(squared, by_subtraction(points, queries, 5), rtol=1e-3)


def test_the_bound_is_what_finds_them(monkeypatch):
    """Believing the candidates without it gives other neighbours."""
    rng = np.random.default_rng(0)
    points, queries = crowded(rng, 800), crowded(rng, 100)
    monkeypatch.setattr(ExactIndex, "_proved", lambda self, queries, kth, far: kth >= 0)
    squared, _ = ExactIndex(points).search(queries, 5)
    assert (squared > by_subtraction(points, queries, 5) * 1.01).any()


def test_the_bound_lets_ordinary_points_through():
    """Where points lie apart no query is searched twice, so that exactness costs nothing."""
    rng = np.random.default_rng(1)
    index, queries = ExactIndex(rng.normal(size=(5000, 20)).astype("f4")), rng.normal(size=(200, 20)).astype("f4")
    far, candidates = index._candidates(queries, 10)
    squared, _ = index._measured(queries, candidates, 5)
    assert index._proved(queries, squared[:, -1], far[:, -1]).all()


def test_points_that_coincide_are_at_zero_and_proved():
    """A robot that stands still logs one point many times, more often than there are spare candidates."""
    rng = np.random.default_rng(2)
    points = np.repeat(rng.normal(loc=50.0, size=(20, 7)).astype("f4"), 30, axis=0)
    index = ExactIndex(points)
    squared, rows = index.search(points, 8)
    assert (squared == 0).all()
    assert (points[rows] == points[:, None]).all()
    assert index._proved(points, squared[:, -1], squared[:, -1]).all()


def test_fewer_points_than_asked_for():
    """As many columns as there are points, alone and in a batch."""
    index = ExactIndex(np.eye(4, dtype="f4"))
    for count in (1, 50):
        squared, rows = index.search(np.zeros((count, 4), dtype="f4"), 9)
        assert squared.shape == rows.shape == (count, 4)
        assert (np.sort(rows, axis=1) == np.arange(4)).all()


def test_room_for_more_is_made_seldom():
    """A hundred additions move the points a few times; a view taken before keeps what it showed."""
    rng = np.random.default_rng(3)
    start = rng.normal(size=(100, 3)).astype("f4")
    index, kept, blocks = ExactIndex(start), start.copy(), set()
    view = index.points
    for _ in range(100):
        index.add(rng.normal(size=(10, 3)).astype("f4"))
        blocks.add(index.points.__array_interface__["data"][0])
    assert len(blocks) <= 4
    assert (view == kept).all()
    assert (index.points[:100] == kept).all()


def test_a_point_far_out_that_is_added_widens_the_bound():
    """Rounding grows with the longest point, whenever it came: what was proved before is no longer."""
    rng = np.random.default_rng(4)
    index, queries = ExactIndex(rng.normal(size=(500, 6)).astype("f4")), rng.normal(size=(20, 6)).astype("f4")
    kth, far = np.full(20, 1.0, dtype="f4"), np.full(20, 1.001, dtype="f4")
    assert index._proved(queries, kth, far).all()
    index.add(np.full((1, 6), 1000, dtype="f4"))
    assert not index._proved(queries, kth, far).any()


@pytest.mark.parametrize("count", [40, 300])
def test_a_device_gives_the_same_answer(monkeypatch, count):
    """PyTorch's candidates, here on the CPU, are measured and proved like faiss' own; and see what is added."""
    monkeypatch.setattr(index_exact, "GPU_FROM", 1)
    monkeypatch.setattr("offline_to_online.support.index_gpu.POINTS", 128)
    monkeypatch.setattr("offline_to_online.support.index_gpu.QUERIES", 64)
    rng = np.random.default_rng(5)
    points, queries = rng.normal(size=(500, 9)).astype("f4"), rng.normal(size=(count, 9)).astype("f4")
    device, plain = ExactIndex(points, device="cpu"), ExactIndex(points)
    for _ in range(2):
        for one, other in zip(device.search(queries, 6), plain.search(queries, 6), strict=True):
            assert (one == other).all()
        assert device._copy is not None
        for index in (device, plain):
            index.add(queries[:20] + np.float32(0.01))
