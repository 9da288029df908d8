"""An episode's overhead when ten episodes were collected, and when a thousand were, block by block side by side.

The robot's motion is one that was recorded, so that what is left is what an episode costs besides: writing it down,
the journal, hashes, the gate, MLflow. The support audit is none of that: drift against D_k, whose estimate takes its
time after each of a thousand episodes, is a constant here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.learning_speed.timing import ratio
from benchmarks.online_overhead.spans import Spans, around_the_run
from benchmarks.small_handoff import build_handoff, small_config
from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.evaluation.rollout import Rollout
from offline_to_online.online import collect as collecting
from offline_to_online.online.beginning import begin
from offline_to_online.online.decide import log_round
from offline_to_online.online.run import DECISION, OnlineRun

PER_ROUND, BLOCKS = 10, 9
UNDECIDED = {"candidate": False, "accepted": False, "reason": "nothing is learned here"}


def growth(folder: Path, *, few: int, many: int, blocks: int = BLOCKS) -> dict[str, Any]:
    """Overhead of an episode, in milliseconds, after ``few`` and after ``many`` episodes, and their ratio."""
    build_handoff(folder)
    runs = [_run(folder / name, folder / "handoff") for name in ("few", "many")]
    spans = Spans()
    with _recorded_motion(runs[0]):
        for run, episodes in zip(runs, (few, many), strict=True):
            for number in range(1, episodes // PER_ROUND + 1):
                _round(run.folder, number)
        around_the_run(spans)
        first = [few // PER_ROUND + 1, many // PER_ROUND + 1]
        took: tuple[list[float], list[float]] = ([], [])
        for block in range(blocks):
            # Now this one first, now that.
            for side in ((0, 1), (1, 0))[block % 2]:
                spans.reset()
                _round(runs[side].folder, first[side] + block)
                took[side].append(1000 * spans.overhead / PER_ROUND)
    found = ratio(took[1], took[0])
    return {
        "part": "episode",
        "few": few,
        "many": many,
        "blocks": blocks,
        "few_ms": float(np.median(took[0])),
        "many_ms": float(np.median(took[1])),
        "ratio": found.median,
        "low": found.low,
        "high": found.high,
    }


def _run(folder: Path, handoff: Path) -> OnlineRun:
    """A run of as many rounds as are wanted; the panel's acceptance blocks are not touched here."""
    config = small_config(episodes_per_round=PER_ROUND, interaction_budget_episodes=1_000_000)
    opened = begin(folder, "run-001", handoff, config, seed=1, jobs=1)
    facts = read_json(opened.folder / "run.json")
    facts["config"]["rounds"] = 100_000
    write_json(opened.folder / "run.json", facts)
    (opened.folder / "journal.jsonl").unlink()
    return OnlineRun(opened.folder)


def _round(folder: Path, number: int) -> None:
    """One round, each step on a run opened anew, as the flow does it."""
    collecting.collect(OnlineRun(folder), number)
    collecting.safety_gate(OnlineRun(folder), number)
    OnlineRun(folder).phase(number, DECISION, lambda: UNDECIDED)
    log_round(OnlineRun(folder), number)


@contextlib.contextmanager
def _recorded_motion(run: OnlineRun) -> Iterator[None]:
    """One episode, really played, stands for every other, and its drift from D_0 for the one from D_k."""
    champion = collecting._Champion(run, 1)
    played: Rollout = champion._play(0, lambda: "")
    champion.close()
    play, collecting._Champion._play = collecting._Champion._play, lambda *_: played  # type: ignore[method-assign]
    audited = vars(collecting)["data_of"]
    vars(collecting)["data_of"] = lambda *_: SimpleNamespace(drift=lambda rollout: rollout.support_drift)
    try:
        yield
    finally:
        vars(collecting)["data_of"] = audited
        collecting._Champion._play = play  # type: ignore[method-assign]
