"""Minari in both storages: what the minari library wrote is read back in the very same values."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pyarrow as pa
import pytest

from offline_to_online.dataset.assembly import assemble, implied_layout
from offline_to_online.dataset.formats import d4rl_hdf5, minari
from offline_to_online.dataset.logged import LoggedEpisode
from offline_to_online.errors import DataError
from tests.dataset.formats.small_minari import Box, episode, rows, twelve, written

library = pytest.importorskip("minari", reason="the minari library writes the data of these tests")
spaces = gymnasium.spaces
STORAGES = ("hdf5", "arrow")


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each of Minari's storages."""
    return request.param


def same(one: Any, other: Any) -> bool:
    """Bit for bit, and of the same dtype."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == np.asarray(other).tobytes()


def test_the_real_demonstrations_are_read_as_minari_reads_them(shared_data: Path, storage: str) -> None:
    """25 episodes, 6,704 steps; observations, actions, rewards, flags and infos equal the library's bit for bit."""
    folder = shared_data / "formats" / "minari_adroit" / f"door-human-{storage}-v0"
    theirs = library.MinariDataset(folder / "data")
    ours = list(minari.read(folder, extra=True))
    assert len(ours) == 25
    assert sum(map(len, ours)) == 6704
    for mine, their in zip(ours, theirs.iterate_episodes(), strict=True):
        assert same(mine.sensors["observations"], their.observations)
        assert same(mine.actions, their.actions)
        assert same(mine.rewards, their.rewards)
        assert same(mine.terminals, their.terminations)
        assert same(mine.timeouts, their.truncations)
        assert same(mine.extra["infos/door_hinge"], their.infos["door_hinge"])
        assert same(mine.successes, their.infos["success"])


def test_the_real_hdf5_equals_a_plain_h5py_read(shared_data: Path) -> None:
    """Episodes in the order of their numbers: 10 comes after 9."""
    folder = shared_data / "formats" / "minari_adroit" / "door-human-hdf5-v0" / "data"
    with h5py.File(folder / "main_data.hdf5") as file:
        for number, mine in enumerate(minari.read(folder)):
            group = file[f"episode_{number}"]
            assert mine.where.endswith(f"main_data.hdf5, episode {number}")
            assert same(mine.sensors["observations"], group["observations"][()])
            assert same(mine.actions, group["actions"][()])
            assert same(mine.rewards, group["rewards"][()])
        assert number + 1 == len(file)


def test_the_real_arrow_equals_a_plain_pyarrow_read(shared_data: Path) -> None:
    """The row of padding is dropped from what is logged a step, and from nothing else."""
    data = shared_data / "formats" / "minari_adroit" / "door-human-arrow-v0" / "data"
    for number, mine in enumerate(minari.read(data)):
        with pa.OSFile(str(data / str(number) / "part-0.arrow")) as file:
            table = pa.ipc.open_file(file).read_all()
        observations = np.array(table["observations"].to_pylist())
        assert same(mine.sensors["observations"], observations)
        assert same(mine.actions, np.array(table["actions"].to_pylist()[:-1], dtype=np.float32))
        assert same(mine.rewards, np.array(table["rewards"].to_pylist()[:-1]))
        assert same(mine.terminals, np.array(table["terminations"].to_pylist()[:-1]))
    assert number == 24


def test_the_real_demonstrations_are_the_same_episodes_through_three_formats(shared_data: Path) -> None:
    """D4RL, Minari's HDF5 and Minari's Arrow give the same identities, once actions are clipped as the robot clips."""
    paths = [shared_data / "formats" / "minari_adroit" / f"door-human-{storage}-v0" for storage in STORAGES]
    found = [identities(minari, path) for path in paths]
    assert found[0] == found[1] == identities(d4rl_hdf5, shared_data / "d4rl" / "adroit_door_human.hdf5")


