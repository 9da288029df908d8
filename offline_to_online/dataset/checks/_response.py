"""How observations answer to actions: a linear model of the next change, fitted on a data set's first episodes.

The fit must survive episodes that are wrong, and they may be many: models of small groups of episodes compete with
that of all, and the one that explains the median episode best is where the search for wrong ones begins
(after Rousseeuw, 1984, "Least Median of Squares Regression").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.checks._rows import LAGS, Moments, Rows, Scales, total
from offline_to_online.dataset.spec import Array

ROWS_PER_COLUMN, ROWS_PER_COLUMN_OF_A_GROUP = 5, 3
GROUPS = 24
ANSWERS, TARGETS = 0.02, 32
LEAST_SHARE, PREFERRED = 0.02, 0.02
SMALL = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """By lag, the share of the change that actions explain beyond momentum.

    ``best`` is that of the dimension they explain best, ``mean`` the average; ``lag`` is where it is largest, in
    steps from a command to its effect: 0 where it shows in the very next observation.
    """

    best: dict[int, float]
    mean: dict[int, float]
    lag: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """A fitted model.

    Attributes:
        lag: steps from a command to its effect.
        targets: indices into ``scales.chosen`` of the J dimensions that answer.
        effect: (A, J) of each action on each of them, float32.
        momentum: (2O, J), float32.
        weight: (J,) one over the variance of what is left.
    """

    lag: int
    targets: Array
    effect: Array
    momentum: Array
    weight: Array


def enough(rows: int, columns: int) -> bool:
    """Whether so many rows tell so many coefficients."""
    return rows >= ROWS_PER_COLUMN * columns


def profile(rows: Sequence[Rows], lags: Sequence[int] = LAGS) -> Profile | None:
    """What actions explain, by lag; None where there are too few rows or they explain nothing."""
    best, mean = {}, {}
    for lag in lags:
        moments = total(r.moments(lag) for r in rows)
        actions = rows[0].actions.shape[1]
        if not enough(moments.rows, len(moments.gram)):
            return None
        alone, share = _shares(moments, actions)
        moving = alone > SMALL
        best[lag] = float(share.max())
        mean[lag] = float(share[moving].mean()) if moving.any() else 0.0
    top = max(best, key=lambda k: best[k])
    if best[top] < LEAST_SHARE:
        return None
    return Profile(best=best, mean=mean, lag=0 if best.get(0, -1.0) > best[top] - PREFERRED else top)


def response(moments: Moments, actions: int, *, lag: int, weight: Array | None = None) -> Response:
    """The model of some rows. ``weight`` (O,) replaces what these rows say of the variance that is left."""
    solved = moments.solved()
    left = moments.left(solved, freedom=len(moments.gram)) if weight is None else 1 / weight
    _, share = _shares(moments, actions)
    targets = np.sort(np.argsort(-share, kind="stable")[:TARGETS])
    targets = targets[share[targets] > ANSWERS]
    return Response(
        lag=lag,
        targets=targets,
        effect=solved[:actions, targets].astype(np.float32),
        momentum=solved[actions:, targets].astype(np.float32),
        weight=(1 / np.maximum(left[targets], 1e-4)).astype(np.float32),
    )


def typical(moments: Sequence[Moments], actions: int, *, lag: int) -> Response:
    """The model that explains the median episode best: that of all of them, or of a small group."""
    rng = np.random.default_rng(0)
    rivals = [total(moments), *(_group(moments, rng) for _ in range(GROUPS))]
    losses = []
    for rival in rivals:
        solved = rival.solved()
        # Of two halves that contradict each other, one: the mean of both middle episodes would be nobody's.
        losses.append(np.quantile([m.left(solved) for m in moments], 0.5, axis=0, method="lower"))
    # Logarithms: a dimension that is explained well tells more than many that nobody explains.
    chosen = int(np.argmin([np.log(loss + SMALL).sum() for loss in losses]))
    return response(rivals[chosen], actions, lag=lag, weight=1 / np.maximum(losses[chosen], 1e-4))


def significance(moments: Moments, scales: Scales) -> Array:
    """t-values (A, O) of each action's effect on each observation dimension; 0 where not looked at."""
    actions, solved = len(scales.action), moments.solved()
    left = np.maximum(moments.left(solved, freedom=len(moments.gram)), 1e-12)
    spread = np.sqrt(np.outer(np.diag(np.linalg.inv(moments.ridged()))[:actions], left))
    result = np.zeros((actions, scales.width))
    result[:, scales.chosen] = solved[:actions] / spread
    return result


def _group(moments: Sequence[Moments], rng: np.random.Generator) -> Moments:
    wanted = ROWS_PER_COLUMN_OF_A_GROUP * len(moments[0].gram)
    taken: list[Moments] = []
    for i in rng.permutation(len(moments)):
        taken.append(moments[int(i)])
        if sum(m.rows for m in taken) >= wanted:
            break
    return total(taken)


def _shares(moments: Moments, actions: int) -> tuple[Array, Array]:
    """Variance left without the actions, and the share of it that they explain, each (O,)."""
    states = moments.without(actions)
    alone = states.left(states.solved(), freedom=len(states.gram))
    left = moments.left(moments.solved(), freedom=len(moments.gram))
    return alone, np.where(alone > SMALL, 1 - left / np.maximum(alone, SMALL), 0.0)
