"""Rewards and successes as logged, against each other and against what the robot itself says of the same steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.checks import Check, RobotFacts, Seen, Subject
from offline_to_online.dataset.checks._flags import FlagAgainstReward, flagged, flags_of, outcome
from offline_to_online.dataset.checks._steps import percent
from offline_to_online.dataset.finding import Finding, Severity
from offline_to_online.dataset.spec import Array

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "reward_mismatch": ("warning", "notice"),
    "reward_scale": ("warning", "notice"),
    "constant_reward": ("warning",),
    "missing_rewards": ("error", "warning", "notice"),
    "success_mismatch": ("warning",),
    "no_success": ("warning",),
    "few_successes": ("warning",),
}

TOLERANCE = 1e-3
"""Of a reward, absolute and relative: float32 and another version of a simulator differ by less."""

LINEAR, SLOPE = 0.9999, 0.01
VALUES = 2


def checks(subject: Subject) -> list[Check]:
    """What needs no robot always; what does, where there is one."""
    robot: list[Check] = [] if subject.robot is None else [AgainstRobot(subject, subject.robot)]
    return [Logged(subject), FlagAgainstReward(), *robot]


class Logged:
    """Rewards that are absent, or always the same; successes, where only the log tells of them."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.low, self.high = np.inf, -np.inf
        self.steps = self.episodes = self.without = self.flagged = self.successes = 0
        self.first = 0

    def see(self, seen: Seen) -> None:
        """Widen the range."""
        self.episodes += 1
        if seen.logged.rewards is None:
            self.first = self.first if self.without else seen.index
            self.without += 1
        else:
            self.steps += len(seen.logged.rewards)
            self.low = min(self.low, float(seen.logged.rewards.min()))
            self.high = max(self.high, float(seen.logged.rewards.max()))
        success = flagged(seen)
        if success is not None:
            self.flagged += 1
            self.successes += success

    def findings(self) -> Iterable[Finding]:
        """At most one of each."""
        if self.without:
            yield self._missing()
        if self.steps > 1 and self.low == self.high:
            yield Finding(
                check="constant_reward",
                severity="warning",
                message=f"the reward is {self.low:g} in all {self.steps} steps: nothing can be learned from it",
                remedy="mend the recording, or say reward_source: robot in the manifest",
                dimension="reward",
                count=self.steps,
            )
        if self.subject.robot is None and self.flagged:
            yield from outcome(self.successes, self.flagged, "the log's own flag", None)

    def _missing(self) -> Finding:
        manifest = self.subject.manifest
        severity: Severity = "warning"
        if manifest is not None:
            severity = "error" if manifest.reward_source == "file" else "notice"
        return Finding(
            check="missing_rewards",
            severity=severity,
            message=f"{self.without} of {self.episodes} episodes log no rewards",
            remedy="say in the manifest reward_source: robot where the robot can tell them, none where only cloning is "
            "wanted",
            episode=self.first,
            dimension="reward",
            count=self.without,
        )


@dataclass
class _Sums:
    """Of logged (x) and the robot's own (y) rewards."""

    n: int = 0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    yy: float = 0.0

    def add(self, x: Array, y: Array) -> None:
        """Count the rewards (T,) of one episode."""
        self.n += len(x)
        self.x += float(x.sum())
        self.y += float(y.sum())
        self.xx += float(x @ x)
        self.xy += float(x @ y)
        self.yy += float(y @ y)

    def line(self) -> tuple[float, float, float]:
        """Correlation, slope and offset of x over y; zeros where either never changes."""
        n = max(self.n, 1)
        along, sizes = self.xy - self.x * self.y / n, (self.xx - self.x**2 / n, self.yy - self.y**2 / n)
        if min(sizes) <= 1e-12 * n:
            return 0.0, 0.0, 0.0
        slope = along / sizes[1]
        return along / float(np.sqrt(sizes[0] * sizes[1])), slope, (self.x - slope * self.y) / n