def identities(format_module: Any, path: Path) -> list[str]:
    """Of all episodes, with rewards; the actions of hand_dapg were clipped before they were written for Minari."""
    layout = implied_layout(format_module.describe(path))
    episodes = (assemble(logged, layout) for logged in format_module.read(path))
    return [dataclasses.replace(e, actions=np.clip(e.actions, -1, 1)).identity for e in episodes]


def test_a_data_set_is_described_from_its_headers(shared_data: Path, storage: str) -> None:
    """Counts, widths, dtypes, the action's bounds, and who made it; nothing is found amiss."""
    folder = shared_data / "formats" / "minari_adroit" / f"door-human-{storage}-v0"
    contents = minari.describe(folder)
    assert (contents.episodes, contents.steps) == (25, 6704)
    assert [(s.name, s.width, s.dtype, s.low) for s in contents.sensors] == [("observations", 39, "float64", ())]
    assert (contents.actions.width, contents.actions.dtype) == (28, "float32")
    assert contents.actions.low == (-1.0,) * 28
    assert contents.actions.high == (1.0,) * 28
    assert contents.final_observation
    assert contents.findings == ()
    assert contents.facts["algorithm_name"] == "human teleoperation"
    assert contents.facts["author"] == "converted from hand_dapg (Apache-2.0)"


def nested(storage: str, folder: Path) -> Path:
    """Two episodes of a Dict in a Dict, a Tuple, a picture, a text and a count beside the vectors."""
    space = spaces.Dict(
        {
            "arm": spaces.Dict({"joints": Box(-5, 50, (3,), np.float64), "grip": Box(0, 9, (), np.float32)}),
            "eyes": spaces.Tuple((Box(0, 255, (32, 32, 3), np.uint8), Box(-1, 99, (2, 2), np.float64))),
            "count": spaces.Discrete(9),
            "said": spaces.Text(20),
        }
    )
    episodes = [episode(nested_observations(steps), steps, number) for number, steps in enumerate((4, 2))]
    return written(folder, storage, observation=space, episodes=episodes)


def nested_observations(steps: int) -> dict[str, Any]:
    """(steps + 1) of everything."""
    pictures = np.arange((steps + 1) * 3072, dtype=np.int64).reshape(-1, 32, 32, 3).astype(np.uint8)
    return {
        "arm": {"grip": np.arange(steps + 1, dtype=np.float32), "joints": rows(steps, 3)},
        "count": np.arange(steps + 1),
        "eyes": (pictures, rows(steps, 4, 1.0).reshape(-1, 2, 2)),
        "said": ["left", "right", "stop", "left", "go"][: steps + 1],
    }


def test_every_leaf_of_a_nested_space_is_a_sensor(tmp_path: Path, storage: str) -> None:
    """Vectors by their place, the same in both storages; pictures and texts are named as left out."""
    folder = nested(storage, tmp_path / "set")
    contents = minari.describe(folder)
    widths = {"observations/arm/grip": 1, "observations/arm/joints": 3, "observations/count": 1}
    assert {s.name: s.width for s in contents.sensors} == {**widths, "observations/eyes/1": 4}
    assert contents.observation == tuple(sensor.name for sensor in contents.sensors)
    kinds = {"observations/eyes/0": "image", "observations/said": "text"}
    assert {out.name: out.kind for out in contents.left_out} == kinds
    joints = contents.sensor("observations/arm/joints")
    assert joints is not None
    assert (joints.low, joints.high) == ((-5.0,) * 3, (50.0,) * 3)
    for logged, steps in zip(minari.read(folder), (4, 2), strict=True):
        assert same(logged.sensors["observations/arm/joints"], rows(steps, 3))
        assert same(logged.sensors["observations/eyes/1"], rows(steps, 4, 1.0))
        assert logged.sensors["observations/arm/grip"].tolist() == [[float(i)] for i in range(steps + 1)]


