"""Neighbours by any index, and the whitening before them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_to_online.errors import SupportError
from offline_to_online.support.index import IndexConfig
from offline_to_online.support.neighbours import Neighbours, Whitening, compressed

KINDS = ["exact", "ivf", "hnsw"]


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


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_does_not_depend_on_how_many_are_asked(kind):
    """Asked alone, in a small batch or in a large one, a query gets bit for bit the same distance."""
    rng = np.random.default_rng(1)
    index = Neighbours(rng.normal(loc=1000.0, size=(2000, 4)).astype("f4"), IndexConfig(kind=kind, nprobe=2))
    queries = rng.normal(loc=1000.0, size=(500, 4)).astype("f4")
    many, _ = index.nearest(queries, 3)
    for size in (1, 2, 15, 16, 40):
        few, _ = index.nearest(queries[:size], 3)
        assert (few == many[:size]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_points_added_later_are_found(kind):
    """Old and new points in one order, wherever they came in, though the first addition is larger than the rest."""
    rng = np.random.default_rng(3)
    first, second, third = (rng.normal(size=(n, 4)).astype("f4") for n in (300, 400, 7))
    index = Neighbours(first, IndexConfig(kind=kind))
    index.add(second)
    index.add(third)
    everything = np.concatenate([first, second, third])
    assert len(index) == len(everything)
    assert (index.points == everything).all()
    distances, rows = index.nearest(everything, 1)
    assert (distances == 0).all()
    assert (rows[:, 0] == np.arange(len(everything))).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_kept_answers_and_grows_as_if_it_had_stayed(kind):
    """Loaded and then added to, it is byte for byte what it would have become without being saved in between."""
    rng = np.random.default_rng(4)
    points, more, queries = (rng.normal(size=(n, 6)).astype("f4") for n in (900, 50, 64))
    config = IndexConfig(kind=kind)
    stayed = Neighbours(points.copy(), config)
    loaded = Neighbours.from_bytes(stayed.to_bytes(), points, config)
    for index in (stayed, loaded):
        index.add(more)
    assert (stayed.to_bytes() == loaded.to_bytes()).all()
    for one, other in zip(stayed.nearest(queries, 5), loaded.nearest(queries, 5), strict=True):
        assert (one == other).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_and_its_original_grow_apart(kind):
    """Each finds what was added to it, and nothing of the other's."""
    rng = np.random.default_rng(8)
    points, mine, theirs = (rng.normal(loc=offset, size=(60, 4)).astype("f4") for offset in (0, 10, 20))
    original = Neighbours(points, IndexConfig(kind=kind))
    original.add(points[:1])
    twin = original.copy()
    original.add(mine)
    twin.add(theirs)
    for index, own, other in ((original, mine, theirs), (twin, theirs, mine)):
        assert len(index) == 121
        assert (index.nearest(own, 1)[0] == 0).all()
        assert (index.nearest(other, 1)[0] > 1).all()
        assert (index.points[:60] == points).all()


def test_an_exact_index_is_kept_by_its_points_alone():
    """It adds no byte to what is saved, and takes none that an approximate one left."""
    points = np.random.default_rng(5).normal(size=(100, 3)).astype("f4")
    assert len(Neighbours(points).to_bytes()) == 0
    other = Neighbours(points, IndexConfig(kind="hnsw")).to_bytes()
    with pytest.raises(SupportError, match="bytes of another index"):
        Neighbours.from_bytes(other, points, IndexConfig())


def test_recall_tells_a_thorough_search_from_a_careless_one():
    """One of many lists finds some of the neighbours, all lists find all; and exact search needs no measuring."""
    points = np.random.default_rng(6).normal(size=(3000, 8)).astype("f4")
    told = {
        probes: Neighbours(points, IndexConfig(kind="ivf", nlist=40, nprobe=probes)).recall(
            5, 200, np.random.default_rng(0)
        )
        for probes in (1, 4, 40)
    }
    assert 0.05 < told[1] < 0.6 < told[4] < 1.0 == told[40]
    assert Neighbours(points).recall(5, 200, np.random.default_rng(0)) == 1.0


def test_recall_asks_where_no_point_lies():
    """A careless graph finds each of its own points, yet misses neighbours of queries between them."""
    points = np.random.default_rng(7).normal(size=(3000, 20)).astype("f4")
    graph = Neighbours(points, IndexConfig(kind="hnsw", m=4, ef_construction=20, ef_search=5))
    true = np.sort(brute(points, points[:200], 5), axis=1)
    of_itself = np.mean(graph.nearest(points[:200], 1)[0] == true[:, :1])
    assert graph.recall(5, 500, np.random.default_rng(0)) < of_itself


@pytest.mark.parametrize("kind", KINDS)
def test_points_of_another_width_are_refused(kind):
    """An episode of another robot is one clear error, whatever the index."""
    index = Neighbours(np.random.default_rng(0).normal(size=(100, 3)).astype("f4"), IndexConfig(kind=kind))
    with pytest.raises(SupportError, match=r"\(5, 4\) \(neighbour index\): \(n, 3\)"):
        index.add(np.zeros((5, 4), dtype="f4"))


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
