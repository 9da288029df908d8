"""The random numbers of a learner's updates: its own, whatever anybody else has drawn."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


class Draws:
    """A random state that stands in for the global one while d3rlpy updates, which knows no other.

    On a GPU each update's numbers are seeded from here, so that the state is the same few bytes on every device.

    Args:
        state: of torch's generator on the CPU, uint8; what the drawing of the initial weights left.
        device: that updates run on.
    """

    def __init__(self, state: Tensor, device: torch.device) -> None:
        self.state = state.clone()
        self._cuda = [device.index or 0] if device.type == "cuda" else []

    @contextlib.contextmanager
    def own(self) -> Iterator[None]:
        """Draw from here; an exception leaves the state as it was, and so do the global ones remain."""
        with torch.random.fork_rng(devices=self._cuda):
            torch.set_rng_state(self.state)
            for index in self._cuda:
                torch.cuda.default_generators[index].manual_seed(int(torch.randint(2**62, ())))
            yield
            self.state = torch.get_rng_state()
