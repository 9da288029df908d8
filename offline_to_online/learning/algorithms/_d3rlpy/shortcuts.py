"""What makes d3rlpy's updates faster without changing what they compute, but for rounding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from offline_to_online.learning.algorithms._d3rlpy.parts import Parts


class ComputedOnce:
    """Answers the second of two identical questions to the target critics from the first.

    Args:
        forwarder: d3rlpy's, of the target critics.
    """

    def __init__(self, forwarder: Any) -> None:
        self._forwarder = forwarder
        self._asked: tuple[Any, ...] = ()
        self._answer: Any = None

    def compute_expected_q(self, x: Tensor, action: Tensor, reduction: str = "mean") -> Any:
        """As d3rlpy's forwarder of the target critics."""
        asked = (x, action, reduction)
        # By identity: every update normalises its batch into new tensors, and the targets move only after it.
        if not (self._asked and all(a is b for a, b in zip(asked, self._asked, strict=True))):
            with torch.no_grad():
                self._answer = self._forwarder.compute_expected_q(x, action, reduction)
            self._asked = asked
        return self._answer


def make_fast(impl: Any, parts: Parts) -> None:
    """Put all shortcuts into a built algorithm of d3rlpy.

    Args:
        impl: changed in place.
        parts: what it was built from.
    """
    modules = impl.modules
    _work_in_place(modules.get_torch_modules().values())
    if hasattr(modules, "targ_q_funcs"):
        _follow_in_one_call(impl, parts.settings.tau)
        _freeze_critics_for_the_actor(impl)
    if parts.asks_twice:
        impl._targ_q_func_forwarder = ComputedOnce(impl._targ_q_func_forwarder)


def _work_in_place(networks: Iterable[nn.Module]) -> None:
    """Let activations overwrite what nothing else reads."""
    for network in networks:
        for part in network.modules():
            if isinstance(part, nn.ReLU):
                part.inplace = True


def _follow_in_one_call(impl: Any, tau: float) -> None:
    """Free the targets of gradients, and move all their layers towards the networks' in one call."""
    modules = impl.modules
    impl.update_critic_target = _following(modules.targ_q_funcs, modules.q_funcs, tau)
    if hasattr(modules, "targ_policy"):
        impl.update_actor_target = _following(modules.targ_policy, modules.policy, tau)


def _freeze_critics_for_the_actor(impl: Any) -> None:
    """Spare the gradients of the critics' own weights where only the policy steps; nothing reads them."""
    update, weights = impl.update_actor, list(impl.modules.q_funcs.parameters())

    def update_actor(batch: Any) -> Any:
        for weight in weights:
            weight.requires_grad_(False)
        try:
            return update(batch)
        finally:
            for weight in weights:
                weight.requires_grad_(True)

    impl.update_actor = update_actor


def _following(target: nn.Module, network: nn.Module, tau: float) -> Any:
    target.requires_grad_(False)
    mine, others = tuple[Tensor, ...](target.parameters()), tuple[Tensor, ...](network.parameters())

    def follow() -> None:
        with torch.no_grad():
            torch._foreach_lerp_(mine, others, tau)

    return follow
