"""Steps that go much further than the data's own: jumps of single dimensions, and resets inside an episode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.checks._steps import Ranges, StepSizes, logged_rows, named
from offline_to_online.dataset.finding import Finding, Severity
from offline_to_online.dataset.spec import Array

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "jumps": ("warning", "notice"),
    "unmarked_boundary": ("warning",),
}

BLOCK_ROWS = 4096
KEPT_ROWS = 4096
USUAL = 0.99  # the quantile of |step| by which the data's own movement is measured
JUMP = 6.0  # times that quantile
TAIL = 1.5  # times what is still usual in a thousand steps: far, where many dimensions move at once
NOTED = 0.6  # times what is far so far: the limits still move while episodes stream by
ISOLATED = 4.5  # times the largest of the three steps on either side: contacts and fast moves come in bursts
ALONE = 5.0  # times what is still usual in a thousand steps: a jump, not the tail of the dimension's own movement
NEIGHBOURS = (-3, -2, -1, 1, 2, 3)
ENOUGH_MOVES = 50
ENOUGH_ROWS = 1000  # below, the tail of a dimension's movement is not known
# The share of dimensions that must jump at once, where so large a share of all rows lies within the starts at most:
# the less it says that a row looks like a start, the more the jump must say.
EVIDENCE = ((0.05, 0.1), (0.3, 0.25), (1.0, 0.35))
SAMPLE_ROWS = 1024
FEW_EPISODES = 3  # below, nobody knows what is usual for this data


def checks(subject: Subject) -> list[Check]:
    """One check for both: a reset inside an episode is a step far out in many dimensions at once."""
    return [LargeSteps(subject)]


@dataclass(frozen=True)
class _Rows:
    """Rows of observations: whose, which, |step| to them, the largest |step| around, their values; arrays by row."""

    episode: Array
    step: Array
    size: Array
    around: Array
    value: Array

    def __getitem__(self, chosen: Array) -> _Rows:
        return _Rows(*(getattr(self, name)[chosen] for name in ("episode", "step", "size", "around", "value")))


class LargeSteps:
    """Collects rows that lie far from the row before, and judges them once the data's own movement is known.

    Memory: 2048 counts a dimension, a block of rows, and some thousand rows at most.
    """

    def __init__(self, subject: Subject) -> None:
        self.names = subject.observation
        width = len(self.names)
        self.sizes, self.ranges, self.starts = StepSizes(width), Ranges(width), Ranges(width)
        self.noted = _Rows(*(np.zeros(0, int),) * 2, *(np.zeros((0, width), np.float32),) * 3)
        self.sample = np.zeros((0, width), np.float32)
        self.block: list[tuple[int, Array]] = []
        self.rows = self.waiting = self.episodes = 0

    def see(self, seen: Seen) -> None:
        """Keep an episode until some thousand rows are there, then take note of their steps."""
        rows = logged_rows(seen)
        self.block.append((seen.index, rows))
        self.rows += len(rows)
        self.episodes += 1
        self.waiting += len(rows)
        if self.waiting >= BLOCK_ROWS:
            self._flush()

    def findings(self) -> Iterable[Finding]:
        """Jumps by dimension, and resets inside an episode."""
        self._flush()
        yield from self._jumps()
        yield from self._resets()

    def places(self, dimensions: Iterable[int]) -> set[tuple[int, int]]:
        """Episode and row of every jump in any of some dimensions, of those that were kept."""
        self._flush()
        rows = self.noted[np.flatnonzero(self._jumped()[:, list(dimensions)].any(axis=1))]
        return {(int(e), int(s)) for e, s in zip(rows.episode, rows.step, strict=True)}

    def _flush(self) -> None:
        if not self.block:
            return
        rows = np.concatenate([values for _, values in self.block]).astype(np.float32, copy=False)
        lengths = [len(values) for _, values in self.block]
        episodes = np.repeat([index for index, _ in self.block], lengths)
        steps = np.concatenate([np.arange(length) for length in lengths])
        self.block, self.waiting = [], 0
        self.ranges.add(rows)
        self.starts.add(rows[steps == 0])
        self.sample = np.concatenate([self.sample, rows[:: max(1, len(rows) // 64)]])
        if len(self.sample) > SAMPLE_ROWS:
            self.sample = self.sample[::2]
        moves = np.diff(rows, axis=0)
        moves[steps[1:] == 0] = 0  # from one episode to the next nothing moves
        sizes = self.ranges.unwrap(np.abs(moves))
        self.sizes.add(sizes)
        self._note(_Rows(episodes[1:], steps[1:], sizes, sizes, rows[1:]), moves)

    def _note(self, block: _Rows, moves: Array) -> None:
        chosen = np.flatnonzero((block.size > NOTED * self._far).any(axis=1))
        if not len(chosen):
            return
        around = _around(block, moves, chosen)
        new, old = block[chosen], self.noted
        pairs = [(getattr(old, name), getattr(new, name)) for name in ("episode", "step", "size")]
        joined = [np.concatenate(pair) for pair in (*pairs, (old.around, around), (old.value, new.value))]
        self.noted = _Rows(*joined)
        if len(self.noted.step) > 2 * KEPT_ROWS:
            worth = (self.noted.size / np.maximum(self._limit(1.0), 1e-30)).max(axis=1)
            self.noted = self.noted[np.sort(np.argsort(-worth, kind="stable")[:KEPT_ROWS])]

    def _limit(self, times: float) -> Array:
        """(O,) |step| beyond which a step is far; 0 for what hardly ever changes within an episode."""
        usual = times * self.sizes.quantile(USUAL)
        return np.where(self._rare, 0.0, np.where(self.sizes.moves >= ENOUGH_MOVES, usual, np.inf))

    @property
    def _far(self) -> Array:
        return np.minimum(self._limit(JUMP), self._tail(TAIL))

    def _tail(self, times: float) -> Array:
        """(O,) that many times the |step| still usual in a thousand."""
        return times * self.sizes.quantile(np.clip(1 - 4 / np.maximum(self.sizes.moves, 5), 0, 0.999))

    @property
    def _rare(self) -> Array:
        return (self.sizes.moves > 0) & (self.sizes.moves <= max(3, self.rows // 2000))

    def _jumped(self) -> Array:
        """(rows, O) bool: which steps are jumps."""
        noted = self.noted
        beyond = (noted.size > self._limit(JUMP)) & (noted.size > ISOLATED * noted.around)
        return np.asarray(beyond & (~self._rare | (self.rows >= ENOUGH_ROWS)))

    def _jumps(self) -> Iterable[Finding]:
        jumped, limits, tail = self._jumped(), self._limit(JUMP), self._tail(ALONE)
        known = self.rows >= ENOUGH_ROWS and self.episodes >= FEW_EPISODES
        for column in np.flatnonzero(jumped.any(axis=0)).tolist():
            hits = np.flatnonzero(jumped[:, column])
            worst = hits[np.argmax(self.noted.size[hits, column])]
            far, limit = float(self.noted.size[worst, column]), float(limits[column])
            clear = known and (limit == 0 or far > tail[column])
            said = f"limit {limit:.3g}, {JUMP:g} times what 99 % of its moves stay below"
            yield Finding(
                check="jumps",
                severity="warning" if clear else "notice",
                message=f"moves by {far:.4g} from the row before; {len(hits)} such row(s): "
                + (said if limit else "it hardly ever changes within an episode"),
                remedy="look at the recording there: a tracker that lost its target, a robot that was carried, lost "
                "rows; cut the episode there, or leave it where it is a contact",
                episode=int(self.noted.episode[worst]),
                step=int(self.noted.step[worst]),
                dimension=named("observation", self.names, column),
                count=len(hits),
            )

    def _resets(self) -> Iterable[Finding]:
        """Rows to which many dimensions jump at once, and that look like the first row of an episode."""
        noted, varies = self.noted, self.sizes.moves > 0
        usual = self._at_start(self.sample).mean() if len(self.sample) else 1.0
        share = next(share for most, share in EVIDENCE if usual <= most)
        far = (noted.size > self._far) & (noted.size > noted.around) & varies
        wanted = max(min(2, int(varies.sum())), round(share * int(varies.sum())))
        hits = np.flatnonzero(self._at_start(noted.value) & (far.sum(axis=1) >= wanted))
        if not len(hits):
            return
        worst = hits[np.argmax(far[hits].sum(axis=1))]
        yield Finding(
            check="unmarked_boundary",
            severity="warning",
            message=f"{int(far[worst].sum())} of {int(varies.sum())} dimensions jump at once to where episodes start; "
            f"{len(hits)} such row(s)",
            remedy="a flag was lost and two episodes run into one, or the robot was put back: end the episode there",
            episode=int(noted.episode[worst]),
            step=int(noted.step[worst]),
            count=len(hits),
        )

    def _at_start(self, rows: Array) -> Array:
        """Which rows lie within what the first rows of episodes span."""
        slack = 0.05 * (self.starts.high - self.starts.low) + 1e-6 * np.abs(self.starts.high)
        return np.asarray(((rows >= self.starts.low - slack) & (rows <= self.starts.high + slack)).all(axis=1))


def _around(block: _Rows, moves: Array, chosen: Array) -> Array:
    """The largest |step| among the neighbours of chosen rows; the way back from a one-row spike does not count."""
    around = np.zeros((len(chosen), block.size.shape[1]), dtype=np.float32)
    for offset in NEIGHBOURS:
        beside = np.clip(chosen + offset, 0, len(block.step) - 1)
        same = (block.episode[beside] == block.episode[chosen]) & (beside == chosen + offset)
        size = np.where(same[:, None], block.size[beside], 0)
        if abs(offset) == 1:
            with np.errstate(over="ignore"):
                back = (moves[beside] * moves[chosen] < 0) & (size > block.size[chosen] / 2)
            size = np.where(back & (size < 2 * block.size[chosen]), 0, size)
        around = np.maximum(around, size)
    return around
