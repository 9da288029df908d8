"""What both storages of Minari show of an episode: its columns by name, and their values on demand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from offline_to_online.dataset.formats._minari_space import image_like
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Column:
    """One array of an episode, from its header.

    Attributes:
        kind: vector, image, text, empty, scalar (one number for the whole episode) or other.
        dtype: as stored, in numpy's words; where it is no number, in the storage's.
        shape: of one row.
    """

    kind: str
    dtype: str
    shape: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Numbers in one row."""
        return math.prod(self.shape)


class Tree(Protocol):
    """One episode. Columns are named by their place: ``actions``, ``observations/arm/joints``, ``infos/success``."""

    @property
    def where(self) -> str:
        """File and episode, for messages."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """By name, in the file's order."""

    def rows(self, name: str) -> int:
        """Rows of a column, padding not counted."""

    def values(self, name: str) -> Array:
        """A numeric column (rows, *shape), as it stands in the file.

        Raises:
            DataError: it cannot be read, or not all of it is there.
        """


class Storage(Protocol):
    """Where the episodes lie.

    Attributes:
        path: the file or folder that holds them all.
    """

    path: Path

    def entries(self) -> tuple[list[int], list[str]]:
        """Numbers of the episodes, ascending, and whatever else lies among them."""

    def attributes(self, number: int) -> Mapping[str, Any]:
        """What is said of one episode as a whole."""

    def episode(self, number: int) -> AbstractContextManager[Tree]:
        """One episode, held open for as long as the block lasts."""


def numeric(dtype: Any, shape: tuple[int, ...]) -> Column:
    """A column of numbers."""
    name = np.dtype(dtype).name
    kind = "image" if image_like(shape, name) else "empty" if 0 in shape else "vector"
    return Column(kind=kind, dtype=name, shape=shape)


def unique(columns: Iterator[tuple[str, Column]], *, where: str) -> dict[str, Column]:
    """Columns by name.

    Raises:
        DataError: a name stands twice.
    """
    found: dict[str, Column] = {}
    for name, column in columns:
        if name in found:
            raise DataError(f"two columns are named {name}", where=where, limit="one of each", remedy="rename one")
        found[name] = column
    return found
