"""An even sample of a stream of rows whose length nobody knows."""

from __future__ import annotations

import numpy as np

from offline_to_online.dataset.spec import Array

ROWS = 4096


class EvenSample:
    """Every row at first, then every second of them, every fourth ...: at most ``ROWS``, spread over all."""

    def __init__(self) -> None:
        self.stride, self.seen, self.count = 1, 0, 0
        self.parts: list[Array] = []

    def add(self, *columns: Array) -> None:
        """Rows (T, K), given as the columns beside each other that they are made of."""
        first = -self.seen % self.stride
        self.seen += len(columns[0])
        taken = np.concatenate([c[first :: self.stride] for c in columns], axis=1)
        if len(taken):
            self.parts.append(taken)
            self.count += len(taken)
        while self.count > ROWS:
            self.stride *= 2
            self.parts = [np.concatenate(self.parts)[::2]]
            self.count = len(self.parts[0])

    @property
    def rows(self) -> Array:
        """What was kept, float64."""
        return np.concatenate(self.parts).astype(np.float64) if self.parts else np.zeros((0, 0))
