"""What the benchmarks make of their rows: claims that can fail."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from benchmarks import (
    demo_cost,
    demo_seeds,
    results_file,
    safety_limits,
    support_calibration,
    support_gaps,
    support_speed,
    support_speed_tasks,
)
from benchmarks.learning_speed import __main__ as learning_speed
from benchmarks.learning_speed import bounds, contenders, graphics, made_up, peers, summary, timing
from benchmarks.support_data import Log, unnamed
from benchmarks.support_detection import __main__ as support_detection
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
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
    found = summary.claims([cpu, same, online, *gpu, seeds])
    assert [one["holds"] for one in found if "GPU" in one["claim"]] == [False, True, True, True]


def test_several_seeds_are_measured_on_what_each_of_them_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of seeds counts as many updates as it has seeds."""
    monkeypatch.setattr(graphics, "take_turns", lambda runs, **_: dict(zip(runs, ([2.0], [4.0]), strict=True)))
    row = graphics.together_row(made_up.made_up_episodes(1000), "cpu", rounds=1, seconds=0.0)
    assert (row["one_per_s"], row["together_per_s"]) == (0.5, graphics.TOGETHER / 4)
    assert graphics.Together(2, made_up.made_up_episodes(1000), "cpu").run(1) > 0
