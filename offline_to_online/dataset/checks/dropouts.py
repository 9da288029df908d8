"""Sensors that went silent: a dimension that stands still, or reads zero, while the others go on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.checks._steps import columns_with_run, logged_rows, named, runs
from offline_to_online.dataset.finding import Finding, Severity
from offline_to_online.dataset.spec import Array

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "frozen_sensor": ("warning",),
    "sensor_dropout": ("warning",),
}

FROZEN_ROWS = 20
ZERO_ROWS = 3
SHORT = 5  # rows: an episode so short says nothing of a sensor
SELDOM = 0.02  # share of a dimension's other rows that repeat, or read zero: more, and it does so by nature
FEW = 0.2  # share of the episodes in which it happens: more, and it is how this data is
FEW_EPISODES = 3
STILL = 0.5  # of the other episodes, in which the dimension never changes: more, and it is a setting or a goal
OTHERS_MOVE = 0.5  # of the rows of a stretch: else the whole log stood still, and no sensor alone
ALONE = 4.0  # times the longest stretch of any other episode
ABRUPT = 5.0  # times the dimension's mean |step| in the episode: how it falls to zero, or rises from it


def checks(subject: Subject) -> list[Check]:
    """Reads observations only, and always applies."""
    return [SilentSensors(subject)]


@dataclass
class _Silence:
    """Stretches of one dimension: the longest, its place, whether it read zero, rows and episodes of all."""

    longest: int = 0
    next_longest: int = 0  # in any other episode
    place: tuple[int, int] = (0, 0)
    zero: bool = False
    rows: int = 0
    episodes: int = 0

    def add(self, index: int, starts: Array, lengths: Array, *, zero: bool) -> None:
        """Take note of the stretches in one episode."""
        chosen = int(lengths.argmax())
        self.rows += int(lengths.sum())
        self.episodes += 1
        if lengths[chosen] <= self.longest:
            self.next_longest = max(self.next_longest, int(lengths[chosen]))
        else:
            self.next_longest = self.longest
            self.longest, self.place, self.zero = int(lengths[chosen]), (index, int(starts[chosen])), zero


class SilentSensors:
    """Counts how often each dimension rests and reads zero, and keeps the stretches that are long for it."""

    def __init__(self, subject: Subject) -> None:
        self.names = subject.observation
        width = len(self.names)
        self.rows = self.episodes = 0
        self.rests, self.zeros, self.still = (np.zeros(width, dtype=np.int64) for _ in range(3))
        self.frozen = [_Silence() for _ in range(width)]
        self.dropped = [_Silence() for _ in range(width)]

    def see(self, seen: Seen) -> None:
        """Count in one episode; rows that repeat as a whole are no silence of one sensor."""
        rows = logged_rows(seen)
        self.episodes += 1
        self.rows += len(rows)
        if len(rows) < SHORT:
            return
        same = rows[1:] == rows[:-1]
        counts = same.sum(axis=0)
        self.rests += counts
        self.still += counts == len(same)
        self._note_still(rows, same, seen.index)
        zero = rows == 0
        counts = zero.sum(axis=0)
        self.zeros += counts
        if counts.max(initial=0) >= ZERO_ROWS:
            self._note_zeros(rows, zero, seen.index)

    def findings(self) -> Iterable[Finding]:
        """Dimensions that fell silent at one place are one finding; what reads zero is not also called frozen."""
        if self.episodes < FEW_EPISODES:
            return
        places: dict[tuple[str, int, int], list[tuple[int, _Silence]]] = {}
        for column in range(len(self.names)):
            for check, silence in self._silences(column):
                places.setdefault((check, *silence.place), []).append((column, silence))
        for (check, *_), silences in places.items():
            yield self._finding(check, [column for column, _ in silences], silences[0][1])

    def _silences(self, column: int) -> Iterable[tuple[str, _Silence]]:
        dropped, frozen = self.dropped[column], self.frozen[column]
        if self._unusual(dropped, column, int(self.zeros[column])):
            yield "sensor_dropout", dropped
        elif self._unusual(frozen, column, int(self.rests[column])):
            reads_zero = frozen.zero and self.zeros[column] - frozen.rows <= SELDOM * self.rows
            yield "sensor_dropout" if reads_zero else "frozen_sensor", frozen

    def _unusual(self, silence: _Silence, column: int, rows: int) -> bool:
        """Whether the stretches are long or rare for this dimension, of which so many rows are alike in all."""
        others = self.episodes - silence.episodes
        if not silence.longest or self.still[column] - silence.episodes > STILL * others:
            return False
        seldom = rows - silence.rows <= SELDOM * (self.rows - silence.rows)
        alone = silence.longest >= ALONE * max(silence.next_longest, FROZEN_ROWS)
        return alone or (seldom and silence.episodes <= max(1, FEW * self.episodes))

    def _finding(self, check: str, columns: list[int], silence: _Silence) -> Finding:
        others = [named("observation", self.names, column) for column in columns[1:]]
        also = f"; so do {', '.join(others[:5])}{' ...' if len(others) > 5 else ''} ({len(others)})" if others else ""
        said = "reads zero" if check == "sensor_dropout" else "does not change"
        return Finding(
            check=check,
            severity="warning",
            message=f"{said} for {silence.longest} rows while the others go on; {silence.rows} such rows in "
            f"{silence.episodes} of {self.episodes} episodes, seldom elsewhere{also}",
            remedy="a sensor or its driver stopped: cut the episode there, or leave it out",
            episode=silence.place[0],
            step=silence.place[1],
            dimension=named("observation", self.names, columns[0]),
            count=silence.rows,
        )

    def _note_still(self, rows: Array, same: Array, index: int) -> None:
        least = min(FROZEN_ROWS, len(same))
        columns = columns_with_run(same, least).tolist()
        alone = np.asarray(~same.all(axis=1))
        for column in columns:
            starts, lengths = runs(same[:, column])
            kept = [
                (start, length)
                for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
                if length >= least and alone[start : start + length].mean() > OTHERS_MOVE
            ]
            if kept:
                at, long = np.array(kept).T
                self.frozen[column].add(index, at, long + 1, zero=bool((rows[at, column] == 0).all()))

    def _note_zeros(self, rows: Array, zero: Array, index: int) -> None:
        for column in columns_with_run(zero, ZERO_ROWS).tolist():
            values = rows[:, column].astype(np.float64)
            starts, lengths = runs(zero[:, column])
            stops = starts + lengths
            least = ABRUPT * np.abs(np.diff(values)).mean()
            falls = (starts == 0) | (np.abs(values[np.maximum(starts - 1, 0)]) > least)
            rises = (stops == len(values)) | (np.abs(values[np.minimum(stops, len(values) - 1)]) > least)
            abrupt = falls & rises & (lengths >= ZERO_ROWS)
            if abrupt.any():
                self.dropped[column].add(index, starts[abrupt], lengths[abrupt], zero=True)
