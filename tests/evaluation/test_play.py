"""Episodes in processes: the same whatever their number."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_policy import write_policy

from offline_to_online.errors import EmergencyStopError, ParameterError, PolicyError, SupportError
from offline_to_online.evaluation.panel import collection_task
from offline_to_online.evaluation.play import load_support, play
from offline_to_online.robots import Dynamics, pusht
from offline_to_online.robots import fetch_pick_and_place as fetch

FETCH = "fetch_pick_and_place"
TASKS = [collection_task(fetch, 21, i) for i in range(5)]


def on_fetch(policy, support, *, jobs=1, tasks=TASKS, dynamics=None, **how):
    return play(policy, FETCH, tasks, dynamics=dynamics or Dynamics(), support_folder=support, jobs=jobs, **how)


def content(rollouts):
    """Everything that a rollout holds, comparable."""
    return [
        (
            r.task,
            r.episode.identity,
            r.failure,
            r.episode.operator,
            *(x.tobytes() for x in (r.proposed, r.support_score)),
        )
        for r in rollouts
    ]


@pytest.mark.parametrize("explore_seed", [None, 4])
def test_the_number_of_processes_changes_nothing(fetch_policy, fetch_support, explore_seed):
    """One process or two, greedy or exploring: bit for bit the same rollouts, in the tasks' order."""
    one = on_fetch(fetch_policy, fetch_support, jobs=1, explore_seed=explore_seed)
    two = on_fetch(fetch_policy, fetch_support, jobs=2, explore_seed=explore_seed)
    assert content(one) == content(two)
    assert [r.task for r in two] == TASKS


@pytest.mark.parametrize("policy", ["exported", "random"])
def test_an_episode_does_not_depend_on_what_was_played_before(policy, fetch_policy, fetch_support):
    """A task played last, after others on the same robot, is the task played alone."""
    source = fetch_policy if policy == "exported" else "random"
    explore_seed = 4 if policy == "exported" else None
    among = on_fetch(source, fetch_support, explore_seed=explore_seed)
    alone = on_fetch(source, fetch_support, tasks=TASKS[-1:], explore_seed=explore_seed)
    assert content(among[-1:]) == content(alone)


def test_exploring_is_seeded(fetch_policy):
    """Another seed explores otherwise; a scale of 0 does not explore at all."""
    first, other, scaled, greedy = (
        on_fetch(fetch_policy, None, tasks=TASKS[:1], **how)[0].episode.identity
        for how in (
            {"explore_seed": 1},
            {"explore_seed": 2},
            {"explore_seed": 1, "exploration_scale": 0.0},
            {},
        )
    )
    assert first != other
    assert scaled == greedy != first


def test_a_random_policy_drifts_and_is_stopped(fetch_support):
    """Most of its steps lie outside the support, and the guard stops it again and again."""
    rollouts = on_fetch("random", fetch_support)
    assert np.mean([r.support_drift for r in rollouts]) > 0.5
    assert all(r.interventions > 0 for r in rollouts)


def test_dynamics_reach_the_robot(fetch_policy):
    """A weaker arm ends elsewhere under the same policy."""
    ends = [
        on_fetch(fetch_policy, None, tasks=TASKS[:1], dynamics=Dynamics(action_gain=gain))[0].episode.observations[-1]
        for gain in (1.0, 0.5)
    ]
    assert not np.allclose(*ends)


def test_progress_and_operator_are_told(fetch_policy):
    """Progress counts episodes up to all of them; the episodes carry the operator's name."""
    told = []
    rollouts = on_fetch(
        fetch_policy, None, tasks=TASKS[:2], operator="bc", progress=lambda done, total: told.append((done, total))
    )
    assert told == [(1, 2), (2, 2)]
    assert {r.episode.operator for r in rollouts} == {"bc"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stop_file_stops_every_process(fetch_policy, tmp_path, jobs):
    """Nothing moves while the file is there, in this process or in others; it is named."""
    (tmp_path / "STOP").touch()
    with pytest.raises(EmergencyStopError, match="STOP is there"):
        on_fetch(fetch_policy, None, jobs=jobs, stop_file=tmp_path / "STOP")
    (tmp_path / "STOP").unlink()
    assert len(on_fetch(fetch_policy, None, tasks=TASKS[:1], jobs=jobs, stop_file=tmp_path / "STOP")) == 1


def test_no_tasks_are_no_rollouts(fetch_policy):
    """Nothing to play is nothing played."""
    assert on_fetch(fetch_policy, None, tasks=[], jobs=2) == []


def test_a_policy_for_another_robot_is_refused(tmp_path):
    """In a process of its own, too, the error arrives as the one line it is."""
    policy = write_policy(tmp_path / "policy.safetensors", pusht.SPEC)
    for jobs in (1, 2):
        with pytest.raises(PolicyError, match="trained on"):
            on_fetch(policy, None, jobs=jobs, tasks=TASKS[:2])


def test_jobs_below_one_are_refused(fetch_policy):
    """There is no playing in no process."""
    with pytest.raises(ParameterError, match="jobs 0"):
        on_fetch(fetch_policy, None, jobs=0)


def test_thresholds_of_another_estimator_are_refused(tmp_path, fetch_support):
    """A calibration belongs to the estimator whose scores it was made of."""
    (tmp_path / "estimator").symlink_to(fetch_support / "estimator")
    calibration = json.loads((fetch_support / "calibration.json").read_text())
    (tmp_path / "calibration.json").write_text(json.dumps(calibration | {"estimator_sha256": "0" * 64}))
    with pytest.raises(SupportError, match="another estimator"):
        load_support(tmp_path)
