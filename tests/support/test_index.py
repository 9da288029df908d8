"""How an index is chosen."""

from __future__ import annotations

import faiss
import pytest

from offline_to_online.configs import build
from offline_to_online.errors import ParameterError
from offline_to_online.support.index import NEVER, IndexConfig, faiss_set


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "flat"}, "unknown value 'flat'"),
        ({"kind": "ivf", "nprobe": -1}, "nprobe = -1"),
        ({"kind": "hnsw", "m": 1}, "m = 1"),
        ({"ef_search": 0}, "ef_search = 0"),
        ({"device": "cuda"}, "unknown value 'cuda'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(values, said):
    """From params.yaml, in one line."""
    with pytest.raises(ParameterError, match=said):
        build(IndexConfig, values, where="support.index")


def test_a_kind_that_is_not_there_is_refused_in_code_too():
    """A notebook does not go through params.yaml."""
    with pytest.raises(ParameterError, match="kind = 'annoy'"):
        IndexConfig(kind="annoy")


@pytest.mark.parametrize(("points", "lists"), [(30, 1), (100, 2), (10_000, 200), (1_000_000, 2000)])
def test_lists_grow_with_the_root_of_the_points(points, lists):
    """And never so many that k-means has too little to go by."""
    assert IndexConfig(kind="ivf").lists(points) == lists


def test_no_more_lists_are_searched_than_there_are():
    """The automatic number, and one's own."""
    assert IndexConfig(kind="ivf").probes(2000) == 32
    assert IndexConfig(kind="ivf").probes(5) == IndexConfig(kind="ivf", nprobe=9).probes(5) == 5


def test_faiss_is_left_as_it_was_found():
    """Also by a search that fails: others in the process use it too."""
    before = faiss.cvar.distance_compute_blas_threshold

    def fails():
        with faiss_set(products_from=NEVER):
            assert faiss.cvar.distance_compute_blas_threshold == NEVER
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert faiss.cvar.distance_compute_blas_threshold == before != NEVER
