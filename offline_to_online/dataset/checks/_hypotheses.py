"""What may have been done to an episode's actions, and how well each such deed would explain what then happened.

Let R be what the model leaves unexplained of an episode, and D what would be added to R if the actions were
mended (a dimension negated, two exchanged, all shifted). ``h = -<R, D> / <D, D>`` is then 0 for an episode that is
as it should be, and 1 for one whose actions suffered exactly that. Its error falls with ``<D, D>``, the ``evidence``:
an episode in which a dimension hardly moved says nothing of its sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.checks._response import Response
from offline_to_online.dataset.checks._rows import EDGE, LAGS, Rows
from offline_to_online.dataset.spec import Array

SUFFERED = 0.75
SURE = {"flipped": (3.5, 0.25), "shifted": (4.5, 0.25), "swapped": (5.0, 0.15)}
"""How many times its own error h must be, and how large that error may be: there are more pairs than dimensions."""

TELLS_BELOW, TAIL_BELOW = 0.25, 0.5
LEAST_EVIDENCE = 25.0
FEWEST = 5
"""Episodes that must agree before another can be said to differ."""

FLOOR = 0.02


@dataclass(frozen=True)
class Deed:
    """What was done to the actions: ``flipped`` (dimensions; none means all), ``swapped`` or ``shifted`` (by steps)."""

    kind: str
    dimensions: tuple[int, ...] = ()
    steps: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Weighed:
    """One episode: h and evidence of every deed (K,), its gain (1 as the others) and the size of its actions."""

    h: Array
    evidence: Array
    gain: float
    size: float


def deeds(actions: int, lag: int) -> list[Deed]:
    """Every deed that is considered, in the order of ``weigh``."""
    first, second = np.triu_indices(actions, 1)
    return [
        *(Deed("flipped", (i,)) for i in range(actions)),
        Deed("flipped"),
        *(Deed("swapped", (int(i), int(j))) for i, j in zip(first, second, strict=True)),
        # The effect comes lag steps after the command as logged; where k explains better, it was moved by lag - k.
        *(Deed("shifted", steps=lag - k) for k in _reachable(lag)),
    ]


def weigh(rows: Rows, response: Response) -> Weighed:
    """Hold one episode against every deed."""
    acted = rows.lagged(response.lag)
    predicted = acted @ response.effect
    left = rows.changes[:, response.targets] - rows.states @ response.momentum - predicted
    weighted = response.effect * response.weight
    agreement = weighted @ (acted.T @ left).T  # [i, k]: effect of i against what is left that goes along with k
    likeness, together = weighted @ response.effect.T, acted.T @ acted
    flips = _flips(agreement, likeness, together)
    whole = _projected(left, 2 * predicted, response.weight)
    shifts = _shifts(rows.actions @ response.effect, left, response)
    parts = [flips, whole, _swaps(agreement, likeness, together), shifts]
    h, evidence = (np.concatenate(column) for column in zip(*parts, strict=True))
    gain = 1 - 2 * float(whole[0][0])
    return Weighed(h=h, evidence=evidence, gain=gain, size=float(np.sqrt((acted**2).mean())))


class Judgement:
    """What is usual in a data set, from the episodes the model was fitted on; and which episode is not.

    Where many episodes suffered, the model itself is drawn towards them: its effects shrink, and the usual h falls
    below 0 by as much. ``h`` is therefore read between the usual one (0) and its mirror image (1).
    """

    def __init__(self, weighed: Sequence[Weighed], actions: int, lag: int, *, strict: bool = True) -> None:
        self.deeds = deeds(actions, lag)
        h, evidence = np.stack([w.h for w in weighed]), np.stack([w.evidence for w in weighed])
        self.usual = np.quantile(h, 0.5, axis=0, method="lower")
        self.reach = np.maximum(1 - 2 * self.usual, 0.5)
        off = self._read(h)
        # Where a dimension rests in most episodes h scatters wildly there: the half that know most of it may tell.
        knowing = np.argsort(-evidence, axis=0, kind="stable")[: len(weighed) // 2 + 1]
        known = np.take_along_axis(off, knowing, axis=0)
        self.spread = np.minimum(_scatter(off), _scatter(known))
        # The error of h where evidence is scarce, from how it scatters: steps are not independent of each other.
        self.error = _scatter(off * np.sqrt(evidence))
        self.tells = (np.minimum(self.usual, np.median(known, axis=0)) < TELLS_BELOW) & (len(weighed) >= FEWEST)
        if strict:
            self.tells &= np.quantile(known, 0.9, axis=0) < TAIL_BELOW
        self.sure, self.within = (np.array(limits) for limits in zip(*(SURE[d.kind] for d in self.deeds), strict=True))
        self.size = float(np.median([w.size for w in weighed]))

    def deed(self, weighed: Weighed) -> Deed | None:
        """What this episode suffered: the deed that explains most of it, if any does so beyond doubt."""
        off = self._read(weighed.h)
        with np.errstate(divide="ignore", invalid="ignore"):
            doubt = np.maximum(self.spread, self.error / np.sqrt(weighed.evidence)) + FLOOR
            known = self.tells & (doubt < self.within) & (weighed.evidence > LEAST_EVIDENCE)
            guilty = known & (off / doubt > self.sure) & (off > SUFFERED)
        if not guilty.any():
            return None
        explained = np.where(guilty, weighed.evidence * (2 * off - 1), -np.inf)
        return self.deeds[int(np.argmax(explained))]

    def explained(self, weighed: Weighed, deed: Deed) -> float:
        """How much of the contradiction goes if that deed is undone: 1 for all of it."""
        return min(float(self._read(weighed.h)[self.deeds.index(deed)]), 1.0)

    def factor(self, weighed: Weighed) -> float | None:
        """By how much this episode's actions are too large: they are larger, and each does less by as much."""
        if not self.tells.any() or weighed.gain <= 0 or weighed.size <= 0:
            return None
        larger = weighed.size / self.size
        beyond = larger > 4 or larger < 1 / 4
        return larger if beyond and 0.5 < weighed.gain * larger < 2.0 else None

    def _read(self, h: Array) -> Array:
        return np.asarray((h - self.usual) / self.reach)