def test_pictures_that_minari_did_not_pack_are_left_out_too(tmp_path: Path, storage: str) -> None:
    """With jpeg_encoding off they are plain arrays of bytes."""
    space = spaces.Dict({"eye": Box(0, 255, (40, 40), np.uint8), "place": Box(-9, 9, (2,), np.float64)})
    episodes = [episode({"eye": np.ones((4, 40, 40), np.uint8), "place": rows(3, 2)}, 3)]
    folder = written(tmp_path / "set", storage, observation=space, episodes=episodes, jpeg_encoding=False)
    assert [(out.name, out.kind) for out in minari.describe(folder).left_out] == [("observations/eye", "image")]


def test_only_the_sensors_that_are_named_are_read(tmp_path: Path, storage: str) -> None:
    """And one that there is not is refused with those there are."""
    folder = nested(storage, tmp_path / "set")
    (first, _) = minari.read(folder, sensors=["observations/arm/joints"])
    assert list(first.sensors) == ["observations/arm/joints"]
    with pytest.raises(DataError, match=r"no sensor 'arm'.*observations/arm/joints"):
        next(minari.read(folder, sensors=["arm"]))


def test_infos_are_flattened_and_those_with_a_meaning_put_in_their_place(tmp_path: Path, storage: str) -> None:
    """Cost and interventions belong to the steps, success to the moments, the rest is extra, in order."""
    infos = {
        "cost": np.array([0.0, 1.0, 2.0, 3.0]),
        "intervened": np.array([False, True, False, True]),
        "is_success": np.array([0.0, 0.0, 1.0, 1.0], dtype=np.float32),
        "sim": {"qpos": rows(3, 2), "time": np.arange(4) / 10},
    }
    made = episode(rows(3, 3), 3, infos=infos)
    folder = written(tmp_path / "set", storage, observation=Box(-9, 9, (3,), np.float64), episodes=[made])
    (logged,) = minari.read(folder, extra=True)
    assert logged.cost is not None
    assert logged.cost.reshape(-1).tolist() == [1.0, 2.0, 3.0]
    assert logged.intervened is not None
    assert logged.intervened.tolist() == [True, False, True]
    assert logged.successes is not None
    assert logged.successes.tolist() == [0, 0, 1, 1]
    assert set(logged.extra) == {"infos/sim/qpos", "infos/sim/time"}
    assert same(logged.extra["infos/sim/qpos"], rows(3, 2))
    assert not next(minari.read(folder)).extra


def test_a_success_that_is_no_flag_is_none(tmp_path: Path, storage: str) -> None:
    """An info of that name may hold a share; it is not rounded to a success."""
    made = episode(rows(3, 3), 3, infos={"success": np.array([0.0, 0.2, 0.4, 0.9])})
    folder = written(tmp_path / "set", storage, observation=Box(-9, 9, (3,), np.float64), episodes=[made])
    assert next(minari.read(folder)).successes is None


def test_seeds_are_kept_where_ours_can_hold_them(tmp_path: Path, storage: str) -> None:
    """Minari draws seeds of 64 bits: those above 2^63 - 1 are None, and a notice counts them."""
    seeds = [7, 2**63 - 1, 2**64 - 1, None]
    episodes = [episode(rows(3, 3), 3, i, seed=seed) for i, seed in enumerate(seeds)]
    folder = written(tmp_path / "set", storage, observation=Box(-9, 9, (3,), np.float64), episodes=episodes)
    assert [logged.seed for logged in minari.read(folder)] == [7, 2**63 - 1, None, None]
    (finding,) = minari.describe(folder).findings
    assert (finding.check, finding.severity, finding.episode, finding.count) == ("seed_not_kept", "notice", 2, 1)


def test_numbers_of_an_episode_are_facts(tmp_path: Path, storage: str) -> None:
    """What Minari says of an episode's rewards is there when asked for."""
    folder = written(tmp_path / "set", storage, observation=Box(-9, 9, (3,), np.float64), episodes=[twelve()[0]])
    from minari.dataset.minari_storage import MinariStorage

    MinariStorage.read(folder / "data").update_episode_metadata([{"rewards_sum": 3.0, "rewards_max": 2.0}])
    (logged,) = minari.read(folder, extra=True)
    assert {name: float(value) for name, value in logged.facts.items()} == {"rewards_sum": 3.0, "rewards_max": 2.0}


