"""A policy file that is good for nothing, and deterministic."""

from __future__ import annotations

import torch

from offline_to_online.learning.policy_file import Architecture, policy_bytes


def write_policy(path, spec, *, last_weight=1.0):
    """An exported policy for a robot, one hidden layer of 16; with ``last_weight`` 0 it commands the middle."""
    architecture = Architecture(observation=spec.observation.names, action=spec.action.names, hidden=((16, "tanh"),))
    rng = torch.Generator().manual_seed(5)
    tensors = {name: torch.randn(shape, generator=rng) for name, shape in architecture.shapes().items()}
    tensors["layer.1.weight"] *= last_weight
    tensors["layer.1.bias"] *= last_weight
    tensors["observation.std"] = torch.ones(spec.observation.size)
    tensors["action.low"] = torch.from_numpy(spec.action.low)
    tensors["action.high"] = torch.from_numpy(spec.action.high)
    tensors["action.std"] = 0.1 * (tensors["action.high"] - tensors["action.low"])
    path.write_bytes(policy_bytes(architecture, tensors))
    return path
