"""Approximate nearest neighbours by faiss: an inverted file or a navigable graph, added to point by point.

Every query is answered on its own, by subtraction: coinciding points are at distance zero, and a batch gets the answers
that its queries would get alone.
"""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError, SupportError
from offline_to_online.support.index import NEVER, SEED, IndexConfig, faiss, faiss_set, float_rows

# Of each list so many points teach k-means where its centre is; all of a million would take a minute and gain nothing.
POINTS_A_LIST = 64
DIGEST = 32  # bytes of SHA-256 before what faiss wrote
KINDS = {"ivf": faiss.IndexIVFFlat, "hnsw": faiss.IndexHNSWFlat}


class ApproximateIndex:
    """A faiss index that holds its own points.

    An inverted file keeps the lists of the points it was built on: when it has grown to several times those, searching
    has slowed down in proportion, and it is worth being fitted anew. A graph has no such limit.
    """

    def __init__(self, index: Any, config: IndexConfig) -> None:
        self._index = index
        if config.kind == "ivf":
            index.nprobe = config.probes(index.nlist)
        else:
            index.hnsw.efSearch, index.hnsw.efConstruction = config.ef_search, config.ef_construction
            _double_room(index)

    @classmethod
    def build(cls, points: Array, config: IndexConfig) -> ApproximateIndex:
        """Of points (N, D): the same bytes for the same points.

        Raises:
            ParameterError: fewer points than lists.
        """
        rows = float_rows(points)
        if config.kind == "hnsw":
            graph = faiss.IndexHNSWFlat(rows.shape[1], config.m)
            graph.hnsw.efConstruction = config.ef_construction
            _add(graph, rows)
            return cls(graph, config)
        lists = config.lists(len(rows))
        if lists > len(rows):
            remedy = "lower nlist, or leave it 0"
            raise ParameterError(
                f"nlist = {lists}", where="support.index.nlist", limit=f"{len(rows)} points", remedy=remedy
            )
        inverted = faiss.IndexIVFFlat(faiss.IndexFlatL2(rows.shape[1]), rows.shape[1], lists)
        inverted.cp.seed, inverted.cp.min_points_per_centroid = SEED, 1
        inverted.cp.max_points_per_centroid = POINTS_A_LIST
        with faiss_set(products_from=0):
            inverted.train(rows)
        _add(inverted, rows)
        return cls(inverted, config)

    @classmethod
    def from_bytes(cls, content: Array, config: IndexConfig, shape: tuple[int, int]) -> ApproximateIndex:
        """The inverse of ``to_bytes``, for points of that shape.

        Raises:
            SupportError: the bytes are damaged, or hold another index than that.
        """
        body = np.ascontiguousarray(content[DIGEST:], dtype=np.uint8)
        # faiss trusts what it reads: a damaged graph would be walked into other memory.
        if _digest(body) != bytes(content[:DIGEST]):
            raise _unreadable("its content is not what its hash says")
        try:
            index = faiss.deserialize_index(body)
        except RuntimeError as error:
            raise _unreadable("faiss cannot read it") from error
        if not isinstance(index, KINDS[config.kind]) or (index.ntotal, index.d) != shape:
            raise _unreadable(
                f"a {type(index).__name__} of {(index.ntotal, index.d)} instead of {config.kind} of {shape}"
            )
        return cls(index, config)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def points(self) -> Array:
        """(N, D), a copy."""
        points: Array = self._index.reconstruct_n(0, len(self))
        return points

    def add(self, points: Array) -> None:
        """Take in rows (n, D) at the cost of these rows."""
        _add(self._index, float_rows(points, self._index.d))

    def search(self, queries: Array, k: int) -> tuple[Array, Array]:
        """Points found near to queries; where fewer than k were found, every point is asked instead."""
        k = min(k, len(self))
        with faiss_set(products_from=NEVER):
            squared, rows = self._index.search(queries, k)
            short = rows[:, -1] < 0
            if short.any():
                squared[short], rows[short] = self._search_all(queries[short], k)
        return squared, rows

    def copy(self) -> ApproximateIndex:
        """One of its own to add to."""
        twin = copy.copy(self)
        twin._index = faiss.clone_index(self._index)
        return twin

    def to_bytes(self) -> Array:
        """What faiss writes, behind its SHA-256."""
        body = faiss.serialize_index(self._index)
        digest = np.frombuffer(_digest(body), dtype=np.uint8)
        content: Array = np.concatenate([digest, body])
        return content

    def _search_all(self, queries: Array, k: int) -> tuple[Array, Array]:
        if isinstance(self._index, faiss.IndexHNSWFlat):
            found: tuple[Array, Array] = self._index.storage.search(queries, k)
        else:
            every = faiss.SearchParametersIVF(nprobe=self._index.nlist)
            found = self._index.search(queries, k, params=every)
        return found


def _add(index: Any, rows: Array) -> None:
    # A graph draws each point's layers. From this seed it draws the same, whether or not it was saved in between.
    if isinstance(index, faiss.IndexHNSWFlat):
        index.hnsw.rng = faiss.RandomGenerator(SEED + index.ntotal)
    with faiss_set(products_from=0):
        index.add(rows)


def _double_room(graph: Any) -> None:
    """Let the graph's memory grow now rather than while the first online episode is added.

    A C++ vector one longer than it has room for takes twice the room, and keeps it when it is shortened again.
    """
    for vector in (faiss.downcast_index(graph.storage).codes, graph.hnsw.neighbors):
        size = vector.size()
        vector.resize(size + 1)
        vector.resize(size)


def _digest(body: Array) -> bytes:
    return hashlib.sha256(body.data).digest()


def _unreadable(why: str) -> SupportError:
    return SupportError(f"unreadable neighbour index, {why}", remedy="run the stage support again")