class AgainstRobot:
    """The robot's own judgement of every episode, beside what was logged."""

    def __init__(self, subject: Subject, robot: RobotFacts) -> None:
        self.robot, self.manifest = robot, subject.manifest
        self.sums = _Sums()
        self.differing, self.difference, self.worst = 0, 0.0, 0.0
        self.place = (0, 0)
        self.pair = (0.0, 0.0)
        self.logged_values: set[float] = set()
        self.own_values: set[float] = set()
        self.episodes = self.successes = self.mismatches = 0
        self.best = 0.0
        self.first_mismatch = (0, "")

    def see(self, seen: Seen) -> None:
        """Have the robot judge the episode once, and compare."""
        labels = self.robot.label(seen.episode.observations, seen.episode.actions)
        self.episodes += 1
        self.successes += bool(labels.success)
        self.best = max(self.best, float(labels.score))
        if seen.logged.rewards is not None:
            self._compare(np.asarray(seen.logged.rewards, dtype=np.float64), np.asarray(labels.rewards), seen.index)
        flags, whole = flags_of(seen), seen.logged.success
        said = {bool(np.any(flags)), bool(flags[-1])} if flags is not None and len(flags) else set()
        said = {whole} if whole is not None else said
        if said and bool(labels.success) not in said:
            self.mismatches += 1
            if self.mismatches == 1:
                self.first_mismatch = seen.index, "a success" if True in said else "a failure"

    def findings(self) -> Iterable[Finding]:
        """Rewards, their scale, flags, and how many succeed."""
        yield from self._rewards()
        if self.mismatches:
            episode, said = self.first_mismatch
            yield Finding(
                check="success_mismatch",
                severity="warning",
                message=f"{self.mismatches} of {self.episodes} episodes are logged with another outcome than robot "
                f"{self.robot.name} finds in their observations; the first is logged as {said}",
                remedy="find out which rule the log used",
                episode=episode,
                dimension="success",
                count=self.mismatches,
            )
        yield from outcome(self.successes, self.episodes, f"the rule of robot {self.robot.name}", self.best)

    def _compare(self, logged: Array, own: Array, index: int) -> None:
        steps = min(len(logged), len(own))
        logged, own = logged[:steps], own[:steps].astype(np.float64)
        self.sums.add(logged, own)
        for values, rewards in ((self.logged_values, logged), (self.own_values, own)):
            if len(values) <= VALUES:
                values |= set(np.unique(rewards.astype(np.float32)).tolist())
        apart = np.abs(logged - own)
        wrong = apart > TOLERANCE * (1 + np.abs(own))
        if wrong.any():
            self.differing += int(wrong.sum())
            self.difference += float((logged - own)[wrong].sum())
            step = int(apart.argmax())
            if apart[step] > self.worst:
                self.worst, self.place = float(apart[step]), (index, step)
                self.pair = float(logged[step]), float(own[step])

    def _rewards(self) -> Iterator[Finding]:
        if not self.differing:
            return
        # Where the robot's own rewards are taken, the logged ones are only looked at, never used.
        unused = self.manifest is not None and self.manifest.reward_source == "robot"
        severity: Severity = "notice" if unused else "warning"
        scale = self._scale()
        if scale:
            yield Finding(
                check="reward_scale",
                severity=severity,
                message=scale,
                remedy="convert the rewards, or say reward_source: robot in the manifest",
                dimension="reward",
                count=self.differing,
            )
        mean = self.difference / self.differing
        yield Finding(
            check="reward_mismatch",
            severity=severity,
            message=f"the logged reward differs from robot {self.robot.name}'s own in {self.differing} of "
            f"{self.sums.n} steps ({percent(self.differing, self.sums.n)}), by {mean:+.3g} on average; the most "
            f"is {self.pair[0]:g} for {self.pair[1]:g}",
            remedy="say reward_source: robot in the manifest, unless another reward is meant",
            episode=self.place[0],
            step=self.place[1],
            dimension="reward",
            count=self.differing,
        )

    def _scale(self) -> str:
        """Whether the logged reward is the robot's in other numbers."""
        correlation, slope, offset = self.sums.line()
        both_sparse = len(self.logged_values) == VALUES == len(self.own_values)
        if correlation > LINEAR and (abs(slope - 1) > SLOPE or abs(offset) > TOLERANCE):
            return f"the logged reward is {slope:.4g} times robot {self.robot.name}'s own, {offset:+.4g}"
        if both_sparse and self.logged_values != self.own_values:
            mine, own = (", ".join(f"{v:g}" for v in sorted(v)) for v in (self.logged_values, self.own_values))
            return f"the logged reward is {mine}, robot {self.robot.name}'s own is {own}"
        return ""
