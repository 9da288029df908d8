"""The policy that acts: an exponential moving average of the weights that the optimiser moves.

Where a policy learns from few episodes its last weights are as good as the last few batches were; their
average (Polyak and Juditsky, 1992) is what we evaluate, explore with and export.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class AveragedPolicy:
    """A copy of a policy network that follows it at a distance.

    Args:
        policy: the network that is trained.
        decay: weight of the past at each update, in [0, 1); 0 keeps no past, and the copy equals the policy.
    """

    def __init__(self, policy: nn.Module, decay: float) -> None:
        self._policy, self._decay = policy, decay
        self.network = copy.deepcopy(policy).requires_grad_(False)

    def follow(self, updates: int) -> None:
        """Move towards the policy, which has had so many updates (1 or more) in its life.

        However large the decay, the average covers no more than about the last tenth of the updates, so that no
        early weight lingers in it: a decay of 0.999 is reached after 9,990 updates.
        """
        share = 1.0 - min(self._decay, updates / (10.0 + updates))
        with torch.no_grad():
            for mine, other in zip(self.network.parameters(), self._policy.parameters(), strict=True):
                mine.lerp_(other, share)

    def tensors(self) -> dict[str, Tensor]:
        """The averaged weights by name; the network's own memory."""
        tensors: dict[str, Tensor] = self.network.state_dict(keep_vars=True)
        return tensors

    def __call__(self, observations: Tensor) -> Any:
        """What the policy's network gives for normalised observations (N, O)."""
        return self.network(observations)
