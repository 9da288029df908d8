"""Samples that are no new ones: rows that repeat, values held between moves, two sources in turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.checks._steps import ROUNDING, columns_with_run, logged_rows, named, percent, runs
from offline_to_online.dataset.finding import Finding, Severity
from offline_to_online.dataset.spec import Array

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "repeated_samples": ("warning", "notice"),
    "interleaved_sources": ("warning", "notice"),
}

MANY_REPEATS = 0.005  # of all rows
LONG_RUN = 5  # rows that repeat one another
MANY_HELD = 0.06  # of the moves of a dimension
MOVING, APART = 0.5, 0.25  # of a dimension's mean |step| in the episode: less is rest, or the last bit of an encoder
CLOSE = 0.4  # of the step there and the step back: so near two rows lie whose row between them is far
ALTERNATES = 10  # rows in a row
ENOUGH = 20
FEW_EPISODES = 3  # below, nobody knows what is usual for this data


def checks(subject: Subject) -> list[Check]:
    """Both read nothing but observations and actions, and always apply."""
    return [RepeatedSamples(subject), InterleavedSources(subject)]


class RepeatedSamples:
    """Counts rows that repeat the row before, and values that a dimension holds for one row amid its movement.

    A slow sensor read by a fast loop, a log that is written again while nothing new came, a resampled recording.
    """

    def __init__(self, subject: Subject) -> None:
        self.names = subject.observation
        width = len(self.names)
        self.rows = self.exact = self.rounded = self.acted = 0
        self.longest, self.place = 0, (0, 0)
        self.held, self.moves, self.same = (np.zeros(width, dtype=np.int64) for _ in range(3))
        self.first_held: dict[int, tuple[int, int]] = {}

    def see(self, seen: Seen) -> None:
        """Count in one episode."""
        rows = logged_rows(seen)
        sizes = np.abs(np.diff(rows, axis=0))
        same = sizes == 0
        near = np.asarray((sizes <= ROUNDING * np.abs(rows[1:])).all(axis=1))
        self.rows += len(sizes)
        self.exact += int(same.all(axis=1).sum())
        self.rounded += int(near.sum())
        if near.any():
            self._note_runs(near, seen)
        self._note_held(sizes, same, seen.index)

    def findings(self) -> Iterable[Finding]:
        """Rows that repeat as a whole; then dimensions that hold their value between moves."""
        if self.rounded:
            many = self.rounded >= MANY_REPEATS * self.rows or self.longest >= LONG_RUN
            yield Finding(
                check="repeated_samples",
                severity="warning" if many else "notice",
                message=f"{self.exact} of {self.rows} rows ({percent(self.exact, self.rows)}) repeat the row before, "
                f"{self.rounded} ({percent(self.rounded, self.rows)}) but for rounding, {self.acted} of them with the "
                f"action too; the longest run, here, is {self.longest} row(s)",
                remedy="see whether the log runs faster than its sensors, or stood still; thin it out to the "
                "sensors' rate, or cut what stands still",
                episode=self.place[0],
                step=self.place[1],
                count=self.rounded,
            )
        for column in np.flatnonzero((self.held >= MANY_HELD * self.moves) & (self.held >= ENOUGH)).tolist():
            yield self._holds(column)

    def _holds(self, column: int) -> Finding:
        episode, step = self.first_held[column]
        held, moves = int(self.held[column]), int(self.moves[column])
        return Finding(
            check="repeated_samples",
            severity="warning",
            message=f"holds its value for one row between two moves {held} times, once in {moves / held:.0f} moves; "
            f"{percent(self.same[column], self.rows)} of its values repeat",
            remedy="its sensor is slower than the log, or rows were copied: see at which rate it is read",
            episode=episode,
            step=step,
            dimension=named("observation", self.names, column),
            count=held,
        )

    def _note_runs(self, near: Array, seen: Seen) -> None:
        actions = seen.episode.actions
        steps = np.flatnonzero(near[1 : len(actions)]) + 1
        self.acted += int((actions[steps] == actions[steps - 1]).all(axis=1).sum())
        starts, lengths = runs(near)
        longest = int(lengths.argmax())
        if lengths[longest] > self.longest:
            self.longest, self.place = int(lengths[longest]), (seen.index, int(starts[longest]) + 1)

    def _note_held(self, sizes: Array, same: Array, index: int) -> None:
        counts = same.sum(axis=0)
        self.same += counts
        self.moves += len(same) - counts
        lone = same[1:-1] & ~same[:-2] & ~same[2:]
        if not lone.any():
            return
        least = MOVING * sizes.mean(axis=0, dtype=np.float64)
        lone &= (sizes[:-2] > least) & (sizes[2:] > least)
        held = lone.sum(axis=0)
        self.held += held
        for column in np.flatnonzero(held).tolist():
            if column not in self.first_held:
                self.first_held[column] = (index, int(lone[:, column].argmax()) + 2)


class InterleavedSources:
    """Finds dimensions that go there and back at every row: two estimates of one quantity, logged in turn.

    Also a controller that chatters at the rate of the log looks like this.
    """

    def __init__(self, subject: Subject) -> None:
        self.names = subject.observation
        width = len(self.names)
        self.longest, self.steps = np.zeros(width, dtype=np.int64), np.zeros(width, dtype=np.int64)
        self.seen, self.episodes = 0, np.zeros(width, dtype=np.int64)
        self.apart = np.zeros(width)
        self.places: dict[int, tuple[int, int]] = {}

    def see(self, seen: Seen) -> None:
        """Look for runs in one episode."""
        rows = logged_rows(seen)
        self.seen += 1
        if len(rows) < ALTERNATES + 2:
            return
        moves = np.diff(rows, axis=0)
        sizes = np.abs(moves)
        back = np.abs(rows[2:] - rows[:-2]) < CLOSE * np.minimum(sizes[1:], sizes[:-1])
        for column in columns_with_run(back, ALTERNATES).tolist():
            self._note(column, back[:, column], sizes[:, column], seen.index)

    def findings(self) -> Iterable[Finding]:
        """One for each dimension that alternates, at its longest run."""
        for column in np.flatnonzero(self.longest).tolist():
            yield Finding(
                check="interleaved_sources",
                severity="warning" if self.seen >= FEW_EPISODES else "notice",
                message=f"goes there and back by {self.apart[column]:.3g} at every row, for {self.longest[column] + 2} "
                f"rows here and {self.steps[column]} in {self.episodes[column]} episode(s)",
                remedy="two sources of one quantity may be logged in turn (keep one of them), or the controller "
                "chatters at the rate of the log",
                episode=self.places[column][0],
                step=self.places[column][1],
                dimension=named("observation", self.names, column),
                count=int(self.steps[column]),
            )

    def _note(self, column: int, back: Array, sizes: Array, index: int) -> None:
        starts, lengths = runs(back)
        long = [(int(n), int(s)) for s, n in zip(starts, lengths, strict=True) if n >= ALTERNATES]
        least = APART * float(sizes.mean(dtype=np.float64))
        found = [(n, s, apart) for n, s in long if (apart := float(sizes[s : s + n + 1].mean())) > least]
        if not found:
            return
        longest, start, apart = max(found)
        self.episodes[column] += 1
        self.steps[column] += sum(n for n, _, _ in found)
        if longest > self.longest[column]:
            self.longest[column], self.places[column], self.apart[column] = longest, (index, start), apart
