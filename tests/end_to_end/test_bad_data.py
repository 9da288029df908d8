"""A manifest or a log that is wrong ends ``stages.validate`` in one line; nothing is written, the log is intact."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest
from tiny_log import EPISODES, STEPS, Place, Trap, columns, manifest, schema, spoilt

from offline_to_online.dataset.files import read_json

Run = Callable[..., str]
ROWS = EPISODES * STEPS
CLIP = {"action_schema": {**manifest()["action_schema"], "out_of_bounds": "clip"}}
SPLIT = {"trainn": 0.7, "calibration": 0.2, "heldout": 0.1, "stratify": "operator"}


MANIFESTS: dict[str, tuple[dict[str, Any], str]] = {
    "missing field": ({"licence": None}, r"missing field licence \(data/manifests/tiny.yaml\)"),
    "unknown field": ({"licens": "MIT"}, r"unknown field 'licens'.*did you mean 'licence'"),
    "unknown field within": ({"split": SPLIT}, r"unknown field 'trainn'.*tiny.yaml: split.*did you mean 'train'"),
    "another robot": ({"robot": "adroit_door"}, r"robot is 'adroit_door'.*params.yaml says 'pusht'"),
    "a robot misspelt": ({"robot": "pushtt"}, r"did you mean 'pusht'"),
    "another unit": (schema("action_schema", 0, unit="m"), r"target_x \[0, 512\] m .*has target_x \[0, 512\] px"),
    "other bounds": (schema("observation_schema", 4, high=3.0), r"block_angle \[0, 3\] rad .*\[0, 6.2832\] rad"),
    "another rate": ({"control_rate_hz": 25}, r"control_rate_hz is 25 .*runs at 10"),
    "another hash": ({"hashes": {"log.hdf5": "0" * 64}}, r"log.hdf5 is not the file that the manifest describes"),
    "a stranger's operators": ({"operators": ["expert", "novice"]}, r"no operator is logged .*episode 0"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_that_is_wrong(place: Place, refused: Run, case: str) -> None:
    """A field that is missing, unknown, or not what robot and data are."""
    changes, said = MANIFESTS[case]
    place.set_manifest(**changes)
    assert re.search(said, refused("stages.validate"))


LOGS: dict[str, tuple[dict[str, Any], str]] = {
    "beyond the bounds": (spoilt("observations", (0, 4), 7.0), r"block_angle is 7;.*episode 0, step 0.*6.2832\] rad"),
    "another unit": ({"actions": columns()["actions"] / 512}, r"all actions lie in a small part.*check the units"),
    "an action outside": (spoilt("actions", (5, 1), 600.0), r"action.target_y is 600;.*step 5.*\[0, 512\] px.*clip"),
    "an observation is NaN": (spoilt("observations", (3, 1), np.nan), r"observations.agent_y is nan;.*step 3"),
    "a next observation": (spoilt("next_observations", (7, 1), np.inf), r"next_observations.agent_y is inf;.*step 7"),
    "an action is infinite": (spoilt("actions", (9, 0), -np.inf), r"actions.target_x is -inf;.*episode 1, step 1"),
    "too large for float32": ({"actions": np.full((ROWS, 2), 1e300)}, r"actions.target_x is inf; 16"),
    "a reward is NaN": (spoilt("rewards", 8, np.nan), r"rewards is nan;.*episode 1, step 0"),
    "an end is NaN": (spoilt("terminals", 3, np.nan), r"terminals is nan;.*step 3"),
    "a flag is NaN": ({"infos/intervened": np.full(ROWS, np.nan)}, r"intervened is nan; 8"),
    "a cost is NaN": ({"infos/cost": np.full(ROWS, np.nan)}, r"cost is nan; 8"),
    "a seed is NaN": ({"episodes/seed": np.full(EPISODES, np.nan)}, r"the seed is nan .*episode 0"),
    "a seed is no seed": ({"infos/seed": np.full(ROWS, 1e300)}, r"the seed is 1e\+300"),
    "a score is NaN": ({"episodes/score": np.full(EPISODES, np.nan)}, r"the score is nan"),
    "a sensor short": (
        {name: columns()[name][:, :4] for name in ("observations", "next_observations")},
        r"4 observation dimensions are logged \(.*describes 5.*observation_schema.keys",
    ),
    "a sensor short on one side": (
        {"observations": columns()["observations"][:, :4]},
        r"next_observations has the shape \(160, 5\) .*\(160, 4\)",
    ),
    "a motor short": ({"actions": columns()["actions"][:, :1]}, r"1 action dimensions are logged \(.*describes 2"),
    "actions without a width": ({"actions": columns()["actions"][:, 0]}, r"actions has the shape \(160,\) .*a width"),
    "a row short": ({"rewards": columns()["rewards"][:-1]}, r"rewards has the shape \(159,\)"),
    "a column missing": ({"actions": None}, r"no data set 'actions'.*rename or add it"),
    "words for numbers": ({"rewards": np.array([b"much"] * ROWS)}, r"/rewards holds \|S4"),
    "too long": (columns(4, 300), r"an episode of 300 steps \(.*episode 0\).*the horizon is 246"),
    "an empty episode": ({"episodes/ends": np.r_[8, 8, 16 : ROWS + 1 : 8]}, r"an empty episode \(.*episode 1 by"),
    "a lone last step": (
        {"next_observations": None, "timeouts": columns()["timeouts"] | (np.arange(ROWS) == 8)},
        r"an empty episode \(.*episode 1 \(its last step has no next observation",
    ),
    "no steps": ({name: column[:0] for name, column in columns().items()}, r"the file holds no steps"),
    "ends that disagree": ({"episodes/ends": np.full(EPISODES, np.nan)}, r"both mark the same rows"),
    "an unknown operator": ({"episodes/operator": np.array([b"humann"] * EPISODES)}, r"'humann'.*did you mean 'human'"),
    "an episode twice": (
        {name: np.concatenate([column[:STEPS], column]) for name, column in columns().items()},
        r"a copy of episode 0 \(.*episode 1\).*leak",
    ),
}


@pytest.mark.parametrize("case", LOGS)
def test_a_log_that_is_wrong(place: Place, refused: Run, case: str) -> None:
    """Values, shapes and lengths that contradict the manifest or each other, named by episode, step and dimension."""
    changes, said = LOGS[case]
    place.write({**columns(), **changes})
    assert re.search(said, refused("stages.validate"))


def test_an_earlier_result_stays(place: Place, run: Run, refused: Run) -> None:
    """What an earlier validation wrote is untouched by one that is refused."""
    run("stages.validate")
    place.write({**columns(), **spoilt("rewards", 8, np.nan)})
    refused("stages.validate")
    assert (place.folder / "data/episodes/validation.json").is_file()


def test_an_action_outside_is_clipped_where_the_manifest_says_so(place: Place, run: Run) -> None:
    """With ``out_of_bounds: clip`` the value is clipped, counted by dimension, and reported; the file is intact."""
    place.write({**columns(), **spoilt("actions", (5, 1), 600.0)})
    place.set_manifest(**CLIP)
    before = place.log.read_bytes()
    assert "clipped to their bounds: 1 action values" in run("stages.validate")
    clipped = read_json(place.folder / "data/episodes/validation.json")["clipped"]
    assert (clipped["policy"], clipped["entries"], clipped["by_dimension"]) == ("clip", 1, {"target_y": 1})
    assert place.log.read_bytes() == before


def test_an_infinite_action_is_never_clipped(place: Place, refused: Run) -> None:
    """Clipping is for what the robot clips; infinity was not commanded."""
    place.write({**columns(), **spoilt("actions", (5, 1), np.inf)})
    place.set_manifest(**CLIP)
    assert "actions.target_y is inf" in refused("stages.validate")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file(place: Place, refused: Run, share: float) -> None:
    """Wherever a copy was cut off, the file is named as no whole HDF5."""
    content = place.log.read_bytes()
    place.write(content[: int(share * len(content))])
    assert "not readable as HDF5" in refused("stages.validate")


@pytest.mark.parametrize("column", ["rewards", "timeouts", "episodes/ends", "episodes/seed"])
def test_a_damaged_recording(place: Place, refused: Run, column: str) -> None:
    """A recording of our own is known by no hash beforehand: a broken chunk in it is one line too."""
    ends = {"episodes/ends": np.arange(STEPS, ROWS + 1, STEPS), "episodes/seed": np.arange(EPISODES)}
    with h5py.File(place.log, "w") as file:
        for name, values in {**columns(), **ends}.items():
            file.create_dataset(name, data=values, chunks=values.shape, compression="gzip")
        file.attrs["recorded_by"] = "offline_to_online collect"
        chunk = file[column].id.get_chunk_info(0).byte_offset
    content = bytearray(place.log.read_bytes())
    content[chunk : chunk + 8] = b"\xff" * 8
    place.write(bytes(content))
    place.set_manifest(hashes="recorded")
    assert "not readable as HDF5" in refused("stages.validate")


STRANGERS = {
    "text as HDF5": ("mine/log.hdf5", b"step,reward\n0,1\n", "not readable as HDF5"),
    "text": ("mine/log.csv", b"step,reward\n0,1\n", r"no format recognises.*there is d4rl_hdf5"),
    "a pickle as HDF5": ("mine/log.hdf5", pickle.dumps(Trap()), "this is a pickle"),
    "an old pickle as HDF5": ("mine/log.hdf5", pickle.dumps(Trap(), protocol=0), "not readable as HDF5"),
    "a pickle": ("mine/log.pkl", pickle.dumps(Trap()), "this is a pickle"),
    "nothing": ("mine/absent.hdf5", None, r"no such data \(mine/absent.hdf5\).*dataset.path"),
    "a folder": ("mine", None, "no format recognises"),
}


@pytest.mark.parametrize("case", STRANGERS)
def test_what_is_no_log(place: Place, refused: Run, case: str) -> None:
    """Text, a pickle (which is never opened), a folder, and nothing at all."""
    path, content, said = STRANGERS[case]
    if content is not None:
        (place.folder / path).write_bytes(content)
    place.set_params(dataset={"name": "tiny", "path": path})
    place.set_manifest()
    assert re.search(said, refused("stages.validate"))
