"""The update: which learner goes on, on what, and that a restart changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.small_handoff import small_config
from offline_to_online.dataset.files import file_sha256, folder_sha256, read_json
from offline_to_online.errors import ParameterError
from offline_to_online.learning.policy import Policy
from offline_to_online.learning.switch import Switch
from offline_to_online.online import update as updating
from offline_to_online.online.beginning import begin
from offline_to_online.online.collect import collect
from offline_to_online.online.memory import Kept
from offline_to_online.online.run import DECISION, OnlineRun
from offline_to_online.online.update import update

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def forget(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What a restarted process remembers: nothing. Returns the files that are read from now on."""
    read: list[Path] = []

    def add(transitions: updating.Transitions, path: Path) -> None:
        read.append(path)
        updating.add_file(transitions, path)

    monkeypatch.setattr(updating, "KEPT", Kept(updating.transitions_of_logs, add))
    return read


def reopened(finished: Path, root: Path) -> OnlineRun:
    """A copy of the finished run, cut off before the update of its second round."""
    folder = Path(shutil.copytree(finished, root / "run-001"))
    shutil.rmtree(folder / "rounds/002/candidate")
    (folder / "rounds/002/update.json").unlink()
    return OnlineRun(folder)


def test_a_restarted_process_makes_the_same_candidate(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the files alone it reads what the uninterrupted one had in memory: the same bytes."""
    read, run = forget(monkeypatch), reopened(finished, tmp_path)
    update(run, 2)
    assert [path.name for path in read] == [run.episode_path(index).name for index in range(4)]
    made, before = (folder / "rounds/002/candidate" for folder in (run.folder, finished))
    assert folder_sha256(made) == folder_sha256(before)
    assert (run.folder / "rounds/002/update.json").read_bytes() == (finished / "rounds/002/update.json").read_bytes()


def begun(root: Path, handoff: Path, switch: Switch, **changes: Any) -> OnlineRun:
    """A run of two rounds, the first of which is collected."""
    config = small_config(switch=switch, on_reject="continue", **changes)
    run = begin(root, "run-001", handoff, config, seed=1, jobs=1)
    collect(run, 1)
    return run


def test_the_first_updates_leave_the_policy_alone(
    handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round of ``value_updates`` alone has no candidate to certify; the next makes them, and its own. Read once."""
    read = forget(monkeypatch)
    run = begun(tmp_path, handoff, Switch(updates_per_step=0.1, value_updates=13))
    first = update(run, 1)
    assert (first["candidate"], first["reason"]) == (False, "only the values would have learned")
    assert not (run.round_folder(1) / "candidate").exists()
    baseline = Policy.load(run.baseline)
    states = updating.KEPT.after(run, 2).online.gather(torch.arange(20)).observations.numpy()
    run.phase(1, DECISION, lambda: {"candidate": False, "accepted": False, "reason": first["reason"]})
    collect(run, 2)
    second = update(run, 2)
    assert (second["updates"], second["values_alone"], second["updates_since_switch"]) == (20, 13, 20)
    assert second["started_from_sha256"] == file_sha256(run.handoff_folder / "learner.safetensors")
    moved = Policy.load(run.round_folder(2) / "candidate/policy.safetensors")
    assert not (baseline.act(states) == moved.act(states)).all()
    assert [row["update"] for row in read_json(run.round_folder(2) / "candidate/curve.json")] == list(range(1, 21))
    assert [path.name for path in read] == [run.episode_path(index).name for index in range(4)]


def test_where_the_schedules_stand_is_written_down(handoff: Path, tmp_path: Path) -> None:
    """After half of the planned episodes; without the logs' data, all of a batch is online."""
    pairs = {"actor_learning_rate": (1.0, 0.0), "critic_learning_rate": (2.0, 4.0), "behaviour": (1.0, 0.5)}
    run = begun(tmp_path, handoff, Switch(updates_per_step=0.02, keep=("policy", "values"), **pairs))
    told = update(run, 1)
    wanted = {"progress": 0.5, "online_share": 1.0, "actor_learning_rate": 0.5, "critic_learning_rate": 3.0}
    assert told | wanted | {"behaviour": 0.75} == told
    assert told["updates"] == 2


def test_a_gpu_that_is_not_there_is_one_error(handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is begun on one, and one that was does not go on elsewhere with other last digits."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ParameterError, match=r"no GPU is found \(params.yaml\)"):
        begin(tmp_path, "run-001", handoff, small_config(), seed=1, jobs=1, device="cuda")
    assert not (tmp_path / "run-001").exists()
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    run = begin(tmp_path, "run-001", handoff, small_config(), seed=1, jobs=1, device="cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ParameterError, match=r"no GPU is found \(.*run.json\)"):
        updating.transitions_of_logs(run)
