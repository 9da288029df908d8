"""Every real data set beside this checkout: adopted, its blanks filled, validated; and its oddities found by name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from offline_to_online.dataset.adoption import adopt
from offline_to_online.dataset.inspection import inspect
from offline_to_online.dataset.manifest import load_manifest
from offline_to_online.dataset.robot_facts import robot_facts
from offline_to_online.dataset.store import load_episodes
from offline_to_online.dataset.validation import validate
from offline_to_online.plugins import module_for

ROOT = Path(__file__).resolve().parents[2]
FETCH = ("observations[0:25]", "observations[28:31]")
SAID = {
    "the robot's plug-in": "recorded_only",
    "control steps": "10",
    "clip where": "clip",
    "leave_out keeps": "leave_out",
    "a time limit ended": "ignore",
    "unit of": "unit",
}
# path, format, episodes, steps as they lie there, and transitions that are kept
SETS = [
    ("d4rl/adroit_door_human.hdf5", "d4rl_hdf5", 25, 6_729, 6_704),
    ("d4rl/pusht_human.hdf5", "d4rl_hdf5", 206, 25_650, 25_650),
    ("d4rl/nao_push_ball_real.hdf5", "d4rl_hdf5", 65, 64_935, 64_935),
    ("d4rl/fetch_pick_and_place_scripted.hdf5", "d4rl_hdf5", 250, 12_530, 12_530),
    ("d4rl/pendulum_expert.hdf5", "d4rl_hdf5", 56, 11_200, 11_200),
    ("formats/lerobot_v21_unitree_g1", "lerobot", 100, 35_965, 35_865),
    ("formats/minari_adroit/door-human-hdf5-v0", "minari", 25, 6_704, 6_704),
    ("formats/minari_adroit/door-human-arrow-v0", "minari", 25, 6_704, 6_704),
    # Ten observations an episode; the action of the last is not one. The 25 episodes of val are those of train.
    ("formats/rlds_bridge", "rlds", 50, 450, 450),
    ("formats/zarr_pusht/pusht_cchi_v7_replay.zarr", "zarr_replay", 206, 25_650, 25_444),
    ("formats/d4rl_generator/maze2d-umaze-v1.hdf5", "d4rl_hdf5", 137, 10_000, 9_999),
    ("formats/d4rl_variants/FetchPush-v2.hdf5", "d4rl_hdf5", 3, 150, 150),
    *(
        (f"formats/robosuite_raw/{name}_panda.hdf5", "robosuite_raw", 1, steps, steps - 1)
        for name, steps in (
            ("door", 261),
            ("lift", 412),
            ("nut-assembly", 1036),
            ("pick-place", 1482),
            ("stack", 532),
            ("wipe", 174),
        )
    ),
]
COPIES = {"formats/rlds_bridge": 25, "formats/d4rl_generator/maze2d-umaze-v1.hdf5": 3}
# What data/README.md says is odd, by the name under which it must be found.
ODD = {
    "d4rl/adroit_door_human.hdf5": (
        "adroit_door",
        {"out_of_bounds", "few_successes", "reward_mismatch", "missing_next_observations", "conflicting_start_states"},
    ),
    "d4rl/pusht_human.hdf5": ("pusht", {"few_successes"}),
    "formats/zarr_pusht/pusht_cchi_v7_replay.zarr": ("pusht", {"no_success"}),
    "d4rl/nao_push_ball_real.hdf5": (
        None,
        {"jumps", "repeated_samples", "interleaved_sources", "clipped_copy", "saturation"},
    ),
    "d4rl/fetch_pick_and_place_scripted.hdf5": (
        "fetch_pick_and_place",
        {"horizon", "starts_in_success", "out_of_bounds"},
    ),
    "formats/lerobot_v21_unitree_g1": (None, {"missing_files", "missing_rewards", "missing_ends"}),
    "formats/d4rl_generator/maze2d-umaze-v1.hdf5": (None, {"missing_timeouts"}),
    "formats/d4rl_variants/FetchPush-v2.hdf5": (None, {"infos_not_a_group"}),
}


def state_all(path: Path) -> None:
    """Fill every blank, each with something of its kind."""

    def said(blank: re.Match[str]) -> str:
        return next((value for what, value in SAID.items() if what in blank[1]), "stated")

    path.write_text(re.sub(r"'?<state: ((?:[^>']|'')*)>'?", said, path.read_text()))


@pytest.mark.parametrize(("name", "format_name", "episodes", "logged", "kept"), SETS, ids=[row[0] for row in SETS])
def test_every_data_set_imports(
    shared_data: Path, tmp_path: Path, name: str, format_name: str, episodes: int, logged: int, kept: int
) -> None:
    """Adopted without a robot, with every blank stated, it is accepted; the counts are the documented ones."""
    draft = adopt(shared_data / name, name="adopted", root=tmp_path)
    measured = draft.inspection.measured
    assert draft.inspection.contents.format == format_name
    assert (measured.episodes, measured.logged_steps, measured.steps) == (episodes, logged, kept)
    state_all(draft.manifest)
    manifest = load_manifest(draft.manifest)
    folder = tmp_path / "episodes"
    summary = validate(path=shared_data / name, format_name=None, manifest=manifest, robot=None, seed=0, folder=folder)
    stored = load_episodes(folder)
    assert len(stored) == episodes - summary["duplicates_left_out"]
    assert summary["duplicates_left_out"] == COPIES.get(name, 0)
    assert [f for f in summary["findings"] if f["severity"] == "error"] == []


@pytest.mark.parametrize("robot", ["adroit_door", None])
def test_one_episode_has_one_identity_through_three_formats(
    shared_data: Path, tmp_path: Path, robot: str | None
) -> None:
    """The door as D4RL, Minari HDF5 and Minari Arrow, adopted and validated: the same identities in the same order.

    The Minari copies hold clipped actions and the D4RL file raw ones: the manifest says that the robot clips.
    """
    stored = []
    for number, name in enumerate(
        (
            "d4rl/adroit_door_human.hdf5",
            "formats/minari_adroit/door-human-hdf5-v0",
            "formats/minari_adroit/door-human-arrow-v0",
        )
    ):
        path, folder = shared_data / name, tmp_path / str(number)
        draft = adopt(path, name="door", root=folder, robot_name=robot)
        state_all(draft.manifest)
        fields = yaml.safe_load(draft.manifest.read_text())
        fields["action_schema"]["out_of_bounds"] = "clip"
        if (
            robot is None
        ):  # the D4RL file declares no bounds: the draft's are measured, and those of the others declared
            fields["action_schema"]["dimensions"] = [
                {"name": f"a{i}", "unit": "1", "low": -1, "high": 1} for i in range(28)
            ]
        draft.manifest.write_text(yaml.safe_dump(fields))
        validate(
            path=path,
            format_name=None,
            manifest=load_manifest(draft.manifest),
            robot=None if robot is None else robot_facts(module_for("robots", robot)),
            seed=0,
            folder=folder / "out",
        )
        stored.append([episode.identity for episode in load_episodes(folder / "out")])
    assert len(set(stored[0])) == 25
    assert stored[0] == stored[1] == stored[2]


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_found_by_name(shared_data: Path, name: str) -> None:
    """Each oddity of the data's own README, and no error."""
    robot, wanted = ODD[name]
    found = inspect(
        shared_data / name,
        robot=None if robot is None else module_for("robots", robot),
        keys=FETCH if robot == "fetch_pick_and_place" else (),
    )
    assert wanted - {finding.check for finding in found.findings} == set()
    assert found.errors == []


def test_a_shared_file_is_never_changed(shared_data: Path, tmp_path: Path) -> None:
    """Adoption of a writable copy leaves every byte as it was."""
    copy = tmp_path / "door.hdf5"
    shutil.copy(shared_data / "d4rl/adroit_door_human.hdf5", copy)
    before = copy.read_bytes()
    adopt(copy, name="door", root=tmp_path)
    assert copy.read_bytes() == before
