"""What the benchmarks make of their rows: claims that can fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import demo_cost, demo_seeds, results_file, safety_limits
from offline_to_online.online.evidence import RolloutEvidence
from offline_to_online.online.gating import rules

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
