"""What the benchmarks make of their rows: claims that can fail."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from benchmarks import (
    demo_cost,
    demo_seeds,
    emergency_stop,
    gate_error,
    gate_replay,
    results_file,
    safety_limits,
    support_calibration,
    support_gaps,
    support_speed,
    support_speed_tasks,
    tamper,
)
from benchmarks.crash import __main__ as crash
from benchmarks.gate_null import __main__ as gate_null
from benchmarks.gate_null import pools, replays
from benchmarks.learning_speed import __main__ as learning_speed
from benchmarks.learning_speed import bounds, contenders, graphics, made_up, peers, summary, timing
from benchmarks.online_overhead import __main__ as online_overhead
from benchmarks.online_overhead import spans
from benchmarks.small_handoff import shared_handoff
from benchmarks.support_data import Log, unnamed
from benchmarks.support_detection import __main__ as support_detection
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError
from offline_to_online.online.evidence import RolloutEvidence
from offline_to_online.online.gating import rules
from offline_to_online.plugins import available, module_for

ROW: dict[str, Any] = {
    "seed": 7, "bc": 0.5, "iql": 0.9, "chosen": "iql", "p_value": 1e-6, "baseline_success": 0.4,
    "champion_success": 0.7, "difference": 0.3, "difference_interval": [0.2, 0.4], "accepted": 3, "rounds": 5,
    "episodes": 150, "interventions": 9, "seconds": 500,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, []),
        ({"difference": 0.19}, ["champion above the handed-off baseline, worst seed"]),
        ({"chosen": "bc"}, ["IQL beats BC, paired on the panel, on every seed"]),
        ({"episodes": 151}, ["collected episodes"]),
    ],
)
def test_a_single_poor_seed_breaks_its_claim(change: dict[str, Any], broken: list[str]) -> None:
    """Claims are about the worst seed, not about the mean of them."""
    rows = [{**ROW, "seed": seed} for seed in range(1, 40)] + [{**ROW, **change}]
    assert [claim["claim"] for claim in demo_seeds.report(rows) if not claim["holds"]] == broken


def test_a_mean_gain_that_could_be_smaller_is_no_claim() -> None:
    """Two seeds far apart: the interval of their mean reaches below the limit."""
    claims = demo_seeds.report([{**ROW, "difference": 0.9}, {**ROW, "difference": 0.21}])
    assert [claim["holds"] for claim in claims] == [True, False, True, True]


def test_a_result_is_written_where_no_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh clone has no benchmarks/results."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path / "results")
    path = results_file.save("name", seeds=[7], rows=[ROW], claims=demo_seeds.report([ROW]), at="abc")
    left = json.loads(path.read_text())
    assert left.keys() == {"commit", "machine", "seeds", "rows", "claims"}
    assert left["rows"] == [ROW]
    assert [sorted(claim) for claim in left["claims"]] == [["claim", "holds", "limit", "measured"]] * 3


def evidence(drift: float, count: int) -> list[RolloutEvidence]:
    """Episodes that differ from sound ones by their drift alone."""
    return [RolloutEvidence(success=True, interventions=0, support_drift=drift)] * count


def test_a_replay_halts_after_the_episode_that_uses_the_budget_up() -> None:
    """A mean of 0.4 over ten episodes is four in all: eight of 0.5 spend it, the ninth exceeds it."""
    gate = rules({"support_drift": {"limit": 0.4, "window": 10}})
    assert safety_limits.judged(gate, evidence(0.5, 20)) == (9, {"support_drift": pytest.approx(4.5 / 4)})
    assert safety_limits.judged(gate, evidence(0.3, 20)) == (0, {"support_drift": pytest.approx(3 / 4)})


def test_safety_limits_that_stop_the_sound_or_spare_the_reckless_say_so() -> None:
    """Both claims can fail."""
    row = {"policy": "p", "replays": 3, "episodes": 10, "halted_after": [4], "share_of_limit_used": {"cost": 0.5}}
    assert [claim["holds"] for claim in safety_limits.report([row, row])] == [False, False]
    sound, reckless = {**row, "halted_after": []}, {**row, "halted_after": [3, 3, 4]}
    assert [claim["holds"] for claim in safety_limits.report([sound, reckless])] == [True, True]


@pytest.mark.parametrize(("seconds", "peak", "holds"), [(300, 3.9, [True, True]), (301, 4.1, [False, False])])
def test_a_demo_that_costs_too_much_says_so(seconds: float, peak: float, holds: list[bool]) -> None:
    """Ten minutes are the sum of its commands, four GiB the peak of any."""
    rows = [{"command": "a", "seconds": 300, "peak_gib": 1.0}, {"command": "b", "seconds": seconds, "peak_gib": peak}]
    assert [claim["holds"] for claim in demo_cost.report(rows)] == holds


def test_memory_counts_what_a_process_starts() -> None:
    """A child that holds 200 MB shows in its parent's tree."""
    hold = "x = bytearray(200 << 20); print(len(x), flush=True); import time; time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        tree = psutil.Process(process.pid)
        measured = demo_cost.memory_of(tree)
        for each in [*tree.children(recursive=True), tree]:
            each.kill()
    assert measured > 0.19


