"""D4RL-layout HDF5: what others wrote is read with care, what we write comes back in the same bytes."""

from __future__ import annotations

import dataclasses
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from offline_to_online.dataset.assembly import assemble, layout_of
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.formats import d4rl_hdf5
from offline_to_online.dataset.manifest import Manifest, load_manifest
from offline_to_online.errors import DataError, ManifestError

MakeManifest = Callable[..., Manifest]
Write = Callable[..., Path]
ROOT = Path(__file__).resolve().parent.parent.parent.parent


def episodes_of(path: Path, manifest: Manifest) -> Iterator[Episode]:
    """The file's episodes as the manifest wants them."""
    layout = layout_of(manifest, d4rl_hdf5.describe(path), where=manifest.name)
    return (assemble(logged, layout) for logged in d4rl_hdf5.read(path, sensors=layout.sensors))


def test_what_is_written_comes_back(tmp_path: Path, log: list[Episode], make_manifest: MakeManifest) -> None:
    """Every array and every fact of every episode, and the mark that collect wrote it."""
    path = tmp_path / "raw.hdf5"
    cost = dataclasses.replace(log[3], cost=np.ones(len(log[3]), dtype=np.float32), terminated=True, truncated=False)
    logged = [*log[:3], cost, *log[4:]]
    d4rl_hdf5.write(path, logged, {"robot": "slider"})
    again = list(episodes_of(path, make_manifest()))
    for one, other in zip(again, logged, strict=True):
        for field in dataclasses.fields(Episode):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name
    assert d4rl_hdf5.is_ours(path)
    assert all(e.cost is not None for e in d4rl_hdf5.read(path))
    assert d4rl_hdf5.describe(path).steps == sum(len(e) for e in logged)
    with h5py.File(path) as file:
        assert dict(file.attrs) == {"robot": "slider", "recorded_by": "offline_to_online collect"}


def test_the_same_episodes_are_the_same_bytes(tmp_path: Path, log: list[Episode]) -> None:
    """No time of writing enters the file: a second later it is written the same."""
    d4rl_hdf5.write(tmp_path / "one.hdf5", log, {"b": "2", "a": "1"})
    time.sleep(1.1)
    d4rl_hdf5.write(tmp_path / "two.hdf5", log, {"a": "1", "b": "2"})
    assert (tmp_path / "one.hdf5").read_bytes() == (tmp_path / "two.hdf5").read_bytes()


def test_only_our_own_file_is_written_anew(tmp_path: Path, write_hdf5: Write, log: list[Episode]) -> None:
    """A file from elsewhere is refused and stays as it is; ours is replaced."""
    path = write_hdf5()
    before = path.read_bytes()
    with pytest.raises(DataError, match="not recorded by collect"):
        d4rl_hdf5.write(path, log, {})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    d4rl_hdf5.write(tmp_path / "ours.hdf5", log, {})
    d4rl_hdf5.write(tmp_path / "ours.hdf5", log[:2], {})
    assert d4rl_hdf5.describe(tmp_path / "ours.hdf5").steps == len(log[0]) + len(log[1])


def test_nothing_is_not_written(tmp_path: Path) -> None:
    """No episodes, no file."""
    with pytest.raises(DataError, match="no episodes"):
        d4rl_hdf5.write(tmp_path / "raw.hdf5", [], {})
    assert list(tmp_path.iterdir()) == []


def test_boundaries_are_terminals_and_timeouts(write_hdf5: Write, make_manifest: MakeManifest) -> None:
    """Both end an episode, and what follows the last is an episode that was cut.

    Without next observations a terminal step stays, with its reward; a cut one is dropped.
    """
    terminals, timeouts = np.zeros(24, dtype=bool), np.zeros(24, dtype=bool)
    terminals[5], timeouts[11] = True, True
    path = write_hdf5(terminals=terminals, timeouts=timeouts, next_observations=None, **{"episodes/operator": None})
    episodes = list(episodes_of(path, make_manifest(operators=["expert"])))
    assert [len(e) for e in episodes] == [6, 5, 11]
    assert [(e.terminated, e.truncated) for e in episodes] == [(True, False), (False, True), (False, True)]
    assert np.array_equal(episodes[0].observations[-1], episodes[0].observations[-2])


def test_next_observations_keep_every_step(write_hdf5: Write, make_manifest: MakeManifest) -> None:
    """T steps have T+1 observations, and a terminal stays one."""
    terminals = np.arange(24) == 5
    path = write_hdf5(terminals=terminals, timeouts=np.arange(24) % 6 == 5)
    episodes = list(episodes_of(path, make_manifest()))
    assert [(len(e), len(e.observations)) for e in episodes] == [(6, 7)] * 4
    assert [e.terminated for e in episodes] == [True, False, False, False]
    assert [e.operator for e in episodes] == ["expert", "expert", "expert", "novice"]
    with h5py.File(path) as file:
        assert np.array_equal(episodes[1].observations[-1], file["next_observations"][11])


