"""Rewards and successes, against each other and against the robot's own judgement."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_to_online.dataset.checks import Seen, Subject, rewards
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.robot_facts import robot_facts
from offline_to_online.plugins import module_for
from tests.dataset.checks import timed_logs
from tests.dataset.checks.steered_logs import Labels, drive, found, label, log, names, one, robot, subject, the


def relabelled(change: Callable[[np.ndarray], np.ndarray], only: tuple[int, ...] = ()) -> list[Seen]:
    """Drives with other rewards than the robot's own, everywhere or in some episodes."""
    episodes = []
    for index in range(12):
        observations, actions = drive(index)
        own = label(observations, actions).rewards
        episodes.append(one(index, observations, actions, rewards=own if only and index not in only else change(own)))
    return episodes


def flagged(**changes: Any) -> list[Seen]:
    """Drives whose flag is the robot's own sparse reward, but for some episodes."""
    episodes = []
    for index in range(12):
        observations, actions = drive(index)
        flags = label(observations, actions).rewards > 0.5
        flags = changes["change"](flags) if index in changes.get("only", ()) else flags
        episodes.append(one(index, observations, actions, successes=flags))
    return episodes


def plugged(folder: Path, name: str, plugin: str) -> tuple[Subject, tuple[Seen, ...]]:
    """A real log beside its robot."""
    bare, episodes = timed_logs.real(folder, name)
    return dataclasses.replace(bare, robot=robot_facts(module_for("robots", plugin))), episodes


def test_the_robot_s_own_rewards_have_nothing() -> None:
    """Nor has a log without a robot."""
    assert names(found(rewards, subject(robot=robot()), log())) <= {"few_successes"}
    assert found(rewards, subject(), log()) == []


def test_a_reward_of_another_rule_is_told_from_the_robot_s() -> None:
    """How many, by how much, where most."""

    def change(own: np.ndarray) -> np.ndarray:
        own = own + 0.05
        own[33] += 4.0
        return own

    finding = the(found(rewards, subject(robot=robot()), relabelled(change, (5,))), "reward_mismatch")
    assert (finding.severity, finding.place, finding.count) == ("warning", "episode 5, step 33, reward", 60)
    assert "+0.117 on average" in finding.message


def test_what_is_not_used_is_only_told(make_manifest: Callable[..., Manifest]) -> None:
    """Where the manifest takes the robot's own rewards."""
    known = subject(robot=robot(), manifest=make_manifest(reward_source="robot"))
    findings = found(rewards, known, relabelled(lambda own: own + 1))
    assert the(findings, "reward_mismatch").severity == "notice"


@pytest.mark.parametrize(
    ("change", "said"), [(lambda own: 10 * own, "10 times"), (lambda own: own - 1, "1 times robot sled's own, -1")]
)
def test_the_same_reward_in_other_numbers(change: Callable[[np.ndarray], np.ndarray], said: str) -> None:
    """Scaled, or shifted."""
    finding = the(found(rewards, subject(robot=robot()), relabelled(change)), "reward_scale")
    assert said in finding.message


def test_a_sparse_reward_of_other_values() -> None:
    """Two values, and not the robot's two, though not at the same steps."""

    def late(own: np.ndarray) -> np.ndarray:
        return np.where(np.arange(60) > 40, 5.0, -5.0)

    finding = the(found(rewards, subject(robot=robot()), relabelled(late)), "reward_scale")
    assert "is -5, 5, robot sled's own is 0, 1" in finding.message


def test_a_constant_reward_teaches_nothing() -> None:
    """The same in all steps."""
    finding = the(found(rewards, subject(), relabelled(np.zeros_like)), "constant_reward")
    assert (finding.severity, finding.count) == ("warning", 720)


@pytest.mark.parametrize(("source", "severity"), [("robot", "notice"), ("file", "error")])
def test_missing_rewards(make_manifest: Callable[..., Manifest], source: str, severity: str) -> None:
    """A fact where the robot gives them, an error where the file must; a warning while nobody has said."""
    episodes = [dataclasses.replace(s, logged=dataclasses.replace(s.logged, rewards=None)) for s in log(4)]
    undecided = the(found(rewards, subject(), episodes), "missing_rewards")
    assert undecided.severity == "warning"
    assert "none where only cloning is wanted" in undecided.remedy
    known = subject(manifest=make_manifest(reward_source=source))
    finding = the(found(rewards, known, episodes), "missing_rewards")
    assert (finding.severity, finding.episode, finding.count) == (severity, 0, 4)


