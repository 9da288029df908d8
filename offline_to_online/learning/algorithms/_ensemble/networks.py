"""The networks, for several runs at once: R ensembles of critics and R actors as batched matrices.

A run is a seed or a setting of its own. Nothing of one run enters another, so that R of them trained in one batch are
what each would be alone, up to rounding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm


class CriticEnsemble(nn.Module):
    """E critics Q(s, a) a run, with layer normalisation (Ball et al. 2023: it keeps a critic from extrapolating).

    Args:
        members: E.
        inputs: O + A.
        hidden: units of each hidden layer (ReLU).
        generators: of each run, that draw its first weights.
    """

    def __init__(
        self, members: int, inputs: int, hidden: tuple[int, ...], generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.runs, self.members = len(generators), members
        sizes, all_of_them = list(itertools.pairwise((inputs, *hidden, 1))), self.runs * members
        self.weights = nn.ParameterList([_uniform((members, i, o), i, generators) for i, o in sizes])
        self.biases = nn.ParameterList([torch.zeros(all_of_them, 1, o) for _, o in sizes])
        self.gains = nn.ParameterList([torch.ones(all_of_them, 1, o) for o in hidden])
        self.shifts = nn.ParameterList([torch.zeros(all_of_them, 1, o) for o in hidden])

    def forward(
        self, observations: Tensor, actions: Tensor, *, frozen: bool = False, members: Sequence[int] = ()
    ) -> Tensor:
        """Values (R, E, N) of normalised observations (R, N, O) with squashed actions (R, N, A).

        Args:
            observations: of each run.
            actions: of each run.
            frozen: without gradients of the weights, which a step of the actor does not need.
            members: only these of the E critics; none names all.
        """
        weights, biases, gains, shifts = (
            [self._chosen(each, frozen, members) for each in layers]
            for layers in (self.weights, self.biases, self.gains, self.shifts)
        )
        count, (runs, rows, _) = len(members) or self.members, observations.shape
        x = torch.cat([observations, actions], dim=-1).unsqueeze(1).expand(-1, count, -1, -1)
        x = x.reshape(runs * count, rows, -1)
        for weight, bias, gain, shift in zip(weights, biases, gains, shifts, strict=False):
            x = layer_norm(torch.baddbmm(bias, x, weight), bias.shape[-1:])
            x = torch.relu_(torch.addcmul(shift, x, gain))
        # One output a critic: a sum of products takes a third of the time of a matrix product so thin.
        values = (x * weights[-1].mT).sum(dim=-1) + biases[-1][:, :, 0]
        return values.view(runs, count, rows)

    def _chosen(self, layer: Tensor, frozen: bool, members: Sequence[int]) -> Tensor:
        layer = layer.detach() if frozen else layer
        if not members or len(members) == self.members:
            return layer
        every = layer.view(self.runs, self.members, *layer.shape[1:])
        # One by one: a list would be an index tensor, made on the host, which no CUDA graph can record.
        return torch.stack([every[:, member] for member in members], dim=1).flatten(0, 1)


class Actor(nn.Module):
    """A deterministic policy a run: a multilayer perceptron (ReLU) whose output is squashed by tanh.

    Args:
        inputs: O.
        hidden: units of each hidden layer.
        outputs: A.
        generators: of each run, that draw its first weights.
    """

    def __init__(
        self, inputs: int, hidden: tuple[int, ...], outputs: int, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        sizes = list(itertools.pairwise((inputs, *hidden, outputs)))
        self.weights = nn.ParameterList([_uniform((1, i, o), i, generators) for i, o in sizes])
        self.biases = nn.ParameterList([torch.zeros(len(generators), 1, o) for _, o in sizes])

    def forward(self, observations: Tensor) -> Tensor:
        """Squashed actions (R, N, A), in [-1, 1], for normalised observations (R, N, O)."""
        x, last = observations, len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            x = torch.tanh(x) if i == last else torch.relu_(x)
        return x


def _uniform(shape: tuple[int, ...], inputs: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Uniform weights that keep the size of what passes through, as torch's own linear layers draw them."""
    drawn = [2 * torch.rand(shape, generator=generator) - 1 for generator in generators]
    return torch.cat(drawn) / math.sqrt(inputs)
