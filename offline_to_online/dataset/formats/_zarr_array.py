"""One array of a Zarr v2 store: its header, and its rows.

Decoded with numcodecs, as Zarr itself does it, but without three things that Zarr does: it reads a chunk that is
missing as zeros, it opens whatever codec a header names (one of them unpickles), and it hands a blosc buffer on without
holding its length against the file's.

Layout: the Zarr storage specification, version 2 (https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html); the
sixteen bytes before a blosc buffer: c-blosc, README_CHUNK_FORMAT.rst.
"""

from __future__ import annotations

import itertools
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeGuard

import numpy as np

from offline_to_online.dataset.formats._zarr_files import Files, header, reading
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

NUMBERS = re.compile(r"[<>|]([fiu][1248]|b1)")
CODECS = frozenset({"blosc", "zlib", "gzip", "bz2", "lzma", "lz4", "zstd"})
CHUNK_BYTES = 2**31  # the most that a blosc buffer holds
CHUNK_NAME = re.compile(r"\d+(\.\d+)*")
BLOSC_HEADER = struct.Struct("<4x3I")  # after versions, flags and type size: bytes unpacked, of a block, packed


@dataclass(frozen=True, kw_only=True)
class ZarrArray:
    """An array of a store. ``shape`` and ``chunks`` count elements; the first axis is time.

    ``dtype`` is as the header words it (``<f4``); None where it is no plain text, as for a structure of fields.
    """

    name: str
    files: Files
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str | None
    settings: dict[str, Any]
    latest: dict[int, Array] = field(default_factory=dict, repr=False)  # episodes share chunks at their borders

    @property
    def width(self) -> int:
        """Numbers a row."""
        return math.prod(self.shape[1:])

    @property
    def is_numeric(self) -> bool:
        """Whether it holds plain numbers, in rows."""
        return len(self.shape) > 0 and self.dtype is not None and NUMBERS.fullmatch(self.dtype) is not None

    @property
    def is_image(self) -> bool:
        """Whether a row is a picture, or several."""
        return self.is_numeric and (len(self.shape) >= 4 or (len(self.shape) == 3 and self.dtype == "|u1"))

    def require_chunks(self) -> None:
        """Refuse an array that lacks one of its chunks, or has one that its shape has no place for.

        Raises:
            DataError: with the chunk's name; or the chunks cannot be read by us at all.
        """
        self._require_plain()
        expected = set()
        for place in self._places(range(math.ceil(self.shape[0] / self.chunks[0]))):
            expected.add(name := self._chunk_name(place))
            if self.files.size(f"{self.name}/{name}") is None:
                raise self._missing(name)
        beyond = [n for n in self.files.inside(self.name) if CHUNK_NAME.fullmatch(n) and n not in expected]
        if beyond and self._separator == ".":
            raise DataError(
                f"chunk {beyond[0]} has no place in the shape {self.shape}",
                where=self._where,
                limit=f"{len(expected)} chunks of {self.chunks}",
                remedy="mend .zarray, or copy the store again",
            )

    def rows(self, start: int, stop: int) -> Array:
        """Rows [start, stop) as they stand in the store, flat: (rows, width).

        Raises:
            DataError: a chunk with some of them is missing, of another size than announced, or damaged.
        """
        length = self.chunks[0]
        pieces = [np.empty((0, *self.shape[1:]), dtype=self.dtype)]
        for index in range(start // length, math.ceil(stop / length)):
            first = index * length
            pieces.append(self._block(index)[max(0, start - first) : stop - first])
        return np.concatenate(pieces).reshape(stop - start, self.width)

    @property
    def _where(self) -> str:
        return f"{self.files.path}, {self.name}"

    @property
    def _separator(self) -> str:
        return str(self.settings.get("dimension_separator", "."))

    def _chunk_name(self, place: tuple[int, ...]) -> str:
        return self._separator.join(map(str, place))

    def _places(self, first: range) -> Iterator[tuple[int, ...]]:
        others = (range(math.ceil(n / chunk)) for n, chunk in zip(self.shape[1:], self.chunks[1:], strict=True))
        return itertools.product(first, *others)

    def _block(self, index: int) -> Array:
        """All rows of one chunk's length, (chunk, ...); the last one read is kept."""
        if index not in self.latest:
            self.latest.clear()
            padded = [math.ceil(n / chunk) * chunk for n, chunk in zip(self.shape[1:], self.chunks[1:], strict=True)]
            block = np.empty((self.chunks[0], *padded), dtype=self.dtype)
            for place in self._places(range(index, index + 1)):
                starts = [i * chunk for i, chunk in zip(place[1:], self.chunks[1:], strict=True)]
                region = [slice(s, s + chunk) for s, chunk in zip(starts, self.chunks[1:], strict=True)]
                block[(slice(None), *region)] = self._chunk(place)
            self.latest[index] = block[(slice(None), *(slice(n) for n in self.shape[1:]))]
        return self.latest[index]

    def _chunk(self, place: tuple[int, ...]) -> Array:
        name = self._chunk_name(place)
        if self.files.size(f"{self.name}/{name}") is None:
            raise self._missing(name)
        values = self._decoded(name, self.files.read(f"{self.name}/{name}", 2 * CHUNK_BYTES))
        order = "F" if self.settings.get("order") == "F" else "C"
        return np.frombuffer(values, dtype=self.dtype).reshape(self.chunks, order=order)  # type: ignore[call-overload,no-any-return]

    def _decoded(self, name: str, packed: bytes) -> bytes:
        """The bytes of a chunk, exactly as many as its shape takes."""
        wanted = math.prod(self.chunks) * np.dtype(self.dtype).itemsize
        if self._compressor == "blosc":
            self._require_blosc(name, packed, wanted)
        with reading(self.files.path, f"{self.name}, chunk {name}"):
            values = packed if self._codec is None else bytes(self._codec.decode(packed))
        if len(values) != wanted:
            raise self._wrong_size(name, f"{len(values)} bytes", wanted)
        return values

    def _require_blosc(self, name: str, packed: bytes, wanted: int) -> None:
        if len(packed) < BLOSC_HEADER.size:
            raise self._wrong_size(name, f"{len(packed)} bytes in all", wanted)
        unpacked, _, length = BLOSC_HEADER.unpack_from(packed)
        if length != len(packed):
            raise self._wrong_size(name, f"{len(packed)} packed bytes where its header says {length}", wanted)
        if unpacked != wanted:
            raise self._wrong_size(name, f"{unpacked} bytes by its header", wanted)

    @cached_property
    def _codec(self) -> Any:
        import numcodecs

        settings = self.settings.get("compressor")
        with reading(self.files.path, f"{self.name}/.zarray"):
            return None if settings is None else numcodecs.get_codec(settings)

    @property
    def _compressor(self) -> str | None:
        """Name of the compressor, whatever stands there; None where chunks are not compressed."""
        settings = self.settings.get("compressor")
        return None if settings is None else str(settings.get("id") if isinstance(settings, dict) else settings)

    def _require_plain(self) -> None:
        size = math.prod(self.chunks) * np.dtype(self.dtype).itemsize
        if self._compressor is not None and self._compressor not in CODECS:
            raise self._unreadable(f"compressor {self._compressor!r}", ", ".join(sorted(CODECS)))
        if self.settings.get("filters"):
            raise self._unreadable("filters", "no filters")
        if self._separator not in (".", "/"):
            raise self._unreadable(f"dimension_separator {self._separator!r}", "'.' or '/'")
        if size > CHUNK_BYTES:
            raise self._unreadable(f"chunks of {size} bytes", f"at most {CHUNK_BYTES} bytes")

    def _unreadable(self, what: str, limit: str) -> DataError:
        where = f"{self._where}/.zarray"
        return DataError(f"the array has {what}", where=where, limit=limit, remedy="write the store again")

    def _missing(self, name: str) -> DataError:
        return DataError(
            f"chunk {name} is missing",
            where=self._where,
            limit=f"every chunk of the shape {self.shape}, for an absent one would read as zeros",
            remedy="copy the store again, or write it with write_empty_chunks=True",
        )

    def _wrong_size(self, name: str, found: str, wanted: int) -> DataError:
        where = f"{self._where}, chunk {name}"
        limit = f"{wanted} bytes for {self.chunks} of {self.dtype}"
        return DataError(f"the chunk has {found}", where=where, limit=limit, remedy="copy the store again")


def array_in(files: Files, name: str) -> ZarrArray | None:
    """An array by its header; None where there is no array of that name.

    Raises:
        DataError: the header is no JSON, of another version of Zarr, or says no shape.
    """
    if files.size(f"{name}/.zarray") is None:
        return None
    settings = header(files, f"{name}/.zarray")
    shape, chunks = settings.get("shape"), settings.get("chunks")
    if settings.get("zarr_format") != 2:
        raise _bad_header(files, name, f"zarr_format is {settings.get('zarr_format')!r}", "2")
    if not (_are_counts(shape, 0) and _are_counts(chunks, 1) and len(shape) == len(chunks)):
        raise _bad_header(files, name, f"shape is {shape!r}, chunks are {chunks!r}", "two lists of as many counts")
    dtype = settings.get("dtype")
    return ZarrArray(
        name=name,
        files=files,
        shape=tuple(shape),
        chunks=tuple(chunks),
        dtype=dtype if isinstance(dtype, str) else None,
        settings=settings,
    )


def _are_counts(values: Any, least: int) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and value >= least for value in values)


def _bad_header(files: Files, name: str, what: str, limit: str) -> DataError:
    where = f"{files.path}, {name}/.zarray"
    return DataError(what, where=where, limit=limit, remedy="write the store again")
