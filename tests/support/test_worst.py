"""The worst proposals beside what was recorded."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from offline_to_online.support.estimator import SupportConfig, SupportEstimator
from offline_to_online.support.proposals import Proposals
from offline_to_online.support.worst import worst_table


@pytest.fixture
def estimator(make_log):
    """Ten logged episodes of twelve steps."""
    return SupportEstimator.fit(make_log(0, 10), SupportConfig())


def repeated(estimator, count):
    """What was logged first, proposed again with scores that fall."""
    frame = pd.DataFrame({"episode": "held", "step": np.arange(count), "score": np.arange(count, 0, -1.0)})
    frame["region"] = [f"r/{i}" for i in range(count)]
    return Proposals(
        mode="greedy",
        observations=estimator.observations[:count],
        actions=estimator.actions[:count],
        episode_of=np.zeros(count, dtype=int),
        masks={},
        frame=frame,
    )


def test_each_of_the_worst_has_its_neighbours(estimator, module):
    """Ten ranks by score, each the proposal and the three recorded transitions nearest to it, itself first here."""
    one = repeated(estimator, 30)
    found = worst_table([one], estimator, module.SPEC.observation, module.SPEC.action)
    assert list(found["rank"]) == [rank for rank in range(1, 11) for _ in range(4)]
    assert list(found["neighbour"]) == [0, 1, 2, 3] * 10
    own, nearest = (found[found["neighbour"] == k].reset_index(drop=True) for k in (0, 1))
    assert list(own["score"]) == list(range(30, 20, -1))
    assert list(own["region"]) == [f"r/{i}" for i in range(10)]
    assert (nearest["step"] == own["step"]).all()
    assert set(nearest["episode"]) == {estimator.episodes[0]}
    values = [f"observation/sensor_{i}" for i in range(4)] + [f"action/joint_{i}" for i in range(2)]
    assert (own[values] == nearest[values]).all(axis=None)
    assert (nearest["distance"] < 1e-6).all()
    assert (found[found["neighbour"] == 3]["distance"] > 0).all()


def test_fewer_proposals_than_ten_are_all_there(estimator, module):
    """Both modes, one after the other."""
    both = [repeated(estimator, 2), repeated(estimator, 2)]
    found = worst_table(both, estimator, module.SPEC.observation, module.SPEC.action)
    assert list(found["rank"]) == [1] * 4 + [2] * 4 + [1] * 4 + [2] * 4
    assert list(found.columns[:8]) == ["mode", "rank", "neighbour", "episode", "step", "score", "distance", "region"]
