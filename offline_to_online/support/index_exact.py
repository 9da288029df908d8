"""Exact nearest neighbours: matrix products find candidates, subtraction measures them, a bound proves the rest out.

``|x - y|^2 = |x|^2 + |y|^2 - 2 x.y`` turns the search of a batch into a matrix product, several times faster than
subtraction, but it confuses points closer together than its rounding. So a few candidates more than asked for are
measured again by subtraction, and a batch's query whose candidates are not proved complete is searched anew by
subtraction alone: the same distances, bit for bit, asked alone or among many.
"""

from __future__ import annotations

import copy

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.support.index import NEVER, faiss, faiss_set, float_rows
from offline_to_online.support.index_gpu import OnGpu, gpu_found

SPARE_CANDIDATES = 5
# From so many queries on the product is faster. faiss itself waits for 128,000 values: 1,900 queries of 67 dimensions.
PRODUCTS_FROM = 16
# Squared distances in a batch from which on a GPU repays the way there: about five seconds of one core.
GPU_FROM = 2_000_000_000
ROUNDING = 2.0**-24  # of one float32 operation


class ExactIndex:
    """Points in one growing block of memory, float32; faiss searches them where they lie.

    Args:
        points: (N, D), kept, not copied, where they are contiguous float32 already.
        device: a torch device for large batches, None for none.
    """

    def __init__(self, points: Array, device: str | None = None) -> None:
        self._block = float_rows(points)
        self._count = len(self._block)
        self._largest = largest_norm(self._block)
        self._device = device
        self._copy: OnGpu | None = None

    @classmethod
    def anywhere(cls, points: Array, device: str) -> ExactIndex:
        """On a GPU if ``device`` is ``auto`` and there is one."""
        return cls(points, gpu_found() if device == "auto" else None)

    def __len__(self) -> int:
        return self._count

    @property
    def points(self) -> Array:
        """(N, D)."""
        return self._block[: self._count]

    def add(self, points: Array) -> None:
        """Append rows; the block doubles when it is full, so that an addition costs what is added on average."""
        rows = float_rows(points, self._block.shape[1])
        end = self._count + len(rows)
        if end > len(self._block):
            wider = np.empty((max(end, 2 * len(self._block)), self._block.shape[1]), dtype=np.float32)
            wider[: self._count] = self.points
            self._block = wider
        self._block[self._count : end] = rows
        self._count, self._copy = end, None
        self._largest = max(self._largest, largest_norm(rows))

    def search(self, queries: Array, k: int) -> tuple[Array, Array]:
        """The exact neighbours; of points that coincide, any."""
        count = min(k + SPARE_CANDIDATES + k // 10, self._count)
        if len(queries) < PRODUCTS_FROM:
            return self._one_by_one(queries, k)
        far, candidates = self._candidates(queries, count)
        squared, rows = self._measured(queries, candidates, k)
        if count < self._count:
            unsure = ~self._proved(queries, squared[:, -1], far[:, -1])
            if unsure.any():
                squared[unsure], rows[unsure] = self._one_by_one(queries[unsure], k)
        return squared, rows

    def copy(self) -> ExactIndex:
        """One of its own to add to; the points are shared until then, the room behind them is not."""
        twin = copy.copy(self)
        twin._block = self.points
        return twin

    def to_bytes(self) -> Array:
        """Nothing: the points are the index."""
        return np.zeros(0, dtype=np.uint8)

    def _one_by_one(self, queries: Array, k: int) -> tuple[Array, Array]:
        with faiss_set(products_from=NEVER):
            _, rows = faiss.knn(queries, self.points, min(k, self._count))
        return self._measured(queries, rows, k)

    def _candidates(self, queries: Array, count: int) -> tuple[Array, Array]:
        """Rows (Q, count) by rounded squared distances (Q, count), ascending."""
        if self._device is not None and len(queries) * self._count >= GPU_FROM:
            self._copy = self._copy or OnGpu(self.points, self._device)
            return self._copy.search(queries, count)
        with faiss_set(products_from=0):
            far, rows = faiss.knn(queries, self.points, count)
        return far, rows

    def _measured(self, queries: Array, candidates: Array, k: int) -> tuple[Array, Array]:
        """Squared distances to candidates (Q, C) by subtraction; the k smallest, ascending."""
        squared = np.empty(candidates.shape, dtype=np.float32)
        width, sizes = self._block.shape[1], candidates.shape
        pointers = (faiss.swig_ptr(part) for part in (squared, queries, self._block, candidates))
        faiss.fvec_L2sqr_by_idx(*pointers, width, *sizes)
        order = np.argsort(squared, axis=1, kind="stable")[:, :k]
        which = np.arange(len(order))[:, None]
        return squared[which, order], candidates[which, order]

    def _proved(self, queries: Array, kth: Array, far: Array) -> Array:
        """Whether no point beyond the candidates can be nearer than the k-th, bool (Q,).

        A point that is not among them was measured no nearer than ``far``, by a dot product of D terms whose error is
        at most D roundings of |x||y| (Higham 2002, section 3.1), and three sums more; so is ``kth`` itself.
        """
        norms = np.einsum("ij,ij->i", queries, queries)
        slack = ROUNDING * (queries.shape[1] + 4) * (2 * (norms + self._largest) + kth)
        proved: Array = (kth <= far - slack) | (kth == 0)
        return proved


def largest_norm(rows: Array) -> float:
    """Largest squared length of rows (N, D)."""
    return float(np.einsum("ij,ij->i", rows, rows).max(initial=0))
