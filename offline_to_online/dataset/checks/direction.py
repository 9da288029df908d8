"""Whether commands do what they should: their sign, their order, the step in which they act, and their size.

Two ways of knowing. A robot's plug-in may say which observation each command moves up: then a data set as a whole
can be held against it. Without that, episodes are held against each other: one in which negated, exchanged or
shifted actions explain what happened far better than the logged ones do is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.checks._hypotheses import Deed, Judgement, Weighed, weigh
from offline_to_online.dataset.checks._reference import Reference, reference
from offline_to_online.dataset.checks._response import Profile
from offline_to_online.dataset.checks._rows import SHORTEST, Pair, rows_of
from offline_to_online.dataset.finding import Finding, Severity
from offline_to_online.dataset.spec import Array

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "flipped_sign": ("error", "warning"),
    "swapped_dimensions": ("error", "warning"),
    "shifted_actions": ("warning", "notice"),
    "scaled_actions": ("warning",),
}

KEPT_EPISODES, KEPT_STEPS, KEPT_NUMBERS = 200, 20_000, 4_000_000
"""The first episodes, to fit on; at most so many of each."""

HUGE = 1e15
"""Beyond it float32 cannot square; such an episode breaks every bound there is, and is not judged here."""

SIGNIFICANT, CLEAR_T, WEAKER = 6.0, 15.0, 0.25
CONTESTED = (0.3, 0.7)
"""Where so large a share of the episodes contradicts the rest, the model might as well have been that of the others."""

CLEAR_SHARE, CLEAR_BEST, CLEAR_MEAN = 0.5, 0.6, 1.15
REMEDY = "hold the recording's clock and its order of dimensions against the robot's, and mend or remove the episodes"


def checks(subject: Subject) -> list[Check]:
    """One: all of these questions rest on the same model."""
    return [Direction(subject)]


class Direction:
    """The response of a data set, and the episodes that contradict it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        drives = {} if subject.robot is None else subject.robot.drives
        self.driven = {
            subject.action.index(a): subject.observation.index(o)
            for a, o in drives.items()
            if a in subject.action and o in subject.observation
        }
        self.kept: list[tuple[int, Pair]] = []
        self.steps = 0
        self.full = False
        self.reference: Reference | None = None
        self.accused = Accused(subject.action)

    def see(self, seen: Seen) -> None:
        """Keep the first episodes; once there are enough of them, judge each as it comes."""
        steps = len(seen.episode)
        pair = (seen.episode.observations, seen.episode.actions)
        if steps < SHORTEST or max(np.abs(part).max() for part in pair) > HUGE:
            return
        if self.full:
            self._judge(seen.index, pair)
            return
        numbers = len(pair[0][0]) + len(pair[1][0])
        room = max(min(KEPT_STEPS, KEPT_NUMBERS // numbers) - self.steps, SHORTEST)
        # Copies: what a reader gave may be a view of a larger block.
        self.kept.append((seen.index, (pair[0][: room + 1].copy(), pair[1][:room].copy())))
        self.steps += steps
        if len(self.kept) >= KEPT_EPISODES or steps >= room:
            self._settle()

    def findings(self) -> Iterable[Finding]:
        """On the data set as a whole, then on single episodes."""
        if not self.full:
            self._settle()
        if self.reference is None:
            return
        yield from _lag(self.reference.profile)
        yield from self._driven(self.reference)
        yield from self.accused.findings()

    def _judge(self, index: int, pair: Pair) -> None:
        if self.reference is not None:
            rows = rows_of(pair, self.reference.scales)
            self.accused.judge(index, weigh(rows, self.reference.response), self.reference.judgement)

    def _settle(self) -> None:
        self.full = True
        self.reference = reference([pair for _, pair in self.kept], wanted=sorted(self.driven.values()))
        if self.reference is not None:
            for (index, _), weighed in zip(self.kept, self.reference.weighed, strict=True):
                self.accused.judge(index, weighed, self.reference.judgement)
        self.kept = []

    def _driven(self, reference: Reference) -> Iterator[Finding]:
        """The robot's own word on what each command moves, against what it moved in the data.

        An error where a manifest says that the data is that robot's.
        """
        if reference.profile.lag < 0:
            return  # What comes before its command is shifted, whatever its sign.
        severity: Severity = "warning" if self.subject.manifest is None else "error"
        moved = reference.significance
        for action, observation in self.driven.items():
            own, name = float(moved[action, observation]), self.subject.action[action]
            other = self._mover(moved, action, observation)
            said = f"moves {self.subject.observation[observation]} up, robot {self._robot} says"
            if other is not None:
                yield Finding(
                    check="swapped_dimensions",
                    severity=severity,
                    message=f"action.{name} {said}; in the data action.{self.subject.action[other]} does "
                    f"(t = {moved[other, observation]:.0f}, its own {own:.0f})",
                    remedy=REMEDY,
                    dimension=f"action.{name}",
                )
            elif own < -SIGNIFICANT:
                yield Finding(
                    check="flipped_sign",
                    severity=severity,
                    message=f"a positive action.{name} {said}; in the data it moves it down (t = {own:.0f} over "
                    f"{reference.rows} steps)",
                    remedy="negate this dimension, or mend the order of the dimensions",
                    dimension=f"action.{name}",
                )

    def _mover(self, moved: Array, action: int, observation: int) -> int | None:
        """Another command that moves what this one should, and does not move its own."""
        other = int(np.argmax(moved[:, observation]))
        clear = moved[other, observation] > max(CLEAR_T, abs(moved[action, observation]) / WEAKER)
        if other == action or not clear or other not in self.driven:
            return None
        its_own = self.driven[other]
        return other if moved[other, its_own] < WEAKER * moved[:, its_own].max() else None

    @property
    def _robot(self) -> str:
        return "" if self.subject.robot is None else self.subject.robot.name


@dataclass
class _Tally:
    example: str
    episodes: list[int]


class Accused:
    """Episodes that contradict the others, by what was done to them; one number is kept of each."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.judged: list[int] = []
        self.found: dict[str, dict[str, _Tally]] = {}

    def judge(self, index: int, weighed: Weighed, judgement: Judgement) -> None:
        """Take note of an episode that is not as the others."""
        self.judged.append(index)
        # Size first: too large by much, actions contradict the others in every other way as well.
        factor = judgement.factor(weighed)
        if factor is not None:
            said = f"its actions are {factor:.3g} times those of the others, and each does 1/{factor:.3g} as much"
            self._count("scaled_actions", "", index, said)
            return
        deed = judgement.deed(weighed)
        if deed is not None:
            said = f"{_words(deed)} explains {judgement.explained(weighed, deed):.0%} of the contradiction"
            self._count(*self._named(deed), index, said)

    def findings(self) -> Iterator[Finding]:
        """One a kind and dimension, at its first episode; one a kind where nobody can say who is right."""
        for check, tallies in self.found.items():
            accused = {index for tally in tallies.values() for index in tally.episodes}
            if CONTESTED[0] * len(self.judged) <= len(accused) <= CONTESTED[1] * len(self.judged):
                yield self._contested(check, accused, list(tallies))
                continue
            for dimension, tally in tallies.items():
                yield Finding(
                    check=check,
                    severity="warning",
                    message=f"{len(tally.episodes)} episode(s) contradict the others; {tally.example}",
                    remedy=REMEDY,
                    episode=tally.episodes[0],
                    step=0,
                    dimension=dimension,
                    count=len(tally.episodes),
                )

    def _contested(self, check: str, accused: Set[int], dimensions: Sequence[str]) -> Finding:
        """Two groups of much the same size: neither is accused."""
        smaller, larger = sorted((accused, set(self.judged) - accused), key=lambda group: (len(group), min(group)))
        return Finding(
            check=check,
            severity="warning",
            message=f"two groups of episodes contradict each other ({len(smaller)} against {len(larger)}); "
            "which is right is not known",
            remedy="find out which of them moves as the robot does, and mend or remove the other",
            episode=min(smaller),
            step=0,
            dimension=dimensions[0] if len(dimensions) == 1 else "",
            count=len(smaller),
        )

    def _count(self, check: str, dimension: str, index: int, example: str) -> None:
        tally = self.found.setdefault(check, {}).setdefault(dimension, _Tally(example, []))
        tally.episodes.append(index)

    def _named(self, deed: Deed) -> tuple[str, str]:
        all_or_one = range(len(self.names)) if deed.kind == "flipped" and len(self.names) == 1 else deed.dimensions
        names = [f"action.{self.names[i]}" for i in all_or_one]
        check = {"flipped": "flipped_sign", "swapped": "swapped_dimensions", "shifted": "shifted_actions"}[deed.kind]
        return check, " and ".join(names)


def _words(deed: Deed) -> str:
    if deed.kind == "shifted":
        way = "later" if deed.steps > 0 else "earlier"
        return f"as if every action were logged {abs(deed.steps)} step(s) {way} than it acted"
    what = "swapped" if deed.kind == "swapped" else "negated"
    return f"as if {'these' if deed.dimensions else 'all'} were {what}"


def _lag(profile: Profile) -> Iterator[Finding]:
    """The lag of the data set as a whole: an effect shows in the next observation, or at most in the one after."""
    lag = max(profile.best, key=lambda k: profile.best[k])
    if lag == 0 or lag != max(profile.mean, key=lambda k: profile.mean[k]):
        return
    plausible = [k for k in (0, 1) if k != lag and (lag != 1 or k == 0)]
    best = max(profile.best[k] for k in plausible)
    clear = profile.best[lag] >= CLEAR_SHARE and 1 - profile.best[lag] < CLEAR_BEST * (1 - best)
    if not clear or profile.mean[lag] < CLEAR_MEAN * max(profile.mean[k] for k in plausible):
        return
    severity: Severity = "notice" if lag == 1 else "warning"
    way = f"{-lag} step(s) before its command" if lag < 0 else f"{lag} step(s) later than the next observation"
    yield Finding(
        check="shifted_actions",
        severity=severity,
        message=f"what an action does shows {way}: there it explains {profile.best[lag]:.0%} of the change of the "
        f"dimension it moves most, in the next observation {profile.best[0]:.0%}",
        remedy="shift the actions against the observations, unless the robot really is that slow",
    )
