"""Actions beyond their bounds, at their bounds, or the same over and over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.checks._steps import named, percent, runs
from offline_to_online.dataset.finding import Finding, Severity
from offline_to_online.dataset.spec import Array

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "out_of_bounds": ("error", "warning", "notice"),
    "saturation": ("warning", "notice"),
    "stale_actions": ("warning",),
}

USUAL = (-1.0, 1.0)
"""What most robots are commanded in; held against data for which nobody declares bounds."""

NEARLY_ALL = 0.9
SATURATED, NOTABLE = 0.5, 0.1
STALE_STEPS, MANY_RUNS = 15, 256
MOSTLY = 0.5
TRIVIAL = 0.05


def checks(subject: Subject) -> list[Check]:
    """All of them, always."""
    return [OutOfBounds(subject), Extremes(subject)]


class OutOfBounds:
    """Entries and steps beyond the declared bounds, or beyond [-1, 1] where nobody declares any."""

    def __init__(self, subject: Subject) -> None:
        self.names, self.manifest = subject.action, subject.manifest
        self.declared = subject.action_low is not None and subject.action_high is not None
        width = len(subject.action)
        low = subject.action_low if self.declared else np.full(width, USUAL[0])
        high = subject.action_high if self.declared else np.full(width, USUAL[1])
        # The bounds as the float32 that actions are compared as.
        self.low, self.high = np.asarray(low, dtype=np.float32), np.asarray(high, dtype=np.float32)
        self.all_entries = self.steps = self.all_steps = 0
        self.outside = np.zeros(width, dtype=np.int64)
        self.worst = 0.0
        self.place = (0, 0, 0)
        self.value = 0.0

    def see(self, seen: Seen) -> None:
        """Count; nothing but the extremes is looked at where those are inside."""
        actions = seen.episode.actions
        self.all_entries += actions.size
        self.all_steps += len(actions)
        if (actions.min(axis=0) >= self.low).all() and (actions.max(axis=0) <= self.high).all():
            return
        beyond = np.maximum(self.low - actions.astype(np.float64), actions.astype(np.float64) - self.high)
        self.outside += (beyond > 0).sum(axis=0)
        self.steps += int((beyond > 0).any(axis=1).sum())
        step, column = np.unravel_index(int(beyond.argmax()), beyond.shape)
        if beyond[step, column] > self.worst:
            self.worst = float(beyond[step, column])
            self.place, self.value = (seen.index, int(step), int(column)), float(actions[step, column])

    def findings(self) -> Iterable[Finding]:
        """One, at the entry that lies farthest outside."""
        entries = int(self.outside.sum())
        if not entries or (not self.declared and not self._usual(entries)):
            return
        episode, step, column = self.place
        bounds = f"[{self.low[column]:g}, {self.high[column]:g}]"
        whose = "" if self.declared else ", which nobody declared but the others keep"
        yield Finding(
            check="out_of_bounds",
            severity=self._severity(),
            message=f"{percent(entries, self.all_entries)} of action entries, in "
            f"{percent(self.steps, self.all_steps)} of steps, lie outside their bounds; the farthest is "
            f"{self.value:g}, outside {bounds}{whose}",
            remedy="mend the unit or the bounds, or say out_of_bounds: clip in the manifest where the robot clips",
            episode=episode,
            step=step,
            dimension=named("action", self.names, column),
            count=entries,
        )

    def _usual(self, entries: int) -> bool:
        """Whether nearly all entries keep bounds that nobody declared, and most of those of every dimension."""
        most = (self.outside <= (1 - MOSTLY) * self.all_steps).all()
        return bool(most and entries <= (1 - NEARLY_ALL) * self.all_entries)

    def _severity(self) -> Severity:
        if not self.declared:
            return "notice"
        if self.manifest is None:
            return "warning"
        return "notice" if self.manifest.action.out_of_bounds == "clip" else "error"


@dataclass(frozen=True, order=True)
class _Run:
    """The same action over and over."""

    length: int
    episode: int
    step: int
    action: tuple[float, ...]


class Extremes:
    """Every dimension's own extreme values, who often they are commanded, and actions that stand still inside them."""

    def __init__(self, subject: Subject) -> None:
        self.names = subject.action
        width = len(subject.action)
        self.bounds = subject.action_low, subject.action_high
        self.low, self.high = np.full(width, np.inf), np.full(width, -np.inf)
        self.at_low, self.at_high, self.at_bound, self.zero = (np.zeros(width, dtype=np.int64) for _ in range(4))
        self.steps = self.repeats = 0
        self.runs: list[_Run] = []

    def see(self, seen: Seen) -> None:
        """Count what lies at the extremes, and find runs of the same action."""
        actions = seen.episode.actions
        self.steps += len(actions)
        low, high = actions.min(axis=0), actions.max(axis=0)
        self.at_low = _merged(self.at_low, (actions == low).sum(axis=0), better=low < self.low, same=low == self.low)
        self.at_high = _merged(
            self.at_high, (actions == high).sum(axis=0), better=high > self.high, same=high == self.high
        )
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        self.zero += (actions == 0).sum(axis=0)
        if self.bounds[0] is not None and self.bounds[1] is not None:
            self.at_bound += ((actions <= self.bounds[0]) | (actions >= self.bounds[1])).sum(axis=0)
        self._note_runs(actions, seen.index)

    def findings(self) -> Iterable[Finding]:
        """Saturation by dimension, then the longest stale run."""
        yield from self._saturated()
        # Where most actions repeat the one before, holding still is how this data is.
        stale = [run for run in self.runs if self._stands_still(np.array(run.action))]
        if stale and self.repeats < MOSTLY * self.steps:
            longest = max(stale, key=lambda run: (run.length, -run.episode, -run.step))
            yield Finding(
                check="stale_actions",
                severity="warning",
                message=f"the same action {longest.length} times in a row, which is none of its extremes; "
                f"{len(stale)} run(s) of {STALE_STEPS} or more, while {percent(self.repeats, self.steps)} of all "
                "actions repeat the one before",
                remedy="a command that froze: cut the episodes there",
                episode=longest.episode,
                step=longest.step,
                count=len(stale),
            )

    def _saturated(self) -> Iterable[Finding]:
        # At rest is not at an extreme, where rest happens to be the smallest command.
        extremes = np.where(self.low == 0, 0, self.at_low) + np.where(self.high == 0, 0, self.at_high)
        own = extremes / max(self.steps, 1)
        zero = np.where((self.low == 0) | (self.high == 0), 0, self.zero)
        switch = self.at_low + self.at_high + zero >= self.steps
        share = np.where(switch, 0.0, np.maximum(own, self.at_bound / max(self.steps, 1)))
        for column in np.flatnonzero(share >= NOTABLE).tolist():
            declared = self.at_bound[column] / self.steps >= share[column]
            where = "at or beyond its bounds" if declared else f"at {self.low[column]:g} or {self.high[column]:g}"
            yield Finding(
                check="saturation",
                severity="warning" if share[column] >= SATURATED else "notice",
                message=f"{percent(share[column] * self.steps, self.steps)} of its commands lie {where}",
                remedy="a clipped command hides what was asked for; look for the raw one, or widen the bounds",
                dimension=named("action", self.names, column),
                count=round(share[column] * self.steps),
            )

    def _note_runs(self, actions: Array, index: int) -> None:
        same = (actions[1:] == actions[:-1]).all(axis=1)
        repeats = int(same.sum())
        self.repeats += repeats
        if repeats < STALE_STEPS - 1:
            return
        for start, length in zip(*runs(same), strict=True):
            if length + 1 >= STALE_STEPS and self._stands_still(actions[start]):
                action = tuple(map(float, actions[start]))
                self.runs.append(_Run(length=int(length) + 1, episode=index, step=int(start), action=action))
        if len(self.runs) > 2 * MANY_RUNS:
            self.runs = sorted(self.runs, reverse=True)[:MANY_RUNS]

    def _stands_still(self, action: Array) -> bool:
        """Whether some dimension is neither at rest nor at an extreme."""
        inside = (action > self.low) & (action < self.high)
        return bool((inside & (np.abs(action) > TRIVIAL * (self.high - self.low))).any())


def _merged(before: Array, count: Array, *, better: Array, same: Array) -> Array:
    """Counts at an extreme: anew where it was surpassed, added where it was met."""
    return np.asarray(np.where(better, count, before + np.where(same, count, 0)))