PROMISE: dict[str, Any] = {
    "log": "fetch", "method": "split", "alpha": 0.1, "calibration": 24, "resplits": 200, "threshold": "episode",
    "flagged": 0.08, "flagged_se": 0.01, "drift": 0.05, "drift_se": 0.01, "random": 0.4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({"flagged": 0.119}, True),
        ({"flagged": 0.121}, False),
        ({"flagged": 0.041}, True),
        ({"flagged": 0.039}, False),
        ({"threshold": "step", "drift": 0.119}, True),
        ({"threshold": "step", "drift": 0.121}, False),
    ],
)
def test_a_threshold_that_breaks_its_promise_says_so(change: dict[str, Any], holds: bool) -> None:
    """Two standard errors beyond either end of the flagged share, or above alpha for the drift, and no further."""
    assert support_calibration.kept({**PROMISE, **change})["holds"] is holds


def test_a_tame_random_policy_too_few_resplits_and_a_threshold_from_too_few_episodes_are_claims_that_break() -> None:
    """None of them is passed over; what leaving one out gives is no claim at all."""
    step = {**PROMISE, "threshold": "step", "resplits": 199}
    few = {"log": "door", "method": "split", "alpha": 0.01, "calibration": 19, "needed": 99, "refusal": ""}
    crossed = {**PROMISE, "method": "cross-conformal", "flagged": 0.9}
    made = support_calibration.claims([step, few, crossed])
    assert [(one["measured"], one["holds"]) for one in made] == [
        (0.05, True),
        ("a threshold", False),
        (0.4, False),
        (199, False),
    ]


def test_the_standard_error_is_that_of_the_mean_given_the_fits() -> None:
    """Fits that differ do not widen it; where each has one re-split only, the fits are the draws."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(2000, 4, 25)) + 10 * np.arange(4)[:, None]
    said = [support_calibration.standard_error(values) for values in draws]
    assert np.mean(said) == pytest.approx(draws.mean(axis=(1, 2)).std(), rel=0.05)
    assert support_calibration.standard_error(np.array([[1.0], [3.0]])) == pytest.approx(1.0)


def test_the_quick_calibration_keeps_its_promises_and_refuses_what_is_too_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tenth of Fetch's log: thresholds at alpha 0.1, the refusal at 0.01 in the table, the same figures twice."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(support_calibration, "QUICK_SHARE", 0.1)
    log = support_calibration.small_fetch()
    monkeypatch.setattr(support_calibration, "small_fetch", lambda: log)
    cell = support_calibration.Cell(log="fetch", train=5, calibration=14, alphas=(0.01, 0.1))
    monkeypatch.setattr(support_calibration, "QUICK", (cell,))
    support_calibration.main(["--quick", "--jobs", "1"])
    left = json.loads((tmp_path / "support_calibration_quick.json").read_text())
    judged = {one["claim"]: one["holds"] for one in left["claims"]}
    assert len(judged) == 5
    assert all(holds for text, holds in judged.items() if "random policy" not in text)
    refused = "refused: too few episodes to calibrate: 14 held out, 5 for training (split): 99 of either for alpha 0.01"
    assert refused in capsys.readouterr().out
    assert support_calibration.measure(cell, log, fits=2) == left["rows"]


def made_up_log() -> Log:
    """Forty random walks of a robot with two regions of each kind and a goal of its own in each."""
    rng = np.random.default_rng(0)

    def regions(observations: Array, actions: Array) -> dict[str, Array]:
        right, up, far = (observations[:, i] > 0 for i in range(3))
        kinds = {"gripper_pose": right, "contact_mode": up, "reset_state": far}
        return {f"{k}/{n}": m == v for k, m in kinds.items() for n, v in (("yes", True), ("no", False))}

    def episode() -> Episode:
        walk = np.cumsum(rng.normal(size=(11, 4)), axis=0)
        walk[:, 2:] = rng.normal(size=2)
        none = np.zeros(10, dtype=np.float32)
        return Episode(
            observations=walk.astype(np.float32), actions=rng.uniform(-1, 1, (10, 2)).astype(np.float32),
            rewards=none, cost=none, intervened=none > 0, terminated=False, truncated=True, operator="walk", seed=0,
            success=False, score=0.0,
        )  # fmt: skip

    module = unnamed("nao", [episode()])
    module.SPEC.sensor_dimensions = {"encoder": ("o0", "o1"), "goal camera": ("o2", "o3")}
    module.regions = regions
    return Log(name="door", episodes=tuple(episode() for _ in range(40)), module=module)


def test_planted_gaps_are_found_and_nothing_where_none_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up log: every region taken out stands first, a clean split names nothing, and all claims hold."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(support_gaps, "load", lambda name: made_up_log())
    support_gaps.main(["--quick"])
    left = json.loads((tmp_path / "support_gaps_quick.json").read_text())
    assert [one["holds"] for one in left["claims"]] == [True] * 5
    planted = [row["region"] for row in left["rows"] if row["part"] == "planted"]
    assert len(planted) == 8
    assert all(row["first"] == row["cases"] for row in left["rows"] if row["part"] == "every region")


def test_what_is_planted_is_gone_and_the_rest_is_not() -> None:
    """Every step of the region, no other; a sensor's readings and nothing beside them; not one episode changed."""
    log = made_up_log()
    before = sum(map(len, log.episodes))
    kept = list(support_gaps.without(log.episodes, log, "gripper_pose/yes"))
    masks = support_gaps.masks_of(log, kept)
    assert not masks["gripper_pose/yes"].any()
    inside = int(support_gaps.masks_of(log, log.episodes)["gripper_pose/yes"].sum())
    assert sum(map(len, kept)) == before - inside < before
    blind = list(support_gaps.without(log.episodes, log, "sensor/goal camera"))
    assert not any(one.observations[:, 2:].any() for one in blind)
    assert all((a.observations[:, :2] == b.observations[:, :2]).all() for a, b in zip(blind, log.episodes, strict=True))
    assert sum(map(len, log.episodes)) == before


