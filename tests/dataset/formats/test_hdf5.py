"""The guard of every HDF5 format: nothing is followed out of the file, and nothing is read that is not in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from offline_to_online.dataset.formats._hdf5 import optional, own, require_written
from offline_to_online.errors import DataError


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Any]:
    """An open file, to be written and read."""
    with h5py.File(tmp_path / "log.hdf5", "w") as opened:
        yield opened


def checked(data: Any) -> None:
    """The guard, over what was written so far."""
    data.file.flush()
    require_written(data, Path(data.file.filename), where="here")


def test_what_is_written_in_whole_passes(file: Any) -> None:
    """Whatever its layout: in one piece, in chunks, packed, tiny, empty, texts, a single number."""
    file["plain"], file["one"], file["none"], file["texts"] = np.arange(9), 3, np.zeros((0, 2)), ["one", "three"]
    file.create_dataset("packed", data=np.zeros(10**6), chunks=(10**5,), compression="gzip")
    file.create_dataset("flags", data=np.ones(5, dtype=bool), chunks=(2,))
    for name in file:
        checked(file[name])


@pytest.mark.parametrize(
    ("chunks", "what"), [(None, "0 of its 48 bytes are stored"), ((2,), "0 of its 3 chunks are stored")]
)
def test_what_is_missing_is_counted(file: Any, chunks: tuple[int] | None, what: str) -> None:
    """The message says how much of it there is."""
    data = file.create_dataset("rewards", (6,), dtype="f8", chunks=chunks)
    with pytest.raises(DataError, match=rf"/rewards was never written in whole: {what} \(here\)"):
        checked(data)


def test_a_chunk_that_claims_more_than_it_can_hold_is_refused(file: Any) -> None:
    """128 MiB in one byte: every chunk is there, and no filter packs like that."""
    data = file.create_dataset("rewards", (2**24,), dtype="f8", chunks=(2**24,), compression="gzip")
    data.id.write_direct_chunk((0,), b"x")
    with pytest.raises(DataError, match="134217728 bytes are claimed, 1 are stored"):
        checked(data)


def test_a_link_is_named_by_its_place(file: Any) -> None:
    """Within the file, out of it, to nowhere, on the way: the place in the file, or the one that the caller knows."""
    file["group/real"] = [1.0]
    file["group/soft"], file["group/away"] = h5py.SoftLink("/group/real"), h5py.ExternalLink("none.hdf5", "/x")
    file["by"] = h5py.SoftLink("/group")
    path = Path(file.filename)
    for name, place in (("group/soft", "/group/soft"), ("group/away", "/group/away"), ("by/real", "/by")):
        with pytest.raises(DataError, match=rf"^{place} is a link \(.*log\.hdf5\)"):
            optional(file, name, path)
    with pytest.raises(DataError, match=r"^this is a link \(episode 3\)"):
        own(file["group"], "soft", path, where="episode 3")
    file.flush()
    assert optional(file, "group/real", path)[0] == 1.0
    assert optional(file, "group/real/absent", path) is None
    assert optional(file, "absent", path) is None
