"""Our episodes as LeRobotDataset v3.0: they come back as they were, and lie as lerobot expects them.

That lerobot 0.4.4 itself opens such an export was tried outside this suite, in a side environment: LeRobotDataset gives
the same values, its DataLoader, ReplayBuffer, delete_episodes and merge_datasets work on it, and what they write
is read here again. The suite holds what that rests on: the schema of lerobot's own files.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline_to_online.dataset.assembly import assemble, implied_layout
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import folder_sha256
from offline_to_online.dataset.formats import _lerobot_export, lerobot
from offline_to_online.dataset.spec import ActionSchema, Dimension, ObservationSchema
from offline_to_online.errors import DataError
from tests.dataset.formats.small_lerobot import DATA_V30, META_V30, v30

MakeEpisode = Callable[..., Episode]
PUSH = Dimension(name="push", unit="N", low=-1.0, high=1.0)


def about(*, actions: int = 2, **changes: Any) -> dict[str, Any]:
    """What an export is told of the slider, which has a second action here."""
    named = (PUSH, Dimension(name="grip", unit="", low=float("-inf"), high=float("inf")))[:actions]
    seen = tuple(Dimension(name=name, unit="m", low=-10.0, high=10.0) for name in ("place", "speed"))
    fields = {
        "name": "slider",
        "action": ActionSchema(dimensions=named),
        "observation": ObservationSchema(dimensions=seen),
        "control_rate_hz": 10.0,
        "licence": "MIT",
        "source": "made up",
        "robot": "slider",
        "robot_body": "a block on a rail",
    }
    return {**fields, **changes}


@pytest.fixture
def varied(make_episode: MakeEpisode) -> list[Episode]:
    """Two actions; every ending, operator, seed and score; one episode of a single step."""
    rng = np.random.default_rng(0)
    endings = [(True, False), (False, True), (True, True), (False, True)]
    return [
        make_episode(
            seed,
            length=length,
            actions=rng.uniform(-1, 1, (length, 2)).astype(np.float32),
            cost=rng.uniform(0, 1, length).astype(np.float32),
            intervened=rng.uniform(size=length) < 0.5,
            terminated=terminated,
            truncated=truncated,
            operator=("expert", "novice")[seed % 2],
            score=0.1 * seed,
        )
        for seed, (length, (terminated, truncated)) in enumerate(zip((5, 1, 7, 30), endings, strict=True))
    ]


def back(folder: Path) -> list[Episode]:
    """What our own reader makes of an export."""
    layout = implied_layout(lerobot.describe(folder))
    return [assemble(logged, layout) for logged in lerobot.read(folder)]


def test_every_fact_comes_back(tmp_path: Path, varied: list[Episode]) -> None:
    """Identity, endings, operator, seed, success, score, cost and interventions, the last observation included."""
    lerobot.export(tmp_path / "set", iter(varied), about())
    for one, other in zip(back(tmp_path / "set"), varied, strict=True):
        assert one.identity == other.identity
        for field in dataclasses.fields(Episode):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name


def test_headers_say_what_we_know(tmp_path: Path, varied: list[Episode]) -> None:
    """Names, bounds, rate, operators, licence and source; nothing is odd about our own export."""
    lerobot.export(tmp_path / "set", varied, about())
    contents = lerobot.describe(tmp_path / "set")
    assert contents.findings == ()
    assert contents.left_out == ()
    assert contents.final_observation
    assert contents.actions.names == ("push", "grip")
    assert contents.actions.low == (-1.0, float("-inf"))
    assert [s.names for s in contents.sensors] == [("place", "speed")]
    assert (contents.episodes, contents.steps, contents.control_rate_hz) == (4, 43, 10.0)
    assert contents.operators == ("expert", "novice")
    assert (contents.facts["licence"], contents.facts["source"]) == ("MIT", "made up")
    assert (contents.facts["robot_type"], contents.facts["tasks"]) == ("slider", "slider")


def test_a_single_action_is_a_plain_column(tmp_path: Path, log: list[Episode]) -> None:
    """lerobot declares a feature of shape (1,) as a value, not as a list; it comes back all the same."""
    lerobot.export(tmp_path / "set", log, about(actions=1))
    assert pq.read_schema(tmp_path / "set" / DATA_V30).field("action").type == pa.float32()
    assert [e.identity for e in back(tmp_path / "set")] == [e.identity for e in log]


def test_the_layout_is_that_of_lerobots_own_files(tmp_path: Path, varied: list[Episode]) -> None:
    """Types of shared columns, keys of info.json, statistics and the table of tasks: as lerobot 0.4.4 wrote them."""
    theirs, ours = v30(tmp_path / "theirs"), tmp_path / "ours"
    lerobot.export(ours, varied, about())
    for name in (DATA_V30, META_V30):
        one, other = pq.read_schema(theirs / name), pq.read_schema(ours / name)
        assert set(one.names) - set(other.names) == set()
        for column in set(one.names) - {"observation.state"}:
            if not column.startswith("stats/"):
                assert one.field(column).type == other.field(column).type, column
    info = {where: json.loads((where / "meta/info.json").read_text()) for where in (theirs, ours)}
    assert info[ours].keys() == info[theirs].keys()
    assert {name: entry.keys() for name, entry in info[theirs]["features"].items()}.items() <= {
        name: entry.keys() for name, entry in info[ours]["features"].items()
    }.items()
    stats = {where: json.loads((where / "meta/stats.json").read_text()) for where in (theirs, ours)}
    assert stats[theirs]["action"].keys() == stats[ours]["action"].keys()
    tasks = [pq.read_table(where / "meta/tasks.parquet").to_pandas() for where in (theirs, ours)]
    assert tasks[0].columns.tolist() == tasks[1].columns.tolist() == ["task_index"]
    assert tasks[1].index.tolist() == ["slider"]


def test_statistics_are_those_of_all_steps(tmp_path: Path, varied: list[Episode]) -> None:
    """Pooled over episodes of different lengths, mean, deviation and range are those of all steps at once."""
    lerobot.export(tmp_path / "set", varied, about())
    stats = json.loads((tmp_path / "set/meta/stats.json").read_text())["action"]
    actions = np.concatenate([e.actions for e in varied]).astype(np.float64)
    for name, expected in (("mean", actions.mean(0)), ("std", actions.std(0)), ("min", actions.min(0))):
        assert np.allclose(stats[name], expected, rtol=1e-12, atol=0), name
    assert stats["count"] == [43]


def test_large_data_is_spread_over_files(tmp_path: Path, log: list[Episode], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is full is followed by the next, and the metadata points to the right one."""
    monkeypatch.setattr(_lerobot_export, "FILE_MB", 0.002)
    monkeypatch.setattr(_lerobot_export, "EPISODES_A_GROUP", 3)
    lerobot.export(tmp_path / "set", log, about(actions=1))
    assert len(list((tmp_path / "set/data").rglob("*.parquet"))) > 2
    assert len(list((tmp_path / "set/meta/episodes").rglob("*.parquet"))) > 2
    assert lerobot.describe(tmp_path / "set").findings == ()
    assert [e.identity for e in back(tmp_path / "set")] == [e.identity for e in log]