def test_a_gap_that_is_missed_or_made_up_says_so() -> None:
    """One case that does not stand first, one name too many, one split in twenty: three claims break."""
    row = {"part": "planted", "log": "door", "region": "a/b", "cases": 3, "first": 3, "named": 3, "others": []}
    blind, every = {**row, "part": "blind"}, {**row, "part": "every region"}
    clean = {**row, "part": "clean", "cases": 20, "named": 0}
    assert all(one["holds"] for one in support_gaps.claims([row, blind, every, clean], at_least=1))
    bad = [{**row, "first": 2}, blind, {**every, "others": ["a/c"]}, {**clean, "named": 1}]
    assert [one["holds"] for one in support_gaps.claims(bad, at_least=2)] == [False, True, False, False, False]


def test_every_search_is_measured_and_its_figures_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small plan, its tasks run in this process: each line is there, and each of the issue's claims."""
    plan = support_speed.Plan(pairs={2000: 1}, queries=100, approximate=(2000,), guard=2000, rounds=2)
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(support_speed, "QUICK", plan)
    monkeypatch.setattr(support_speed, "task", here)
    support_speed.main(["--quick"])
    left = json.loads((tmp_path / "support_speed_quick.json").read_text())
    rows = {row["what"]: row for row in left["rows"]}
    assert list(rows) == ["bare", "ours", "scikit", "pairs", "ivf", "hnsw", "guard"]
    assert rows["pairs"]["largest_difference"] < 1e-3
    assert min(rows["ivf"]["recall"], rows["hnsw"]["recall"]) > 0.9
    assert len(left["claims"]) == 1 + 2 * 2 + 4


def here(name: str, folder: str, *values: object) -> dict[str, Any]:
    """A task of the speed benchmark in this process."""
    row = support_speed_tasks.TASKS[name](Path(folder), *(str(value) for value in values))
    return {**row, "peak_mib": support_speed_tasks.peak_mib()}


def test_a_task_in_a_process_of_its_own_tells_its_own_memory(tmp_path: Path) -> None:
    """What this process holds does not count; a search of more points holds more."""
    peaks = []
    for points in (1_000, 200_000):
        support_speed.task("make", tmp_path, points, 10)
        peaks.append(support_speed.task("alone", tmp_path, "bare", 10)["peak_mib"])
    assert peaks[1] - peaks[0] > 200_000 * 67 * 4 / 2**20


def test_a_search_that_is_too_slow_says_so() -> None:
    """Each figure has a claim of its own, at its own size."""
    guard = {"what": "guard", "points": 100, "ratio": 1.1, "bare_ms_p99": 1.0, "nearest_ms_p99": 1.1}
    fast = {**guard, "score_ms_median": 4.0, "score_ms_p99": 4.9}
    search = {"what": "pairs", "points": 100, "ratio": 1.1}
    adds = [{"what": kind, "points": 100, "add_ms_median": 5.0, "add_ms_p99": 49.0} for kind in ("ivf", "hnsw")]
    plan = support_speed.Plan(pairs={100: 1}, queries=1, approximate=(100,), guard=100, rounds=1)
    assert all(one["holds"] for one in support_speed.claims([search, *adds, fast], plan))
    slow = {**fast, "ratio": 1.3, "nearest_ms_p99": 1.3, "score_ms_p99": 5.1}
    found = support_speed.claims([{**search, "ratio": 1.2}, {**adds[0], "add_ms_p99": 51.0}, adds[1], slow], plan)
    assert [one["holds"] for one in found] == [False, True, False, True, True, False, False, True, False]


