"""Exposures: what a person reads first."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from offline_to_online.support.estimator import SupportConfig, SupportEstimator
from offline_to_online.support.exposures import exposures, gaps, table
from offline_to_online.support.proposals import Proposals

EPISODES, STEPS = 20, 12


@pytest.fixture
def estimator(make_log):
    """Twenty logged episodes of twelve steps."""
    return SupportEstimator.fit(make_log(0, EPISODES), SupportConfig())


def proposals(mode, outside, masks, **columns):
    """Proposals at made-up states; ``outside`` (N,) says which lie beyond the threshold of 1."""
    count = len(outside)
    rng = np.random.default_rng(1)
    episode_of = np.repeat(np.arange(count // STEPS), STEPS)
    frame = pd.DataFrame(
        {
            "episode": [f"e{i}" for i in episode_of],
            "step": np.tile(np.arange(STEPS), count // STEPS),
            "mode": mode,
            "score": np.where(outside, 2.0, 0.5) + np.arange(count) * 1e-3,
            "distance": np.where(outside, 3.0, 0.2),
            "outside": outside,
            **columns,
        }
    )
    observations, actions = rng.normal(size=(count, 4)).astype("f4"), rng.uniform(-1, 1, (count, 2)).astype("f4")
    return Proposals(
        mode=mode, observations=observations, actions=actions, episode_of=episode_of, masks=masks, frame=frame
    )


@pytest.fixture
def found(estimator, module):
    """A gap in a sixth of the proposals; a region outside more often than clean data; a quiet one; an empty one."""
    every, used = np.arange(EPISODES * STEPS), np.arange(10 * STEPS)
    logged = {"a/quiet": every % 2 == 0, "b/outside": every % 4 == 1, "c/gap": every < 0, "d/empty": every < 0}
    masks = {"a/quiet": used % 2 == 0, "b/outside": used % 4 == 1, "c/gap": used % 6 == 3, "d/empty": used < 0}
    greedy = proposals("greedy", masks["b/outside"], masks, disagreement=np.where(masks["c/gap"], 4.0, 1.0))
    exploring = proposals("exploring", used < 0, masks, disagreement=1.0)
    return exposures(logged, estimator, greedy, exploring, alpha=0.05, action=module.SPEC.action)


def test_gaps_come_first_and_then_where_most_proposals_leave_the_data(found):
    """In this order: gap, outside more than clean data, as clean data, never proposed."""
    assert [one.name for one in found] == ["c/gap", "b/outside", "a/quiet", "d/empty"]
    assert [one.status for one in found] == ["gap", "supported", "supported", "not proposed"]
    assert gaps(found) == ["c/gap"]


def test_a_region_tells_its_use_in_both_modes(found):
    """Shares, how many lie outside, the worst, and what the critics disagree on; none of it where nothing is."""
    gap, outside, _, empty = found
    assert gap.greedy.share == pytest.approx(1 / 6)
    assert (outside.greedy.share, outside.greedy.outside, outside.exploring.outside) == (0.25, 1.0, 0.0)
    assert outside.greedy.excess == pytest.approx(0.25 * (1.0 - 0.25))
    assert outside.exploring.excess == pytest.approx(0.25 * (0.0 - 0.05))
    assert outside.greedy.worst_score == pytest.approx(2.117)
    assert (outside.data_share, outside.data_steps) == (0.25, 60)
    assert (gap.greedy.disagreement, gap.exploring.disagreement) == (4.0, 1.0)
    assert (empty.greedy.worst_score, empty.greedy.disagreement, empty.examples) == (0.0, None, [])


def test_examples_are_the_worst_of_different_episodes(found, estimator):
    """Three of them, worst first, each with its action by name and the recorded steps nearest to it."""
    examples = found[1].examples
    assert [one["episode"] for one in examples] == ["e9", "e8", "e7"]
    assert {one["mode"] for one in examples} == {"greedy"}
    assert list(examples[0]["action"]) == ["joint_0", "joint_1"]
    assert [one["episode"] in estimator.episodes for one in examples[0]["nearest"]] == [True] * 3
    distances = [one["distance"] for one in examples[0]["nearest"]]
    assert distances == sorted(distances)


def test_the_table_shows_what_stands_out_and_no_more(found):
    """The gap by name and shares, then the region outside; what is as clean data, or never proposed, is left out."""
    said, head, gap, outside = table(found).splitlines()
    assert said == "1 gap in the data"
    assert head.split() == ["region", "data", "greedy", "outside", "exploring", "outside"]
    assert gap.split()[:4] == ["gap", "c/gap", "0.0%", "16.7%"]
    assert outside.split() == ["b/outside", "25.0%", "25.0%", "100.0%", "25.0%", "0.0%"]
    assert "1 more" in table(found, count=1)


def test_a_table_of_nothing_says_so(found):
    """A sound policy is one line."""
    assert table(found[2:]) == (
        "no gap in the data, and no region in which the policy is outside more often than elsewhere and than clean data"
    )


def test_an_exposure_is_json(found):
    """All of it by name, the uses and examples inside."""
    row = found[0].to_json()
    assert set(row) == {field.name for field in dataclasses.fields(found[0])}
    assert row["greedy"]["share"] == found[0].greedy.share