def test_the_same_episodes_are_the_same_bytes(tmp_path: Path, log: list[Episode]) -> None:
    """No time, path or random name enters a file."""
    for name in ("one", "two"):
        lerobot.export(tmp_path / name, iter(log), about(actions=1))
    assert folder_sha256(tmp_path / "one") == folder_sha256(tmp_path / "two")


def test_nothing_is_overwritten(tmp_path: Path, log: list[Episode]) -> None:
    """A folder that is there stays as it is, even an empty one."""
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match="this is there already"):
        lerobot.export(tmp_path / "set", log, about(actions=1))
    assert list(tmp_path.iterdir()) == [tmp_path / "set"]
    assert list((tmp_path / "set").iterdir()) == []


def broken(log: list[Episode]) -> Iterator[Episode]:
    """A source that fails in the middle."""
    yield from log[:3]
    raise DataError("the source broke", where="elsewhere", remedy="mend it")


@pytest.mark.parametrize(
    ("episodes", "what", "where"),
    [
        (lambda log: [], "no episodes to write", ""),
        (broken, "the source broke", "elsewhere"),
        (
            lambda log: [log[0], changed(log[1], actions=log[1].actions[:, [0, 0]])],
            r"action has the shape",
            "episode 1",
        ),
        (lambda log: [changed(log[0], observations=log[0].observations[:-1])], "actions and", "episode 0"),
        (lambda log: [changed(log[0], rewards=log[0].rewards / 0)], "next.reward is", "episode 0, step 0"),
        (lambda log: [changed(log[0], score=float("nan"))], "complementary_info.score is nan", "episode 0, step 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_half_an_export_is_none(
    tmp_path: Path, log: list[Episode], episodes: Callable[..., Any], what: str, where: str
) -> None:
    """Whatever goes wrong on the way, nothing is left behind."""
    with pytest.raises(DataError, match=what) as caught:
        lerobot.export(tmp_path / "set", episodes(log), about(actions=1))
    assert where in caught.value.where
    assert list(tmp_path.iterdir()) == []


def changed(episode: Episode, **fields: Any) -> Episode:
    """An episode with other fields."""
    return dataclasses.replace(episode, **fields)


def test_a_broken_provenance_is_named(tmp_path: Path, log: list[Episode]) -> None:
    """What lerobot has no field for lies in a file of ours, which is read with the same care."""
    lerobot.export(tmp_path / "set", log, about(actions=1))
    (tmp_path / "set/meta/offline_to_online.json").write_text('{"operators": 3}')
    with pytest.raises(DataError, match=r"not what export writes.*offline_to_online\.json"):
        lerobot.describe(tmp_path / "set")