def test_the_quick_detection_needs_no_data_and_tells_everybody_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tenth of Fetch's log: ours and the peers on every kind, no claim on the absent ones, the same figures twice."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(support_calibration, "QUICK_SHARE", 0.1)
    log = support_calibration.small_fetch()
    monkeypatch.setattr(support_detection, "small_fetch", lambda: log)
    monkeypatch.setattr(support_detection, "QUICK_STEPS", 60)
    support_detection.main(["--quick", "--jobs", "1"])
    printed = capsys.readouterr().out
    assert ("left out: ECOD and COPOD need PyOD: pip install" in printed) != support_detection.pyod_is_here()
    left = json.loads((tmp_path / "support_detection_quick.json").read_text())
    rows = {(r["detector"], r["kind"]): r for r in left["rows"] if r["part"] == "detectors"}
    assert rows["score", "random"]["auroc"] > 0.9 > 0.6 > rows["state_distance", "random"]["auroc"]
    assert {"LOF", "LOF, plain", "kNN", "kNN, plain"} <= {detector for detector, _ in rows}
    assert [one["claim"].partition(":")[0] for one in left["claims"][:-1]] == ["fetch"]
    again = support_detection.run([support_detection.Data.of(log)], (1, 2), 60, 1)
    assert support_detection.Measured(again).rows() == left["rows"]


def test_the_quick_learning_speed_measures_every_side_and_claims_what_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two algorithms: all sides of each, what more data costs, and no claim about a GPU where there is none."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(learning_speed, "available", lambda kind: ["bc", "support_guard"])
    monkeypatch.setattr(graphics.torch.cuda, "is_available", lambda: False)
    learning_speed.main(["--quick"])
    assert "GPU: not measured, torch finds no GPU" in capsys.readouterr().out
    left = json.loads((tmp_path / "learning_speed_quick.json").read_text())
    speed = {row["algorithm"]: row for row in left["rows"] if row["part"] == "speed"}
    assert set(speed["bc"]["updates_per_s"]) == {"ours, 1", "d3rlpy, 1", "bare torch, 1", "products, 1"}
    assert set(speed["support_guard"]["updates_per_s"]) == {"ours, 1", "products, 1"}
    assert [row["transitions"] for row in left["rows"] if row["part"] == "replay"] == [2000, 10_000]
    assert [row["episodes"] for row in left["rows"] if row["part"] == "online episode"] == [2, 20]
    assert len(left["claims"]) == 5
    assert not any("GPU" in one["claim"] for one in left["claims"])


@pytest.mark.parametrize("name", sorted(peers.PEERS))
def test_d3rlpy_is_measured_with_our_settings(name: str) -> None:
    """But for the optimisers, which are d3rlpy's own, its configuration is the one that ours is built from."""
    config = contenders.measured_config(name)
    theirs, ours = peers.peer_config(name, config), module_for("algorithms", name)._parts(config).settings
    of_optimisers = [each for each in vars(ours) if each.endswith("optim_factory")]
    assert of_optimisers
    assert {k: v for k, v in vars(theirs).items() if k not in of_optimisers} == {
        k: v for k, v in vars(ours).items() if k not in of_optimisers
    }
    assert theirs.batch_size == 256
    assert all(type(getattr(theirs, each)).__module__.startswith("d3rlpy.") for each in of_optimisers)


def test_every_algorithm_has_its_products_counted() -> None:
    """Behaviour cloning by hand: 3 products forward, 3 for the weights, 2 for the inputs of the upper layers."""
    assert set(available("algorithms")) <= set(bounds.BOUNDS)
    counted = bounds.bc(contenders.measured_config("bc"), 39, 28)
    layers, upper = 39 * 256 + 256 * 256 + 256 * 28, 256 * 256 + 256 * 28
    assert sum(each.operations for each in counted) == 2 * 256 * (2 * layers + upper)


def test_a_guard_without_its_actor_needs_fewer_products() -> None:
    """The policy's products count by how often it moves, the critics' by how many there are."""
    config = contenders.measured_config("support_guard")

    def operations(**changes: int) -> float:
        counted = bounds.support_guard(dataclasses.replace(config, **changes), 39, 28)
        return sum(each.operations for each in counted)

    critic = 67 * 256 + 256 * 256 + 256
    more = operations(critics=5, actor_every=10**6) - operations(critics=4, actor_every=10**6)
    assert more == pytest.approx(2 * 256 * (2 * critic + 256 * 256 + 256), rel=1e-3)
    assert operations(actor_every=1) - operations(actor_every=2) == pytest.approx(
        operations(actor_every=2) - operations(actor_every=10**6), rel=1e-4
    )


