"""Validation: all five files or none, and a summary that says what was found."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_to_online.dataset.checks import RobotFacts
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import folder_sha256, read_json, write_json
from offline_to_online.dataset.formats import d4rl_hdf5
from offline_to_online.dataset.manifest import Manifest, load_manifest
from offline_to_online.dataset.spec import Array
from offline_to_online.dataset.split import load_split
from offline_to_online.dataset.store import load_episodes
from offline_to_online.dataset.validation import WRITTEN, validate
from offline_to_online.errors import DataError, ManifestError, ParameterError, PipelineError, SplitError

ROOT = Path(__file__).resolve().parent.parent.parent
MakeManifest = Callable[..., Manifest]
Write = Callable[..., Path]


@dataclass(frozen=True)
class Judged:
    """What a robot says of an episode."""

    rewards: Array
    cost: Array
    success: bool = True
    score: float = 0.75


def judge(observations: Array, actions: Array) -> Judged:
    """Reward 1 and cost 0.5 for every step."""
    assert len(observations) == len(actions) + 1
    return Judged(np.ones(len(actions)), np.full(len(actions), 0.5))


ROBOT = RobotFacts(name="slider", label=judge, horizon=20, ends_on_success=False)


@pytest.fixture
def raw(tmp_path: Path, log: list[Episode]) -> Path:
    """Twenty episodes as collect records them."""
    path = tmp_path / "raw" / "slider.hdf5"
    d4rl_hdf5.write(path, log, {})
    return path


def run(path: Path, manifest: Manifest, folder: Path, **changes: Any) -> dict[str, Any]:
    """``validate`` with the usual arguments."""
    fields = {"format_name": None, "robot": ROBOT, "seed": 0, **changes}
    return validate(path=path, manifest=manifest, folder=folder, **fields)


def test_sound_data_is_stored(raw: Path, log: list[Episode], make_manifest: MakeManifest, tmp_path: Path) -> None:
    """Five files, the episodes in their order, the split, and the summary that is returned."""
    folder = tmp_path / "data" / "episodes"
    summary = run(raw, make_manifest(), folder)
    assert {p.name for p in folder.iterdir()} == WRITTEN
    assert [p.name for p in folder.parent.iterdir()] == ["episodes"]
    assert read_json(folder / "validation.json") == summary
    assert read_json(folder / "acceptance.json")["accepted"]
    stored = load_episodes(folder)
    assert all(np.array_equal(a.actions, b.actions) for a, b in zip(stored, log, strict=True))
    split = load_split(folder / "split.json", [e.identity for e in stored])
    assert (split.sizes, split.sha256) == (summary["split"], summary["split_sha256"])
    assert (summary["episodes"], summary["steps"]) == (20, sum(len(e) for e in log))
    assert summary["steps_without_next_observation"] == 0
    assert summary["operators"]["novice"] == {"episodes": 5, "steps": 30, "success_rate": 1.0, "score": 0.75}
    assert summary["clipped"]["entries"] == 0


def test_the_same_data_is_the_same_bytes(raw: Path, make_manifest: MakeManifest, tmp_path: Path) -> None:
    """Run elsewhere, or again over its own output, nothing differs."""
    one, other = tmp_path / "one", tmp_path / "other" / "deep"
    run(raw, make_manifest(), one)
    run(raw, make_manifest(), other)
    assert folder_sha256(one) == folder_sha256(other)
    run(raw, make_manifest(), one)
    assert folder_sha256(one) == folder_sha256(other)


def test_the_robot_labels_what_the_file_leaves_open(
    write_hdf5: Write, manifest_of: MakeManifest, tmp_path: Path
) -> None:
    """The manifest says whose rewards; success and score are the robot's; a logged cost stays."""
    path = write_hdf5()
    few = {"split": {"train": 0.5, "calibration": 0, "heldout": 0.5, "stratify": "none"}}
    run(path, manifest_of(path, **few), tmp_path / "file")
    run(path, manifest_of(path, reward_source="robot", **few), tmp_path / "robot")
    run(path, manifest_of(path, **few), tmp_path / "unlabelled", robot=None)
    by_file, by_robot = load_episodes(tmp_path / "file")[0], load_episodes(tmp_path / "robot")[0]
    unlabelled = load_episodes(tmp_path / "unlabelled")[0]
    assert not np.array_equal(by_file.rewards, np.ones(6))
    assert np.array_equal(by_robot.rewards, np.ones(6))
    assert (by_file.success, by_file.score, by_file.cost.tolist()) == (True, 0.75, [0.5] * 6)
    assert (unlabelled.success, unlabelled.score, unlabelled.cost.tolist()) == (False, 0.0, [0.0] * 6)
    path = write_hdf5(**{"infos/cost": np.full(24, 2.0)})
    run(path, manifest_of(path, **few), tmp_path / "cost")
    assert load_episodes(tmp_path / "cost")[0].cost.tolist() == [2.0] * 6


