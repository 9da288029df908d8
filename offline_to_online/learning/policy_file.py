"""``policy.safetensors``: everything that acting needs, with the observation scaler and the action bounds folded in.

Nothing in the file can run code when it is opened. Its single metadata key ``policy`` is the architecture as JSON.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.nn.functional import silu

from offline_to_online.errors import PolicyError

KIND = "mlp_gaussian"
METADATA_KEY = "policy"
# In place where torch can: at one observation a step the time goes into calls, not into arithmetic.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "silu": lambda x: silu(x, inplace=True),
}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What the weights of a policy file mean.

    Attributes:
        observation: names of the observation dimensions, in order.
        action: names of the action dimensions, in order.
        hidden: ``(units, activation)`` of each hidden layer.
        history: observations that one decision looks at.
        chunk: actions that one decision gives.
    """

    observation: tuple[str, ...]
    action: tuple[str, ...]
    hidden: tuple[tuple[int, str], ...]
    history: int = 1
    chunk: int = 1

    def to_json(self) -> str:
        """One line of JSON, the same for the same architecture."""
        row = {
            "kind": KIND,
            "output": "tanh",
            "observation": self.observation,
            "action": self.action,
            "hidden": [{"units": units, "activation": activation} for units, activation in self.hidden],
            "history": self.history,
            "chunk": self.chunk,
        }
        return json.dumps(row, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, where: str) -> Architecture:
        """The inverse of ``to_json``.

        Raises:
            PolicyError: a field is missing or of the wrong type, or the kind is unknown.
        """
        try:
            row = json.loads(text)
            kind, output = row["kind"], row["output"]
            hidden = tuple((int(layer["units"]), str(layer["activation"])) for layer in row["hidden"])
            names = (tuple(map(str, row["observation"])), tuple(map(str, row["action"])))
            history, chunk = int(row["history"]), int(row["chunk"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _broken(f"the architecture cannot be read: {error!r}", where) from error
        known = kind == KIND and output == "tanh" and (history, chunk) == (1, 1)
        if not known or any(activation not in ACTIVATIONS for _, activation in hidden):
            raise PolicyError(
                f"architecture {kind!r} with history {history}, chunk {chunk}, layers {hidden}",
                where=where,
                limit=f"kind {KIND}, tanh output, history 1, chunk 1, activations {', '.join(ACTIVATIONS)}",
                remedy="load it with the version that wrote it",
            )
        return cls(observation=names[0], action=names[1], hidden=hidden, history=history, chunk=chunk)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor of the file."""
        observation, action = len(self.observation), len(self.action)
        units = (observation, *(size for size, _ in self.hidden), action)
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (inputs, outputs) in enumerate(itertools.pairwise(units)):
            shapes[f"layer.{i}.weight"] = (outputs, inputs)
            shapes[f"layer.{i}.bias"] = (outputs,)
        shapes |= {f"observation.{name}": (observation,) for name in ("mean", "std")}
        return shapes | {f"action.{name}": (action,) for name in ("low", "high", "std")}


def policy_bytes(architecture: Architecture, tensors: Mapping[str, Tensor]) -> bytes:
    """The content of a policy file; the same tensors give the same bytes, wherever it will lie.

    Args:
        architecture: what the tensors are.
        tensors: float32, named and shaped as ``architecture.shapes()`` says.

    Raises:
        PolicyError: a tensor is missing, misshapen or not finite.
    """
    _check_tensors(architecture, tensors, where="the policy to export")
    content = {name: tensor.detach().contiguous() for name, tensor in sorted(tensors.items())}
    # One key only: safetensors writes several in an order that differs from run to run.
    return safetensors.torch.save(content, {METADATA_KEY: architecture.to_json()})


def read_policy(content: bytes, *, where: str) -> tuple[Architecture, dict[str, Tensor]]:
    """What ``policy_bytes`` wrote.

    Raises:
        PolicyError: not a safetensors file (a pickle, say), no architecture in it, or weights that do not fit it.
    """
    try:
        tensors = safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        limit = "weights are read from safetensors only, never from a pickle"
        raise _broken(f"this is no safetensors file: {error}", where, limit) from error
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = header.get("__metadata__", {}).get(METADATA_KEY)
    if text is None:
        raise _broken("the file holds weights without an architecture", where, f"metadata key {METADATA_KEY!r}")
    architecture = Architecture.from_json(text, where=where)
    _check_tensors(architecture, tensors, where=where)
    return architecture, tensors


def adopted(path: Path, architecture: Architecture) -> dict[str, Tensor]:
    """The tensors of a policy file that a learner starts from.

    Raises:
        PolicyError: no such file, a broken one, or a policy of another architecture than the learner's.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise PolicyError(f"cannot read the policy: {error.strerror}", where=str(path), remedy="train it") from error
    found, tensors = read_policy(content, where=str(path))
    if found != architecture:
        raise PolicyError(
            f"a policy of layers {[units for units, _ in found.hidden]} over {len(found.observation)} observations",
            where=str(path),
            limit=f"the learner's own: {[units for units, _ in architecture.hidden]} over "
            f"{len(architecture.observation)}, the same names and activations",
            remedy="train both with the same hidden_units, for the same robot",
        )
    return tensors


def _broken(what: str, where: str, limit: str = "") -> PolicyError:
    return PolicyError(what, where=where, limit=limit, remedy="export the policy again")


def _check_tensors(architecture: Architecture, tensors: Mapping[str, Tensor], *, where: str) -> None:
    shapes = architecture.shapes()
    odd = sorted(set(shapes) ^ set(tensors))
    if odd:
        raise _broken(f"missing or unknown tensor {', '.join(odd)}", where)
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
            raise _broken(f"{name} is {tuple(tensor.shape)} {tensor.dtype}", where, f"{shape} torch.float32")
        if not bool(torch.isfinite(tensor).all()):
            raise _broken(f"{name} holds NaN or infinity", where, "finite numbers")
    sound = {
        "an observation.std that is not above 0": tensors["observation.std"] > 0,
        "an action.low that is not below action.high": tensors["action.low"] < tensors["action.high"],
        "a negative action.std": tensors["action.std"] >= 0,
    }
    for what, holds in sound.items():
        if not bool(holds.all()):
            raise _broken(what, where)