def test_the_products_of_a_late_policy_are_multiplied_only_at_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four updates from the second on: one product at each, another at every third."""
    done: list[int] = []
    monkeypatch.setattr(bounds, "_quickest", lambda product, generator: lambda: done.append(product.rows))
    products = bounds.Products([bounds.Product(1, 1, 1), bounds.Product(3, 1, 1, every=3)])
    products.run(1)
    done.clear()
    products.run(4)
    assert done == [1, 1, 1, 3, 1]


def test_blocks_take_turns_and_last_as_long_as_asked() -> None:
    """Every other round begins with the other side; a block has an even number of updates, about a second of them."""
    order, counts = list[str](), list[int]()

    def side(name: str, seconds: float) -> timing.Run:
        def run(updates: int) -> float:
            order.append(name)
            counts.append(updates)
            return seconds * updates

        return run

    runs = {timing.Side("a", 1): side("a", 0.01), timing.Side("b", 1): side("b", 0.9)}
    taken = timing.take_turns(runs, rounds=3, seconds=1.0)
    assert order[-6:] == ["a", "b", "b", "a", "a", "b"]
    assert counts[-6:] == [100, 2, 2, 100, 100, 2]
    assert taken[timing.Side("b", 1)] == pytest.approx([0.9] * 3)


def test_a_ratio_is_of_blocks_of_one_round() -> None:
    """A machine that slows down for both changes no ratio; the interval leaves out one of nine at either end."""
    found = timing.ratio([2.0, 20.0, 200.0], [1.0, 10.0, 100.0])
    assert (found.median, found.low, found.high) == (2.0, 2.0, 2.0)
    nine = timing.Interval.of([9.0, 1.0, 5.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0])
    assert (nine.median, nine.low, nine.high) == (5.0, 2.0, 8.0)


def test_an_algorithm_that_is_too_slow_says_so() -> None:
    """d3rlpy counts by its better number of threads, and each figure has a limit of its own."""

    def speed(name: str, ours: float, *theirs: float, products: float = 1.0) -> dict[str, Any]:
        taken = {timing.Side("ours", 1): [ours], timing.Side("products", 1): [products]}
        taken |= {timing.Side("d3rlpy", i + 1): [seconds] for i, seconds in enumerate(theirs)}
        return summary.speed_row(name, taken)

    same = timing.Interval.of([1.0])
    replay = {"part": "replay", "algorithm": "bc", "transitions": 10, "update_over_smallest": same}
    online = {"part": "online episode", "algorithm": "bc", "episodes": 1, "over_smallest": same}
    fast = [speed("bc", 1, 3, 2), speed("iql", 4, 5), speed("td3_bc", 1, 1), speed("support_guard", 2)]
    assert [one["holds"] for one in summary.claims([*fast, replay, online])] == [True] * 6
    slow = [speed("bc", 1, 3, 1.9), speed("iql", 4, 4.9), speed("td3_bc", 1, 0.9), speed("support_guard", 2.1)]
    more = {**replay, "update_over_smallest": timing.Interval.of([1.2])}
    later = {**online, "over_smallest": timing.Interval.of([1.2])}
    assert [one["holds"] for one in summary.claims([*slow, replay, more, online, later])] == [False] * 6


def test_a_gpu_is_claimed_only_where_it_was_measured() -> None:
    """IQL and Support Guard beside d3rlpy's fit, the guard's own rate, and several seeds over one."""
    same = {"part": "replay", "algorithm": "bc", "transitions": 10, "update_over_smallest": timing.Interval.of([1.0])}
    online = {"part": "online episode", "algorithm": "bc", "episodes": 1, "over_smallest": timing.Interval.of([1.0])}
    cpu = summary.speed_row("td3_bc", {timing.Side(name, 1): [1.0] for name in ("ours", "d3rlpy")})
    gpu = [
        {"part": "gpu", "measured": True, "algorithm": name, "beside": "iql", "ours_per_s": 1852.0, "ratio": five}
        for name, five in (("iql", timing.Interval.of([4.9])), ("support_guard", timing.Interval.of([5.0])))
    ]
    seeds = {"part": "gpu seeds", "measured": True, "seeds": 16, "ratio": timing.Interval.of([5.0])}
    capture = {"part": "gpu capture", "measured": True, "updates": 300, "apart": 2e-3, "replays": 4}
    found = summary.claims([cpu, same, online, *gpu, seeds, capture])
    assert [one["holds"] for one in found if "GPU" in one["claim"]] == [False, True, True, False, True, True]


def test_several_seeds_are_measured_on_what_each_of_them_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of seeds counts as many updates as it has seeds."""
    monkeypatch.setattr(graphics, "in_turns", lambda runs, _, **__: dict(zip(runs, ([2.0], [4.0]), strict=True)))
    row = graphics.together_row(made_up.made_up_episodes(1000), "cpu", rounds=1, share=0.0)
    assert (row["one_per_s"], row["together_per_s"]) == (0.5, graphics.TOGETHER / 4)
    assert graphics.Together(2, made_up.made_up_episodes(1000), "cpu").run(1) > 0