def test_a_clipping_robot_s_actions_are_clipped_and_counted(
    log: list[Episode], make_manifest: MakeManifest, fields: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Beyond the bounds is refused, unless the manifest says that the robot clips."""
    actions = log[0].actions.copy()
    actions[[1, 3]] = [[1.5], [-2.0]]
    d4rl_hdf5.write(tmp_path / "raw.hdf5", [dataclasses.replace(log[0], actions=actions), *log[1:]], {})
    with pytest.raises(DataError, match=r"action.push is 1.5; 2 value.*episode 0, step 1.*\[-1, 1\]"):
        run(tmp_path / "raw.hdf5", make_manifest(), tmp_path / "episodes")
    clips = make_manifest(action_schema=fields()["action_schema"] | {"out_of_bounds": "clip"})
    clipped = run(tmp_path / "raw.hdf5", clips, tmp_path / "episodes")["clipped"]
    assert (clipped["entries"], clipped["steps"], clipped["by_dimension"]) == (2, 2, {"push": 2})
    assert load_episodes(tmp_path / "episodes")[0].actions[[1, 3], 0].tolist() == [1.0, -1.0]


def test_dropped_steps_are_counted(write_hdf5: Write, manifest_of: MakeManifest, tmp_path: Path) -> None:
    """Without next observations each episode loses its last step, and the summary says so."""
    path = write_hdf5(next_observations=None)
    rule = {"train": 0.5, "calibration": 0, "heldout": 0.5, "stratify": "none"}
    summary = run(path, manifest_of(path, split=rule), tmp_path / "episodes")
    assert (summary["steps"], summary["steps_without_next_observation"]) == (20, 4)


def refusals(log: list[Episode], path: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """Name to the manifest's changes and what the line says; the data is written to ``path``."""
    return {
        "wrong hash": ({"hashes": {path.name: "0" * 64}}, "is not the file that the manifest describes"),
        "too long": ({"episode_horizon": 5}, "the horizon is 5"),
        "stranger": ({"operators": ["expert", "pupil"]}, "'novice' is not in the manifest"),
        "no robot": ({"reward_source": "robot"}, "nothing gives the rewards"),
    }


@pytest.mark.parametrize("case", ["wrong hash", "too long", "stranger", "no robot"])
def test_a_refusal_writes_nothing(
    raw: Path, log: list[Episode], make_manifest: MakeManifest, tmp_path: Path, case: str
) -> None:
    """The line is the reason, the folder is not there, and the raw data is as it was."""
    changes, said = refusals(log, raw)[case]
    before = raw.read_bytes()
    with pytest.raises(PipelineError, match=said):
        run(raw, make_manifest(**changes), tmp_path / "data" / "episodes", robot=None)
    assert not (tmp_path / "data").exists()
    assert raw.read_bytes() == before


def test_what_is_not_accepted_is_not_written(raw: Path, make_manifest: MakeManifest, tmp_path: Path) -> None:
    """A score above 1 fails Great Expectations, which is named, and nothing is left."""
    with pytest.raises(DataError, match=r"'the score lies in \[0, 1\]' \(20 do not: 7"):
        run(
            raw,
            make_manifest(),
            tmp_path / "data" / "episodes",
            robot=dataclasses.replace(ROBOT, label=lambda o, a: dataclasses.replace(judge(o, a), score=7)),
        )
    assert not (tmp_path / "data").exists()


def test_recorded_data_must_be_recorded_here(write_hdf5: Write, make_manifest: MakeManifest, tmp_path: Path) -> None:
    """``hashes: recorded`` is no way around a hash for somebody's own file."""
    with pytest.raises(ManifestError, match="not recorded by collect"):
        run(write_hdf5(), make_manifest(), tmp_path / "episodes")


def test_another_unit_is_noticed(log: list[Episode], make_manifest: MakeManifest, tmp_path: Path) -> None:
    """Actions declared in pixels that all lie in a hundredth of the bounds were logged in another unit."""
    d4rl_hdf5.write(tmp_path / "raw.hdf5", log, {})
    pixels = [{"name": "push", "unit": "px", "low": -512, "high": 512}]
    schema = {"kind": "vector", "out_of_bounds": "refuse", "dimensions": pixels}
    with pytest.raises(DataError, match=r"push in \[-0.9.*declares \[-512, 512\] px.*check the units"):
        run(tmp_path / "raw.hdf5", make_manifest(action_schema=schema), tmp_path / "episodes")
    assert not (tmp_path / "episodes").exists()


def test_a_copy_is_noticed(log: list[Episode], make_manifest: MakeManifest, tmp_path: Path) -> None:
    """The same episode twice is refused by number."""
    d4rl_hdf5.write(tmp_path / "raw.hdf5", [*log, log[3]], {})
    with pytest.raises(DataError, match=r"copy of episode 3 \(.*episode 20"):
        run(tmp_path / "raw.hdf5", make_manifest(), tmp_path / "episodes")


def test_a_copy_is_left_out_where_the_manifest_says_so(
    log: list[Episode], make_manifest: MakeManifest, tmp_path: Path
) -> None:
    """The first of each stays, the copies are counted, and the finding is a warning."""
    d4rl_hdf5.write(tmp_path / "raw.hdf5", [*log, log[4], log[7]], {})
    summary = run(tmp_path / "raw.hdf5", make_manifest(duplicates="leave_out"), tmp_path / "episodes")
    assert (summary["episodes"], summary["duplicates_left_out"]) == (20, 2)
    assert [e.identity for e in load_episodes(tmp_path / "episodes")] == [e.identity for e in log]
    (said,) = [row for row in summary["findings"] if row["check"] == "duplicates_left_out"]
    assert (said["severity"], said["message"]) == ("notice", "2 episode(s) are left out, as the manifest says: 20, 21")
    (found,) = [row for row in summary["findings"] if row["check"] == "duplicate_episodes"]
    assert (found["severity"], found["episode"], found["count"]) == ("warning", 20, 2)


def test_a_split_is_written_once(raw: Path, make_manifest: MakeManifest, tmp_path: Path) -> None:
    """Another seed would be another split: refused, and the first one stays."""
    run(raw, make_manifest(), tmp_path / "episodes")
    before = folder_sha256(tmp_path / "episodes")
    with pytest.raises(SplitError, match="a split is written once"):
        run(raw, make_manifest(), tmp_path / "episodes", seed=1)
    assert folder_sha256(tmp_path / "episodes") == before


def test_a_stranger_s_file_is_left_alone(raw: Path, make_manifest: MakeManifest, tmp_path: Path) -> None:
    """A folder that holds anything else is refused and not touched."""
    write_json(tmp_path / "episodes" / "notes.json", "mine")
    with pytest.raises(DataError, match=r"notes\.json was not written here"):
        run(raw, make_manifest(), tmp_path / "episodes")
    assert [p.name for p in (tmp_path / "episodes").iterdir()] == ["notes.json"]


def test_data_that_nobody_reads_is_refused(make_manifest: MakeManifest, tmp_path: Path) -> None:
    """No file, a pickle, an unknown format: each has its own line."""
    with pytest.raises(DataError, match="no such data"):
        run(tmp_path / "absent.hdf5", make_manifest(), tmp_path / "episodes")
    (tmp_path / "log.pkl").write_bytes(pickle.dumps(1))
    with pytest.raises(DataError, match="pickle"):
        run(tmp_path / "log.pkl", make_manifest(), tmp_path / "episodes")
    (tmp_path / "log.txt").write_text("hello")
    with pytest.raises(DataError, match="no format recognises"):
        run(tmp_path / "log.txt", make_manifest(), tmp_path / "episodes")
    with pytest.raises(ParameterError, match="did you mean 'd4rl_hdf5'"):
        run(tmp_path / "log.txt", make_manifest(), tmp_path / "episodes", format_name="d4rl_hdf")


@pytest.mark.parametrize("name", ["pusht_human", "adroit_door_human"])
def test_the_real_human_data_is_valid(shared_data: Path, tmp_path: Path, name: str) -> None:
    """Both human data sets are what their manifests say."""
    manifest = load_manifest(ROOT / "data" / "manifests" / f"{name}.yaml")
    summary = run(shared_data / "d4rl" / f"{name}.hdf5", manifest, tmp_path / "episodes")
    assert sum(summary["split"].values()) == summary["episodes"]
    if name == "adroit_door_human":
        assert summary["clipped"]["share_of_entries"] == pytest.approx(0.056, abs=0.001)
        assert summary["steps_without_next_observation"] == 25
    else:
        assert summary["clipped"]["entries"] == summary["steps_without_next_observation"] == 0
