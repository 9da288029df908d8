"""What d3rlpy takes for its optimisers' factory, and gets our Adam from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import nn

from offline_to_online.learning.flat_adam import FlatAdam


@dataclass
class FlatAdamFactory:
    """Gives d3rlpy its optimisers, and remembers which it gave."""

    made: list[FlatAdam] = field(default_factory=list)

    def create(self, named_modules: Iterable[tuple[str, nn.Module]], lr: float, compiled: bool) -> FlatAdam:
        """Called by d3rlpy with the networks that one optimiser trains."""
        del compiled  # compilation is for CUDA graphs, which d3rlpy alone would use
        adam = FlatAdam([module for _, module in named_modules], lr)
        self.made.append(adam)
        return adam
