"""Approximate indexes: the same bytes from the same points, and one error for bytes that are not one."""

from __future__ import annotations

import hashlib

import faiss
import numpy as np
import pytest

from offline_to_online.errors import ParameterError, SupportError
from offline_to_online.support.index import IndexConfig
from offline_to_online.support.index_approximate import DIGEST, ApproximateIndex

KINDS = ["ivf", "hnsw"]


def points(count=1500, width=5, seed=0):
    """Normal points."""
    return np.random.default_rng(seed).normal(size=(count, width)).astype("f4")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_points_give_the_same_bytes(kind):
    """k-means and the graph's layers are drawn from a fixed seed."""
    one, other = (ApproximateIndex.build(points(), IndexConfig(kind=kind)).to_bytes() for _ in range(2))
    assert (one == other).all()


@pytest.mark.parametrize("kind", KINDS)
def test_nearly_all_neighbours_are_found_as_it_comes(kind):
    """By the automatic settings, among points with structure in no dimension: the hardest there are."""
    index = ApproximateIndex.build(points(width=8), IndexConfig(kind=kind))
    truth = np.sort(np.square(points(width=8)[None] - points(100, 8, 1)[:, None]).sum(axis=-1), axis=1)[:, :5]
    squared, _ = index.search(points(100, 8, 1), 5)
    assert np.mean(squared <= truth[:, -1:] * 1.0001) > 0.98


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign", "sealed foreign"])
def test_broken_or_foreign_bytes_are_one_error(kind, damage):
    """Cut short, one bit turned, none at all, something else: nothing of it reaches faiss' memory."""
    content = ApproximateIndex.build(points(), IndexConfig(kind=kind)).to_bytes()
    noise = np.random.default_rng(0).integers(256, size=500).astype("u1")
    flipped = content.copy()
    flipped[len(content) // 2] ^= 1
    broken = {
        "cut": content[:-3],
        "flipped": flipped,
        "empty": content[:0],
        "foreign": noise,
        "sealed foreign": np.concatenate([np.frombuffer(hashlib.sha256(noise).digest(), dtype="u1"), noise]),
    }[damage]
    with pytest.raises(SupportError, match="unreadable neighbour index"):
        ApproximateIndex.from_bytes(broken, IndexConfig(kind=kind), (1500, 5))


@pytest.mark.parametrize(("kind", "shape"), [("hnsw", (1500, 5)), ("ivf", (1501, 5)), ("ivf", (1500, 6))])
def test_an_index_of_something_else_is_refused(kind, shape):
    """Another kind than the configuration says, or other points than the estimator has."""
    content = ApproximateIndex.build(points(), IndexConfig(kind="ivf")).to_bytes()
    with pytest.raises(SupportError, match=rf"IndexIVFFlat of \(1500, 5\) instead of {kind}"):
        ApproximateIndex.from_bytes(content, IndexConfig(kind=kind), shape)


def test_how_thoroughly_it_is_searched_may_change_after_it_was_kept():
    """Without building it again: more lists searched, more found."""
    content = ApproximateIndex.build(points(), IndexConfig(kind="ivf", nlist=30, nprobe=1)).to_bytes()
    careless, thorough = (
        ApproximateIndex.from_bytes(content, IndexConfig(kind="ivf", nlist=30, nprobe=n), (1500, 5)) for n in (1, 30)
    )
    asked = points(200, seed=1)
    assert careless.search(asked, 5)[0].sum() > thorough.search(asked, 5)[0].sum()


def test_more_neighbours_than_the_lists_searched_hold():
    """Every point is asked, rather than a row that is none."""
    index = ApproximateIndex.build(points(200), IndexConfig(kind="ivf", nlist=50, nprobe=1))
    squared, rows = index.search(points(30, seed=1), 100)
    truth = np.sort(np.square(points(200)[None] - points(30, seed=1)[:, None]).sum(axis=-1), axis=1)[:, :100]
    assert (rows >= 0).all()
    np.testing.assert_allclose(squared, truth, rtol=1e-4)


def test_a_graph_in_pieces_asks_every_point():
    """Two heaps of coinciding points may end up unlinked; k neighbours come back all the same."""
    heaps = np.repeat(np.array([[0, 0], [9, 9]], dtype="f4"), 300, axis=0)
    index = ApproximateIndex.build(heaps, IndexConfig(kind="hnsw", m=2, ef_search=1))
    squared, rows = index.search(heaps[:1], 500)
    assert sorted(rows[0]) == sorted(set(rows[0]))
    assert (rows >= 0).all()
    assert np.isfinite(squared).all()


def test_more_lists_than_points_is_a_mistake_with_a_remedy():
    """Said before faiss says it in its own way."""
    with pytest.raises(ParameterError, match=r"nlist = 99 .*: 50 points; lower nlist"):
        ApproximateIndex.build(points(50), IndexConfig(kind="ivf", nlist=99))


def test_a_graph_has_room_before_the_first_episode_is_added():
    """Its memory stays where it is while a few episodes come in, so that none of them pays for moving it."""
    index = ApproximateIndex.build(points(1000), IndexConfig(kind="hnsw"))
    vectors = faiss.downcast_index(index._index.storage).codes, index._index.hnsw.neighbors
    before = [int(vector.data()) for vector in vectors]
    for seed in range(5):
        index.add(points(50, seed=seed))
    assert [int(vector.data()) for vector in vectors] == before
    assert len(index.to_bytes()) > DIGEST
