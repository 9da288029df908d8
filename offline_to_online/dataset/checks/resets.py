"""Where episodes start: far from the others, outside what is declared, contradicted by the log, or already done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.checks._steps import named, percent
from offline_to_online.dataset.finding import Finding, Severity
from offline_to_online.dataset.spec import Array

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "reset_outlier": ("warning",),
    "reset_outside_declared": ("warning",),
    "conflicting_start_states": ("warning",),
    "starts_in_success": ("warning",),
}

GAP = 3.0  # times the distance from the median that 98 % of the episodes stay within
EXCURSION = 0.25  # of what the dimension spans within an episode, at the median: nearer is near whatever the spread
ENOUGH = 10  # episodes
RARE = 0.02  # of the episodes, or three: more, and they are a part of the reset distribution
SPARSE = 2  # values of a reward that only says done or not
START_WORDS = ("init", "start", "reset")
AGREES = 1e-4  # relative: the same state in float32 and float64
SHARED = 3  # numbers: fewer that agree are chance


def checks(subject: Subject) -> list[Check]:
    """First observations always; what was logged of the start state, and success at once, where it can be told."""
    return [FirstObservations(subject), StartFacts(), StartsInSuccess(subject)]


class FirstObservations:
    """Keeps the first row of every episode, and judges each against the others and the robot's own range."""

    def __init__(self, subject: Subject) -> None:
        self.names, self.robot = subject.observation, subject.robot
        self.firsts: list[Array] = []
        self.indices: list[int] = []
        self.spans: list[Array] = []

    def see(self, seen: Seen) -> None:
        """Keep the first row, and of the first thousand episodes what each dimension spans."""
        rows = seen.episode.observations
        self.firsts.append(rows[0].copy())
        self.indices.append(seen.index)
        if len(self.spans) < 1000:
            self.spans.append(np.ptp(rows, axis=0))

    def findings(self) -> Iterable[Finding]:
        """Outliers by dimension, then what the robot says of its resets."""
        if not self.firsts:
            return
        firsts = np.stack(self.firsts)
        if len(firsts) >= ENOUGH:
            yield from self._outliers(firsts)
        if self.robot is not None and self.robot.resets_outside is not None:
            yield from self._outside(np.asarray(self.robot.resets_outside(firsts), dtype=np.bool_))

    def _outliers(self, firsts: Array) -> Iterable[Finding]:
        middle = np.median(firsts, axis=0)
        off = np.abs(firsts - middle)
        limit = np.maximum.reduce([
            EXCURSION * np.median(np.stack(self.spans), axis=0),
            GAP * np.quantile(off, 1 - RARE, axis=0, method="lower"),
            1e-4 * np.abs(middle),
        ])  # fmt: skip
        outside = off > limit
        few = np.count_nonzero(outside, axis=0) <= max(3, RARE * len(firsts))
        for column in np.flatnonzero(outside.any(axis=0) & few).tolist():
            worst = int(off[:, column].argmax())
            yield Finding(
                check="reset_outlier",
                severity="warning",
                message=f"starts at {firsts[worst, column]:.4g}; {int(outside[:, column].sum())} of {len(firsts)} "
                f"episodes start more than {limit[column]:.3g} from the median {middle[column]:.4g}",
                remedy="see whether the episode begins in the middle of another, or was reset otherwise",
                episode=self.indices[worst],
                step=0,
                dimension=named("observation", self.names, column),
                count=int(outside[:, column].sum()),
            )

    def _outside(self, outside: Array) -> Iterable[Finding]:
        if outside.any() and self.robot is not None:
            yield Finding(
                check="reset_outside_declared",
                severity="warning",
                message=f"{int(outside.sum())} of {len(outside)} episodes ({percent(outside.sum(), len(outside))}) "
                f"start outside the resets that robot {self.robot.name} declares",
                remedy="see reset_distribution in the manifest; a policy evaluated there meets other starts",
                episode=self.indices[int(outside.argmax())],
                step=0,
                count=int(outside.sum()),
            )


