"""Numbers that cannot be used or say nothing: not finite, lost in float32, never changing, missing in some episodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.checks._steps import named, percent
from offline_to_online.dataset.finding import Finding, Severity
from offline_to_online.dataset.logged import LoggedEpisode
from offline_to_online.dataset.spec import Array

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "not_finite": ("error", "notice"),
    "float64_rounded": ("error", "notice"),
    "constant_dimension": ("warning",),
    "missing_sensor": ("warning",),
}

LOST = 0.01
"""Rounding beyond 1 % of what a dimension changes in a step has lost something."""

SELDOM = 0.01


def checks(subject: Subject) -> list[Check]:
    """All of them, always."""
    return [NotFinite(subject), Rounded(subject), Constant(subject), Missing(subject)]


class NotFinite:
    """NaN and infinite numbers, wherever they are logged."""

    def __init__(self, subject: Subject) -> None:
        self.used = frozenset(subject.contents.observation) if subject.manifest is None else None
        self.places: dict[str, Finding] = {}

    def see(self, seen: Seen) -> None:
        """Look at everything that is logged; in most episodes one sum an array tells enough."""
        for name, values, used in self._arrays(seen.logged):
            if values.dtype.kind != "f" or _sum_is_finite(values):
                continue
            odd = ~np.isfinite(values)
            if odd.any():
                self._note(name, values, odd, seen.index, used=used)

    def findings(self) -> Iterable[Finding]:
        """One an array, at its first place."""
        return self.places.values()

    def _arrays(self, logged: LoggedEpisode) -> Iterator[tuple[str, Array, bool]]:
        for sensors in (logged.sensors, logged.following):
            yield from ((name, values, self.used is None or name in self.used) for name, values in sensors.items())
        for name in ("actions", "rewards", "times", "cost"):
            values = getattr(logged, name)
            if values is not None:
                yield name, values, True
        yield from ((name, values, False) for name, values in logged.extra.items())

    def _note(self, name: str, values: Array, odd: Array, index: int, *, used: bool) -> None:
        step, *column = np.argwhere(odd)[0].tolist()
        before = self.places.get(name)
        count = int(odd.sum()) + (0 if before is None else before.count)
        self.places[name] = Finding(
            check="not_finite",
            severity="error" if used else "notice",
            message=f"{count} number(s) of {name} are NaN or infinite, the first of them {values[step, *column]}",
            remedy="remove these episodes, or mend the recording" if used else "do not select it as an observation",
            episode=index if before is None else before.episode,
            step=step if before is None else before.step,
            dimension=(f"{name}[{column[0]}]" if column else name) if before is None else before.dimension,
            count=count,
        )


@dataclass
class _Rounding:
    """What float32 does to one array, by column."""

    error: Array
    change: Array
    steps: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)
    overflow: tuple[int, int, int] | None = None


class Rounded:
    """What is logged finer than float32, which is what an episode holds."""

    def __init__(self, subject: Subject) -> None:
        self.names = {"actions": subject.action}
        if len(subject.contents.observation) == 1:
            self.names[subject.contents.observation[0]] = subject.observation
        self.found: dict[str, _Rounding] = {}

    def see(self, seen: Seen) -> None:
        """Only float64 and integers of more than 16 bits can lose anything."""
        for name, values in (*seen.logged.sensors.items(), ("actions", seen.logged.actions)):
            if values.ndim == 2 and values.shape[1] and (values.dtype.kind in "iu" or values.dtype == np.float64):
                self._note(name, values, seen.index)

    def findings(self) -> Iterable[Finding]:
        """One a dimension."""
        for name, rounding in self.found.items():
            if rounding.overflow is not None:
                yield self._overflowed(name, rounding.overflow)
            change = rounding.change / max(rounding.steps, 1)
            for column in np.flatnonzero((rounding.error > LOST * change) & (change > 0)).tolist():
                yield Finding(
                    check="float64_rounded",
                    severity="notice",
                    message=f"float32 is up to {rounding.error[column]:.2g} off, and a step changes it by "
                    f"{change[column]:.2g} on average",
                    remedy="log it from a nearer origin, or leave it out",
                    episode=rounding.places[column][0],
                    step=rounding.places[column][1],
                    dimension=self._dimension(name, column),
                )

    def _note(self, name: str, values: Array, index: int) -> None:
        width = values.shape[1]
        rounding = self.found.setdefault(name, _Rounding(np.zeros(width), np.zeros(width), places=[(0, 0)] * width))
        exact = values.astype(np.float64, copy=False)
        largest = float(np.abs(exact).max(initial=0.0))
        if not largest <= float(np.finfo(np.float32).max):
            beyond = np.argwhere(np.isfinite(exact) & (np.abs(exact) > np.finfo(np.float32).max))
            if len(beyond) and rounding.overflow is None:
                rounding.overflow = (index, int(beyond[0][0]), int(beyond[0][1]))
            return
        error = np.abs(values.astype(np.float32) - exact)
        worst = error.max(axis=0, initial=0.0)
        for column in np.flatnonzero(worst > rounding.error).tolist():
            rounding.places[column] = (index, int(error[:, column].argmax()))
        rounding.error = np.maximum(rounding.error, worst)
        rounding.change += np.abs(np.diff(exact, axis=0)).sum(axis=0)
        rounding.steps += max(len(values) - 1, 0)

    def _overflowed(self, name: str, place: tuple[int, int, int]) -> Finding:
        return Finding(
            check="float64_rounded",
            severity="error",
            message="a number too large for float32, which ends at 3.4e38",
            remedy="mend the unit",
            episode=place[0],
            step=place[1],
            dimension=self._dimension(name, place[2]),
        )

    def _dimension(self, name: str, column: int) -> str:
        if name in self.names:
            return named("action" if name == "actions" else "observation", self.names[name], column)
        return f"{name}[{column}]"


class Constant:
    """Dimensions that never change over the whole data set."""

    def __init__(self, subject: Subject) -> None:
        self.names = {"observation": subject.observation, "action": subject.action}
        self.low: dict[str, Array] = {}
        self.high: dict[str, Array] = {}
        self.steps = 0

    def see(self, seen: Seen) -> None:
        """Widen the ranges."""
        self.steps += len(seen.episode)
        for kind, values in (("observation", seen.episode.observations), ("action", seen.episode.actions)):
            low, high = values.min(axis=0), values.max(axis=0)
            self.low[kind] = np.minimum(self.low.get(kind, low), low)
            self.high[kind] = np.maximum(self.high.get(kind, high), high)

    def findings(self) -> Iterable[Finding]:
        """One a dimension."""
        for kind, low in self.low.items() if self.steps > 1 else ():
            for column in np.flatnonzero(low == self.high[kind]).tolist():
                silent = " (a sensor that was not connected?)" if kind == "observation" and low[column] == 0 else ""
                yield Finding(
                    check="constant_dimension",
                    severity="warning",
                    message=f"it is {low[column]:g} in all {self.steps} steps{silent}",
                    remedy="leave it out, or find out why it was not recorded",
                    dimension=named(kind, self.names[kind], column),
                )


@dataclass
class _Presence:
    """Of one sensor: episodes that hold it, those in which it is silent, rows of zeros in the others."""

    first: int
    held: int = 0
    silent: int = 0
    first_silent: int = -1
    rows: int = 0
    zero_rows: int = 0


class Missing:
    """Sensors that some episodes lack, or in which they hold nothing but zeros or NaN."""

    def __init__(self, subject: Subject) -> None:
        self.sensors: dict[str, _Presence] = {}
        self.absent: dict[str, int] = {}
        self.episodes = 0

    def see(self, seen: Seen) -> None:
        """Take note of what this episode holds."""
        self._note_absent(seen.logged.sensors, seen.index)
        for name, values in seen.logged.sensors.items():
            if values.size:
                self._note(self.sensors.setdefault(name, _Presence(first=self.episodes)), values, seen.index)
        self.episodes += 1

    def findings(self) -> Iterable[Finding]:
        """One a sensor: absent first, then silent."""
        for name, presence in self.sensors.items():
            if presence.held < self.episodes:
                yield self._finding(name, self.absent.get(name, 0), self.episodes - presence.held, "lack it")
            elif presence.silent > 0 and presence.zero_rows <= SELDOM * presence.rows:
                said = "hold nothing but zeros or NaN of it"
                yield self._finding(name, presence.first_silent, presence.silent, said)

    def _note_absent(self, sensors: Mapping[str, Array], index: int) -> None:
        for name in self.sensors:
            if name not in sensors or not sensors[name].size:
                self.absent.setdefault(name, index)

    def _note(self, presence: _Presence, values: Array, index: int) -> None:
        presence.held += 1
        rows = values.reshape(len(values), -1)
        # The first and the last row of a working sensor tell at once that it is not silent.
        if not _nothing(rows[:1]).any() and not _nothing(rows[-1:]).any():
            presence.rows += len(rows)
            return
        nothing = _nothing(rows)
        if nothing.all():
            presence.silent += 1
            presence.first_silent = index if presence.first_silent < 0 else presence.first_silent
        else:
            presence.rows += len(rows)
            presence.zero_rows += int(nothing.sum())

    def _finding(self, name: str, episode: int, count: int, said: str) -> Finding:
        return Finding(
            check="missing_sensor",
            severity="warning",
            message=f"{count} of {self.episodes} episodes ({percent(count, self.episodes)}) {said}",
            remedy="leave these episodes out, or do not select the sensor",
            episode=episode,
            dimension=name,
            count=count,
        )


def _sum_is_finite(values: Array) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()))


def _nothing(rows: Array) -> Array:
    """(N,) whether a row holds only zeros or NaN."""
    zero = rows == 0
    return np.asarray((zero if rows.dtype.kind != "f" else zero | np.isnan(rows)).all(axis=1))
