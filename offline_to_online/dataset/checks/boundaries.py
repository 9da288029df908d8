"""Where episodes end: flags that are absent, cuts flagged as ends, episodes cut in two, too long or too short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.checks._steps import ROUNDING, logged_rows
from offline_to_online.dataset.finding import Finding, Severity
from offline_to_online.dataset.spec import Array

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "missing_timeouts": ("warning", "notice"),
    "missing_next_observations": ("notice",),
    "cut_marked_as_terminal": ("error", "warning"),
    "episode_continues": ("warning", "notice"),
    "horizon": ("warning",),
    "short_episodes": ("warning", "notice"),
}

ENOUGH = 3  # episodes that end alike
NEARLY_ALL = 0.8  # of the episodes share a length
SHORT = 0.1  # of the median length
SELDOM = 0.1  # of the episodes: more, and it is how this data is
MOST = 0.5  # of the boundaries: more, and episodes follow on from one another by nature
NEAR = 2.0  # times the largest of the few steps on either side of a boundary
BESIDE = 3  # steps on either side


def checks(subject: Subject) -> list[Check]:
    """All apply always: what was not logged is itself a finding."""
    return [LoggedEnds(), MissingObservations(), CutAsTerminal(subject), Continuations(), Lengths(subject)]


class LoggedEnds:
    """Which flags say how an episode ended."""

    def __init__(self) -> None:
        self.episodes = self.silent = self.terminal = self.unflagged = 0

    def see(self, seen: Seen) -> None:
        """Count by what is logged."""
        self.episodes += 1
        if seen.logged.timeouts is None:
            self.silent += seen.logged.terminals is None
            self.unflagged += seen.logged.terminals is not None
            self.terminal += seen.logged.terminals is not None and seen.episode.terminated

    def findings(self) -> Iterable[Finding]:
        """A warning where every end is flagged as the task's own, so that a cut would look the same."""
        remedy = (
            "log timeouts beside terminals; or say terminals: ignore in the manifest, and every end counts as a cut"
        )
        if self.unflagged:
            cut = self.unflagged - self.terminal
            all_alike = self.terminal > 0 and cut <= 1
            yield Finding(
                check="missing_timeouts",
                severity="warning" if all_alike else "notice",
                message=f"terminals are logged and timeouts are not: {self.terminal} episode(s) count as ended by the "
                f"task, {cut} as cut" + (", and nothing says whether a time limit ended some of them" * all_alike),
                remedy=remedy if self.terminal else "",
                count=self.unflagged,
            )
        if self.silent:
            yield Finding(
                check="missing_timeouts",
                severity="notice",
                message=f"nothing logged says how {self.silent} of {self.episodes} episode(s) ended: they count as cut",
                count=self.silent,
            )


class MissingObservations:
    """What became of last steps whose next observation was never logged."""

    def __init__(self) -> None:
        self.dropped = self.repeated = 0
        self.first: int | None = None

    def see(self, seen: Seen) -> None:
        """Compare what was logged with what is left."""
        dropped = len(seen.logged) - len(seen.episode)
        repeated = len(logged_rows(seen)) == len(seen.episode)
        self.dropped += dropped
        self.repeated += repeated
        if self.first is None and (dropped or repeated):
            self.first = seen.index

    def findings(self) -> Iterable[Finding]:
        """One notice with both counts."""
        if self.first is None:
            return
        parts = (
            f"the last step of {self.dropped} episode(s) is dropped" if self.dropped else "",
            f"the last observation of {self.repeated} that end as terminal is repeated" if self.repeated else "",
        )
        yield Finding(
            check="missing_next_observations",
            severity="notice",
            message="the observation after the last step is not logged: " + ", ".join(part for part in parts if part),
            remedy="log next_observations, or one observation more than actions",
            episode=self.first,
            count=self.dropped + self.repeated,
        )


class CutAsTerminal:
    """Looks for time-outs among the episodes that the data says the task itself ended."""

    def __init__(self, subject: Subject) -> None:
        self.robot, self.manifest = subject.robot, subject.manifest
        self.lengths: Counter[int] = Counter()
        self.longest = 0
        self.first: dict[int, int] = {}
        self.unearned = self.earned = 0
        self.first_unearned: int | None = None

    def see(self, seen: Seen) -> None:
        """Keep the lengths of episodes that end as terminal, and whether they reached success."""
        self.longest = max(self.longest, len(seen.logged))
        if not seen.episode.terminated:
            return
        length = len(seen.logged)
        self.lengths[length] += 1
        self.first.setdefault(length, seen.index)
        known = seen.logged.success is not None or seen.logged.successes is not None
        earned = seen.episode.success if known else None
        if self.robot is not None and self.robot.ends_on_success and earned is None:
            judged = self.robot.label(seen.episode.observations, seen.episode.actions)
            earned = bool(judged.success)
        self.earned += earned is True
        if earned is False or (self.robot is not None and not self.robot.ends_on_success):
            self.unearned += 1
            self.first_unearned = seen.index if self.first_unearned is None else self.first_unearned

    def findings(self) -> Iterable[Finding]:
        """All of one length, which is the longest; or ends without a success of a robot that ends on nothing else."""
        terminal = sum(self.lengths.values())
        at_limit = self.lengths[self.longest]
        if at_limit >= ENOUGH and at_limit >= (1 - SELDOM) * terminal:
            yield self._all_at_once(at_limit, terminal)
        elif self.robot is not None and self.first_unearned is not None:
            how = (
                f"without success, and robot {self.robot.name} ends an episode at success"
                if self.robot.ends_on_success
                else f"and robot {self.robot.name} does not end an episode on success"
            )
            yield self._finding(
                "warning",
                f"{self.unearned} of {terminal} terminal episode(s) end {how}",
                self.first_unearned,
                self.unearned,
            )

    def _all_at_once(self, at_limit: int, terminal: int) -> Finding:
        horizons = {
            self.robot.horizon if self.robot else None,
            self.manifest.episode_horizon if self.manifest else None,
        }
        # An error would leave a person who knows better no way in: until one has said anything, it is a warning.
        doubted = self.manifest is not None and self.manifest.terminals == "logged"
        sure = doubted and self.longest in horizons and self.earned == 0
        return self._finding(
            "error" if sure else "warning",
            f"{at_limit} of {terminal} episodes that end as terminal have {self.longest} steps, and none is longer: "
            + ("that is the time limit" if self.longest in horizons else "it looks like a time limit"),
            self.first[self.longest],
            at_limit,
        )

    def _finding(self, severity: Severity, message: str, episode: int, count: int) -> Finding:
        return Finding(
            check="cut_marked_as_terminal",
            severity=severity,
            message=message,
            remedy="a value function would learn that time running out is the end of the world: say terminals: ignore "
            "in the manifest where a time limit ended them, believed where the task did",
            episode=episode,
            count=count,
        )


