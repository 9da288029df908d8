"""Logged times: whether they run forward, evenly, and at the rate that was declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.finding import Finding, Severity
from offline_to_online.dataset.spec import Array

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "time_not_monotone": ("error",),
    "irregular_time": ("warning",),
    "control_rate_mismatch": ("error", "warning"),
}

IRREGULAR = 0.1  # of the usual step
RATE = 0.05  # of the declared rate
UNITS = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}


def checks(subject: Subject) -> list[Check]:
    """Applies where times are logged."""
    return [Clock(subject)] if subject.contents.times else []


@dataclass
class _Worst:
    """The place where a value was the largest, and how many places there are."""

    value: float = 0.0
    episode: int = 0
    step: int = 0
    count: int = 0

    def note(self, values: Array, index: int, *, first: int = 1) -> None:
        """``values`` (n,) are how bad each of n places is, for rows from ``first``; 0 is not bad."""
        self.count += int(np.count_nonzero(values))
        at = int(values.argmax()) if len(values) else 0
        if len(values) and values[at] > self.value:
            self.value, self.episode, self.step = float(values[at]), index, at + first


class Clock:
    """Keeps the usual step of every episode, and the worst steps of all."""

    def __init__(self, subject: Subject) -> None:
        manifest, contents = subject.manifest, subject.contents
        self.manifest = manifest
        self.declared = manifest.control_rate_hz if manifest is not None else contents.control_rate_hz
        self.backward, self.uneven = _Worst(), _Worst()
        self.usual: list[float] = []
        self.episodes: list[int] = []
        self.steps = 0

    def see(self, seen: Seen) -> None:
        """Look at the times of one episode."""
        if seen.logged.times is None or len(seen.logged.times) < 2:
            return
        gaps = np.diff(np.asarray(seen.logged.times, dtype=np.float64).reshape(-1))
        usual = float(np.partition(gaps, len(gaps) // 2)[len(gaps) // 2])
        self.steps += len(gaps)
        self.backward.note(np.where(gaps < 0, -gaps, 0.0), seen.index)
        if usual > 0:
            off = np.abs(gaps / usual - 1)
            self.uneven.note(np.where(off > IRREGULAR, off, 0.0), seen.index)
        elif not (gaps < 0).any():
            self.uneven.note(np.where(gaps == usual, 1.0, 0.0), seen.index)  # the clock stands still
        self.usual.append(usual)
        self.episodes.append(seen.index)

    def findings(self) -> Iterable[Finding]:
        """Backward steps, uneven steps, episodes at another rate, and the declared rate."""
        if self.backward.count:
            yield self._at(
                self.backward,
                "time_not_monotone",
                f"time goes back by {self.backward.value:.6g} s; {self.backward.count} of {self.steps} steps do",
                "rows are out of order, or two recordings run into one: sort or cut them",
            )
        if self.uneven.count:
            yield self._at(
                self.uneven,
                "irregular_time",
                f"this step is {100 * self.uneven.value:.0f} % off the episode's usual one; {self.uneven.count} of "
                f"{self.steps} steps are more than {100 * IRREGULAR:.0f} % off",
                "samples were lost, late or written twice: see the recording there, or resample it",
            )
        if self.usual:
            yield from self._rates()

    def _at(self, worst: _Worst, check: str, message: str, remedy: str) -> Finding:
        return Finding(
            check=check,
            severity="error" if check == "time_not_monotone" else "warning",
            message=message,
            remedy=remedy,
            episode=worst.episode,
            step=worst.step,
            dimension="time",
            count=worst.count,
        )

    def _rates(self) -> Iterable[Finding]:
        usual = np.array(self.usual)
        typical = float(np.median(usual))
        if typical <= 0:
            return
        off = np.abs(usual / typical - 1)
        others = int((off > IRREGULAR).sum())
        if others:
            worst = int(off.argmax())
            yield Finding(
                check="irregular_time",
                severity="warning",
                message=f"this episode's usual step is {usual[worst]:.4g} s, that of most {typical:.4g} s; {others} of "
                f"{len(usual)} episodes are more than {100 * IRREGULAR:.0f} % off",
                remedy="they were recorded at another rate: resample them, or leave them out",
                episode=self.episodes[worst],
                dimension="time",
                count=others,
            )
        if self.declared and abs(1 / typical / self.declared - 1) > RATE:
            yield self._mismatch(1 / typical, float(self.declared))

    def _mismatch(self, rate: float, declared: float) -> Finding:
        unit = next((name for times, name in UNITS.items() if abs(times * rate / declared - 1) <= RATE), None)
        who = "the file" if self.manifest is None else f"manifest {self.manifest.name}"
        return Finding(
            check="control_rate_mismatch",
            severity="warning" if self.manifest is None else "error",
            message=f"logged times say {rate:.4g} steps a second, {who} says {declared:g}",
            remedy=f"times must be in seconds, these look like {unit}" if unit else "mend control_rate_hz or the times",
            dimension="time",
            count=self.steps,
        )