def test_a_captured_learner_is_held_against_one_that_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is captured they are the same, and it is said; one that learned something else is apart."""
    monkeypatch.setattr(graphics, "COMPARED", 2)
    episodes = made_up.made_up_episodes(1000)
    row = graphics.agreement_row(episodes, "cpu")
    assert (row["apart"], row["replays"]) == (0.0, 0)
    monkeypatch.setattr(graphics.Together, "run_one_at_a_time", lambda self, updates: None)
    assert graphics.agreement_row(episodes, "cpu")["apart"] > 0


def test_the_quick_gate_error_simulates_the_shipped_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every line of a few runs, each of which comes out as through the shipped rule; the same figures twice."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(gate_error, "QUICK_RUNS", 3)
    monkeypatch.setattr(gate_error, "SAMPLE", 1)
    gate_error.main(["--quick"])
    left = json.loads((tmp_path / "gate_error_quick.json").read_text())
    assert [sum(row["part"] == part for row in left["rows"]) for part in ("error", "levels", "power")] == [14, 2, 4]
    said = [row for row in left["rows"] if row["part"] != "bound"]
    assert all(row["same_as_shipped"] for row in said)
    assert len(left["claims"]) == 20 + 1
    assert "good and bad in turn" in capsys.readouterr().out
    points = [row["points"]["95 %"] for row in left["rows"][len(said) :]]
    assert [sorted(row, reverse=True) for row in points] == points
    assert gate_error.measure(gate_error.lines()[-1], 3, 19) == said[-1]


def test_simulated_candidates_are_worse_by_exactly_the_margin() -> None:
    """Successes, scores, and a candidate whose champion and baseline are two policies on the same tasks."""
    kinds = [kind for line in gate_error.lines() for kind in line.kinds[-1:]]
    for kind in dict.fromkeys(kinds):
        for side, values in kind.draw(np.random.default_rng(0), 1000).items():
            assert values.mean() == pytest.approx(kind.mean, abs=0.004), (kind, side)
            assert (values != 0).mean() == pytest.approx(kind.discordance, abs=0.004), (kind, side)


def test_a_simulation_that_is_not_the_shipped_rule_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels that candidates do not have: sooner or later one is accepted that the rule rejects, or at another pair."""
    line = next(one for one in gate_error.lines() if one.part == "levels")
    assert gate_error.measure(line, 1, 0)["same_as_shipped"]
    monkeypatch.setattr(gate_error, "fallback_share", lambda since, rounds: 1.0)
    assert not gate_error.measure(line, 1, 0)["same_as_shipped"]


ERROR: dict[str, Any] = {
    "part": "error", "margin": 0.05, "line": "x", "gate": 0.059, "runs": 2000, "same_as_shipped": True
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, [True, True]),
        ({"gate": 0.061}, [False, True]),
        ({"same_as_shipped": False}, [True, False]),
        ({"part": "power", "gate": 0.951}, [True, True]),
        ({"part": "power", "gate": 0.949}, [False, True]),
    ],
)
def test_a_gate_that_errs_or_is_blind_says_so(change: dict[str, Any], holds: list[bool]) -> None:
    """Above alpha by more than the simulation's error, below the power, or not the shipped rule."""
    assert [one["holds"] for one in gate_error.claims([{**ERROR, **change}])] == holds


def made_up_curves(last: float) -> dict[str, Any]:
    """A run each that climbs from 50 to 90 and ends somewhere else; one that starts too low to count."""
    climbs = {"offline_evals": [10.0, 50.0], "online_evals": [60.0, 90.0, last]}
    low = {"offline_evals": [10.0], "online_evals": [90.0]}
    return {"ReBRAC": {"maze": [climbs, low]}, "IQL": {"maze": [climbs]}, "AWAC": {"maze": [climbs]}}


def test_the_quick_replay_keeps_the_best_and_nothing_below_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that collapse at the end: ungated they end below, gated at their best, whatever the setting."""
    (tmp_path / gate_replay.FILE).write_text(json.dumps(made_up_curves(20.0)))
    monkeypatch.setenv("GATE_ANCHORS", str(tmp_path))
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    gate_replay.main(["--quick"])
    left = json.loads((tmp_path / "gate_replay_quick.json").read_text())
    ends = {(row["gate"], row["algorithm"]): (row["below"], row["kept"]) for row in left["rows"]}
    assert ends["none", "all"] == (1.0, pytest.approx(20 / 90))
    assert ends["as shipped", "all"] == (0.0, 1.0)
    assert [one["holds"] for one in left["claims"]] == [True] * len(left["claims"])


def test_a_replay_that_loses_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares that are not the published ones, a gated run that ends below, and a best checkpoint that is lost."""
    runs = gate_replay.released(made_up_curves(20.0))
    assert [(run.algorithm, run.start, run.best, run.best_of_task) for run in runs] == [
        (name, 50.0, 90.0, 100.0) for name in ("ReBRAC", "IQL", "AWAC")
    ]
    assert runs[0].candidates(2) == [60.0, 20.0]
    monkeypatch.setattr(gate_replay, "gated", lambda many, *_: (np.full(len(many), 20.0), *np.zeros((2, len(many)))))
    found = gate_replay.claims(gate_replay.measure(runs, 1))
    assert [one["holds"] for one in found] == [False] * 7


