"""The command line of a data set: inspect, adopt, validate, export, and one line where something is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from offline_to_online.dataset.__main__ import main
from offline_to_online.dataset.files import file_sha256
from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.store import load_episodes

ROOT = Path(__file__).resolve().parent.parent.parent
Write = Callable[..., Path]
Plant = Callable[..., None]
Capture = pytest.CaptureFixture[str]
WARNING = Finding(check="dull", severity="warning", message="nothing moves")
ERROR = Finding(check="swapped", severity="error", message="push is pull", remedy="swap", episode=1, step=2)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every command runs in a folder of its own."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def refused(capsys: Capture, *arguments: Any) -> str:
    """The one line on stderr of a command that exits with 2."""
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    assert caught.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    return line


def described(path: Path, make_manifest: Callable[..., Manifest], **changes: Any) -> Path:
    """The manifest of a file, written to disk."""
    manifest = make_manifest(hashes={path.name: file_sha256(path)}, **changes)
    target = Path("slider.yaml").resolve()
    target.write_text(yaml.safe_dump(manifest.to_json()))
    return target


def test_inspect_shows_what_it_is(write_hdf5: Write, plant: Plant, capsys: Capture, elsewhere: Path) -> None:
    """Format, counts, ranges and findings on stdout; nothing is written, and a warning is no failure."""
    plant(WARNING)
    main(["inspect", str(write_hdf5())])
    said = capsys.readouterr().out
    assert "format        d4rl_hdf5" in said
    assert "episodes      4, of 6 to 6 steps; 0 terminal" in said
    assert "steps         24 logged, 24 kept" in said
    assert "observation, 2 dimension(s)" in said
    assert "warning dull: nothing moves" in said
    assert list(elsewhere.iterdir()) == []


def test_inspect_fails_where_a_finding_is_an_error(write_hdf5: Write, plant: Plant, capsys: Capture) -> None:
    """The page is shown all the same; the line names the check and the place."""
    plant(WARNING, ERROR)
    path = write_hdf5()
    with pytest.raises(SystemExit) as caught:
        main(["inspect", str(path)])
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert "no findings" not in out
    assert "error   swapped (episode 1, step 2): push is pull" in out
    assert err == f"error: swapped: push is pull ({path}, episode 1, step 2): 1 finding(s) are errors; swap\n"


def test_inspect_writes_the_same_as_json(write_hdf5: Write, plant: Plant, capsys: Capture) -> None:
    """Where it is asked to, also when it then fails."""
    plant(ERROR)
    refused(capsys, "inspect", write_hdf5(), "--json", "found.json")
    content = json.loads(Path("found.json").read_text())
    assert (content["format"], content["episodes"], content["steps"]) == ("d4rl_hdf5", 4, 24)
    assert [finding["check"] for finding in content["findings"]] == ["swapped"]


@pytest.mark.parametrize(
    "command", [("inspect",), ("adopt", "--name", "x"), ("export", "--to", "minari", "--out", "o")]
)
def test_what_is_broken_is_one_line(
    write_hdf5: Write, plant: Plant, capsys: Capture, elsewhere: Path, command: tuple[str, ...]
) -> None:
    """A missing file, a truncated one, a text, an unknown format: no traceback, no page, no output."""
    plant()
    path = write_hdf5()
    assert "no such data" in refused(capsys, *command, "absent.hdf5")
    assert "did you mean 'd4rl_hdf5'?" in refused(capsys, *command, path, "--format", "d4rl_hdf")
    path.write_bytes(path.read_bytes()[:1000])
    assert "not readable as HDF5" in refused(capsys, *command, path)
    (elsewhere.parent / "notes.txt").write_text("hello")
    assert "no format recognises this data" in refused(capsys, *command, elsewhere.parent / "notes.txt")
    assert list(elsewhere.iterdir()) == []


def test_inspect_against_a_manifest(
    write_hdf5: Write, plant: Plant, capsys: Capture, make_manifest: Callable[..., Manifest]
) -> None:
    """Its names; a robot that nobody has written is no obstacle, and one that is must agree with the manifest."""
    plant()
    path = write_hdf5()
    manifest = described(path, make_manifest)
    main(["inspect", str(path), "--manifest", str(manifest)])
    assert "place" in capsys.readouterr().out
    assert "--keys beside --manifest" in refused(
        capsys, "inspect", path, "--manifest", manifest, "--keys", "observations"
    )
    assert "robot is 'slider'" in refused(capsys, "inspect", path, "--manifest", manifest, "--robot", "pusht")
    manifest = described(path, make_manifest, robot="pusht")
    assert "robot pusht has" in refused(capsys, "inspect", path, "--manifest", manifest)


def test_inspect_with_a_robot_and_keys(write_hdf5: Write, plant: Plant, capsys: Capture) -> None:
    """The robot must fit, and ``--keys`` is how to make it fit."""
    plant()
    path = write_hdf5(observations=np.ones((24, 7)), next_observations=None, actions=np.ones((24, 2)))
    assert "robot pusht has 5" in refused(capsys, "inspect", path, "--robot", "pusht")
    main(["inspect", str(path), "--robot", "pusht", "--keys", "observations[2:]"])
    assert "block_x" in capsys.readouterr().out
    assert "did you mean 'pusht'?" in refused(capsys, "inspect", path, "--robot", "pushd")


def test_from_a_stranger_s_file_to_stored_episodes(write_hdf5: Write, capsys: Capture, elsewhere: Path) -> None:
    """adopt, refused until a person has filled in the blanks, then validated: with all the checks there are."""
    path = write_hdf5(**{"episodes/operator": None})
    main(["adopt", str(path), "--name", "mine"])
    said = capsys.readouterr().out
    manifest = elsewhere / "data/manifests/mine.yaml"
    assert f"wrote {manifest.relative_to(elsewhere)} and data/manifests/mine.params.yaml" in said
    assert "  licence: <state: the licence of the data>" in said
    assert "python -m offline_to_online.params use data/manifests/mine.params.yaml" in said
    check = ("validate", path, "--manifest", manifest, "--to", "episodes")
    assert "blank(s) are left: robot: <state: " in refused(capsys, *check)
    assert not Path("episodes").exists()
    text = manifest.read_text().replace("'<state: control steps per second>'", "10")
    manifest.write_text(re.sub("'<state: [^>]*>'", "stated", text))
    main([str(a) for a in check])
    assert "4 episodes, 24 steps, accepted -> episodes" in capsys.readouterr().out
    assert len(load_episodes(Path("episodes"))) == 4


def test_adopt_refuses_what_is_there_and_what_is_broken(
    write_hdf5: Write, plant: Plant, capsys: Capture, elsewhere: Path
) -> None:
    """A second time under the same name, and data in which a check finds an error."""
    plant(ERROR)
    path = write_hdf5()
    assert "swapped: push is pull" in refused(capsys, "adopt", path, "--name", "mine")
    assert list(elsewhere.iterdir()) == []
    plant()
    main(["adopt", str(path), "--name", "mine"])
    before = {p: p.read_bytes() for p in elsewhere.rglob("*") if p.is_file()}
    assert "this file is there already" in refused(capsys, "adopt", path, "--name", "mine")
    assert {p: p.read_bytes() for p in elsewhere.rglob("*") if p.is_file()} == before
    assert len(before) == 2


def test_validate_lists_its_findings(
    write_hdf5: Write, plant: Plant, capsys: Capture, make_manifest: Callable[..., Manifest]
) -> None:
    """Warnings beside what was accepted; an error stops with nothing written; so does a seed that cannot be."""
    path = write_hdf5()
    manifest = described(
        path, make_manifest, split={"train": 0.5, "calibration": 0, "heldout": 0.5, "stratify": "none"}
    )
    arguments = ["validate", str(path), "--manifest", str(manifest), "--to", "episodes"]
    plant(ERROR)
    assert "swapped: push is pull" in refused(capsys, *arguments)
    plant(WARNING)
    assert "the seed is -1" in refused(capsys, *arguments, "--seed", "-1")
    assert not Path("episodes").exists()
    main(arguments)
    assert "warning: dull (the whole data set): nothing moves" in capsys.readouterr().out


def test_validate_holds_the_manifest_against_its_robot(
    write_hdf5: Write, plant: Plant, capsys: Capture, make_manifest: Callable[..., Manifest]
) -> None:
    """Where there is a plug-in of that name."""
    plant()
    path = write_hdf5()
    manifest = described(path, make_manifest, robot="pusht")
    assert "robot pusht has" in refused(capsys, "validate", path, "--manifest", manifest, "--to", "episodes")
    assert not Path("episodes").exists()


def test_export_says_how_many(write_hdf5: Write, plant: Plant, capsys: Capture) -> None:
    """And where; refused where something lies already, nothing says the rate, or nobody writes that format."""
    plant()
    path = write_hdf5()
    main(["export", str(path), "--to", "minari", "--out", "out-v0", "--rate", "10"])
    assert capsys.readouterr().out == "4 episodes -> out-v0 (minari)\n"
    again = ("export", path, "--to", "minari", "--out")
    assert "this is there already" in refused(capsys, *again, "out-v0", "--rate", "10")
    assert "nothing says the control rate" in refused(capsys, *again, "other")
    assert "no export to 'hdf5'" in refused(capsys, "export", path, "--to", "hdf5", "--out", "other")
    assert [p.name for p in Path().iterdir()] == ["out-v0"]


def test_it_is_a_module_that_runs(write_hdf5: Write) -> None:
    """``python -m offline_to_online.dataset`` with its exit status; help lists the four commands."""
    command = [sys.executable, "-m", "offline_to_online.dataset"]
    done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert "{inspect,adopt,validate,export}" in done.stdout
    failed = subprocess.run([*command, "inspect", "absent"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.startswith("error: no such data (absent)")
    assert failed.stderr.count("\n") == 1


def test_inspect_never_overwrites(write_hdf5: Write, plant: Plant, capsys: Capture) -> None:
    """Neither another file nor the data itself becomes the JSON."""
    plant()
    path = write_hdf5()
    before = path.read_bytes()
    assert "there already" in refused(capsys, "inspect", path, "--json", path)
    assert path.read_bytes() == before


def test_one_broken_episode_is_a_finding(write_hdf5: Write, plant: Plant, capsys: Capture) -> None:
    """The others are looked at, the line says which and why, and that it can be left out."""
    plant()
    actions = np.zeros((24, 1))
    actions[8] = np.nan
    with pytest.raises(SystemExit) as caught:
        main(["inspect", str(write_hdf5(actions=actions))])
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert "episodes      3, of 6 to 6 steps" in out
    assert re.search(r"broken_episode: actions\.a0 is nan.*episode 1, step 2.*leave_out: \[1\].*--leave-out", err)
    path = str(write_hdf5(actions=actions))
    main(["adopt", path, "--name", "mine", "--leave-out", "1"])
    assert yaml.safe_load(Path("data/manifests/mine.yaml").read_text())["leave_out"] == [1]


def test_an_episode_is_left_out_where_the_manifest_says_so(
    write_hdf5: Write, plant: Plant, make_manifest: Callable[..., Manifest], capsys: Capture
) -> None:
    """The broken one is skipped and listed; one that is not there is refused."""
    plant()
    actions = np.random.default_rng(1).uniform(-1, 1, (24, 1))
    actions[8] = np.nan
    path = write_hdf5(actions=actions)
    split = {"train": 0.5, "calibration": 0, "heldout": 0.5, "stratify": "none"}
    manifest = described(path, make_manifest, leave_out=[1], split=split)
    main(["validate", str(path), "--manifest", str(manifest), "--to", "deep/out"])
    said = capsys.readouterr().out
    assert "3 episodes, 18 steps, accepted" in said
    assert "notice: left_out_by_manifest (episode 1): 1 episode(s) are left out" in said
    manifest = described(path, make_manifest, leave_out=[1, 9], split=split)
    assert "leave_out names episode 9" in refused(capsys, "validate", path, "--manifest", manifest, "--to", "other")
    assert not Path("other").exists()


def test_validate_writes_into_a_folder_of_its_own(
    write_hdf5: Write, plant: Plant, make_manifest: Callable[..., Manifest], capsys: Capture, elsewhere: Path
) -> None:
    """Not into the current one; and a refusal leaves no folder that it made on the way."""
    plant()
    path = write_hdf5()
    manifest = described(path, make_manifest, episode_horizon=5)
    for folder in (".", "..", "/", "new/.."):
        assert "cannot be written here" in refused(capsys, "validate", path, "--manifest", manifest, "--to", folder)
    refused(capsys, "validate", path, "--manifest", manifest, "--to", "far/off/out")
    assert [p.name for p in elsewhere.iterdir()] == ["slider.yaml"]


def test_what_a_person_says_at_once_is_no_blank(write_hdf5: Write, plant: Plant, capsys: Capture) -> None:
    """Options of adopt fill the draft; many units are one line of what is left."""
    plant()
    path = write_hdf5(**{"episodes/operator": None})
    said = (
        "--operator",
        "script",
        "--licence",
        "MIT",
        "--source",
        "made",
        "--resets",
        "at random",
        "--action-unit",
        "N",
    )
    main(["adopt", str(path), "--name", "mine", *said, "--terminals", "ignore"])
    out = capsys.readouterr().out
    draft = yaml.safe_load(Path("data/manifests/mine.yaml").read_text())
    assert (draft["operators"], draft["licence"], draft["terminals"]) == (["script"], "MIT", "ignore")
    assert [row["unit"] for row in draft["action_schema"]["dimensions"]] == ["N"]
    assert "observation_schema.dimensions: the unit of 2 dimensions" in out
    assert "left to state in data/manifests/mine.params.yaml" in out
    assert out.rstrip().endswith("mine.params.yaml && dvc repro audit")


def test_a_sensor_is_selected_once(write_hdf5: Write, plant: Plant, capsys: Capture) -> None:
    """A manifest would refuse it later."""
    plant()
    assert "stands twice" in refused(capsys, "inspect", write_hdf5(), "--keys", "observations", "observations")