class Continuations:
    """Whether the next episode begins where the last one stopped, within a step."""

    def __init__(self) -> None:
        self.last: tuple[Array, Array] | None = None
        self.boundaries = 0
        self.places: list[int] = []

    def see(self, seen: Seen) -> None:
        """Compare the first row with the last row before it; one row an episode is kept."""
        rows = logged_rows(seen).astype(np.float64)
        sizes = np.abs(np.diff(rows, axis=0))
        if self.last is not None and len(sizes):
            row, moved = self.last
            self.boundaries += 1
            near = NEAR * np.maximum(moved, sizes[:BESIDE].max(axis=0)) + ROUNDING * np.abs(row)
            if (np.abs(rows[0] - row) <= near).all():
                self.places.append(seen.index)
        self.last = (rows[-1], sizes[-BESIDE:].max(axis=0)) if len(sizes) else None

    def findings(self) -> Iterable[Finding]:
        """A warning where it is unusual for this data, else a notice."""
        if not self.places:
            return
        usual = len(self.places) > MOST * self.boundaries and self.boundaries > 1
        yield Finding(
            check="episode_continues",
            severity="notice" if usual else "warning",
            message=f"begins within a step of where the episode before it stopped; {len(self.places)} of "
            f"{self.boundaries} boundaries are like this",
            remedy="one recording is sliced into episodes: mark the slices as timeouts, and split by recording"
            if usual
            else "an episode was cut in two: remove the mark between, or see that it is a time-out, no terminal",
            episode=self.places[0],
            step=0,
            count=len(self.places),
        )


class Lengths:
    """Episodes longer than the robot's horizon or than nearly all others, and remnants."""

    def __init__(self, subject: Subject) -> None:
        self.robot = subject.robot
        self.lengths: Counter[int] = Counter()
        self.first: dict[int, int] = {}

    def see(self, seen: Seen) -> None:
        """Keep the length: one number, and its first episode."""
        self.lengths[len(seen.logged)] += 1
        self.first.setdefault(len(seen.logged), seen.index)

    def findings(self) -> Iterable[Finding]:
        """Too long, then too short."""
        episodes = sum(self.lengths.values())
        common, share = self.lengths.most_common(1)[0] if episodes else (0, 0)
        shared = episodes >= ENOUGH and share >= NEARLY_ALL * episodes
        limit = self.robot.horizon if self.robot is not None else common if shared else None
        longer = [length for length in self.lengths if limit is not None and length > limit]
        if longer and limit is not None:
            yield self._too_long(longer, limit, share, episodes)
        yield from self._too_short(episodes)

    def _too_long(self, longer: list[int], limit: int, share: int, episodes: int) -> Finding:
        count = sum(self.lengths[length] for length in longer)
        known = f"the horizon of robot {self.robot.name}" if self.robot else f"the length of {share} of {episodes}"
        return Finding(
            check="horizon",
            severity="warning",
            message=f"{count} episode(s) are longer than {limit} steps, {known}; the longest has {max(longer)}",
            remedy="two episodes may run into one, or the recording went on after the end: cut them at the horizon",
            episode=min(self.first[length] for length in longer),
            step=limit,
            count=count,
        )

    def _too_short(self, episodes: int) -> Iterable[Finding]:
        ordered = sorted(self.lengths.elements()) if episodes else [0]
        median = ordered[len(ordered) // 2]
        short = [length for length in self.lengths if length <= SHORT * median]
        count = sum(self.lengths[length] for length in short)
        if count:
            yield Finding(
                check="short_episodes",
                severity="warning" if count <= SELDOM * episodes else "notice",
                message=f"{count} of {episodes} episode(s) have at most {max(short)} step(s), the median is {median}",
                remedy="they may be remnants of a recording that was cut: leave them out, or mend their boundaries",
                episode=min(self.first[length] for length in short),
                count=count,
            )