def test_absent_curves_are_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone without the shared folder is told which variable to set."""
    monkeypatch.setenv("GATE_ANCHORS", str(tmp_path))
    with pytest.raises(DataError, match="GATE_ANCHORS"):
        gate_replay.load()


STOP: dict[str, Any] = {
    "way": "file", "trials": 9, "most_steps": 1, "mean_steps": 0.5, "median_ms": 3.0, "most_ms": 9.0
}  # fmt: skip


@pytest.mark.parametrize(
    ("most", "recorded", "holds"), [(1, 9, [True, True]), (2, 9, [False, True]), (0, 8, [True, False])]
)
def test_a_stop_that_comes_late_or_is_forgotten_says_so(most: int, recorded: int, holds: list[bool]) -> None:
    """A second step after the signal, and a stop without its record, each break their claim."""
    rows = [STOP | {"most_steps": most}]
    assert [one["holds"] for one in emergency_stop.report(rows, recorded)] == holds


def test_the_quick_emergency_stop_stops_a_real_process_by_every_way(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signal, file and the robot's own: at most one step, and all of them in the journal."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(emergency_stop, "build_handoff", lambda _: shared_handoff(tmp_path_factory.getbasetemp()))
    emergency_stop.main(["--quick"])
    left = json.loads((tmp_path / "emergency_stop_quick.json").read_text())
    assert [(row["way"], row["trials"]) for row in left["rows"]] == [("signal", 3), ("file", 3), ("robot", 3)]
    assert [one["holds"] for one in left["claims"]] == [True, True]


def held(steps: int, success: bool = True) -> RolloutEvidence:
    """An episode with so many interventions."""
    return RolloutEvidence(success=success, interventions=steps, support_drift=0.0)


def test_a_replayed_run_halts_where_its_budget_ends() -> None:
    """Drawn runs go through the shipped gate: forty interventions are spent by the fifth episode of ten."""
    gate = rules({"interventions": {"limit": 40, "window": 10}})
    assert replays.watched(gate, [held(10)] * 20) == replays.Watched(
        halted_after=5, rule="interventions", used={"interventions": pytest.approx(1.25)}
    )
    assert replays.watched(gate, [held(4)] * 20).halted_after == 0


def test_replayed_candidates_are_accepted_when_better_and_not_when_worse() -> None:
    """The acceptance rules decide on drawn pairs, and the next candidate faces the one that was accepted."""
    gate = rules({"no_regression": {}})
    good, poor = (held(0),) * 50, tuple(held(0, success=k % 2 == 0) for k in range(50))
    found = replays.certified(gate, poor, [good, poor], np.random.default_rng(0), tasks=400)
    assert found.accepted == (True, False)
    assert max(found.pairs) < 400
    assert replays.truly(poor, good, "success") == pytest.approx(-0.5)


NULL: list[dict[str, Any]] = [
    {"gate": "safety", "policy": "unchanged baseline, tuned robot", "pool": 9, "halted": 0.05, "halted_soon": 0.0,
     "halted_after": None, "by": {}, "used": {"interventions": 0.5}},
    {"gate": "safety", "policy": "random actions", "pool": 9, "halted": 1.0, "halted_soon": 0.99,
     "halted_after": 2.0, "by": {"interventions": 9}, "used": {"interventions": 1.5}},
    {"gate": "acceptance", "difference": [-0.1], "accepted": [0.0], "pairs": [50.0], "worse_by_the_margin": 1,
     "wrongly_accepted": 0.05, "alpha": 0.05},
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "change", "holds"),
    [
        (0, {}, [True, True, True]),
        (0, {"halted": 0.055}, [False, True, True]),
        (1, {"halted_soon": 0.985}, [True, False, True]),
        (2, {"wrongly_accepted": 0.055}, [True, True, False]),
        (2, {"worse_by_the_margin": 0}, [True, True, False]),
    ],
)
def test_a_gate_that_halts_the_sound_or_spares_the_reckless_says_so(
    row: int, change: dict[str, Any], holds: list[bool]
) -> None:
    """Each claim can fail, and one about candidates of which none is worse proves nothing."""
    rows = [one | (change if k == row else {}) for k, one in enumerate(NULL)]
    assert [one["holds"] for one in gate_null.report(rows)] == holds


def test_the_quick_null_plays_every_pool_and_goes_through_both_gates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a small handoff of its own, whose thresholds are wider; a random policy halts even there."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(pools, "SCRATCH", tmp_path / "scratch")
    gate_null.main(["--quick"])
    left = json.loads((tmp_path / "gate_null_quick.json").read_text())
    assert [row["gate"] for row in left["rows"]] == ["safety"] * 5 + ["acceptance"]
    assert {row["policy"]: row["halted"] for row in left["rows"][:-1]}["random actions"] == 1.0
    assert len(left["claims"]) == 3


def in_a_process(name: str) -> dict[str, Any]:
    """A quick benchmark run as its command, in a process of its own; what it left."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--quick"],
        cwd=results_file.RESULTS.parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    left: dict[str, Any] = json.loads((results_file.RESULTS / f"{name}_quick.json").read_text())
    return left