def test_facts_per_step_are_read_as_well(write_hdf5: Write, make_manifest: MakeManifest) -> None:
    """``infos`` gives operator, seed, cost and interventions by the step."""
    path = write_hdf5(
        **{
            "episodes/operator": None,
            "infos/operator": np.array(["novice"] * 24, dtype=h5py.string_dtype()),
            "infos/seed": np.repeat([4, 5, 6, 7], 6),
            "infos/cost": np.ones((24, 1)),
            "infos/intervened": np.arange(24) == 7,
        }
    )
    episodes = list(episodes_of(path, make_manifest()))
    assert [(e.operator, e.seed, float(e.cost.sum())) for e in episodes] == [("novice", s, 6.0) for s in (4, 5, 6, 7)]
    assert [int(e.intervened.sum()) for e in episodes] == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"actions": None}, "no data set 'actions'"),
        ({"rewards": None}, "no rewards are logged.*reward_source: robot"),
        ({"terminals": None}, "no data set 'terminals'"),
        ({"rewards": np.zeros(23)}, r"rewards has the shape \(23,\).*24 steps"),
        ({"timeouts": np.zeros(25)}, r"timeouts has the shape \(25,\)"),
        ({"observations": np.zeros((24, 3))}, r"next_observations has the shape \(24, 2\).*\(24, 3\)"),
        ({"actions": np.zeros((24, 1, 2))}, r"actions has the shape \(24, 1, 2\)"),
        ({"actions": np.zeros((0, 1))}, "no steps"),
        ({"actions": np.float32(1)}, "no steps"),
        ({"actions": np.full((24, 1), np.nan)}, r"actions.push is nan; 6 such.*episode 0, step 0"),
        ({"rewards": np.where(np.arange(24) == 8, np.inf, 0)}, "rewards is inf; 1 such.*episode 1, step 2"),
        ({"rewards": np.full(24, 1e300)}, "rewards is inf"),
        ({"actions": np.array([[b"up"]] * 24)}, "actions holds"),
        ({"timeouts": np.zeros(24)}, "next_observations says .*episode 0, step 5.*mark the end of the episode"),
        ({"next_observations": np.zeros((24, 2))}, "next_observations says 0.*episode 0, step 0, observation.place"),
        ({"next_observations": None, "timeouts": np.arange(24) % 6 == 0}, "an empty episode.*no next observation"),
        ({"episodes/ends": np.array([6, 6, 12, 18, 24])}, "an empty episode.*episode 1 by episodes/ends"),
        ({"episodes/ends": np.array([6, 12, 24])}, "end 4 episodes, episodes/ends 3"),
        ({"episodes/operator": None}, "no operator is logged.*episode 0|episode 0.*no operator"),
        ({"episodes/operator": np.array([b"expert"])}, "one value per episode"),
        ({"episodes/operator": None, "infos/operator": np.array([b"expert"] * 3 + [b"novice"] * 21)}, "changes within"),
    ],
)
def test_a_broken_log_is_one_line(
    write_hdf5: Write, make_manifest: MakeManifest, changes: dict[str, Any], said: str
) -> None:
    """Each thing that can be wrong is said with the file, the episode, the step and the dimension."""
    path = write_hdf5(**changes)
    with pytest.raises(DataError, match=said) as caught:
        list(episodes_of(path, make_manifest()))
    assert "log.hdf5" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_width_is_the_manifest_s_error(write_hdf5: Write, make_manifest: MakeManifest) -> None:
    """Both numbers are said before any episode is read."""
    wide = {"observations": np.zeros((24, 3)), "next_observations": None}
    with pytest.raises(ManifestError, match=r"3 observation dimensions are logged.*describes 2"):
        list(episodes_of(write_hdf5(**wide), make_manifest()))
    with pytest.raises(ManifestError, match=r"2 action dimensions are logged.*describes 1"):
        list(episodes_of(write_hdf5(actions=np.zeros((24, 2))), make_manifest()))


def test_rewards_may_be_absent_where_the_robot_gives_them(write_hdf5: Write, make_manifest: MakeManifest) -> None:
    """A manifest with ``reward_source: robot`` does not need the file's."""
    path = write_hdf5(rewards=None)
    assert all(not e.rewards.any() for e in episodes_of(path, make_manifest(reward_source="robot")))


@pytest.mark.parametrize("cut", [0, 4, 100, 2000])
def test_a_truncated_file_is_refused(write_hdf5: Write, make_manifest: MakeManifest, cut: int) -> None:
    """Cut anywhere, it is recognised by its suffix and said to be unreadable."""
    path = write_hdf5()
    path.write_bytes(path.read_bytes()[:cut])
    assert d4rl_hdf5.recognises(path)
    with pytest.raises(DataError, match="not readable as HDF5"):
        list(episodes_of(path, make_manifest()))


