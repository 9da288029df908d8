"""Batches for several seeds that learn in one batch."""

from __future__ import annotations

import dataclasses

import torch

from offline_to_online.learning.replay import Batch, Sampler


class ForEach:
    """Batches for so many runs, each with transitions of its own."""

    def __init__(self, source: Sampler, runs: int) -> None:
        self._source, self._runs = source, runs

    def __len__(self) -> int:
        return len(self._source)

    def sample(self, size: int, generator: torch.Generator) -> Batch:
        """Stacked (R, N, ...)."""
        flat = self._source.sample(self._runs * size, generator)
        parts = {each.name: getattr(flat, each.name) for each in dataclasses.fields(Batch)}
        return Batch(**{name: part.view(self._runs, size, -1) for name, part in parts.items()})
