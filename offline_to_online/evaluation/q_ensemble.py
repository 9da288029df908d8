"""Many small Q networks that are trained as one batch of matrices.

Each layer is normalised before its ReLU (Ball et al., ICML 2023): without it the networks take actions that nobody
ever logged for better than any that somebody did.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

# How far the slow weights follow at each update: targets move slower than what is regressed on them.
FOLLOW = 0.05


class QEnsemble:
    """E multilayer perceptrons (ReLU) of inputs (I,), each with slow weights that follow its own at a distance.

    Args:
        members: E.
        inputs: I.
        hidden: units of each hidden layer.
        generator: draws the first weights.
    """

    def __init__(self, members: int, inputs: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        sizes = list(itertools.pairwise((inputs, *hidden, 1)))
        weights = [(2 * torch.rand(members, i, o, generator=generator) - 1) / math.sqrt(i) for i, o in sizes]
        self._set([tensor for weight in weights for tensor in (weight, torch.zeros(members, 1, weight.shape[2]))])

    @property
    def members(self) -> int:
        """E."""
        return len(self._fast[0])

    def repeated(self, times: int) -> QEnsemble:
        """A copy with each member ``times`` over: all members first, then all again; optimiser new."""
        copy = object.__new__(QEnsemble)
        copy._set([tensor.detach().repeat(times, 1, 1) for tensor in self._fast])
        return copy

    def descend(self, inputs: Tensor, targets: Tensor, weights: Tensor, learning_rate: float) -> None:
        """One step of Adam on the weighted squared error of each member, in place.

        Args:
            inputs: shape (N, I), shared by the members.
            targets: shape (E, N), or (1, N) where they share them.
            weights: shape (E, N), of each row in each member's error.
            learning_rate: of this step.
        """
        errors = (_values(self._fast, inputs.expand(self.members, -1, -1)) - targets).square()
        for tensor in self._fast:
            tensor.grad = None
        (weights * errors).mean(dim=1).sum().backward()  # type: ignore[no-untyped-call]
        self._adam.param_groups[0]["lr"] = learning_rate
        self._adam.step()
        with torch.no_grad():
            for slow, fast in zip(self._slow, self._fast, strict=True):
                slow.lerp_(fast, FOLLOW)

    @torch.no_grad()
    def slow_values(self, inputs: Tensor) -> Tensor:
        """What the slow weights say, (E, N), of inputs (P, N, I), of which each E / P members in turn share one."""
        return _values(self._slow, inputs.repeat_interleave(self.members // len(inputs), dim=0))

    def _set(self, tensors: list[Tensor]) -> None:
        self._fast = [tensor.requires_grad_() for tensor in tensors]
        self._slow = [tensor.detach().clone() for tensor in tensors]
        self._adam = torch.optim.Adam(self._fast, fused=True)


def _values(layers: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """(E, N) of inputs (E, N, I) through weights and biases in turn."""
    x = inputs
    for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
        x = torch.relu(layer_norm(torch.baddbmm(bias, x, weight), bias.shape[-1:]))
    return torch.baddbmm(layers[-1], x, layers[-2])[:, :, 0]
