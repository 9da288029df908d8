"""The networks: an ensemble of critics as batched matrices, and an actor that a policy file can hold."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear


class CriticEnsemble(nn.Module):
    """E critics Q(s, a) with layer normalisation (Ball et al. 2023: it keeps a critic from extrapolating), at once.

    Args:
        members: E.
        inputs: O + A.
        hidden: units of each hidden layer (ReLU).
        generator: draws the first weights.
    """

    def __init__(self, members: int, inputs: int, hidden: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        sizes = list(itertools.pairwise((inputs, *hidden, 1)))
        self.weights = nn.ParameterList([_uniform((members, i, o), i, generator) for i, o in sizes])
        self.biases = nn.ParameterList([torch.zeros(members, 1, o) for _, o in sizes])
        self.gains = nn.ParameterList([torch.ones(members, 1, o) for o in hidden])
        self.shifts = nn.ParameterList([torch.zeros(members, 1, o) for o in hidden])

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Values (E, N) of normalised observations (N, O) with squashed actions (N, A)."""
        x = torch.cat([observations, actions], dim=1).expand(len(self.weights[0]), -1, -1)
        layers = list(zip(self.weights, self.biases, strict=True))
        for (weight, bias), gain, shift in zip(layers, self.gains, self.shifts, strict=False):
            x = layer_norm(torch.baddbmm(bias, x, weight), bias.shape[-1:])
            x = torch.relu(torch.addcmul(shift, x, gain))
        weight, bias = layers[-1]
        return torch.baddbmm(bias, x, weight)[:, :, 0]


class Actor(nn.Module):
    """A deterministic policy: a multilayer perceptron (ReLU) whose output is squashed by tanh.

    Args:
        inputs: O.
        hidden: units of each hidden layer.
        outputs: A.
        generator: draws the first weights.
    """

    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        sizes = list(itertools.pairwise((inputs, *hidden, outputs)))
        self.weights = nn.ParameterList([_uniform((o, i), i, generator) for i, o in sizes])
        self.biases = nn.ParameterList([torch.zeros(o) for _, o in sizes])

    def forward(self, observations: Tensor) -> Tensor:
        """Squashed actions (N, A), in [-1, 1], for normalised observations (N, O)."""
        x, last = observations, len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = linear(x, weight, bias)
            x = torch.tanh(x) if i == last else torch.relu(x)
        return x


def _uniform(shape: tuple[int, ...], inputs: int, generator: torch.Generator) -> Tensor:
    """Uniform weights that keep the size of what passes through, as torch's own linear layers draw them."""
    return (2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(inputs)
