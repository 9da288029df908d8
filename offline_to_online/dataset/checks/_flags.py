"""Success as the log flags it: where the flag is, whether a sparse reward agrees with it, how many succeed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from offline_to_online.dataset.checks import Seen
from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.spec import Array

FLAGS = ("success", "is_success", "goal_achieved", "task_success")
FEW = 1 / 3
FEWEST, ODD, CLEAR = 3, 0.25, 0.1
"""Flagged episodes that must agree; the share that may not; and how far apart rewards of success and others must be."""


def flags_of(seen: Seen) -> Array | None:
    """The success flag of each step, from where formats keep it or under a name that says so."""
    logged = seen.logged
    if logged.successes is not None:
        return logged.successes
    for name, values in logged.extra.items():
        if name.rpartition("/")[2] in FLAGS and values.ndim == 1 and values.dtype.kind in "bui":
            return values
    return None


def flagged(seen: Seen) -> bool | None:
    """Whether an episode is logged as a success; None where that is not logged."""
    flags = flags_of(seen)
    if seen.logged.success is not None or flags is None:
        return seen.logged.success
    return bool(np.any(flags))


def outcome(successes: int, episodes: int, rule: str, best: float | None) -> Iterator[Finding]:
    """A warning where fewer than a third of the episodes succeed."""
    if not episodes or successes >= FEW * episodes:
        return
    score = "" if best is None else f"; the best score is {best:.3g}"
    yield Finding(
        check="few_successes" if successes else "no_success",
        severity="warning",
        message=f"{successes or 'none'} of {episodes} episodes succeed by {rule}{score}",
        remedy="learn from a denser reward, or record more successes",
        dimension="success",
        count=episodes - successes,
    )


class FlagAgainstReward:
    """A success flag against the reward, where a reward above some threshold means success.

    That may be a sparse reward, a bonus, or a distance. The threshold is the one that contradicts the flags in the
    fewest episodes. Formats log a flag with the observation before a step or with the one after it: both are tried.
    A flag of the whole episode is that of its highest reward, or that of its last.
    """

    def __init__(self) -> None:
        # By episode and place of the flag: lowest flagged reward, highest other reward, and their steps.
        self.rows: list[tuple[int, Array]] = []
        self.low, self.high = np.inf, -np.inf

    def see(self, seen: Seen) -> None:
        """Keep eight numbers of an episode."""
        flags, rewards, whole = flags_of(seen), seen.logged.rewards, seen.logged.success
        if rewards is None or not len(rewards) or (flags is None and whole is None):
            return
        self.low, self.high = min(self.low, float(rewards.min())), max(self.high, float(rewards.max()))
        if flags is not None:
            row = np.array([_extremes(flags[place:], rewards) for place in (0, 1)])
        else:
            row = np.array([_told(float(rewards[step]), step, whole=bool(whole)) for step in _decisive(rewards)])
        self.rows.append((seen.index, row))

    def findings(self) -> Iterable[Finding]:
        """Episodes on the wrong side, if they are few: a reward for something else says nothing of success."""
        if not self.rows:
            return
        table = np.stack([row for _, row in self.rows])
        clear = CLEAR * (self.high - self.low)
        place = min((0, 1), key=lambda p: _contradictions(table[:, p], clear)[0].sum())
        wrong, threshold = _contradictions(table[:, place], clear)
        agreeing = np.isfinite(table[~wrong, place, 0]).sum()
        if not 0 < wrong.sum() <= ODD * len(wrong) or agreeing < FEWEST:
            return
        index, rows = self.rows[int(wrong.argmax())]
        told = rows[place, 0] < threshold
        yield Finding(
            check="success_mismatch",
            severity="warning",
            message=f"success flag and reward disagree in {wrong.sum()} of {len(wrong)} episodes: elsewhere a reward "
            f"of {threshold:.3g} or more is a success and no other is; here "
            + (f"one of {rows[place, 0]:.3g} is" if told else f"one of {rows[place, 1]:.3g} is not"),
            remedy="find out which of both is right, and mend the other",
            episode=index,
            step=int(rows[place, 2 if told else 3]),
            dimension="reward",
            count=int(wrong.sum()),
        )


def _decisive(rewards: Array) -> tuple[int, int]:
    """The steps that may decide of an episode: the best, and the last."""
    return int(rewards.argmax()), len(rewards) - 1


def _told(reward: float, step: int, *, whole: bool) -> tuple[float, float, float, float]:
    return (reward, -np.inf, float(step), 0.0) if whole else (np.inf, reward, 0.0, float(step))


def _extremes(flags: Array, rewards: Array) -> tuple[float, float, float, float]:
    steps = min(len(flags), len(rewards))
    flag, reward = np.asarray(flags[:steps], dtype=bool), np.asarray(rewards[:steps], dtype=np.float64)
    told, other = np.where(flag, reward, np.inf), np.where(flag, -np.inf, reward)
    if not steps:
        return np.inf, -np.inf, 0.0, 0.0
    return told.min(), other.max(), float(told.argmin()), float(other.argmax())


def _contradictions(rows: Array, clear: float) -> tuple[Array, float]:
    """Which episodes contradict the best threshold (all of them where there is none), and that threshold.

    A threshold lies in the middle of a gap of more than ``clear`` between the rewards that are kept.
    """
    values = np.sort(rows[:, :2][np.isfinite(rows[:, :2])])
    wide = np.diff(values) > clear
    candidates = ((values[1:] + values[:-1]) / 2)[wide]
    if not len(candidates):
        return np.ones(len(rows), dtype=bool), np.inf
    told, other = np.sort(rows[:, 0]), np.sort(rows[:, 1])
    wrong = np.searchsorted(told, candidates) + len(other) - np.searchsorted(other, candidates)
    threshold = float(candidates[int(wrong.argmin())])
    return (rows[:, 0] < threshold) | (rows[:, 1] >= threshold), threshold
