"""The manifest: every field, no other, and each error says which and what is near."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from offline_to_online.dataset.blanks import blanks
from offline_to_online.dataset.files import file_sha256
from offline_to_online.dataset.hashes import verify_hashes
from offline_to_online.dataset.manifest import FIELDS, Manifest, load_manifest
from offline_to_online.dataset.spec import ActionSchema, Dimension
from offline_to_online.errors import DataError, ManifestError
from offline_to_online.plugins import module_for

ROOT = Path(__file__).resolve().parent.parent.parent
Make = Callable[..., Manifest]
# A draft that adopt left beside them is refused until it is filled in, and its params section is no manifest.
MANIFESTS = [p for p in sorted((ROOT / "data" / "manifests").glob("*.yaml")) if "<state: " not in p.read_text()]
MANIFESTS = [p for p in MANIFESTS if not p.name.endswith(".params.yaml")]


def test_what_it_says_comes_back(make_manifest: Make, fields: Callable[..., dict[str, Any]]) -> None:
    """A manifest read from YAML gives the same fields again."""
    assert make_manifest().to_json() == fields()


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_required(make_manifest: Make, field: str) -> None:
    """A missing field is named."""
    with pytest.raises(ManifestError, match=f"missing field {field} "):
        make_manifest(**{field: None})


def test_an_unknown_field_gets_the_nearest_name(make_manifest: Make) -> None:
    """A misspelt field is refused with the one that was meant."""
    with pytest.raises(ManifestError, match=r"unknown field 'episode_horizn'.*did you mean 'episode_horizon'\?"):
        make_manifest(episode_horizn=50)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"episode_horizon": 2.5}, "episode_horizon is 2.5"),
        ({"episode_horizon": 0}, "episode_horizon is 0"),
        ({"control_rate_hz": "fast"}, "control_rate_hz is 'fast'"),
        ({"operators": "expert"}, "operators is 'expert'"),
        ({"operators": ["a", "a"]}, "different names"),
        ({"licence": ""}, "licence is ''"),
        ({"reward_source": "robt"}, "did you mean 'robot'"),
        ({"hashes": {"a.hdf5": "123"}}, "64 hexadecimal digits"),
        ({"hashes": {}}, "hashes is {}"),
        ({"split": {"train": 0.6, "calibration": 0.2, "heldout": 0.3, "stratify": "none"}}, "sum to 1.1"),
        ({"split": {"train": 0.0, "calibration": 0.5, "heldout": 0.5, "stratify": "none"}}, "train above 0"),
        ({"split": {"train": 0.8, "heldout": 0.2, "stratify": "none"}}, "missing field calibration"),
        ({"observation_schema": {"dimensions": []}}, "no dimensions"),
        ({"observation_schema": {"dimensions": [{"name": "a", "unit": "m", "low": 1, "high": 0}]}}, "not below"),
        ({"observation_schema": {"dimensions": [{"name": "a", "low": 0, "high": 1}]}}, "unit"),
    ],
)
def test_an_impossible_value_is_named(make_manifest: Make, changes: dict[str, Any], said: str) -> None:
    """Each error is one line with the value and what would do."""
    with pytest.raises(ManifestError, match=said) as caught:
        make_manifest(**changes)
    assert "\n" not in str(caught.value)


def test_what_is_optional_is_kept_and_else_left_out(make_manifest: Make, fields: Callable[..., dict[str, Any]]) -> None:
    """Sensors in their order, how terminals and duplicates are taken; unset they do not change the hash."""
    schema = {**fields()["observation_schema"], "keys": ["joints[2:4]", "gripper"]}
    told = {"observation_schema": schema, "terminals": "ignore", "duplicates": "leave_out"}
    manifest = make_manifest(**told)
    assert (manifest.observation_keys, manifest.terminals) == (("joints[2:4]", "gripper"), "ignore")
    assert manifest.to_json() == fields(**told)
    plain = make_manifest()
    assert (plain.observation_keys, plain.terminals) == ((), "logged")
    assert make_manifest(terminals="logged", duplicates="refuse").sha256 == plain.sha256 != manifest.sha256


@pytest.mark.parametrize(
    ("keys", "terminals", "said"),
    [
        ([], "logged", r"keys is \[\]"),
        ("joints", "logged", "keys is 'joints'"),
        (["joints", "joints"], "logged", "different names"),
        ([3], "logged", r"keys is \[3\]"),
        (["joints"], "ignored", r"terminals is 'ignored'.*one of logged, ignore, believed; did you mean 'ignore'\?"),
        (["joints"], False, "terminals is False"),
    ],
)
def test_what_is_optional_is_checked_too(
    make_manifest: Make, fields: Callable[..., dict[str, Any]], keys: Any, terminals: Any, said: str
) -> None:
    """An empty selection is not the format's own choice, and a misspelt word gets the nearest."""
    with pytest.raises(ManifestError, match=said):
        make_manifest(observation_schema={**fields()["observation_schema"], "keys": keys}, terminals=terminals)