def test_the_quick_crash_kills_a_dozen_times_and_nothing_differs() -> None:
    """A real run of one round, killed at every sixth place: bytes, versions and metrics of the uninterrupted one."""
    left = in_a_process("crash")
    every = next(row for row in left["rows"] if "places" in row)
    assert every["kills"] >= 10
    assert [row["differences"] for row in left["rows"]] == [[], []]
    assert [one["holds"] for one in left["claims"]] == [True] * 3


def test_a_kill_that_loses_something_breaks_its_claim() -> None:
    """A file lost, too few kills, a halt that is no clear line, and a server that nobody waited for."""
    every = {"kind": "every", "kills": 140, "places": 140, "stride": 1, "records": 25, "differences": []}
    disk = {"kind": "disk full", "differences": [], "halts": [{"status": 2, "clear": True}]}
    away = {"kind": "MLflow away for 60 s", "differences": [], "said": "waiting"}
    rows: list[dict[str, Any]] = [every, disk, away]
    assert [one["holds"] for one in crash.report(rows)] == [True] * 5
    lost = [{**every, "differences": ["episodes/000001.parquet is lost"], "kills": 99}, disk, away]
    assert [one["holds"] for one in crash.report(lost)] == [False, False, False, True, True]
    unclear = [every, {**disk, "halts": [{"status": 99, "clear": False}]}, {**away, "said": ""}]
    assert [one["holds"] for one in crash.report(unclear)] == [True, True, True, False, False]


def test_the_quick_tamper_finds_every_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Flips in every kind of file, records dropped, swapped and cut off, files lost and added: all found."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    tamper.main(["--quick"])
    left = json.loads((tmp_path / "tamper_quick.json").read_text())
    made = {row["change"]: row["made"] for row in left["rows"] if "made" in row}
    assert {f"a flipped bit: {kind}" for kind in tamper.FLIPS} <= set(made)
    assert {"a deleted tail", "a dropped record, hashes mended", "a swapped record", "a deleted file"} <= set(made)
    assert [one["holds"] for one in left["claims"]] == [True] * 3
    assert "missed" not in capsys.readouterr().out


def test_a_change_that_is_missed_breaks_its_claim() -> None:
    """One of a thousand that nobody found."""
    rows: list[dict[str, Any]] = [{"change": "a flipped bit: journal", "made": 1000, "found": 999}]
    rows += [{"change": "missed", "which": ["a flipped bit: journal"]}, {"change": "the command", "alike": [True]}]
    assert [one["holds"] for one in tamper.report(rows)] == [True, False, True]


def test_the_quick_overhead_accounts_for_all_four() -> None:
    """A small real flow and two lengths of run: gate, journal, Prefect and MLflow each took some of its time."""
    run, episode = in_a_process("online_overhead")["rows"]
    parts = [run[f"{part}_s"] for part in spans.OVERHEAD]
    assert min(parts) > 0
    assert run["overhead_s"] == pytest.approx(sum(parts))
    assert run["overhead_s"] < run["wall_s"]
    assert (episode["few"], episode["many"]) == (10, 100)
    assert episode["few_ms"] > 0


def test_an_overhead_that_is_too_much_says_so() -> None:
    """Each of the three figures has a limit of its own."""
    run = {"part": "a run", "wall_s": 100.0, "start_up_s": 30.0, "overhead_s": 5.0, "share": 0.05}
    run |= {f"{part}_s": 1.25 for part in spans.OVERHEAD}
    episode = {"few": 10, "many": 1000, "few_ms": 1.0, "many_ms": 1.1, "ratio": 1.1, "low": 1.0, "high": 1.2}
    assert [one["holds"] for one in online_overhead.report([run, episode])] == [True] * 3
    worse = {**run, "share": 0.051, "start_up_s": 30.1}
    assert [one["holds"] for one in online_overhead.report([worse, {**episode, "ratio": 1.11}])] == [False] * 3


def test_a_span_within_another_counts_once() -> None:
    """What MLflow takes within a task is MLflow's, and what Prefect takes is what is left."""
    counted = spans.Spans()
    inner = counted.around(spans.MLFLOW, lambda: time.sleep(0.05))
    counted.around(spans.PREFECT, lambda: (inner(), time.sleep(0.02)))()
    assert counted.seconds[spans.MLFLOW] >= 0.05
    assert counted.seconds[spans.PREFECT] >= 0.02
    assert counted.overhead == pytest.approx(sum(counted.seconds.values()))
    counted.reset()
    assert counted.overhead == 0.0
