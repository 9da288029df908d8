"""Many updates in one CUDA graph: what a learner does on the device is recorded once and replayed.

A small network's update is hundreds of kernels of microseconds each, and asking for them takes the host longer than
doing them takes a GPU. A recorded graph is asked for once. It holds the drawing of batches and the updates, so that
nothing comes back to the host but the losses, once a replay; the generator that draws is registered with the graph, so
that each replay draws anew, the same numbers as updates one at a time would.

What a graph cannot decide is decided before: it is recorded for as many updates as a learner's turns repeat in, and
replayed while the learner is ``steady``. An update that is not sound is found after its replay. Then the replay is
taken back and its updates are done one at a time, which stops where it must and says why.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Protocol, TypeGuard, runtime_checkable

import torch
from torch import Tensor

from offline_to_online.learning.learner import Learner
from offline_to_online.learning.replay import Batch, Sampler

UPDATES_A_GRAPH = 60
LARGEST_GRAPH = 600
# Recording takes as long as a few rounds of the same updates one at a time.
WORTHWHILE = 5
SOUND = "sound"
FAILED = set[type]()
"""Kinds of learners that could not be recorded in this process: a failed recording keeps the memory that it took."""


@runtime_checkable
class Capturable(Learner, Protocol):
    """A learner whose update is a ``step`` on the device, which waits for nothing.

    Attributes:
        device: that it learns on.
        turns: updates after which what a step decides on the host repeats.
        updates: done so far, as the host counts them: what its decisions rest on.
    """

    device: torch.device
    turns: int
    updates: int

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One update: losses by name, and ``sound``, scalars; what is not sound moves nothing.

        It allocates nothing that lasts, moves tensors in place, and makes none from numbers of the host.
        """

    def steady(self) -> int:
        """For how many updates from here what is decided on the host only repeats."""

    def moving(self) -> list[Tensor]:
        """Every tensor that a step moves, itself."""


class Graph(Protocol):
    """Work that is recorded once and replayed."""

    def record(self, work: Callable[[], Tensor]) -> Tensor:
        """Record the work without doing it; what it gave, in memory that each replay writes anew."""

    def replay(self) -> None:
        """Do the work."""


class CudaGraph:
    """A CUDA graph; random numbers are drawn by one generator, which goes on from replay to replay.

    Args:
        generator: on the GPU.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(generator)

    def record(self, work: Callable[[], Tensor]) -> Tensor:
        """As ``Graph.record``."""
        before = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(self._graph):
                return work()
        finally:
            # A recording that fails leaves its own stream in place.
            torch.cuda.set_stream(before)

    def replay(self) -> None:
        """As ``Graph.replay``."""
        self._graph.replay()


def is_capturable(learner: Learner) -> TypeGuard[Capturable]:
    """Whether updates of a learner can be recorded, and lie where that helps: on the GPU that is the current one."""
    if not isinstance(learner, Capturable) or type(learner) in FAILED or learner.turns > LARGEST_GRAPH:
        return False
    return learner.device.type == "cuda" and learner.device.index in (None, torch.cuda.current_device())


def captured_updates(
    learner: Capturable,
    sampler: Sampler,
    *,
    updates: int,
    batch_size: int,
    generator: torch.Generator,
    graph: Callable[[torch.Generator], Graph] = CudaGraph,
) -> Iterator[dict[str, float]]:
    """Update a learner, by replays of a graph where there are enough alike updates; the losses of each.

    Args:
        learner: updated in place, with the same outcome as by ``update``.
        sampler: the steps to learn from; they stay as they are meanwhile.
        updates: gradient steps.
        batch_size: transitions of one.
        generator: draws the batches, on the learner's device.
        graph: what records, of the generator.

    Raises:
        TrainingError: an update was not sound; the learner is as it was before it.
    """
    one_at_a_time = _OneAtATime(learner, sampler, batch_size, generator)
    size = learner.turns * max(1, UPDATES_A_GRAPH // learner.turns)
    while updates > 0:
        alike = min(updates, learner.steady())
        if alike < WORTHWHILE * size:
            yield from one_at_a_time(alike)
        else:
            alike -= alike % size
            # The first round is done one at a time: what is made once, on first use, must not be recorded.
            yield from one_at_a_time(size)
            yield from _replayed(one_at_a_time, size, alike // size - 1, graph(generator))
        updates -= alike


class _OneAtATime:
    """Updates as any learner does them."""

    def __init__(self, learner: Capturable, sampler: Sampler, batch_size: int, generator: torch.Generator) -> None:
        self.learner, self.generator = learner, generator
        self._sampler, self._batch_size = sampler, batch_size

    def __call__(self, updates: int) -> Iterator[dict[str, float]]:
        for _ in range(updates):
            yield self.learner.update(self._sampler.sample(self._batch_size, self.generator))

    def step(self) -> dict[str, Tensor]:
        """One on the device."""
        return self.learner.step(self._sampler.sample(self._batch_size, self.generator))


def _replayed(one_at_a_time: _OneAtATime, size: int, rounds: int, graph: Graph) -> Iterator[dict[str, float]]:
    """The losses of so many rounds of ``size`` updates each."""
    learner, generator, done = one_at_a_time.learner, one_at_a_time.generator, one_at_a_time.learner.updates
    recorded = _recorded(one_at_a_time, size, graph)
    if recorded is None:
        yield from one_at_a_time(size * rounds)
        return
    numbers, names = recorded
    before = [tensor.clone() for tensor in learner.moving()]
    for number in range(rounds):
        learner.updates = done + number * size
        torch._foreach_copy_(before, learner.moving())
        drawn = generator.get_state()
        graph.replay()
        values = iter(numbers.tolist())
        losses = [{name: next(values) for name in one} for one in names]
        if not all(one.pop(SOUND) for one in losses):
            torch._foreach_copy_(learner.moving(), before)
            generator.set_state(drawn)
            yield from one_at_a_time(size)
            continue
        learner.updates += size
        yield from losses


def _recorded(one_at_a_time: _OneAtATime, size: int, graph: Graph) -> tuple[Tensor, list[list[str]]] | None:
    """What each replay writes anew, and the names of it, update by update; None where recording fails, which is said.

    The host's count of updates stays as it is: nothing was done.
    """
    learner, names = one_at_a_time.learner, list[list[str]]()
    done = learner.updates

    def work() -> Tensor:
        told = [one_at_a_time.step() for _ in range(size)]
        names.extend(list(one) for one in told)
        return torch.stack([value for one in told for value in one.values()])

    try:
        return graph.record(work), names
    except RuntimeError as error:
        # It costs time and nothing else; torch says so of an operation that cannot be recorded.
        why = str(error.__context__ or error)
    finally:
        learner.updates = done
    FAILED.add(type(learner))
    warnings.warn(f"updates cannot be captured in a CUDA graph and go one at a time: {why}", stacklevel=3)
    return None
