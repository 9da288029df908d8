"""Episodes that are there twice, exactly or nearly, and leaks across a split."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from offline_to_online.dataset.checks import Seen, duplicates
from offline_to_online.dataset.checks.duplicates import NearDuplicates, Pair, leaks
from offline_to_online.dataset.manifest import SplitRule
from offline_to_online.dataset.split import Split
from tests.dataset.checks.timed_logs import found, log, logged, only, real, seen, smooth, subject

RULE = SplitRule(train=0.5, calibration=0, heldout=0.5)


def copy_of(one: Seen, index: int, *, noise: float = 0.0, scale: float = 1.0, trim: int = 0) -> Seen:
    """An episode again: noised by a share of its spread, re-scaled by a rounding, without its first steps."""
    rng = np.random.default_rng(index)
    episode = one.episode

    def changed(values):
        spread = values.std(axis=0)
        return ((values + rng.normal(size=values.shape) * noise * spread) * scale).astype("f4")[trim:]

    fields = {name: getattr(episode, name)[trim:] for name in ("rewards", "cost", "intervened")}
    again = dataclasses.replace(
        episode, observations=changed(episode.observations), actions=changed(episode.actions), **fields
    )
    return Seen(index=index, episode=again, logged=one.logged)


def pairs_of(known, episodes):
    check = NearDuplicates(len(known.observation) + len(known.action))
    for one in episodes:
        check.see(one)
    return check.pairs


def test_different_episodes_are_no_duplicates():
    """Swings from different starts share nothing."""
    assert found(duplicates, subject(), seen(log(40))) == []


@pytest.mark.parametrize(("said", "severity"), [(None, "warning"), ("refuse", "error"), ("leave_out", "warning")])
def test_the_same_episode_twice_is_what_the_manifest_says(said, severity):
    """The copy is named, with its original; it is an error where a manifest refuses it."""
    episodes = log(8)
    manifest = None if said is None else SimpleNamespace(duplicates=said)
    finding = only(found(duplicates, subject(manifest=manifest), seen([*episodes, episodes[2]])), "duplicate_episodes")
    assert (finding.severity, finding.episode) == (severity, 8)
    assert "episode 2" in finding.message


def test_copies_are_told_by_the_identity_under_which_they_would_be_stored():
    """Raw and clipped copies differ until the intake clips: it says what they will be."""
    episodes = seen(log(4))
    clipped = [
        dataclasses.replace(one, identity=episodes[index % 3].episode.identity) for index, one in enumerate(episodes)
    ]
    finding = only(found(duplicates, subject(), clipped), "duplicate_episodes")
    assert (finding.episode, finding.count) == (3, 1)


@pytest.mark.parametrize("change", [{"noise": 0.005}, {"trim": 6}, {"scale": 1.0000002}, {"noise": 0.003, "trim": 5}])
def test_a_near_copy_is_found(change):
    """Noised, trimmed, rounded otherwise, or both noised and trimmed."""
    episodes = seen(log(20, length=120))
    findings = found(duplicates, subject(), [*episodes, copy_of(episodes[7], 20, **change)])
    finding = only(findings, "near_duplicate_episodes")
    assert (finding.severity, finding.episode, finding.count) == ("warning", 20, 1)
    assert "episode 7" in finding.message


def test_one_reset_and_two_ways_are_no_duplicates():
    """Episodes that start in the same state and then differ share their starts only."""
    episodes = []
    for seed in range(20):
        rows = smooth(seed, length=120)
        ramp = np.minimum(np.arange(121) / 40, 1)[:, None]
        episodes.append(logged((rows[0] * 0 + ramp * (rows - rows[0])).astype("f4"), seed=seed))
    assert found(duplicates, subject(), seen(episodes)) == []


def test_a_hundred_copies_of_one_episode_are_found_without_comparing_all_with_all():
    """Where an episode stands a hundred times, each copy is linked to the one beside it."""
    episodes = seen(log(10, length=120))
    copies = [copy_of(episodes[3], 10 + i, noise=1e-3) for i in range(100)]
    pairs = pairs_of(subject(), [*episodes, *copies])
    assert {pair.second for pair in pairs} >= set(range(11, 110))
    assert len(pairs) < 1500


def test_the_order_of_the_episodes_does_not_matter_to_what_is_found():
    """A copy is found before its original as well as after it."""
    episodes = seen(log(20, length=120))
    first = copy_of(episodes[7], 0, trim=4)
    shifted = [dataclasses.replace(one, index=one.index + 1) for one in episodes]
    assert [(pair.first, pair.second) for pair in pairs_of(subject(), [first, *shifted])] == [(0, 8)]


@pytest.mark.parametrize("name", ["door", "fetch", "nao", "pendulum", "pusht", "push"])
def test_real_logs_hold_no_duplicates(shared_data: Path, name: str):
    """Deterministic resets, one scripted expert and one controller: similar, and no copies."""
    assert found(duplicates, *real(shared_data, name)) == []


def test_a_deterministic_controller_is_a_warning_at_most(shared_data: Path):
    """The maze's planner drives the same way again."""
    assert {f.severity for f in found(duplicates, *real(shared_data, "maze"))} <= {"warning"}


@pytest.mark.parametrize("name", ["pendulum", "fetch", "door", "pusht", "nao"])
@pytest.mark.parametrize("change", [{"noise": 0.003}, {"trim": 4}, {"scale": 1.0000002}])
def test_a_near_copy_in_a_real_log_is_found(shared_data: Path, name: str, change):
    """Whatever the log, one such pair is found, and no other."""
    known, episodes = real(shared_data, name)
    pairs = pairs_of(known, [*episodes, copy_of(episodes[5], len(episodes), **change)])
    assert [(pair.first, pair.second) for pair in pairs] == [(5, len(episodes))]
    assert pairs[0].copy == ("noise" not in change)


def test_copies_in_different_parts_leak():
    """A copy but for rounding is an error, a mere likeness a warning; within one part there is no leak."""
    split = Split(train=("a", "b"), calibration=(), heldout=("c", "d"), rule=RULE, seed=0)
    pairs = [
        Pair(first=0, second=1, share=1.0, apart=0.0),
        Pair(first=0, second=2, share=1.0, apart=1e-6),
        Pair(first=1, second=3, share=0.8, apart=0.01),
    ]
    findings = leaks(pairs, ["a", "b", "c", "d"], split)
    assert [(f.check, f.severity, f.episode, f.count) for f in findings] == [
        ("split_leak", "error", 2, 1),
        ("split_leak", "warning", 3, 1),
    ]
    assert leaks(pairs[:1], ["a", "b", "c", "d"], split) == []
