"""A person takes hold of the real simulator: executed, marked, counted, and a budget that is broken by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.small_handoff import GENEROUS, LENIENT, small_config
from offline_to_online.evaluation.rollout import read_rollout
from offline_to_online.online.beginning import begin
from offline_to_online.online.collect import collect, safety_gate
from offline_to_online.online.config import GatesConfig
from offline_to_online.online.run import OnlineRun
from tests.online.held_robot import PUSH, hold


def test_takeovers_are_executed_marked_counted_and_stop_the_run(
    handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person did is what learning sees; forty steps an episode break a budget of sixty in the second."""
    hold(monkeypatch, held=range(5, 45))
    safety = {**GENEROUS, "interventions": {"limit": 60, "window": 10}}
    config = small_config(episodes_per_round=5, gates=GatesConfig(safety=safety, acceptance=LENIENT))
    folder = begin(tmp_path, "a", handoff, config, seed=1, jobs=1).folder
    found = collect(OnlineRun(folder), 1)
    assert found["episodes"] == 2
    for index, row in enumerate(found["evidence"]):
        rollout = read_rollout(OnlineRun(folder).episode_path(index))
        assert np.flatnonzero(rollout.takeover).tolist() == list(range(5, 45))
        assert (rollout.episode.actions[5:45] == PUSH).all()
        assert not (rollout.proposed[5:45] == PUSH).all(axis=1).any()
        assert rollout.episode.intervened[5:45].all()
        assert row["takeovers"] == 40
        assert row["interventions"] == 40 + int(rollout.guard_stop.sum())
    assert found["totals"]["takeovers"] == 80
    said = safety_gate(OnlineRun(folder), 1)
    assert not said["passed"]
    assert "80 by takeover" in said["reason"]
    assert OnlineRun(folder).halt_reason() == said["reason"]
