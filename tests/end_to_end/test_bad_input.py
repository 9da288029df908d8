"""Bad input ends in one line (what, where, limit, remedy) and exit code 2; nothing is written, nothing is changed.

Manifests and logs are in test_bad_data.py; a handoff that was changed and an MLflow server that is not there in
test_online.py; a file in the way of a recording in test_offline.py.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from small_checkout import ROOT
from tiny_log import Place, Trap

from offline_to_online.dataset.files import read_json
from offline_to_online.online.robot_lock import robot_held

Run = Callable[..., str]

PARAMETERS = {
    "key": ("sead", 3, "unknown key 'sead'.*did you mean 'seed'"),
    "key within": ("dataset.pth", "x", r"unknown key 'pth' \(params.yaml dataset\).*'path'"),
    "robot": ("robot", "push", r"unknown robot 'push' \(params.yaml robot\).*did you mean 'pusht'"),
    "algorithm": ("policies.iql.algorithm", "iqll", r"'iqll' \(params.yaml policies.iql.algorithm\).*mean 'iql'"),
    "key of an algorithm": ("policies.iql.config.expectil", 0.7, "unknown key 'expectil'.*did you mean 'expectile'"),
    "gate": ("online.gates.safety.intervention", {"limit": 3}, "unknown gate 'intervention'.*mean 'interventions'"),
    "key of a gate": ("online.gates.safety.interventions.limt", 3, "unknown key 'limt'.*did you mean 'limit'"),
    "format": ("dataset.format", "d4rl_hdf", r"\(params.yaml dataset.format\).*did you mean 'd4rl_hdf5'"),
    "module that is no plug-in": ("policies.iql.algorithm", "os.path", r"module 'os.path' has no Config"),
    "relative module": ("robot", "..pusht", r"no module '..pusht' \(params.yaml robot\)"),
    "name of a recording": ("collect.recordings", ["../mine/log"], r"the name '../mine/log' .*collect.recordings"),
    "seed": ("seed", -1, r"seed is -1 .*at least 0"),
    "jobs": ("jobs", 0, r"jobs is 0 .*at least 1"),
    "number": ("evaluation.gamma", float("nan"), r"found nan \(params.yaml evaluation gamma\): a finite number"),
    "address": ("online.servers.prefect", "localhost:4200", r"'localhost:4200' \(online.servers.prefect\).*http"),
}


@pytest.mark.parametrize("case", PARAMETERS)
def test_a_parameter_that_is_wrong(place: Place, refused: Run, case: str) -> None:
    """An unknown name is refused with the nearest, an impossible value with its limit."""
    path, value, said = PARAMETERS[case]
    params = yaml.safe_load((place.folder / "params.yaml").read_text())
    *sections, key = path.split(".")
    section = params
    for name in sections:
        section = section[name]
    section[key] = value
    (place.folder / "params.yaml").write_text(yaml.safe_dump(params))
    assert re.search(said, refused("offline_to_online.params", "show"))


@pytest.mark.parametrize("content", [None, "", "- a list", "seed: [1"])
def test_parameters_that_cannot_be_read(place: Place, refused: Run, content: str | None) -> None:
    """A params.yaml that is missing, empty or broken is one line, from a stage and where an overlay is merged."""
    path = place.folder / "params.yaml"
    path.unlink() if content is None else path.write_text(content)
    for command in (["stages.validate"], ["offline_to_online.params", "use", "docs/params/pusht_human.yaml"]):
        assert "(params.yaml)" in refused(*command)


def test_an_overlay_that_is_wrong(place: Place, refused: Run) -> None:
    """The line names the overlay, and params.yaml is as it was."""
    (place.folder / "mine/overlay.yaml").write_text("sead: 3\n")
    assert "'sead' (params.yaml with overlay.yaml)" in refused("offline_to_online.params", "use", "mine/overlay.yaml")
    assert "(mine/absent.yaml)" in refused("offline_to_online.params", "use", "mine/absent.yaml")


@pytest.mark.parametrize("stage", ["collect", "train", "audit", "evaluate"])
def test_a_stage_s_argument(refused: Run, stage: str) -> None:
    """None, too many, and one that params.yaml does not name."""
    known = "scripted" if stage == "collect" else "bc"
    assert known in refused(f"stages.{stage}")
    assert known in refused(f"stages.{stage}", known, "more")
    assert f"did you mean '{known}'" in refused(f"stages.{stage}", f"{known}c")


def leak(split: dict[str, Any]) -> None:
    split["heldout"].append(split["train"][0])


def move(split: dict[str, Any]) -> None:
    split["train"].append(split["heldout"].pop())


@pytest.mark.parametrize(("edit", "said"), [(leak, "leaks from one part into another"), (move, "was changed after")])
def test_a_split_that_was_edited(place: Place, run: Run, refused: Run, edit: Callable[..., None], said: str) -> None:
    """An episode in two parts, or moved to another, stops every stage that reads the split."""
    run("stages.validate")
    path = place.folder / "data/episodes/split.json"
    split = read_json(path)
    edit(split)
    path.write_text(json.dumps(split))
    for command in (["stages.support"], ["stages.train", "bc"]):
        assert said in refused(*command)


def test_an_edited_panel(place: Place, refused: Run) -> None:
    """One digit of a task, and no policy is judged on it."""
    path = place.folder / "data/panels/pusht.json"
    panel = read_json(path)
    panel["report"]["tasks"][0]["seed"] += 1
    path.write_text(json.dumps(panel))
    assert "the panel was changed since it was made" in refused("stages.evaluate", "bc")


@pytest.mark.parametrize("content", [b"garbage", b"", pickle.dumps(Trap())], ids=["garbage", "empty", "pickle"])
def test_a_policy_that_is_none(place: Place, run: Run, refused: Run, content: bytes) -> None:
    """Garbage, an empty file or a pickle in place of a policy is refused, and never unpickled."""
    place.set_params(calibration={"alpha": 0.3})
    run("stages.validate")
    run("stages.support")
    path = place.folder / "models/bc/policy.safetensors"
    path.parent.mkdir()
    path.write_bytes(content)
    assert "this is no safetensors file" in refused("stages.audit", "bc")


def test_the_commands_refuse_as_their_functions_do(place: Place, run: Run, refused_command: Run) -> None:
    """As typed: too few episodes to calibrate (with how many are needed), names that are not there, a cut file."""
    run("stages.validate")
    assert "19 of either for alpha 0.05" in refused_command("stages.support")
    assert "did you mean 'bc'" in refused_command("stages.train", "bcc")
    assert "did you mean 'scripted'" in refused_command("stages.collect", "scriptd")
    place.write(place.log.read_bytes()[:5000])
    assert "not readable as HDF5" in refused_command("stages.validate")
    place.set_params(robot="push")
    assert "did you mean 'pusht'" in refused_command("offline_to_online.params", "show")


def test_no_prefect_server(place: Place, refused_command: Run) -> None:
    """No Prefect server at the configured address: said before anything is begun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    online = yaml.safe_load((ROOT / "params.yaml").read_text())["online"]
    place.set_params(online={**online, "servers": {"mlflow": "", "prefect": address}})
    assert f"no Prefect server at {address} (online.servers.prefect)" in refused_command("flows.finetune")


def test_a_robot_in_use(place: Place, refused_command: Run) -> None:
    """A second process on a run whose robot is held is told by whom."""
    runs = place.folder / "data/online"
    (runs / "run-001").mkdir(parents=True)
    (runs / "run-001/run.json").write_text(json.dumps({"robot": "pusht"}))
    with robot_held(runs / ".locks", "pusht", "run-007"):
        said = refused_command("flows.finetune")
    assert f"robot 'pusht' is in use by run 'run-007' (process {os.getpid()} on " in said
