"""Adam over one contiguous vector, which refuses a broken gradient before its step and can take a step back.

One vector makes the step, the check and the undoing one call each instead of one per layer.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from offline_to_online.errors import TrainingError

# Adam squares the gradient in float32; beyond this its second moment would overflow and never recover.
LARGEST_GRADIENT = 1e15


def one_vector(parameters: Sequence[nn.Parameter]) -> Tensor:
    """All parameters one after another (P,), of which they are views from now on."""
    vector = torch.cat([p.detach().reshape(-1) for p in parameters])
    for parameter, view in zip(parameters, views(vector, parameters), strict=True):
        parameter.data = view
    return vector


def views(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Parts of a vector in the shapes of tensors, one after another."""
    ends = list(itertools.accumulate(each.numel() for each in like))
    return [vector[end - each.numel() : end].view_as(each) for end, each in zip(ends, like, strict=True)]


class FlatAdam:
    """Adam over one vector that a network's parameters are views of.

    Args:
        modules: networks whose parameters it owns from now on.
        learning_rate: of Adam (Kingma and Ba, 2015), betas 0.9 and 0.999.

    Attributes:
        vector: all parameters (P,).
        learning_rate: as it is configured.
        rate: as it is scaled now.
    """

    def __init__(self, modules: Iterable[nn.Module], learning_rate: float) -> None:
        parameters = list(dict.fromkeys(p for module in modules for p in module.parameters()))
        self.vector = nn.Parameter(one_vector(parameters))
        self.vector.grad = self._gradient = torch.zeros_like(self.vector)
        self.learning_rate = self.rate = learning_rate
        self.optim = torch.optim.Adam([self.vector], lr=learning_rate, fused=True, capturable=self.vector.is_cuda)
        self._moments: dict[str, Tensor] = {
            "step": torch.tensor(0.0, device=self.vector.device),
            "exp_avg": torch.zeros_like(self.vector),
            "exp_avg_sq": torch.zeros_like(self.vector),
        }
        self.optim.state[self.vector] = self._moments
        self._before: dict[str, Tensor] | None = None
        for parameter, gradient in zip(parameters, views(self._gradient, parameters), strict=True):
            parameter.grad = gradient
        if self.vector.is_cuda:  # a rate that a captured step reads anew at each replay
            self.optim.param_groups[0]["lr"] = torch.tensor(learning_rate, device=self.vector.device)

    def zero_grad(self) -> None:
        """Forget the gradient, keeping its memory."""
        self._gradient.zero_()

    def step(self) -> None:
        """Move the parameters, unless the gradient is not finite.

        Raises:
            TrainingError: NaN, infinity or a magnitude that Adam could not hold; nothing was moved.
        """
        # A dot product is the one reduction that torch leaves to BLAS: a tenth of the time of the others.
        norm = math.sqrt(float(torch.dot(self._gradient, self._gradient)))
        if not norm < LARGEST_GRADIENT:
            raise TrainingError(
                f"a gradient of norm {norm:g}",
                limit=f"below {LARGEST_GRADIENT:g}; the update was not applied",
                remedy="check rewards and observations for outliers, or lower the learning rate",
            )
        if self._before is not None:
            for name, tensor in self.tensors().items():
                self._before[name].copy_(tensor)
        self.optim.step()

    def squared_norm(self) -> Tensor:
        """Of the gradient, a scalar."""
        return torch.dot(self._gradient, self._gradient)

    def step_where(self, sound: Tensor) -> None:
        """Move the parameters if a scalar is true, which is decided on the device: nobody waits for the answer."""
        self.optim.found_inf = (~sound).float()  # type: ignore[attr-defined]
        self.optim.step()
        self.optim.found_inf = None  # type: ignore[attr-defined]

    def forget(self) -> None:
        """Forget the moments, as if no step had been taken; parameters and rate stay."""
        for tensor in self._moments.values():
            tensor.zero_()

    def make_undoable(self) -> None:
        """Keep a copy before every step from now on, for an update whose later half may still be refused."""
        self._before = {name: tensor.clone() for name, tensor in self.tensors().items()}

    def undo_after(self, steps: float) -> None:
        """Take back the step taken since the optimiser had done ``steps``, if there was one."""
        if self._before is not None and float(self._moments["step"]) > steps:
            for name, tensor in self.tensors().items():
                tensor.copy_(self._before[name])

    def tensors(self) -> dict[str, Tensor]:
        """All that a step moves, itself."""
        return {"vector": self.vector.data, **self._moments}

    @property
    def steps(self) -> float:
        """Steps done."""
        return float(self._moments["step"])

    def scale(self, factor: float) -> None:
        """Set the learning rate to a multiple of the configured one."""
        self._set_rate(self.learning_rate * factor)

    def state(self) -> dict[str, Tensor]:
        """Moments and the current rate; the parameters are saved by their own names."""
        rate = torch.tensor(self.rate, dtype=torch.float64)
        return {name: tensor.clone() for name, tensor in self._moments.items()} | {"learning_rate": rate}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of ``state``."""
        for name, tensor in self._moments.items():
            tensor.copy_(state[name])
        self._set_rate(float(state["learning_rate"]))

    def _set_rate(self, rate: float) -> None:
        self.rate = rate
        if self.vector.is_cuda:
            self.optim.param_groups[0]["lr"].fill_(rate)
        else:
            self.optim.param_groups[0]["lr"] = rate