def test_episodes_come_by_number(tmp_path: Path, storage: str) -> None:
    """10 and 11 after 9, however their names sort."""
    folder = written(tmp_path / "set", storage, observation=Box(-9, 99, (3,), np.float64), episodes=twelve())
    assert [float(logged.sensors["observations"][0, 0]) for logged in minari.read(folder)] == list(range(12))


def test_an_old_data_set_without_spaces_is_read_by_its_columns(tmp_path: Path, storage: str) -> None:
    """Minari left them to the environment before 0.5; here no environment is needed."""
    folder = nested(storage, tmp_path / "set")
    path = folder / "data" / "metadata.json"
    content = json.loads(path.read_text())
    spec = {"id": "Arm-v0", "max_episode_steps": 50}
    without = {key: value for key, value in content.items() if not key.endswith("_space")}
    path.write_text(json.dumps({**without, "env_spec": json.dumps(spec)}))
    contents = minari.describe(folder)
    joints = contents.sensor("observations/arm/joints")
    assert joints is not None
    assert joints.low == ()
    assert contents.facts["environment"] == "Arm-v0"
    assert contents.facts["max_episode_steps"] == "50"
    assert len(list(minari.read(folder))) == 2


def test_several_parts_make_one_episode(tmp_path: Path) -> None:
    """Arrow splits a long table into files and batches; they are put together by their numbers."""
    folder = written(tmp_path / "set", "arrow", observation=Box(-9, 99, (3,), np.float64), episodes=twelve()[:2])
    whole = list(minari.read(folder))
    part = folder / "data" / "1" / "part-0.arrow"
    table = pa.ipc.open_file(pa.BufferReader(part.read_bytes())).read_all()
    for number, piece in enumerate((table[:1], table[1:])):
        with pa.ipc.new_file(str(part.with_name(f"part-{number}.arrow")), table.schema) as file:
            file.write_table(piece, max_chunksize=2)
    assert_equal(list(minari.read(folder)), whole)


def assert_equal(ours: list[LoggedEpisode], others: list[LoggedEpisode]) -> None:
    """The same arrays, episode by episode."""
    for one, other in itertools.zip_longest(ours, others):
        assert same(one.actions, other.actions)
        assert same(one.rewards, other.rewards)
        assert same(one.sensors["observations"], other.sensors["observations"])


@pytest.mark.parametrize("place", ["", "data", "data/main_data.hdf5"])
def test_a_data_set_is_recognised_from_its_folder_its_data_or_its_file(tmp_path: Path, place: str) -> None:
    """All three lead to the same episodes; no other format claims them, and Minari claims nothing else."""
    folder = written(tmp_path / "set", "hdf5", observation=Box(-9, 99, (3,), np.float64), episodes=twelve()[:2])
    assert minari.recognises(folder / place)
    assert not d4rl_hdf5.recognises(folder / place)
    assert_equal(list(minari.read(folder / place)), list(minari.read(folder)))
    assert not minari.recognises(tmp_path)
    assert not minari.recognises(folder / "data" / "metadata.json")
    assert not minari.recognises(tmp_path / "nowhere")


def test_a_number_that_is_not_finite_is_left_to_the_checks(tmp_path: Path, storage: str) -> None:
    """The format hands it on as it lies in the file."""
    observations = rows(3, 3)
    observations[1, 2] = np.nan
    made = episode(observations, 3, infos={"cost": np.array([0.0, np.inf, 0.0, 0.0])})
    made["rewards"] = np.array([0.0, np.nan, 1.0])
    folder = written(tmp_path / "set", storage, observation=Box(-9, 9, (3,), np.float64), episodes=[made])
    (logged,) = minari.read(folder)
    assert np.isnan(logged.sensors["observations"][1, 2])
    assert logged.rewards is not None
    assert np.isnan(logged.rewards[1])
