"""What a data set's episodes agree on, found among episodes some of which may be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offline_to_online.dataset.checks._hypotheses import Judgement, Weighed, weigh
from offline_to_online.dataset.checks._response import (
    Profile,
    Response,
    enough,
    profile,
    response,
    significance,
    typical,
)
from offline_to_online.dataset.checks._rows import Moments, Pair, Rows, Scales, of_usual_size, rows_of, scales_of, total
from offline_to_online.dataset.spec import Array

ROUNDS = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """The model of the episodes that agree, and every episode held against what the *others* say.

    ``significance`` (A, O): t-values of each action's effect on each observation; ``rows`` it rests on;
    ``weighed``: each of the episodes, in their order.
    """

    scales: Scales
    profile: Profile
    response: Response
    judgement: Judgement
    significance: Array
    rows: int
    weighed: list[Weighed]


def reference(pairs: Sequence[Pair], *, wanted: Sequence[int] = ()) -> Reference | None:
    """What the episodes agree on; None where there are too few of them, or actions explain nothing."""
    usual = of_usual_size(pairs) if pairs else []
    if not any(usual):
        return None
    scales = scales_of([pair for pair, good in zip(pairs, usual, strict=True) if good], wanted)
    rows = [rows_of(pair, scales) for pair in pairs]
    actions = len(scales.action)
    if not enough(sum(len(r.changes) for r in rows), rows[0].states.shape[1] + actions):
        return None
    agreed, moments, good = _agreed(rows, usual, actions)
    if agreed is None or sum(good) < 1:
        return None
    sums = total(m for m, g in zip(moments, good, strict=True) if g)
    weighed = []
    for episode, own, inside in zip(rows, moments, good, strict=True):
        others = sums.plus(own, -1) if inside and sum(good) > 1 else sums
        weighed.append(weigh(episode, response(others, actions, lag=agreed.lag)))
    return Reference(
        scales=scales,
        profile=agreed,
        response=response(sums, actions, lag=agreed.lag),
        judgement=Judgement([w for w, g in zip(weighed, good, strict=True) if g], actions, agreed.lag),
        significance=significance(sums, scales),
        rows=sums.rows,
        weighed=weighed,
    )


def _agreed(rows: list[Rows], usual: list[bool], actions: int) -> tuple[Profile | None, list[Moments], list[bool]]:
    """The lag that the good episodes show, the moments of all at that lag, and which are good."""
    good, lag = list(usual), 0
    moments = [r.moments(lag) for r in rows]
    found: Profile | None = None
    for _ in range(ROUNDS):
        model = typical([m for m, g in zip(moments, good, strict=True) if g], actions, lag=lag)
        weighed = [weigh(r, model) for r in rows]
        judgement = Judgement([w for w, u in zip(weighed, usual, strict=True) if u], actions, lag, strict=False)
        good = [u and judgement.deed(w) is None for u, w in zip(usual, weighed, strict=True)]
        found = profile([r for r, g in zip(rows, good, strict=True) if g]) if any(good) else None
        if found is None:
            break
        if found.lag != lag:
            lag = found.lag
            moments = [r.moments(lag) for r in rows]
    return found, moments, good