class StartFacts:
    """Holds what was logged of the start state against its other versions, and against the first observation."""

    def __init__(self) -> None:
        self.episodes = 0
        self.differing: dict[tuple[str, str], list[int]] = {}
        self.offsets: dict[str, list[tuple[int, tuple[int, ...]]]] = {}

    def see(self, seen: Seen) -> None:
        """Compare the facts of one episode; a few numbers an episode are kept."""
        self.episodes += 1
        facts = {name: np.asarray(value) for name, value in seen.logged.facts.items() if np.size(value) > 1}
        for first, second in _versions(sorted(facts)):
            if facts[first].shape == facts[second].shape and not _same(facts[first], facts[second]).all():
                self.differing.setdefault((first, second), []).append(seen.index)
        for name, value in facts.items():
            if name.rpartition("/")[2].lower().startswith(START_WORDS) and value.dtype.kind == "f":
                offsets = _agreeing_offsets(value.reshape(-1), seen.episode.observations[0])
                self.offsets.setdefault(name, []).append((seen.index, offsets))

    def findings(self) -> Iterable[Finding]:
        """Two versions that differ; and a start state that is the first observation's in most episodes, not in all."""
        agreeing = {name: self._agreeing(name) for name in self.offsets}
        for names, odd in self.differing.items():
            right = [name for name in names if len(agreeing.get(name, ())) > 0.5 * self.episodes]
            remedy = f"the first observation agrees with {right[0]}" if len(right) == 1 else "find out which is meant"
            said = f"{names[0]} and {names[1]} differ in {len(odd)} of {self.episodes} episode(s)"
            yield self._finding(said, odd, remedy)
        for name, indices in agreeing.items():
            odd = [index for index, _ in self.offsets[name] if index not in indices]
            if odd and len(indices) > 0.5 * self.episodes:
                said = f"{name} is the state of the first observation in {len(indices)} episode(s), not in {len(odd)}"
                yield self._finding(said, odd, "see whether the episodes or this table were shifted or reordered")

    def _agreeing(self, name: str) -> set[int]:
        """Episodes in which the fact is a part of the first observation, at the place where it mostly is."""
        common = Counter(offset for _, offsets in self.offsets[name] for offset in offsets).most_common(1)
        return {index for index, offsets in self.offsets[name] if common and common[0][0] in offsets}

    def _finding(self, message: str, odd: list[int], remedy: str) -> Finding:
        return Finding(
            check="conflicting_start_states",
            severity="warning",
            message=message,
            remedy=f"{remedy}; replay from no start state that the data contradicts",
            episode=odd[0],
            step=0,
            count=len(odd),
        )


class StartsInSuccess:
    """Counts episodes whose task is done before the first action.

    Told by the logged flag, else by the robot's own judgement, else by a reward of two values: one that already has
    the higher of them at once where most episodes begin with the lower.
    """

    def __init__(self, subject: Subject) -> None:
        self.robot = subject.robot
        self.episodes, self.flagged, self.judged, self.paid = 0, list[int](), list[int](), list[int]()
        self.values: set[float] = set()
        self.first_rewards: list[float] = []
        self.first_episodes: list[int] = []

    def see(self, seen: Seen) -> None:
        """Look at the first step."""
        self.episodes += 1
        successes, rewards = seen.logged.successes, seen.logged.rewards
        if successes is not None and len(successes):
            if bool(np.asarray(successes).reshape(-1)[0]):
                self.flagged.append(seen.index)
        elif self.robot is not None:
            still = np.repeat(seen.episode.observations[:1], 2, axis=0)
            if bool(self.robot.label(still, np.zeros_like(seen.episode.actions[:1])).success):
                self.judged.append(seen.index)
        if rewards is not None and len(rewards):
            if len(self.values) <= SPARSE:
                self.values.update(np.unique(rewards)[: SPARSE + 1].tolist())
            self.first_rewards.append(float(np.asarray(rewards).reshape(-1)[0]))
            self.first_episodes.append(seen.index)

    def findings(self) -> Iterable[Finding]:
        """One finding, by the best evidence there is."""
        how = "are in success at their first step"
        found = self.flagged or self.judged
        if not found and len(self.values) == SPARSE:
            best = max(self.values)
            rich = [i for i, reward in zip(self.first_episodes, self.first_rewards, strict=True) if reward == best]
            found = rich if len(rich) < 0.5 * self.episodes else []
            how = "have the higher of two rewards at their first step"
        if found:
            yield Finding(
                check="starts_in_success",
                severity="warning",
                message=f"{len(found)} of {self.episodes} episode(s) {how}",
                remedy="they show no way to the goal and count as successes: leave them out, or reset further away",
                episode=found[0],
                step=0,
                count=len(found),
            )


def _versions(names: list[str]) -> list[tuple[str, str]]:
    """Pairs of names of which one begins with the other."""
    return [(a, b) for a in names for b in names if a != b and b.startswith(f"{a}_")]


def _same(first: Array, second: Array) -> Array:
    """Which entries are equal, but for the rounding of float32."""
    return np.isclose(first.astype(np.float64), second.astype(np.float64), rtol=AGREES, atol=1e-6, equal_nan=True)


def _agreeing_offsets(fact: Array, row: Array) -> tuple[int, ...]:
    """By how many places a fact must be shifted to be a part of a row: most numbers that are not 0 agree there."""
    telling = np.flatnonzero(np.abs(fact) > 1e-6)
    same = np.isclose(row[None, :].astype(np.float64), fact[telling, None], rtol=AGREES, atol=1e-6)
    at, column = np.nonzero(same)
    offsets, counts = np.unique(column - telling[at], return_counts=True)
    return tuple(offsets[counts >= max(SHARED, 0.9 * len(telling))].tolist())