def test_a_corrupt_block_is_refused(tmp_path: Path, log: list[Episode], make_manifest: MakeManifest) -> None:
    """A compressed block that no longer unpacks is the file's fault, said in one line."""
    path = tmp_path / "raw.hdf5"
    d4rl_hdf5.write(path, log, {})
    with h5py.File(path) as file:
        at = file["actions"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[at : at + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(DataError, match="not readable as HDF5"):
        list(episodes_of(path, make_manifest()))


def test_what_was_never_written_is_no_zero(write_hdf5: Write, make_manifest: MakeManifest) -> None:
    """A chunk that the header announces and the file does not hold would read as zeros: it is refused by name."""
    path = write_hdf5(rewards=None)
    with h5py.File(path, "a") as file:
        rewards = file.create_dataset("rewards", (24,), dtype="f4", chunks=(8,))
        rewards[:16] = 1.0
    with pytest.raises(DataError, match="/rewards was never written in whole"):
        list(episodes_of(path, make_manifest()))


@pytest.mark.parametrize(
    ("name", "chunks", "remedy"),
    [
        ("terminals", None, "write the zeros out$"),
        ("timeouts", (8,), "write the zeros out, or leave the data set away$"),
        ("infos/is_success", None, "write the zeros out, or leave the data set away$"),
        ("infos/cost", None, "copy or record the file again$"),
    ],
)
def test_flags_that_were_never_written_are_no_zeros_either(
    write_hdf5: Write, name: str, chunks: tuple[int] | None, remedy: str
) -> None:
    """Whoever made them may have meant all False; the remedy is to say so, for numbers to record again."""
    path = write_hdf5(**{name: None})
    with h5py.File(path, "a") as file:
        file.create_dataset(name, (24,), dtype="f4" if name == "infos/cost" else "?", chunks=chunks)
    with pytest.raises(DataError, match=rf"/{name} was never written in whole.*{remedy}"):
        d4rl_hdf5.describe(path)


@pytest.mark.parametrize("fill", [True, None])
def test_flags_that_are_half_written_or_read_as_true_are_recorded_again(write_hdf5: Write, fill: bool | None) -> None:
    """Nobody meant them to be zeros: some are written already, or they would not read as zeros."""
    path = write_hdf5(timeouts=None)
    with h5py.File(path, "a") as file:
        flags = file.create_dataset("timeouts", (24,), dtype="?", chunks=(8,), fillvalue=fill)
        if fill is None:
            flags[:8] = True
    with pytest.raises(DataError, match=r"/timeouts was never written in whole.*record the file again$"):
        d4rl_hdf5.describe(path)


def test_a_pickle_is_never_opened(tmp_path: Path, make_manifest: MakeManifest) -> None:
    """Not even one that is called HDF5."""
    path = tmp_path / "log.hdf5"
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(DataError, match="pickle"):
        list(episodes_of(path, make_manifest()))


def test_nothing_outside_the_file_is_followed(write_hdf5: Write, make_manifest: MakeManifest, tmp_path: Path) -> None:
    """Links, external storage and virtual data sets would escape the file's hash."""
    path = write_hdf5(actions=None)
    other = tmp_path / "other.hdf5"
    with h5py.File(other, "w") as file:
        file["actions"] = np.zeros((24, 1))
    (tmp_path / "bytes").write_bytes(bytes(24 * 8))
    layout = h5py.VirtualLayout(shape=(24, 1), dtype="f8")
    layout[:] = h5py.VirtualSource(other, "actions", shape=(24, 1))
    for kind in ("link", "external", "virtual"):
        with h5py.File(path, "a") as file:
            if kind == "link":
                file["actions"] = h5py.ExternalLink("other.hdf5", "actions")
            elif kind == "external":
                file.create_dataset("actions", (24, 1), dtype="f8", external=[(str(tmp_path / "bytes"), 0, 24 * 8)])
            else:
                file.create_virtual_dataset("actions", layout)
        with pytest.raises(DataError, match=r"/actions is (a link|stored in another file)"):
            list(episodes_of(path, make_manifest()))
        with h5py.File(path, "a") as file:
            del file["actions"]


def test_other_files_are_not_recognised(tmp_path: Path, write_hdf5: Write) -> None:
    """Only HDF5 with one of the layout's data sets, or what should be HDF5 by its name."""
    (tmp_path / "notes.txt").write_text("hello")
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["data/demo_0/states"] = [1.0]
    assert d4rl_hdf5.recognises(write_hdf5())
    assert not any(d4rl_hdf5.recognises(tmp_path / name) for name in ("notes.txt", "other.hdf5", "absent", "."))
    assert not d4rl_hdf5.is_ours(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("name", "episodes", "steps"), [("pusht_human", 206, 25_650), ("adroit_door_human", 25, 6_729 - 25)]
)
def test_the_real_human_data_is_read(shared_data: Path, name: str, episodes: int, steps: int) -> None:
    """PushT keeps every step; the door logged no next observations and loses one step an episode."""
    manifest = load_manifest(ROOT / "data" / "manifests" / f"{name}.yaml")
    read = list(episodes_of(shared_data / "d4rl" / f"{name}.hdf5", manifest))
    assert (len(read), sum(len(e) for e in read)) == (episodes, steps)
    assert {e.operator for e in read} == set(manifest.operators)
    assert sum(e.terminated for e in read) == (6 if name == "pusht_human" else 0)
