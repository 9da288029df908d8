"""What actions are: in units that do not fit the schema, targets instead of rates, a clipped copy of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.checks._sample import EvenSample
from offline_to_online.dataset.checks._steps import named, percent
from offline_to_online.dataset.finding import Finding, Severity
from offline_to_online.dataset.spec import Array

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "action_units": ("warning",),
    "absolute_actions": ("notice",),
    "clipped_copy": ("warning",),
}

DEGREES = 180 / np.pi
BEYOND = 3.0
FILLS = 0.05
NEVER = 0.005
CLOSE, ALONG = 0.5, 0.85
ENOUGH = 50
BYTES = 255


def checks(subject: Subject) -> list[Check]:
    """Units where there are bounds to hold them against; the others always."""
    bounded = subject.action_low is not None and subject.action_high is not None
    return [*([Units(subject)] if bounded else []), Absolute(subject), ClippedCopy(subject)]


@dataclass(frozen=True)
class _Guess:
    """A dimension, its numbers, what they may be, and by which factor."""

    column: int
    said: str
    kind: str
    factor: float


class Units:
    """The range of each dimension against the interval that its schema declares."""

    def __init__(self, subject: Subject) -> None:
        self.names = subject.action
        self.low, self.high = np.asarray(subject.action_low), np.asarray(subject.action_high)
        manifest = subject.manifest
        self.units = [""] * len(self.names) if manifest is None else [d.unit for d in manifest.action.dimensions]
        self.sample = EvenSample()
        self.negative = np.zeros(len(self.names), dtype=np.int64)
        self.steps = 0

    def see(self, seen: Seen) -> None:
        """Keep a sample."""
        actions = seen.episode.actions
        self.steps += len(actions)
        self.negative += (actions < 0).sum(axis=0)
        self.sample.add(actions)

    def findings(self) -> Iterable[Finding]:
        """One a dimension; one for all that look alike."""
        rows = self.sample.rows
        if len(rows) < ENOUGH:
            return
        said: dict[str, list[_Guess]] = {}
        for column in range(rows.shape[1]):
            guess = self._guess(rows[:, column], column)
            if guess is not None:
                said.setdefault(guess.kind, []).append(guess)
        for guesses in said.values():
            yield self._finding(guesses)
        if not said and self._never_negative():
            yield self._half()

    def _guess(self, values: Array, column: int) -> _Guess | None:
        """What a dimension seems to be in, and the numbers that say so."""
        low, high = float(self.low[column]), float(self.high[column])
        if not np.isfinite(high - low) or np.ptp(values) == 0:
            return None
        least, most = np.quantile(values, (0.005, 0.995))
        size, reach = max(abs(least), abs(most)), max(abs(low), abs(high))
        said = f"from {least:.3g} to {most:.3g}, in an interval of [{low:g}, {high:g}]"
        if size > BEYOND * reach:
            return _Guess(column, said, *too_large(size / reach, values, self.units[column]))
        if most - least < FILLS * (high - low):
            filled = f"{said}, of which that is {percent(most - least, high - low)}"
            return _Guess(column, filled, *too_small(size, reach, self.units[column]))
        return None

    def _never_negative(self) -> bool:
        halves = (self.low < 0) & (np.abs(self.low + self.high) < 1e-6 * self.high)
        return bool(halves.all() and (self.negative <= NEVER * self.steps).all())

    def _half(self) -> Finding:
        return Finding(
            check="action_units",
            severity="warning",
            message=f"no action is ever negative, in intervals that reach from {self.low[0]:g} to {self.high[0]:g}: "
            "[0, 1] for [-1, 1]?",
            remedy="if so, 2 a - 1 is the action",
            dimension=named("action", self.names, 0),
            count=len(self.names),
        )

    def _finding(self, guesses: list[_Guess]) -> Finding:
        first = guesses[0]
        factor = f"factor {first.factor:.4g}" if first.factor > 1 else f"factor 1/{1 / max(first.factor, 1e-12):.4g}"
        others = f"; {len(guesses) - 1} other dimension(s) likewise" if len(guesses) > 1 else ""
        return Finding(
            check="action_units",
            severity="warning",
            message=f"{first.said}: {first.kind} ({factor})?{others}",
            remedy="convert the data, or mend the unit and the bounds",
            dimension=named("action", self.names, first.column),
            count=len(guesses),
        )


def too_large(factor: float, values: Array, unit: str) -> tuple[str, float]:
    """What numbers may be that are ``factor`` times what their interval allows, and by how much they must shrink."""
    if unit.startswith("rad") or (not unit.startswith("m") and values.min() < 0 and factor <= 1.2 * DEGREES):
        return "degrees for radians", DEGREES
    if unit.startswith("m"):
        return ("millimetres for metres", 1000.0) if factor > 30 else ("centimetres for metres", 100.0)
    if values.min() >= 0 and values.max() <= BYTES and bool((values == np.round(values)).all()):
        return "8-bit counts", BYTES / 2
    return ("pixels or raw counts" if values.min() >= 0 else "another unit"), factor


def too_small(size: float, reach: float, unit: str) -> tuple[str, float]:
    """What numbers may be that fill little of their interval, and by how much they must shrink (less than 1)."""
    if unit.startswith("deg"):
        return "radians for degrees", 1 / DEGREES
    if size <= 1.0 and reach >= 10:
        return "[-1, 1] for raw units", 1 / reach
    return "another unit, or bounds far too wide", size / reach


class Absolute:
    """Actions that follow an observation in level and range are targets, not rates."""

    def __init__(self, subject: Subject) -> None:
        self.action, self.observation = subject.action, subject.observation
        self.sample = EvenSample()

    def see(self, seen: Seen) -> None:
        """Keep a sample of actions beside what was observed before them."""
        self.sample.add(seen.episode.actions, seen.episode.observations[:-1])

    def findings(self) -> Iterable[Finding]:
        """One for all dimensions."""
        rows = self.sample.rows
        if len(rows) < ENOUGH:
            return
        followed = list(self._followed(rows))
        if followed:
            pairs = [f"{self.action[i]} follows {self.observation[j]}" for i, j in followed]
            more = f" and {len(pairs) - 4} more" if len(pairs) > 4 else ""
            yield Finding(
                check="absolute_actions",
                severity="notice",
                message=f"{', '.join(pairs[:4])}{more} in level and range: absolute targets",
                remedy="say so in the unit; a policy that outputs differences would need them converted",
                dimension=named("action", self.action, followed[0][0]),
                count=len(followed),
            )

    def _followed(self, rows: Array) -> Iterator[tuple[int, int]]:
        actions, observed = rows[:, : len(self.action)], rows[:, len(self.action) :]
        spread = observed.std(axis=0)
        moving = np.flatnonzero(spread > 1e-9 * np.abs(observed).max(axis=0, initial=0.0))
        for i in range(actions.shape[1]):
            column = actions[:, i]
            if not len(moving) or column.std() == 0:
                continue
            apart = np.sqrt(((observed[:, moving] - column[:, None]) ** 2).mean(axis=0)) / spread[moving]
            j = int(moving[apart.argmin()])
            if apart.min() < CLOSE and np.corrcoef(column, observed[:, j])[0, 1] > ALONG:
                yield i, j


@dataclass
class _Copy:
    """How an array of the actions' shape differs from them: where it is larger, and where smaller."""

    differing: int = 0
    entries: int = 0
    farthest: float = 0.0
    place: tuple[int, int, int] = (0, 0, 0)
    capped: bool = True


