"""Injected faults, the peers, and what the benchmark makes of its figures."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import skew
from sklearn.metrics import roc_auc_score

from benchmarks import results_file
from benchmarks.support_data import unnamed
from benchmarks.support_detection import __main__ as support_detection
from benchmarks.support_detection import choosing, faults, peers
from benchmarks.support_detection.measuring import Data, auroc, detectors, false_alarms, judged, measure, prepared
from benchmarks.support_detection.summary import MEAN, Measured, interval, print_tables
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.support.estimator import SupportConfig, SupportEstimator

LOW, HIGH = np.array([-1.0, -2.0], dtype=np.float32), np.array([1.0, 6.0], dtype=np.float32)


def episode(actions: Array, observations: Array) -> Episode:
    none = np.zeros(len(actions), dtype=np.float32)
    return Episode(
        observations=observations.astype(np.float32), actions=actions.astype(np.float32), rewards=none, cost=none,
        intervened=none > 0, terminated=False, truncated=True, operator="walk", seed=0, success=False, score=0.0,
    )  # fmt: skip


def walks(count: int, *, dimensions: int = 2, length: int = 30) -> tuple[Episode, ...]:
    """Random walks; the action follows the observation, and the first observation is the episode's number."""
    rng = np.random.default_rng(0)
    low, high = LOW[:dimensions], HIGH[:dimensions]

    def one(start: int) -> Episode:
        seen = start + np.cumsum(0.1 * rng.normal(size=(length + 1, 3)), axis=0)
        wanted = 0.1 * seen[:-1, :dimensions] + 0.1 * rng.normal(size=(length, dimensions))
        return episode(np.clip(wanted, low, high), seen)

    return tuple(one(start) for start in range(count))


def recorded(*, dimensions: int = 2, most: int = 60) -> faults.Recorded:
    episodes, spread = walks(5, dimensions=dimensions), np.full(dimensions, 0.5)
    return faults.some_of(episodes, LOW[:dimensions], HIGH[:dimensions], spread, most, np.random.default_rng(1))


def test_a_split_has_every_episode_once_and_the_far_ones_start_farthest() -> None:
    """Episodes start along a line: those never reset to are one end of it, whichever the seed draws."""
    episodes = walks(25)
    ends = set()
    for seed in range(8):
        parts = faults.split(episodes, np.random.default_rng(seed))
        assert sorted(id(one) for part in (parts.fit, parts.test, parts.far) for one in part) == sorted(
            map(id, episodes)
        )
        assert [len(parts.fit), len(parts.test), len(parts.far)] == [13, 9, 3]
        ends.add(tuple(episodes.index(one) for one in parts.far))
    assert ends == {(0, 1, 2), (22, 23, 24)}


def test_every_fault_stays_inside_the_bounds_and_changes_each_of_its_steps() -> None:
    """At least ten kinds; steps that a fault leaves as they were are no faults."""
    steps = recorded()
    found = faults.broken(steps, np.random.default_rng(2))
    assert list(found) == list(faults.FAULTS)
    assert len(found) >= 10
    clean = {tuple(row) for row in np.concatenate([steps.clean().observations, steps.actions], axis=1)}
    for one in found.values():
        assert ((one.actions >= LOW) & (one.actions <= HIGH)).all()
        assert not clean & {tuple(row) for row in np.concatenate([one.observations, one.actions], axis=1)}


def test_a_robot_that_is_always_saturated_cannot_be_saturated_by_a_fault() -> None:
    """Nothing changes, so that kind is left out, and so is twice the command; random actions are not."""
    at_the_bound = tuple(episode(np.tile(HIGH, (30, 1)), np.zeros((31, 3))) for _ in range(3))
    steps = faults.some_of(at_the_bound, LOW, HIGH, np.ones(2), 60, np.random.default_rng(0))
    kinds = faults.broken(steps, np.random.default_rng(0))
    assert "random" in kinds
    assert not {"saturated", "scale_double", "late_5", "other_task"} & set(kinds)


def test_one_dimension_has_no_permutation_and_no_joint_of_its_own() -> None:
    """They would be nothing, and random actions once more."""
    assert set(faults.FAULTS) - set(faults.broken(recorded(dimensions=1), np.random.default_rng(0))) == {
        "permuted",
        "one_joint",
    }


