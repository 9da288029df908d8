"""The training loop: draw, update, record. The same offline and online."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

import torch

from offline_to_online.errors import ParameterError, TrainingError
from offline_to_online.learning.captured import captured_updates, is_capturable
from offline_to_online.learning.learner import Learner
from offline_to_online.learning.replay import Sampler

DEVICES = ("cpu", "cuda")


def train(
    learner: Learner,
    sampler: Sampler,
    *,
    updates: int,
    batch_size: int,
    generator: torch.Generator,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
    log_every: int = 250,
) -> list[dict[str, float]]:
    """Update a learner on batches from a sampler.

    Args:
        learner: updated in place.
        sampler: the steps to learn from.
        updates: gradient steps, 0 or more.
        batch_size: transitions of one step.
        generator: draws the batches; its state goes on, so that training in two parts equals training in one.
        threads: cores that one update is computed on; another number gives other last digits.
        progress: called with (updates done, updates in all) after each.
        log_every: updates that one row of the curve averages over.

    Returns:
        The curve: a row per ``log_every`` updates and one for the rest, with ``update`` (how many were done
        in this call) and the mean of each loss over those of the row's updates that told it.

    Raises:
        TrainingError: a number is out of range, there is nothing to learn from, or an update turned
            non-finite; that update is not applied.
    """
    _check(sampler, updates=updates, batch_size=batch_size, threads=threads, log_every=log_every)
    with computing_on(threads):
        return _train(learner, sampler, updates, batch_size, generator, progress, log_every)


def require_rewards(reward_source: str, algorithm: ModuleType, *, policy: str) -> None:
    """Refuse offline RL where nobody gave a reward: it would learn from zeros without a word.

    Raises:
        TrainingError: the manifest says ``reward_source: none``, and the algorithm is not cloning.
    """
    if reward_source == "none" and algorithm.NEEDS_SUPPORT:
        raise TrainingError(
            "no reward was logged",
            where=f"policy {policy}",
            limit="offline RL learns from rewards; the manifest says reward_source: none",
            remedy="clone alone (dvc repro audit@bc), or write the robot's plug-in, which gives them",
        )


def require_device(device: str, *, where: str) -> str:
    """The device that learners train on, where it is there.

    Raises:
        ParameterError: neither ``cpu`` nor ``cuda``, or no GPU is found.
    """
    if device not in DEVICES:
        limit = " or ".join(DEVICES)
        raise ParameterError(f"device {device!r}", where=where, limit=limit, remedy="mend params.yaml")
    if device == "cuda" and not torch.cuda.is_available():
        limit = "cuda needs an NVIDIA GPU that torch finds"
        raise ParameterError("no GPU is found", where=where, limit=limit, remedy="set device: cpu in params.yaml")
    return device


@contextmanager
def computing_on(threads: int) -> Iterator[None]:
    """Compute on so many threads, whatever the number of cores: on the same number the sums are the same.

    Networks of this size gain a quarter or more from a second thread on idle cores and lose far more on busy ones.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(
    learner: Learner,
    sampler: Sampler,
    updates: int,
    batch_size: int,
    generator: torch.Generator,
    progress: Callable[[int, int], None] | None,
    log_every: int,
) -> list[dict[str, float]]:
    curve: list[dict[str, float]] = []
    told: dict[str, list[float]] = {}
    for done, losses in enumerate(_updates(learner, sampler, updates, batch_size, generator), start=1):
        for name, loss in losses.items():
            told.setdefault(name, []).append(loss)
        if done % log_every == 0 or done == updates:
            curve.append({"update": done} | {name: sum(losses) / len(losses) for name, losses in told.items()})
            told = {}
        if progress is not None:
            progress(done, updates)
    return curve


def _updates(
    learner: Learner, sampler: Sampler, updates: int, batch_size: int, generator: torch.Generator
) -> Iterator[dict[str, float]]:
    """The losses of each update, as it is done; on a GPU many may be done before the first is told."""
    if is_capturable(learner):
        yield from captured_updates(learner, sampler, updates=updates, batch_size=batch_size, generator=generator)
        return
    for _ in range(updates):
        yield learner.update(sampler.sample(batch_size, generator))


def _check(sampler: Sampler, *, updates: int, **counts: int) -> None:
    for name, value, least in (("updates", updates, 0), *((name, count, 1) for name, count in counts.items())):
        if value < least:
            raise TrainingError(f"{name} is {value}", limit=f"at least {least}", remedy="mend it in params.yaml")
    if updates and not len(sampler):
        raise TrainingError("nothing to learn from", limit="at least 1 transition", remedy="check the train split")
