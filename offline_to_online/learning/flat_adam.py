"""Adam over one contiguous vector, which refuses a broken gradient before its step and can take a step back.

One vector makes the step, the check and the undoing one call each instead of one per layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from offline_to_online.errors import TrainingError

# Adam squares the gradient in float32; beyond this its second moment would overflow and never recover.
LARGEST_GRADIENT = 1e15


class FlatAdam:
    """Adam over one vector that a network's parameters are views of.

    Args:
        modules: networks whose parameters it owns from now on.
        learning_rate: of Adam (Kingma and Ba, 2015), betas 0.9 and 0.999.
    """

    def __init__(self, modules: Iterable[nn.Module], learning_rate: float) -> None:
        parameters = list(dict.fromkeys(p for module in modules for p in module.parameters()))
        self.vector = nn.Parameter(torch.cat([p.detach().reshape(-1) for p in parameters]))
        self.vector.grad = self._gradient = torch.zeros_like(self.vector)
        self.learning_rate = learning_rate
        self.optim = torch.optim.Adam([self.vector], lr=learning_rate, fused=True)
        self._moments: dict[str, Tensor] = {
            "step": torch.tensor(0.0),
            "exp_avg": torch.zeros_like(self.vector),
            "exp_avg_sq": torch.zeros_like(self.vector),
        }
        self.optim.state[self.vector] = self._moments
        self._before: dict[str, Tensor] | None = None
        start = 0
        for parameter in parameters:
            part = slice(start, start + parameter.numel())
            parameter.data = self.vector.data[part].view_as(parameter)
            parameter.grad = self._gradient[part].view_as(parameter)
            start = part.stop

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
            for name, tensor in self._tensors().items():
                self._before[name].copy_(tensor)
        self.optim.step()

    def make_undoable(self) -> None:
        """Keep a copy before every step from now on, for an update whose later half may still be refused."""
        self._before = {name: tensor.clone() for name, tensor in self._tensors().items()}

    def undo_after(self, steps: float) -> None:
        """Take back the step taken since the optimiser had done ``steps``, if there was one."""
        if self._before is not None and float(self._moments["step"]) > steps:
            for name, tensor in self._tensors().items():
                tensor.copy_(self._before[name])

    @property
    def steps(self) -> float:
        """Steps done."""
        return float(self._moments["step"])

    @property
    def rate(self) -> float:
        """The learning rate as it is scaled now."""
        return float(self.optim.param_groups[0]["lr"])

    def scale(self, factor: float) -> None:
        """Set the learning rate to a multiple of the configured one."""
        self.optim.param_groups[0]["lr"] = self.learning_rate * factor

    def state(self) -> dict[str, Tensor]:
        """Moments and the current rate; the parameters are saved by their own names."""
        rate = torch.tensor(self.rate, dtype=torch.float64)
        return {name: tensor.clone() for name, tensor in self._moments.items()} | {"learning_rate": rate}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of ``state``."""
        for name, tensor in self._moments.items():
            tensor.copy_(state[name])
        self.optim.param_groups[0]["lr"] = float(state["learning_rate"])

    def _tensors(self) -> dict[str, Tensor]:
        return {"vector": self.vector.data, **self._moments}
