"""The worst proposals, each beside the recorded transitions that come nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from offline_to_online.dataset.spec import Array, VectorSchema
from offline_to_online.support.estimator import SupportEstimator
from offline_to_online.support.proposals import Proposals

WORST, EXAMPLES, NEIGHBOURS = 10, 3, 3


def worst_table(
    proposals: Sequence[Proposals], estimator: SupportEstimator, observation: VectorSchema, action: VectorSchema
) -> pd.DataFrame:
    """The ten proposals of each mode with the highest score, and the three recorded transitions nearest to each.

    Returns:
        Rows in order of mode, rank and neighbour: ``mode``, ``rank`` (from 1), ``neighbour`` (0 the proposal itself,
        1 to 3 the recorded ones), ``episode`` (identity), ``step``, ``score`` (of the proposal), ``distance`` (of a
        recorded one to the proposal, 0 for the proposal), ``region`` (of the proposal), then ``observation/<name>``
        and ``action/<name>`` of every dimension (an action as it would be executed).
    """
    parts = []
    for one in proposals:
        rows = np.argsort(-one.frame["score"].to_numpy(), kind="stable")[:WORST]
        distances, nearest = estimator.nearest(one.observations[rows], one.actions[rows], NEIGHBOURS)
        about, ranks = one.frame.iloc[rows], np.arange(1, len(rows) + 1)
        own = pd.DataFrame({"rank": ranks, "neighbour": 0, "episode": about["episode"], "step": about["step"]})
        own["distance"] = np.float32(0)
        tables = [pd.concat([own.reset_index(drop=True), _named(one, rows, observation, action)], axis=1)]
        for k in range(nearest.shape[1]):
            logged = _recorded(estimator, nearest[:, k])
            table = pd.DataFrame({"rank": ranks, "neighbour": k + 1, **logged, "distance": distances[:, k]})
            tables.append(pd.concat([table, _named(estimator, nearest[:, k], observation, action)], axis=1))
        table = pd.concat(tables, ignore_index=True).sort_values(["rank", "neighbour"])
        table.insert(0, "mode", one.mode)
        for place, name in ((5, "score"), (7, "region")):
            table.insert(place, name, about[name].to_numpy()[table["rank"] - 1])
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def examples(
    proposals: Sequence[Proposals], region: str, estimator: SupportEstimator, action: VectorSchema
) -> list[dict[str, Any]]:
    """The three proposals in a region with the highest score, each of another episode, with their neighbours.

    The region has one at least.

    Returns:
        ``{episode, step, mode, score, action: {name: value}, nearest: [{episode, step, distance}]}``, worst first.
    """
    inside = [one.frame.assign(row=np.arange(len(one.frame)))[one.masks[region]] for one in proposals]
    every = pd.concat(inside).sort_values("score", ascending=False, kind="stable")
    chosen = every.drop_duplicates("episode").head(EXAMPLES)
    by_mode = {one.mode: one for one in proposals}
    pairs = [(by_mode[str(mode)], int(row)) for mode, row in zip(chosen["mode"], chosen["row"], strict=True)]
    actions = np.stack([one.actions[row] for one, row in pairs])
    distances, nearest = estimator.nearest(np.stack([one.observations[r] for one, r in pairs]), actions, NEIGHBOURS)
    return [
        {
            "episode": str(one.frame["episode"].iloc[row]),
            "step": int(one.frame["step"].iloc[row]),
            "mode": one.mode,
            "score": float(one.frame["score"].iloc[row]),
            "action": {name: float(value) for name, value in zip(action.names, actions[i], strict=True)},
            "nearest": _near(estimator, nearest[i], distances[i]),
        }
        for i, (one, row) in enumerate(pairs)
    ]


def _near(estimator: SupportEstimator, rows: Array, distances: Array) -> list[dict[str, Any]]:
    logged = _recorded(estimator, rows)
    triples = zip(logged["episode"], logged["step"], distances, strict=True)
    return [{"episode": str(e), "step": int(s), "distance": float(d)} for e, s, d in triples]


def _recorded(estimator: SupportEstimator, rows: Array) -> dict[str, Any]:
    """Episode identities and steps of recorded transitions (K,)."""
    return {"episode": [estimator.episodes[i] for i in estimator.episode_of[rows]], "step": estimator.step_of[rows]}


def _named(
    source: Proposals | SupportEstimator, rows: Array, observation: VectorSchema, action: VectorSchema
) -> pd.DataFrame:
    numbers = np.concatenate([source.observations[rows], source.actions[rows]], axis=1)
    names = [f"observation/{n}" for n in observation.names] + [f"action/{n}" for n in action.names]
    return pd.DataFrame(numbers, columns=names)
