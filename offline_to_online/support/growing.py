"""Rows that more are appended to, at the cost of those that are appended."""

from __future__ import annotations

import numpy as np

from offline_to_online.dataset.spec import Array

LARGE = 65_536  # rows from which on moving a block takes longer than a robot should wait
ROOM = 16  # one row in so many is spare then


class GrowingRows:
    """Rows (N, ...) in a block that doubles when it is full; a large one has room to begin with."""

    def __init__(self, rows: Array) -> None:
        self._block, self._count = rows, len(rows)
        if len(rows) >= LARGE:
            self._block = np.empty((len(rows) + len(rows) // ROOM, *rows.shape[1:]), dtype=rows.dtype)
            self._block[: len(rows)] = rows

    @property
    def rows(self) -> Array:
        """All of them, a view."""
        return self._block[: self._count]

    def append(self, rows: Array) -> None:
        """More rows, of the same shape behind the first dimension."""
        end = self._count + len(rows)
        if end > len(self._block):
            wider = np.empty((max(end, 2 * len(self._block)), *self._block.shape[1:]), dtype=self._block.dtype)
            wider[: self._count] = self.rows
            self._block = wider
        self._block[self._count : end] = rows
        self._count = end

    def copy(self) -> GrowingRows:
        """One of its own to append to; the rows are shared, the room behind them is not."""
        return GrowingRows(self.rows)