def test_blanks_are_refused_by_name(make_manifest: Make, fields: Callable[..., dict[str, Any]]) -> None:
    """Every place that a person has to fill, at any depth, before anything else is said about the manifest."""
    content = fields(
        licence="<state: the licence of the data>",
        operators=["expert", "<state: who else acted>"],
        reward_source="<state: file or robot>",
        control_rate_hz=None,
    )
    content["action_schema"]["dimensions"][0]["unit"] = "in <state: unit of push>, or so"
    assert blanks(content) == [
        "action_schema.dimensions.0.unit: <state: unit of push>",
        "operators.1: <state: who else acted>",
        "reward_source: <state: file or robot>",
        "licence: <state: the licence of the data>",
    ]
    with pytest.raises(ManifestError, match=r"4 blank\(s\) are left: action_schema\.dimensions\.0\.unit: <state: unit"):
        make_manifest(**content, control_rate_hz=None)
    assert blanks(fields(licence="MIT < 2, state: of the art")) == []


def test_many_blanks_are_still_one_line(make_manifest: Make) -> None:
    """The first few are named, and all are counted."""
    with pytest.raises(ManifestError, match=r"6 blank\(s\) are left: .* \.\.\. \(") as caught:
        make_manifest(
            **{name: f"<state: {name}>" for name in ("robot", "robot_body", "licence", "source", "hashes", "split")}
        )
    assert "\n" not in str(caught.value)


def test_a_discrete_action_is_refused(make_manifest: Make, fields: Callable[..., dict[str, Any]]) -> None:
    """The action schema names its kind, and only a vector is supported yet."""
    schema = fields()["action_schema"] | {"kind": "discrete"}
    with pytest.raises(ManifestError, match=r"kind is 'discrete'.*only vector"):
        make_manifest(action_schema=schema)


@pytest.mark.parametrize("content", [None, "a: [", "- a", ""])
def test_a_broken_file_is_one_line(tmp_path: Path, content: str | None) -> None:
    """No file, no YAML, no mapping: each is said in one line with the file's name."""
    path = tmp_path / "broken.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ManifestError, match=r"broken\.yaml") as caught:
        load_manifest(path)
    assert "\n" not in str(caught.value)


def test_the_hash_is_of_the_content(tmp_path: Path, fields: Callable[..., dict[str, Any]], make_manifest: Make) -> None:
    """Order and layout of the YAML change nothing; a bound does."""
    path = tmp_path / "again.yaml"
    path.write_text("# reordered\n" + yaml.safe_dump(dict(reversed(fields().items())), default_flow_style=True))
    assert load_manifest(path).sha256 == make_manifest().sha256
    assert make_manifest(episode_horizon=21).sha256 != make_manifest().sha256


def test_hashes_hold_or_are_refused(tmp_path: Path, make_manifest: Make) -> None:
    """A changed file and a file that is not named are refused, with expected and found."""
    path = tmp_path / "log.hdf5"
    path.write_text("x")
    right = file_sha256(path)
    assert verify_hashes(path, make_manifest(hashes={"log.hdf5": right})) == {"log.hdf5": right}
    with pytest.raises(ManifestError, match=f"found {right}.*expected {'0' * 64}"):
        verify_hashes(path, make_manifest(hashes={"log.hdf5": "0" * 64}))
    with pytest.raises(ManifestError, match=r"no hash of log.hdf5.*did you mean 'log.h5'"):
        verify_hashes(path, make_manifest(hashes={"log.h5": right}))


def test_lengths_and_operators_are_held_against_it(make_manifest: Make) -> None:
    """Empty, too long, and a stranger."""
    manifest = make_manifest()
    for steps, said in ((0, "empty"), (21, "the horizon is 20")):
        with pytest.raises(DataError, match=said):
            manifest.require_length(steps, where="episode 3")
    with pytest.raises(DataError, match=r"'expart'.*did you mean 'expert'"):
        manifest.require_operator("expart", where="episode 3")


def test_it_must_agree_with_its_robot(make_manifest: Make) -> None:
    """A unit that is not the robot's is named with the dimension, and so is another robot."""
    manifest = make_manifest()
    agree = functools.partial(manifest.require_robot, "slider")
    agree(action=manifest.action, observation=manifest.observation, control_rate_hz=10)
    with pytest.raises(ManifestError, match=r"robot is 'slider'.*params.yaml says 'slidre'; did you mean 'slidre'"):
        manifest.require_robot("slidre", action=manifest.action, observation=manifest.observation, control_rate_hz=10)
    other = ActionSchema(dimensions=(Dimension(name="push", unit="kN", low=-1, high=1),))
    with pytest.raises(ManifestError, match=r"push \[-1, 1\] N .*has push \[-1, 1\] kN"):
        agree(action=other, observation=manifest.observation, control_rate_hz=10)
    with pytest.raises(ManifestError, match=r"control_rate_hz is 10"):
        agree(action=manifest.action, observation=manifest.observation, control_rate_hz=25)
    with pytest.raises(ManifestError, match=r"2 dimensions.*has 1"):
        agree(action=manifest.action, observation=other, control_rate_hz=10)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda p: p.stem)
def test_the_manifests_here_are_whole(path: Path) -> None:
    """Every manifest in the repository loads, is called what its file is called, and agrees with its robot."""
    manifest = load_manifest(path)
    assert manifest.name == path.stem
    spec = module_for("robots", manifest.robot).SPEC
    manifest.require_robot(
        manifest.robot, action=spec.action, observation=spec.observation, control_rate_hz=spec.control_rate_hz
    )