def _reachable(lag: int) -> list[int]:
    return [k for k in LAGS if k != lag]


def _scatter(values: Array) -> Array:
    """Robust standard deviation of each column about 0."""
    return np.asarray(1.4826 * np.quantile(np.abs(values), 0.5, axis=0, method="lower"))


def _ratio(against: Array, evidence: Array) -> tuple[Array, Array]:
    told = evidence > 0
    return np.where(told, -against / np.where(told, evidence, 1.0), 0.0), np.where(told, evidence, 0.0)


def _projected(left: Array, added: Array, weight: Array) -> tuple[Array, Array]:
    """``left`` is centred, ``added`` need not be."""
    against = np.einsum("ij,ij->j", left, added)
    evidence = np.einsum("ij,ij->j", added, added) - added.sum(axis=0) ** 2 / len(added)
    return _ratio(np.array([against @ weight]), np.array([evidence @ weight]))


def _flips(agreement: Array, likeness: Array, together: Array) -> tuple[Array, Array]:
    return _ratio(2 * np.diag(agreement), 4 * np.diag(likeness) * np.diag(together))


def _swaps(agreement: Array, likeness: Array, together: Array) -> tuple[Array, Array]:
    """Both sides must tell: what i should have moved goes along with k, and what k should have, with i."""
    i, j = np.triu_indices(len(agreement), 1)
    apart = together[i, i] + together[j, j] - 2 * together[i, j]
    one, other = agreement[i, i] - agreement[i, j], agreement[j, j] - agreement[j, i]
    h, evidence = _ratio(one + other, (likeness[i, i] + likeness[j, j] - 2 * likeness[i, j]) * apart)
    sides = [_ratio(side, likeness[d, d] * apart)[0] for side, d in ((one, i), (other, j))]
    return np.minimum(h, np.minimum(*sides)), evidence


def _shifts(answers: Array, left: Array, response: Response) -> tuple[Array, Array]:
    """``answers`` (T, J) is what every action of the episode would do."""
    rows = len(left)
    here = answers[EDGE - response.lag : EDGE - response.lag + rows]
    pairs = []
    for k in _reachable(response.lag):
        pairs.append(_projected(left, here - answers[EDGE - k : EDGE - k + rows], response.weight))
    h, evidence = zip(*pairs, strict=True)
    return np.concatenate(h), np.concatenate(evidence)