def test_each_fault_is_what_its_name_says() -> None:
    """Against the same arithmetic by hand."""
    steps, rng = recorded(), np.random.default_rng(3)
    actions, made = steps.actions, {kind: fault(steps, rng) for kind, fault in faults.FAULTS.items()}
    np.testing.assert_allclose(made["sign_flip"], LOW + HIGH - actions, atol=1e-6)
    np.testing.assert_allclose(made["scale_half"][:, 1], 1 + actions[:, 1] / 2, atol=1e-6)
    np.testing.assert_allclose(made["scale_double"][:, 1], 2 * actions[:, 1] - 2, atol=1e-6)
    np.testing.assert_allclose(made["unit_error"], actions / 100, rtol=1e-6)
    np.testing.assert_allclose(made["permuted"][:, 1], -2 + 8 * (actions[:, 0] + 1) / 2, atol=1e-5)
    np.testing.assert_array_equal(made["saturated"], np.where(actions > [0, 2], HIGH, LOW))
    assert ((made["one_joint"] != actions).sum(axis=1) == 1).all()
    assert (made["noise_1.0"] - actions).std() == pytest.approx(0.5, rel=0.3)
    assert (made["noise_0.1"] - actions).std() == pytest.approx(0.05, rel=0.3)


def test_late_actions_are_those_of_steps_before_and_another_tasks_of_another_episode() -> None:
    """By place: five steps back, at the beginning the first; and as far along an episode that is not the same."""
    numbered = tuple(
        episode(np.stack([np.full(length, e), np.arange(length)], axis=1), np.zeros((length + 1, 3)))
        for e, length in enumerate((10, 20, 40))
    )
    steps = faults.some_of(numbered, LOW, HIGH, np.ones(2), 1000, np.random.default_rng(0))
    late = faults.late(5)(steps, np.random.default_rng(0))
    np.testing.assert_array_equal(late[:, 0], steps.episode)
    np.testing.assert_array_equal(late[:, 1], np.maximum(steps.step - 5, 0))
    other = faults.other_task(steps, np.random.default_rng(0)).astype(int)
    assert (other[:, 0] != steps.episode).all()
    np.testing.assert_array_equal(other[:, 1], steps.step * steps.lengths[other[:, 0]] // steps.lengths[steps.episode])


def test_the_figures_are_those_of_scikit_learn_and_of_the_definition() -> None:
    """AUROC with ties and infinities; the share of clean steps at or above what 19 of 20 faulty ones reach."""
    rng = np.random.default_rng(0)
    clean, faulty = rng.integers(0, 9, 200).astype(float), rng.integers(3, 12, 100).astype(float)
    wanted = roc_auc_score(np.repeat([0, 1], [200, 100]), np.concatenate([clean, faulty]))
    assert auroc(clean, faulty) == pytest.approx(wanted)
    assert auroc(np.array([0.0, 1.0]), np.array([np.inf, 1.0])) == pytest.approx(0.875)
    assert false_alarms(np.arange(10.0), np.arange(20.0)) == pytest.approx(0.9)
    assert judged(np.zeros(5), np.full(5, np.nan)) == {"auroc": 1.0, "fpr95": 0.0}


@pytest.mark.parametrize("name", [*peers.SCIKIT, *peers.PYOD])
def test_each_peer_ranks_what_is_far_out_above_what_is_not(name: str) -> None:
    """In a correlated cloud with one column that never changes."""
    if name not in peers.available():
        pytest.skip(f"needs PyOD: {peers.INSTALL}")
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(400, 4)) @ rng.normal(size=(4, 4))
    rows = np.concatenate([cloud, np.zeros((400, 1))], axis=1).astype(np.float32)
    ask = peers.available()[name](rows[:300], 0)
    outside = rows[300:] + np.array([6.0, -6.0, 6.0, 6.0, 0.0], dtype=np.float32)
    assert auroc(ask(rows[300:]), ask(outside)) > 0.9


