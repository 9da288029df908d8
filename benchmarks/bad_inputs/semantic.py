"""Changes of what a log means: every array keeps its shape and type, and is no longer true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.bad_inputs.case import rng_of
from benchmarks.bad_inputs.logs import Log, Recording
from offline_to_online.dataset.spec import Array

Change = Callable[[Log], Log]
SOME = (3, 9, 15, 21)
"""Numbers of the episodes that a fault of some episodes is in; mostly it is the first that must be named."""


def observed(change: Callable[[Array], Array], only: tuple[int, ...] = ()) -> Change:
    """Observations (T+1, O) are others; the change is given a copy."""
    return lambda log: log.map(lambda r: replace(r, observations=change(r.observations.copy())), only)


def acted(change: Callable[[Array], Array], only: tuple[int, ...] = ()) -> Change:
    """Actions (T, A) are others; the change is given a copy."""
    return lambda log: log.map(lambda r: replace(r, actions=change(r.actions.copy())), only)


def rewarded(change: Callable[[Array], Array], only: tuple[int, ...] = ()) -> Change:
    """Rewards (T,) are others; the change is given a copy."""
    return lambda log: log.map(lambda r: replace(r, rewards=change(r.rewards.copy())), only)


def timed(change: Callable[[Array], Array], only: tuple[int, ...] = ()) -> Change:
    """Times (T+1,) are others; the change is given a copy."""
    return lambda log: log.map(lambda r: replace(r, times=change(r.times.copy())), only)


def scaled(dimensions: slice | list[int], factor: float, offset: float = 0.0) -> Callable[[Array], Array]:
    """Some dimensions in another unit."""

    def change(values: Array) -> Array:
        values[:, dimensions] = values[:, dimensions] * factor + offset
        return values

    return change


def set_to(dimensions: list[int], value: float, start: int = 0) -> Callable[[Array], Array]:
    """Some dimensions stand at one value, from a step on."""

    def change(values: Array) -> Array:
        values[start:, dimensions] = value
        return values

    return change


def held(start: int, rows: int, dimensions: slice | list[int] = slice(None)) -> Callable[[Array], Array]:
    """From a step on, its row is logged again and again."""

    def change(values: Array) -> Array:
        values[start : start + rows, dimensions] = values[start, dimensions]
        return values

    return change


def swapped(one: int, other: int) -> Callable[[Array], Array]:
    """Two dimensions in each other's place."""

    def change(values: Array) -> Array:
        values[:, [one, other]] = values[:, [other, one]]
        return values

    return change


def later(steps: int) -> Callable[[Array], Array]:
    """Every row is logged some steps later than it was, or earlier where negative; the edge is repeated."""

    def change(values: Array) -> Array:
        moved = np.clip(np.arange(len(values)) - steps, 0, len(values) - 1)
        return np.asarray(values[moved])

    return change


def moved(dimensions: list[int], by: float, start: int, stop: int | None = None) -> Callable[[Array], Array]:
    """From one step to another, some dimensions are elsewhere."""

    def change(values: Array) -> Array:
        values[start:stop, dimensions] += by
        return values

    return change


def every_second_elsewhere(dimensions: list[int], by: float) -> Callable[[Array], Array]:
    """Two sources that disagree, in turns."""

    def change(values: Array) -> Array:
        values[::2, dimensions] += by
        return values

    return change


def stale(share: float) -> Change:
    """In every episode, this share of its observations is the one before once more."""

    def of_one(recording: Recording) -> Recording:
        rng = rng_of(f"stale {recording.seed}")
        seen = recording.observations.copy()
        for step in np.flatnonzero(rng.random(len(seen) - 1) < share) + 1:
            seen[step] = seen[step - 1]
        return replace(recording, observations=seen)

    return lambda log: log.map(of_one)


def ended(*, terminal: bool, only: tuple[int, ...] = ()) -> Change:
    """Every end (or those of some episodes) is flagged as the task's own, or as a cut."""

    def of_one(recording: Recording) -> Recording:
        last = np.arange(len(recording)) == len(recording) - 1
        return replace(recording, terminals=last & terminal, timeouts=last & (not terminal))

    return lambda log: log.map(of_one, only)


def terminal_at(step: int, only: tuple[int, ...]) -> Change:
    """A terminal before the last step."""

    def of_one(recording: Recording) -> Recording:
        terminals = recording.terminals.copy()
        terminals[step] = True
        return replace(recording, terminals=terminals)

    return lambda log: log.map(of_one, only)


def split_at(step: int, number: int) -> Change:
    """One episode is two, the second going on where the first was cut."""

    def change(log: Log) -> Log:
        whole = log.recordings[number]
        parts = (whole.steps(0, step), replace(whole.steps(step, len(whole)), timeouts=whole.timeouts[step:]))
        return replace(log, recordings=(*log.recordings[:number], *parts, *log.recordings[number + 1 :]))

    return change


def merged(number: int) -> Change:
    """One episode and the one after it are one: nothing says where the first ended."""

    def change(log: Log) -> Log:
        one, two = log.recordings[number : number + 2]

        def both(name: str, *, forget: bool = False) -> Array:
            before = getattr(one, name)
            return np.concatenate([np.zeros_like(before) if forget else before, getattr(two, name)])

        joined = replace(
            one,
            observations=np.concatenate([one.observations[:-1], two.observations]),
            times=np.concatenate([one.times[:-1], one.times[-1] + two.times]),
            actions=both("actions"),
            rewards=both("rewards"),
            terminals=both("terminals", forget=True),
            timeouts=both("timeouts", forget=True),
            successes=both("successes", forget=True),
        )
        return replace(log, recordings=(*log.recordings[:number], joined, *log.recordings[number + 2 :]))

    return change


def with_copy(number: int, change: Callable[[Recording], Recording] = lambda r: r) -> Change:
    """One more episode at the end: an earlier one again, perhaps not quite."""

    def of_log(log: Log) -> Log:
        return replace(log, recordings=(*log.recordings, change(log.recordings[number])))

    return of_log


def trembling(size: float) -> Callable[[Recording], Recording]:
    """A recording with a little noise on everything."""

    def change(recording: Recording) -> Recording:
        rng = rng_of("trembling")
        seen, done = (
            (values + rng.normal(0, size, values.shape)).astype(np.float32)
            for values in (recording.observations, recording.actions)
        )
        return replace(recording, observations=seen, actions=done, seed=recording.seed + 1)

    return change


def trimmed(start: int) -> Callable[[Recording], Recording]:
    """A recording without its first steps."""
    return lambda recording: replace(
        recording.steps(start, len(recording)),
        terminals=recording.terminals[start:],
        timeouts=recording.timeouts[start:],
    )


def told_success(value: bool | None, only: tuple[int, ...] = ()) -> Change:
    """The success flag of some episodes is set or cleared; None turns it over."""

    def of_one(recording: Recording) -> Recording:
        last = np.arange(len(recording)) == len(recording) - 1
        success = not recording.successes[-1] if value is None else value
        return replace(recording, successes=last & success)

    return lambda log: log.map(of_one, only)


def by(operator: str, only: tuple[int, ...] = ()) -> Change:
    """Somebody else acted."""
    return lambda log: log.map(lambda r: replace(r, operator=operator), only)


def first(count: int) -> Callable[[Recording], Recording]:
    """The first steps alone."""
    return lambda recording: recording.steps(0, count)
