"""The rule that names gaps, and its error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from offline_to_online.support.gaps import GAP_ALPHA, chances, standings

STEPS = 10


def rows(visits):
    """Masks of episodes (E,) that visit a region for a given number of their ten steps, and each row's episode."""
    mask = np.concatenate([np.arange(STEPS) < count for count in visits])
    return mask, np.repeat(np.arange(len(visits)), STEPS)


def stand(data, used, **more):
    """The standings of region ``r`` and of others given as ``name=(data, used)``."""
    regions = {"r": (data, used), **more}
    logged = {name: rows(d)[0] for name, (d, _) in regions.items()}
    gone = {name: rows(u)[0] for name, (_, u) in regions.items()}
    return standings(logged, rows(data)[1], [gone], rows(used)[1])


def test_a_region_that_only_the_policy_visits_is_a_gap():
    """None of 20 logged episodes, 8 of 10 audited: no draw of episodes explains that."""
    (found,) = stand([0] * 20, [5] * 8 + [0] * 2)
    assert (found.status, found.data_steps, found.data_episodes, found.episodes) == ("gap", 0, 0, 8)
    assert (found.data_share, found.share) == (0.0, 0.4)
    assert found.chance == pytest.approx(math.comb(10, 8) / math.comb(30, 8))


def test_what_chance_can_explain_is_thin_and_no_gap():
    """Two of ten audited episodes and none of twenty logged: one draw in ten is such."""
    (found,) = stand([0] * 20, [5] * 2 + [0] * 8)
    assert found.chance == pytest.approx(math.comb(10, 2) / math.comb(30, 2))
    assert found.status == "thin"


def test_a_region_with_a_fair_share_of_the_data_is_supported():
    """Whatever its size; and one where the policy never goes is not proposed, however empty."""
    assert stand([1] * 20, [1] * 10)[0].status == "supported"
    assert stand([1] * 10 + [0] * 10, [2] * 10)[0].status == "supported"
    assert stand([0] * 20, [0] * 10)[0].status == "not proposed"


def test_few_steps_where_the_policy_mostly_is_are_thin():
    """One step in two hundred against half of the proposals: data there is, but a tenth of what would be fair."""
    assert stand([1] + [0] * 19, [5] * 10)[0].status == "thin"


def test_the_larger_of_nested_gaps_comes_first():
    """What was emptied along with a larger region stands behind it; a sensor stands before what it tells."""
    none, inside, whole = [0] * 20, [2] * 10, [9] * 10
    names = [one.name for one in stand(none, whole, a_part=(none, inside), b_fair=([3] * 20, [3] * 10))]
    assert names == ["r", "a_part", "b_fair"]
    tied = {"a/told": (none, whole), "sensor/camera": (none, whole)}
    assert [one.name for one in stand(none, inside, **tied)] == ["sensor/camera", "a/told", "r"]


def test_a_way_of_acting_is_enough():
    """A region into which only the exploring policy goes is a gap too."""
    (mask, of), (visits, used_of) = rows([0] * 20), rows([5] * 10)
    (found,) = standings({"r": mask}, of, [{"r": np.zeros_like(visits)}, {"r": visits}], used_of)
    assert (found.status, found.share, found.episodes) == ("gap", 0.5, 10)


def test_regions_that_decide_nothing_cost_nothing():
    """Tarone's correction: regions visited always, never or once leave the p-value of the others as it is."""
    data, used = np.array([0, 20, 0, 1]), np.array([6, 10, 0, 0])
    assert chances(data, 20, used, 10)[0] == pytest.approx(math.comb(10, 6) / math.comb(30, 6))
    twice = chances(np.array([0, 0]), 20, np.array([6, 6]), 10)
    assert twice[0] == pytest.approx(2 * math.comb(10, 6) / math.comb(30, 6))


def test_where_nothing_was_planted_hardly_ever_a_gap_is_named():
    """Random splits of episodes that visit thirty regions, most of them rare: the error is the promised one."""
    rng = np.random.default_rng(0)
    visited = rng.random((30, 30)) < rng.choice([0.1, 0.2, 0.3, 0.9], 30)
    named = 0
    for _ in range(400):
        order = rng.permutation(30)
        data, used = visited[order[:18]].sum(axis=0), visited[order[18:]].sum(axis=0)
        named += bool((chances(data, 18, used, 12) <= GAP_ALPHA).any())
    assert named <= 400 * GAP_ALPHA + 3 * math.sqrt(400 * GAP_ALPHA)
