"""Observed angles in the wrong unit: degrees where radians are declared, or in some episodes only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.checks._steps import named
from offline_to_online.dataset.finding import Finding, Severity
from offline_to_online.dataset.spec import Array

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "angle_units": ("warning",),
}

DEGREES = 180 / np.pi
TURN, MANY_TURNS, MOST_DEGREES = 2 * np.pi, 3 * np.pi, 400.0
BEYOND = 1.5
WITHIN = 4.0
"""How far the movement of an episode in degrees may be from 57.3 times what is usual."""

FIRST, FEWEST = 200, 5


def checks(subject: Subject) -> list[Check]:
    """Always: what is not declared is held against the other episodes."""
    return [Angles(subject)]


class Angles:
    """How far each dimension reaches and how fast it moves, by episode."""

    def __init__(self, subject: Subject) -> None:
        self.names = subject.observation
        dimensions = () if subject.manifest is None else subject.manifest.observation.dimensions
        self.units = [d.unit for d in dimensions] or [""] * len(self.names)
        self.reach = np.array([max(abs(d.low), abs(d.high)) for d in dimensions] or [np.inf] * len(self.names))
        self.angle = np.array([not unit or unit.startswith(("rad", "deg")) for unit in self.units])
        self.near = self.angle
        self.tops: list[Array] = []
        self.speeds: list[Array] = []
        # Of single dimensions that reach far in an episode: (episode, dimension, speed).
        self.far: list[tuple[int, int, float]] = []
        self.worst = np.zeros((len(self.names), 2), dtype=np.int64)
        self.top = np.zeros(len(self.names))

    def see(self, seen: Seen) -> None:
        """Take note of the largest values, and of the usual movement in the first episodes or where they are large."""
        values = seen.episode.observations
        top = np.maximum(values.max(axis=0), -values.min(axis=0)).astype(np.float64)
        for column in np.flatnonzero(top > self.top).tolist():
            self.worst[column] = seen.index, int(np.abs(values[:, column]).argmax())
        self.top = np.maximum(self.top, top)
        if len(self.tops) < FIRST:
            self.tops.append(top)
            self.speeds.append(_speed(values))
            # A dimension that usually reaches far is a length, a count, or an angle in degrees all along.
            self.near = self.angle & (np.median(self.tops, axis=0) <= BEYOND * TURN)
        for column in np.flatnonzero(self.near & (top > BEYOND * TURN)).tolist():
            self.far.append((seen.index, column, float(_speed(values[:, column : column + 1])[0])))

    def findings(self) -> Iterable[Finding]:
        """One a dimension: declared otherwise, or else unlike the other episodes."""
        usual = np.median(self.tops, axis=0) if self.tops else np.zeros(0)
        for column in np.flatnonzero(self.angle).tolist():
            said = self._declared(column)
            if said:
                episode, step = (int(i) for i in self.worst[column])
                yield self._finding(column, said, episode, 1, step)
            elif len(self.tops) >= FEWEST and 0 < usual[column] <= BEYOND * TURN:
                yield from self._unlike_the_others(column)

    def _declared(self, column: int) -> str:
        """What contradicts the declared unit."""
        unit, top, reach = self.units[column], float(self.top[column]), float(self.reach[column])
        limit = BEYOND * reach if reach < MANY_TURNS else MANY_TURNS
        if unit.startswith("deg") and 0 < top <= TURN and (reach > TURN):
            return f"it never reaches beyond {top:.3g}, and is declared in {unit}: radians for degrees?"
        turned = unit == "rad" and limit < top <= min(MOST_DEGREES, 1.2 * DEGREES * reach)
        often = np.median([row[column] for row in self.tops]) > limit or reach < MANY_TURNS
        if turned and often:
            return f"it reaches {top:.4g}, and is declared in rad: degrees for radians (factor {DEGREES:.3g})?"
        return ""

    def _unlike_the_others(self, column: int) -> Iterable[Finding]:
        speeds = np.array([row[column] for row in self.speeds])
        usual = float(np.median(speeds[speeds > 0])) if (speeds > 0).any() else 0.0
        odd = [
            episode
            for episode, at, speed in self.far
            if at == column and usual > 0 and DEGREES / WITHIN < speed / usual < DEGREES * WITHIN
        ]
        if odd:
            said = f"{len(odd)} episode(s) move it about {DEGREES:.3g} times as far as the others: degrees for radians?"
            yield self._finding(column, said, odd[0], len(odd), None)

    def _finding(self, column: int, said: str, episode: int, count: int, step: int | None) -> Finding:
        return Finding(
            check="angle_units",
            severity="warning",
            message=said,
            remedy="convert the data, or mend the unit in the manifest",
            episode=episode,
            step=step,
            dimension=named("observation", self.names, column),
            count=count,
        )


def _speed(values: Array) -> Array:
    """(O,) the median of what a step changes."""
    if len(values) < 2:
        return np.zeros(values.shape[1])
    return np.asarray(np.median(np.abs(np.diff(values.astype(np.float64), axis=0)), axis=0))