@pytest.mark.parametrize("name", peers.PYOD)
def test_a_batch_does_not_hide_itself_from_ecod_and_copod(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each query gets the published formula's answer with itself alone among the rows, also where it turns the skew."""
    monkeypatch.setattr(peers.OneAtATime, "_check", lambda self, rows: None)
    rng = np.random.default_rng(0)
    skewed, even = rng.exponential(size=(12, 2)), rng.normal(size=(12, 1))
    rows = np.round(np.concatenate([skewed, even, np.ones((12, 1))], axis=1), 1)  # with ties
    queries = np.concatenate([rows, *(rows * size for size in (-30, -3, -1, 0.5, 2))])
    np.testing.assert_allclose(peers.OneAtATime(name, rows)(queries), [alone(name, rows, one) for one in queries])


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
def alone(name: str, rows: Array, query: Array) -> float:
    """Li et al. 2020 and 2022, with the query among the rows."""
    among = np.concatenate([rows, query[None]])
    left, right = (-np.log(np.mean(side, axis=0)) for side in (among <= query, among >= query))
    tail = np.empty(len(query))
    for j, column in enumerate(among.T):
        sign = 0.0 if np.ptp(column) == 0 else np.sign(skew(column))
        tail[j] = right[j] if sign > 0 else left[j] if sign < 0 else left[j] + right[j]
    other = np.maximum(left, right) if name == "ECOD" else (left + right) / 2
    return float(np.maximum(tail, other).sum())


def made_up() -> Data:
    return Data(name="door", episodes=walks(24), low=LOW, high=HIGH)


def test_everybody_is_asked_about_the_same_steps_of_episodes_that_nobody_has_seen() -> None:
    """By seed alone; what is ours is the score first, then its terms, with less likely turned into stranger."""
    parts, clean, faulty = prepared(made_up(), 1, 40)
    again = prepared(made_up(), 1, 40)
    np.testing.assert_array_equal(clean.actions, again[1].actions)
    np.testing.assert_array_equal(faulty["random"].actions, again[2]["random"].actions)
    assert len(clean) == 40
    logged = {tuple(row) for one in parts.fit for row in one.observations}
    assert not logged & {tuple(row) for steps in (clean, *faulty.values()) for row in steps.observations}
    ours, ask = next(iter(detectors(parts, 1)))
    assert ours
    estimator = SupportEstimator.fit(parts.fit, SupportConfig())
    answers = ask(clean)
    assert next(iter(answers)) == "score"
    np.testing.assert_array_equal(answers["-log_prob"], -estimator.log_prob(clean.observations, clean.actions))


def rows(score: float, lof: float, plain: float, *, seeds: int = 3, log: str = "door") -> list[dict[str, Any]]:
    """Three detectors on two kinds; on the second the peers are 0.2 better than on the first."""
    names = (("score", True, score), ("LOF", False, lof), ("LOF, plain", False, plain))
    return [
        {"log": log, "seed": seed, "detector": name, "ours": ours, "kind": kind, "steps": 9,
         "auroc": value + 0.01 * seed + (0.2 if kind == "late_5" and not ours else 0.0), "fpr95": 0.5}
        for name, ours, value in names for kind in ("random", "late_5") for seed in range(seeds)
    ]  # fmt: skip


def test_the_score_stands_beside_the_better_of_each_peers_two_and_seeds_are_paired() -> None:
    """What all seeds share leaves the difference; the interval of the means does not."""
    beside = Measured(rows(0.7, 0.4, 0.5)).beside("door", MEAN)
    assert beside["peer"] == "LOF, plain"
    wanted = [beside[key] for key in ("difference", "difference_low", "difference_high")]
    np.testing.assert_allclose(wanted, 0.1, atol=1e-9)
    mean, low, high = interval(np.array([0.7, 0.71, 0.72]))
    assert (mean, low, high) == pytest.approx((0.71, 0.71 - 0.02484, 0.71 + 0.02484), abs=1e-4)
    assert interval(np.array([0.7])) == (0.7, None, None)


def test_a_peer_that_is_better_breaks_the_claim_and_a_kind_far_worse_is_named() -> None:
    """By the mean over kinds the one, by the kind's own best peer the other."""
    measured = Measured(rows(0.7, 0.4, 0.61))
    assert [one["holds"] for one in measured.claims()] == [False, False]  # 0.7 against 0.71, and two kinds, not ten
    assert [(row["kind"], row["peer"]) for row in measured.far_worse()] == [("late_5", "LOF, plain")]
    better = Measured(rows(0.7, 0.4, 0.5))
    assert better.claims()[0]["holds"]
    assert not better.far_worse()


def test_nothing_is_claimed_of_the_log_that_settings_were_chosen_on_or_of_the_untouched() -> None:
    """Rows, but no claims."""
    measured = Measured([row for log in ("door", "pendulum", "maze") for row in rows(0.7, 0.4, 0.5, log=log)])
    assert [one["claim"].split(":")[0] for one in measured.claims()[:-1]] == ["door"]
    assert {row["log"] for row in measured.rows()} == {"door", "pendulum", "maze"}
    assert Measured(rows(0.7, 0.4, 0.5, log="pendulum")).claims() == []


def test_the_tables_say_what_the_rows_say(capsys: pytest.CaptureFixture[str]) -> None:
    """The best peer above the other, and the kind that is far worse by name."""
    print_tables(Measured(rows(0.7, 0.4, 0.61)))
    lines = capsys.readouterr().out.splitlines()
    places = [next(i for i, line in enumerate(lines) if line.startswith(start)) for start in ("LOF, plain", "LOF   ")]
    assert places == sorted(places)
    assert any(line.startswith("far worse: door, late_5: score 0.710, LOF, plain 0.820") for line in lines)


def test_the_grid_changes_one_setting_at_a_time() -> None:
    """Around the defaults, which come first."""
    defaults, *others = choosing.settings().values()
    assert defaults == SupportConfig()
    assert others
    for one in others:
        assert sum(getattr(one, f.name) != getattr(defaults, f.name) for f in fields(one)) == 1


def test_a_setting_that_is_better_beyond_its_interval_breaks_the_choice() -> None:
    """Its paired interval lies above zero; the defaults differ from themselves by nothing."""
    row = {"difference": 0.0, "difference_low": 0.0, "difference_high": 0.0}
    within = {"setting": "k 3", "difference": 0.01, "difference_low": -0.01, "difference_high": 0.03}
    assert choosing.choice([{"setting": "defaults", **row}, within])[0]["holds"]
    beyond = choosing.choice([{"setting": "defaults", **row}, {**within, "difference_low": 0.001}])[0]
    assert (beyond["holds"], beyond["measured"]) == (False, ["k 3"])


def test_the_choice_is_left_with_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid of two on a made-up log: the defaults differ from themselves by nothing."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(support_detection, "load", lambda name: made_up())
    monkeypatch.setattr(support_detection, "SEEDS", (1, 2))
    monkeypatch.setattr(choosing, "GRID", {"k": (3,)})
    support_detection.main(["--choose", "--jobs", "1"])
    left = json.loads((tmp_path / "support_detection_choice.json").read_text())
    assert [row["setting"] for row in left["rows"]] == ["defaults", "k 3"]
    assert left["rows"][0]["difference"] == 0


@pytest.mark.skipif(peers.pyod_is_here(), reason="PyOD is here")
def test_without_pyod_the_whole_benchmark_says_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, before anything is measured."""
    with pytest.raises(SystemExit):
        support_detection.main([])
    assert capsys.readouterr().err == f"error: ECOD and COPOD need PyOD: {peers.INSTALL}\n"


def test_a_row_says_how_many_steps_were_faulty() -> None:
    """Every detector on every kind, figures in [0, 1]."""
    found = measure(made_up(), 1, 40)
    kinds = {row["kind"] for row in found}
    assert faults.RESET in kinds
    assert len(found) == len(kinds) * len({row["detector"] for row in found})
    assert all(0 <= row[figure] <= 1 for row in found for figure in ("auroc", "fpr95"))
    assert {row["steps"] for row in found if row["kind"] == "late_5"} < set(range(20, 40))


def test_a_robot_without_declared_bounds_has_those_of_its_commands() -> None:
    """Dimension by dimension."""
    commands = unnamed("maze", walks(3)).SPEC.action
    everything = np.concatenate([one.actions for one in walks(3)])
    np.testing.assert_array_equal(commands.low, everything.min(axis=0))
    np.testing.assert_array_equal(commands.high, everything.max(axis=0))
    assert unnamed("nao", walks(3)).SPEC.action.low.tolist() == [-1, -1]
