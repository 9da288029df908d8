"""What a CUDA graph is to a learner, on a CPU: operations written down once and done again in the same memory.

A tape knows of Python what a graph knows: nothing. A number that the host read, a tensor that was made from numbers of
the host, or one that was put in another's place is as it was when the tape was recorded, or is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

# What would make the host wait, and what would bring numbers from it.
WAITING = {"_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal", "masked_select", "unique"}
FROM_HOST = {"lift_fresh", "lift_fresh_copy", "set_"}
Operation = tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]


class Tape:
    """As ``captured.Graph``; recording leaves everything as it was."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator, self._operations = generator, list[Operation]()
        self.recorded, self.replayed = 0, 0

    def record(self, work: Callable[[], Tensor]) -> Tensor:
        """Write down what the work does, and undo it."""
        drawn, recorder = self._generator.get_state(), _Recorder(self._operations)
        try:
            with recorder:
                found = work()
        finally:
            self._generator.set_state(drawn)
            for tensor, before in recorder.moved.values():
                tensor.copy_(before)
        self.recorded = len(self._operations)
        return found

    @torch.no_grad()
    def replay(self) -> None:
        """Do what was written down, into the tensors that it gave then."""
        for operation, arguments, more, gave in self._operations:
            given = _tensors(operation(*arguments, **more))
            for there, new in zip(gave, given, strict=True):
                if there.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                    there.copy_(new)
        self.replayed += 1


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes operations down while they are done.

    Attributes:
        moved: the tensors that were there before and were written to, with what they held.
    """

    def __init__(self, operations: list[Operation]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operations, self._made = operations, set[int]()
        self.moved: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        more = kwargs or {}
        if name in WAITING | FROM_HOST or (name == "_to_copy" and more.get("device") is not None):
            raise RuntimeError(f"{name} while recording")
        for tensor in _written(func, args, more):
            place = tensor.untyped_storage().data_ptr()
            if place not in self._made and place not in self.moved:
                whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
                self.moved[place] = (whole, whole.clone())
        found = func(*args, **more)
        gave = _tensors(found)
        known = {each.untyped_storage().data_ptr() for each in _tensors((args, more))}
        self._made |= {each.untyped_storage().data_ptr() for each in gave} - known
        self._operations.append((func, args, more, gave))
        return found


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor)]


def _written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """The tensors among the arguments that an operation writes to."""
    named = zip(func._schema.arguments, args, strict=False)
    given = [(argument, value) for argument, value in named] + [
        (argument, kwargs[argument.name]) for argument in func._schema.arguments if argument.name in kwargs
    ]
    return [
        tensor
        for argument, value in given
        if argument.alias_info is not None and argument.alias_info.is_write
        for tensor in _tensors(value)
    ]
