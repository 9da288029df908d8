"""Every real data set beside this checkout: adopted, its blanks filled, validated; and its oddities found by name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from offline_to_online.dataset.adoption import adopt
from offline_to_online.dataset.assembly import assemble, layout_of
from offline_to_online.dataset.detection import format_of
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.inspection import inspect
from offline_to_online.dataset.manifest import load_manifest
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
    assert summary["duplicates_left_out"] == {"formats/rlds_bridge": 25}.get(name, summary["duplicates_left_out"])
    assert [f for f in summary["findings"] if f["severity"] == "error"] == []


def through(path: Path, tmp_path: Path, manifest: Path) -> Iterator[Episode]:
    """The episodes of the door as the manifest of another copy of it wants them: clipped, with the robot's reward."""
    claimed, reader = load_manifest(manifest), format_of(path)
    layout = layout_of(claimed, reader.describe(path), where="test")
    label = module_for("robots", claimed.robot).label
    for logged in reader.read(path, sensors=layout.sensors):
        episode = assemble(logged, layout)
        actions = claimed.action.clip(episode.actions)
        rewards = label(episode.observations, actions).rewards.astype("f4")
        yield Episode(**{**vars(episode), "actions": actions, "rewards": rewards})


def test_one_episode_has_one_identity_through_three_formats(shared_data: Path, tmp_path: Path) -> None:
    """The door demonstrations as D4RL, Minari HDF5 and Minari Arrow: the same identities, in the same order."""
    paths = [
        shared_data / "d4rl/adroit_door_human.hdf5",
        shared_data / "formats/minari_adroit/door-human-hdf5-v0",
        shared_data / "formats/minari_adroit/door-human-arrow-v0",
    ]
    manifest = ROOT / "data/manifests/adroit_door_human.yaml"
    d4rl, hdf5, arrow = ([e.identity for e in through(path, tmp_path, manifest)] for path in paths)
    assert len(set(d4rl)) == 25
    assert d4rl == hdf5 == arrow


def test_the_same_data_adopted_in_two_formats_is_stored_alike(shared_data: Path, tmp_path: Path) -> None:
    """Through adopt and validate as a person would: the stores of both Minari copies hold the same identities."""
    stored = []
    for kind in ("hdf5", "arrow"):
        path = shared_data / f"formats/minari_adroit/door-human-{kind}-v0"
        draft = adopt(path, name=kind, root=tmp_path)
        state_all(draft.manifest)
        manifest = load_manifest(draft.manifest)
        validate(path=path, format_name=None, manifest=manifest, robot=None, seed=0, folder=tmp_path / f"{kind}-out")
        stored.append([e.identity for e in load_episodes(tmp_path / f"{kind}-out")])
    assert stored[0] == stored[1]


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


def one(found: list[Finding], check: str, dimension: str = "") -> Finding:
    """The finding of that name, of a dimension if one is given."""
    return next(f for f in found if f.check == check and f.dimension.endswith(dimension))


def test_a_shared_file_is_never_changed(shared_data: Path, tmp_path: Path) -> None:
    """Adoption of a writable copy leaves every byte as it was."""
    copy = tmp_path / "door.hdf5"
    shutil.copy(shared_data / "d4rl/adroit_door_human.hdf5", copy)
    before = copy.read_bytes()
    adopt(copy, name="door", root=tmp_path)
    assert copy.read_bytes() == before
