"""params.yaml: assembled by its owners' Configs, and refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from offline_to_online.errors import ParameterError
from offline_to_online.params import load_params, use_overlay
from offline_to_online.robots import Dynamics

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def params_file(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))


def change(path: Path, keys: list[str], value: object) -> None:
    content = yaml.safe_load(path.read_text())
    section = content
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = value
    path.write_text(yaml.safe_dump(content))


def test_the_shipped_parameters_load(params_file: Path) -> None:
    """What is in git is valid, and BC and IQL are in it."""
    params = load_params(params_file)
    assert {"bc", "iql"} <= set(params.policies)
    assert params.algorithm_config("iql").expectile == 0.8


@pytest.mark.parametrize(
    ("keys", "value", "nearest"),
    [
        (["sead"], 1, "seed"),
        (["dataset", "nane"], "x", "name"),
        (["support", "kk"], 3, "k"),
        (["policies", "iql", "config", "expectil"], 0.7, "expectile"),
        (["policies", "iql", "algorithm"], "iqll", "iql"),
        (["robot"], "fetch_pick_and_plce", "fetch_pick_and_place"),
        (["online", "gates", "safety", "intervention"], {"limit": 3}, "interventions"),
        (["online", "gates", "safety", "interventions", "limt"], 3, "limit"),
        (["handoff", "metric"], "sucess", "success"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    params_file: Path, keys: list[str], value: object, nearest: str
) -> None:
    """A misspelt key, algorithm, gate, robot or value is refused, and the nearest name offered."""
    change(params_file, keys, value)
    with pytest.raises(ParameterError, match=rf"did you mean '{nearest}'"):
        load_params(params_file)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["seed"], "seven"),
        (["jobs"], True),
        (["calibration", "alpha"], 1.5),
        (["policies"], {"iql": {"algorithm": "iql", "rests_on": "models/support/estimator"}}),
        (["policies", "iql", "rests_on"], "data/episodes/split.json"),
        (["dataset"], []),
    ],
)
def test_a_wrong_value_is_refused(params_file: Path, keys: list[str], value: object) -> None:
    """A wrong type, an alpha outside (0, 1), no BC, or offline RL that skips the audit is refused."""
    change(params_file, keys, value)
    with pytest.raises(ParameterError):
        load_params(params_file)


@pytest.mark.parametrize("content", ["a: [", "- 1", "\x00"])
def test_a_broken_file_is_one_error(tmp_path: Path, content: str) -> None:
    """A file that is not YAML, or not a mapping, is one clear error."""
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(ParameterError):
        load_params(path)


@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "docs/params").glob("*.yaml")))
def test_every_overlay_in_the_docs_loads(params_file: Path, name: str) -> None:
    """Each overlay gives valid parameters, keeps the comments, and a second use changes nothing."""
    overlay = ROOT / "docs/params" / name
    assert use_overlay(overlay, params_file)
    assert "# the one seed" in params_file.read_text()
    assert use_overlay(overlay, params_file) == []


def test_an_overlay_replaces_dynamics_whole(params_file: Path, tmp_path: Path) -> None:
    """Another change of dynamics takes the place of the first; the rest of the section stays."""
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("online: {dynamics: {}}\nevaluation: {dynamics: {action_delay_steps: 1}}\n")
    before = load_params(params_file)
    assert use_overlay(overlay, params_file) == ["online.dynamics", "evaluation.dynamics"]
    after = load_params(params_file)
    assert before.online.dynamics == Dynamics(action_gain=0.5)
    assert after.online.dynamics == Dynamics()
    assert after.evaluation.dynamics == Dynamics(action_delay_steps=1)
    assert after.online.rounds == before.online.rounds


def test_a_bad_overlay_changes_nothing(params_file: Path, tmp_path: Path) -> None:
    """An overlay that would not load leaves params.yaml byte for byte as it was."""
    before = params_file.read_bytes()
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("robot: nobody\n")
    with pytest.raises(ParameterError, match="unknown robot"):
        use_overlay(overlay, params_file)
    assert params_file.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["overlay.yaml", "params.yaml"]


def test_a_blank_in_an_overlay_is_said(params_file: Path, tmp_path: Path) -> None:
    """What adopt left for a person is named, and nothing is written."""
    overlay = tmp_path / "mine.params.yaml"
    overlay.write_text("robot: '<state: the robot>'\n")
    before = params_file.read_text()
    with pytest.raises(ParameterError, match=r"blanks are left: robot: <state: the robot> \(.*mine.params.yaml\)"):
        use_overlay(overlay, params_file)
    assert params_file.read_text() == before