class ClippedCopy:
    """Whether the actions are another logged array, clipped: what was really asked for is then there to be used."""

    def __init__(self, subject: Subject) -> None:
        self.names = subject.action
        width = len(subject.action)
        self.low, self.high = np.full(width, np.inf), np.full(width, -np.inf)
        self.copies: dict[str, _Copy] = {}
        self.caps: dict[str, Array] = {}

    def see(self, seen: Seen) -> None:
        """Compare every array of that shape; clipped, the actions are one and the same number wherever they differ."""
        actions, arrays = seen.logged.actions, {**seen.logged.sensors, **seen.logged.extra}
        arrays = {name: values for name, values in arrays.items() if values.shape == actions.shape}
        if not arrays or not actions.size:
            return
        self.low, self.high = np.minimum(self.low, actions.min(axis=0)), np.maximum(self.high, actions.max(axis=0))
        for name, values in arrays.items():
            self._compare(self.copies.setdefault(name, _Copy()), name, actions, values, seen.index)

    def findings(self) -> Iterable[Finding]:
        """One an array."""
        for name, copy in self.copies.items():
            if copy.capped and 0 < copy.differing < copy.entries and self._at_ends(self.caps[name]):
                episode, step, column = copy.place
                yield Finding(
                    check="clipped_copy",
                    severity="warning",
                    message=f"the actions are {name}, clipped: {percent(copy.differing, copy.entries)} of its entries "
                    f"lie beyond, up to {copy.farthest:.4g}",
                    remedy="see which of both the robot executed; clipped actions hide how far a command went",
                    episode=episode,
                    step=step,
                    dimension=named("action", self.names, column),
                    count=copy.differing,
                )

    def _at_ends(self, caps: Array) -> bool:
        """Whether nothing lies below the lower number and above the upper."""
        return not bool((caps[0] > self.low).any() or (caps[1] < self.high).any())

    def _compare(self, copy: _Copy, name: str, actions: Array, values: Array, index: int) -> None:
        if not copy.capped:
            return
        copy.entries += actions.size
        caps = self.caps.setdefault(name, np.full((2, actions.shape[1]), np.nan))
        for cap, beyond in zip(caps, (values < actions, values > actions), strict=True):
            if copy.capped and beyond.any():
                copy.differing += int(beyond.sum())
                copy.capped = _one_value(actions, beyond, cap)
                apart = np.where(beyond, np.abs(values - actions), 0.0)
                step, column = np.unravel_index(int(apart.argmax()), apart.shape)
                if abs(values[step, column]) > abs(copy.farthest):
                    copy.farthest = float(values[step, column])
                    copy.place = (index, int(step), int(column))


def _one_value(actions: Array, beyond: Array, cap: Array) -> bool:
    """Whether each dimension is one and the same number wherever ``beyond``; ``cap`` (A,) keeps it."""
    for column in np.flatnonzero(beyond.any(axis=0)).tolist():
        found = actions[beyond[:, column], column]
        cap[column] = found[0] if np.isnan(cap[column]) else cap[column]
        if (found != cap[column]).any():
            return False
    return True
