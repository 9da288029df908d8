"""Which index finds the neighbours, and how faiss is set while it does.

Exact search asks every point and needs no tuning; its time grows with the log. From some 10^6 transitions on, or where
the guard has less than a millisecond, an approximate index looks at a small part of them: an inverted file (IVF: Jegou
et al. 2011, doi 10.1109/TPAMI.2010.57) or a navigable graph (HNSW: Malkov & Yashunin 2018, arXiv 1603.09320). What
either misses is measured, never assumed (``Neighbours.recall``): a missed neighbour makes a distance larger than it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, Self

import faiss as typed_faiss
import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError, SupportError

faiss: Any = typed_faiss  # whose stubs lack much of what the library has
# Every list, graph and sample below starts from here: the same points give the same index, byte for byte.
SEED = 1234
LISTS_SEARCHED = 32
NEVER = 2**31 - 1  # larger than any batch


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """How neighbours are looked up (``support.index:`` in params.yaml).

    Attributes:
        kind: ``exact`` (every point is asked), ``ivf`` (points in lists, some of which are searched: quick to build
            and to add to), or ``hnsw`` (a graph to walk along: quicker to search, slower to build, larger).
        nlist: ivf, how many lists (count); 0 means 2 sqrt(N) of the points that it is built on.
        nprobe: ivf, how many lists a query searches (count); 0 means 32. More is slower and misses less.
        m: hnsw, links a point keeps on each layer (count).
        ef_construction: hnsw, candidates looked at where a point is linked in (count).
        ef_search: hnsw, candidates a query keeps while it walks (count). More is slower and misses less.
        device: ``auto`` lets exact search of large batches run on a CUDA GPU where PyTorch finds one; ``cpu`` never.
    """

    kind: Literal["exact", "ivf", "hnsw"] = "exact"
    nlist: int = 0
    nprobe: int = 0
    m: int = 16
    ef_construction: int = 80
    ef_search: int = 256
    device: Literal["auto", "cpu"] = "auto"

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = {"nlist": 0, "nprobe": 0, "m": 2}.get(name, 1)
            if isinstance(value, int) and value < least:
                raise ParameterError(f"{name} = {value}", where=f"support.index.{name}", limit=f"at least {least}")
        for name, value, known in (
            ("kind", self.kind, ("exact", "ivf", "hnsw")),
            ("device", self.device, ("auto", "cpu")),
        ):
            if value not in known:
                raise ParameterError(f"{name} = {value!r}", where=f"support.index.{name}", limit=f"one of {known}")

    def lists(self, count: int) -> int:
        """How many lists an inverted file of that many points gets: at most one for 39 points, as k-means wants."""
        return self.nlist or max(1, min(round(2 * count**0.5), count // 39))

    def probes(self, lists: int) -> int:
        """How many of its lists a query searches."""
        return min(self.nprobe or LISTS_SEARCHED, lists)


class Index(Protocol):
    """What ``Neighbours`` asks of an index, exact or approximate."""

    def __len__(self) -> int:
        """How many points it holds."""

    @property
    def points(self) -> Array:
        """The points, float32 (N, D), in the order in which they came."""

    def add(self, points: Array) -> None:
        """Take in more points (n, D); their rows follow those already there."""

    def search(self, queries: Array, k: int) -> tuple[Array, Array]:
        """Squared distances (Q, min(k, N)), ascending, and rows, int64, of points near to queries float32 (Q, D)."""

    def copy(self) -> Self:
        """One of its own to add to."""

    def to_bytes(self) -> Array:
        """What to keep beside the points, uint8 (B,), so that nothing needs to be built again."""


@contextmanager
def faiss_set(*, products_from: int) -> Iterator[None]:
    """faiss on one thread, turning to matrix products for batches of that many values or more.

    Both settings are the process's. One thread: starting more costs longer than one query of the guard, and joblib's
    workers and torch already own the cores.
    """
    faiss.omp_set_num_threads(1)
    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = products_from
    try:
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = before


def float_rows(points: Array, width: int | None = None) -> Array:
    """Rows as faiss wants them: float32, contiguous, of that width.

    Raises:
        SupportError: they are not rows of that width.
    """
    rows: Array = np.ascontiguousarray(points, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != (width or rows.shape[1]):
        raise SupportError(f"points of shape {rows.shape}", where="neighbour index", limit=f"(n, {width or 'D'})")
    return rows