@pytest.mark.parametrize("before", [False, True])
def test_flags_that_agree_with_a_sparse_reward(before: bool) -> None:
    """Whether they are logged with the observation after a step, or the one before it (then T+1 of them)."""
    episodes = flagged()
    if before:
        episodes = [
            dataclasses.replace(
                s, logged=dataclasses.replace(s.logged, successes=np.concatenate([[False], s.logged.successes]))
            )
            for s in episodes
        ]
    assert "success_mismatch" not in names(found(rewards, subject(), episodes))


def test_flags_against_a_sparse_reward() -> None:
    """Two episodes told as successes that have none of its reward."""
    failed = [s.index for s in flagged() if not s.logged.successes.any()][:2]
    findings = found(rewards, subject(), flagged(change=np.ones_like, only=failed))
    finding = the(findings, "success_mismatch")
    assert (finding.severity, finding.episode, finding.count) == ("warning", failed[0], 2)


@pytest.mark.parametrize("wrong", [0, 2])
def test_an_outcome_against_a_sparse_reward(wrong: int) -> None:
    """Logged of the whole episode; two that failed are told as successes, or none is."""
    episodes = log()
    failed = [s.index for s in episodes if not s.logged.rewards.any()][:wrong]
    told = [
        dataclasses.replace(
            s, logged=dataclasses.replace(s.logged, success=bool(s.logged.rewards.any()) or s.index in failed)
        )
        for s in episodes
    ]
    findings = [f for f in found(rewards, subject(), told) if f.check == "success_mismatch"]
    assert [(f.episode, f.count) for f in findings] == ([(failed[0], wrong)] if wrong else [])


def test_an_outcome_against_the_robot_s() -> None:
    """Logged of the whole episode."""
    episodes = log()
    succeeded = [s.index for s in episodes if label(s.episode.observations, s.episode.actions).success]
    episodes = [
        dataclasses.replace(s, logged=dataclasses.replace(s.logged, success=s.index in succeeded[1:])) for s in episodes
    ]
    finding = the(found(rewards, subject(robot=robot()), episodes), "success_mismatch")
    assert (finding.episode, finding.count) == (succeeded[0], 1)


@pytest.mark.parametrize(("best", "check"), [(0, "no_success"), (2, "few_successes")])
def test_few_succeed_by_the_robot_s_rule(best: int, check: str) -> None:
    """With the best score, where it has one."""
    told = iter(range(12))

    def judge(observations: np.ndarray, actions: np.ndarray) -> Labels:
        success = next(told) < best
        return Labels(label(observations, actions).rewards, np.zeros(len(actions)), success, 1.0 if success else 0.4)

    finding = the(found(rewards, subject(robot=robot(label=judge)), log()), check)
    assert (finding.severity, finding.count) == ("warning", 12 - best)
    assert f"the best score is {1 if best else 0.4:g}" in finding.message


def test_the_door_s_reward_is_another(shared_data: Path) -> None:
    """Dense in the log, sparse in the plug-in; 7 of 25 succeed, by flag and by the robot's rule alike."""
    known, episodes = plugged(shared_data, "door", "adroit_door")
    findings = found(rewards, known, episodes)
    assert names(findings) == {"reward_mismatch", "few_successes"}
    assert the(findings, "few_successes").message.startswith("7 of 25 episodes succeed")
    bare = timed_logs.real(shared_data, "door")[0]
    assert the(found(rewards, bare, episodes), "few_successes").message.startswith("7 of 25 episodes succeed")


def test_nobody_covers_pusht_s_goal_in_a_recorded_state(shared_data: Path) -> None:
    """Without the observation after the last step, which somebody replayed, the best coverage is 0.901."""
    known, episodes = plugged(shared_data, "pusht", "pusht")
    recorded = [
        dataclasses.replace(
            s,
            episode=dataclasses.replace(
                s.episode, observations=s.episode.observations[:-1], actions=s.episode.actions[:-1]
            ),
        )
        for s in episodes[::4]
    ]
    findings = found(rewards, known, recorded)
    assert names(findings) == {"no_success"}
    assert "none of 52 episodes succeed" in findings[0].message


def test_fetch_agrees_with_its_robot(shared_data: Path) -> None:
    """Rewards and flags; once the goal is taken from where the file has it."""
    known, episodes = plugged(shared_data, "fetch", "fetch_pick_and_place")
    columns = [*range(25), 28, 29, 30]
    cut = [
        dataclasses.replace(s, episode=dataclasses.replace(s.episode, observations=s.episode.observations[:, columns]))
        for s in episodes
    ]
    assert found(rewards, known, cut) == []
