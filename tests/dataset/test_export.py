"""Export: our episodes, or anybody's, in a format that other tools open, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_to_online.dataset.assembly import assemble, implied_layout
from offline_to_online.dataset.detection import format_of, name_of
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.export import export, exporters
from offline_to_online.dataset.formats import minari
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.store import write_episode, write_episodes
from offline_to_online.errors import DataError, ParameterError

MakeManifest = Callable[..., Manifest]


def identities(path: Path) -> list[str]:
    """Of the episodes of any data set, told by looking."""
    reader = format_of(path)
    layout = implied_layout(reader.describe(path))
    return [assemble(logged, layout).identity for logged in reader.read(path)]


@pytest.fixture
def stored(tmp_path: Path, log: list[Episode], make_episode: Callable[..., Episode]) -> Path:
    """A store of ours, with terminal episodes among the others."""
    done = [make_episode(100 + i, length=5 + i, terminated=True, truncated=False) for i in range(2)]
    write_episodes(tmp_path / "episodes", [*log[:4], *done])
    return tmp_path / "episodes"


def test_there_are_two_to_choose_from() -> None:
    """Minari and LeRobot, each found by its own file."""
    assert exporters() == ["lerobot", "minari"]


@pytest.mark.parametrize("to", ["lerobot", "minari"])
@pytest.mark.parametrize("described", [False, True])
def test_what_is_exported_is_the_same_episodes(
    stored: Path, tmp_path: Path, make_manifest: MakeManifest, to: str, described: bool
) -> None:
    """Read back in the other format, every identity is the same; a manifest changes names only."""
    told: dict[str, Any] = {"manifest": make_manifest()} if described else {"control_rate_hz": 10}
    assert export(stored, tmp_path / "out", to=to, **told) == 6
    assert name_of(format_of(tmp_path / "out")) == to
    assert identities(tmp_path / "out") == identities(stored)


def test_a_stranger_s_data_and_an_online_run_are_exported(
    write_hdf5: Callable[..., Path], tmp_path: Path, log: list[Episode], make_manifest: MakeManifest
) -> None:
    """From any format, with the sensors that its manifest selects."""
    for number, episode in enumerate(log[:3]):
        write_episode(tmp_path / "run" / "episodes" / f"{number + 1:06d}.parquet", episode)
    assert export(tmp_path / "run", tmp_path / "one", to="minari", control_rate_hz=10) == 3
    assert identities(tmp_path / "one") == [episode.identity for episode in log[:3]]
    assert export(write_hdf5(), tmp_path / "two", to="minari", manifest=make_manifest()) == 4
    assert identities(tmp_path / "two") == identities(write_hdf5())


def test_nothing_is_overwritten(stored: Path, tmp_path: Path) -> None:
    """A folder that is there stays as it is, empty or not, and so does a file."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    for name in ("empty", "file"):
        with pytest.raises(DataError, match=rf"this is there already.*{name}"):
            export(stored, tmp_path / name, to="minari", control_rate_hz=10)
    assert list((tmp_path / "empty").iterdir()) == []
    assert (tmp_path / "file").read_text() == "mine"


def test_a_format_that_is_not_written_lists_those_that_are(stored: Path, tmp_path: Path) -> None:
    """Also one that is read only."""
    for name in ("minary", "zarr_replay"):
        with pytest.raises(ParameterError, match=rf"no export to '{name}'.*there is lerobot, minari"):
            export(stored, tmp_path / "out", to=name)
    with pytest.raises(ParameterError, match=r"did you mean 'minari'\?"):
        export(stored, tmp_path / "out", to="minary")


@pytest.mark.parametrize("to", ["lerobot", "minari"])
def test_broken_data_leaves_nothing(stored: Path, tmp_path: Path, to: str) -> None:
    """Found in the last episode, after others were written."""
    path = stored.with_name("apart")
    for number, value in enumerate((0, 0, np.nan)):
        rewards = np.full(3, value, dtype=np.float32)
        zeros = {"observations": np.zeros((4, 2)), "actions": np.zeros((3, 1)), "cost": np.zeros(3)}
        facts = {"operator": "expert", "seed": 0, "success": False, "score": 0.0}
        ends = {"intervened": np.zeros(3, dtype=bool), "terminated": False, "truncated": True}
        write_episode(path / f"{number}.parquet", Episode(rewards=rewards, **zeros, **facts, **ends))
    with pytest.raises(DataError, match=r"rewards is nan.*2\.parquet"):
        export(path, tmp_path / "out", to=to, control_rate_hz=10)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["apart", "episodes"]


def test_something_must_say_the_control_rate(stored: Path, tmp_path: Path) -> None:
    """A number, and one that can be."""
    with pytest.raises(ParameterError, match=r"nothing says the control rate.*--manifest or --rate"):
        export(stored, tmp_path / "out", to="minari")
    for rate in (0.0, -5.0, float("nan"), float("inf")):
        with pytest.raises(ParameterError, match="the control rate is"):
            export(stored, tmp_path / "out", to="minari", control_rate_hz=rate)
    assert not (tmp_path / "out").exists()


def test_the_manifest_must_be_of_this_data(stored: Path, tmp_path: Path, make_manifest: MakeManifest) -> None:
    """Both sizes are said."""
    rows = [{"name": n, "unit": "-", "low": -1, "high": 1} for n in "abc"]
    other = make_manifest(observation_schema={"dimensions": rows})
    with pytest.raises(DataError, match=r"2 observation and 1 action dimensions.*describes 3 and 1"):
        export(stored, tmp_path / "out", to="minari", manifest=other)
    assert not (tmp_path / "out").exists()


def test_the_writer_is_told_all_that_is_known(
    stored: Path, tmp_path: Path, make_manifest: MakeManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schemas, rate, licence, source and robot from the manifest; without one, numbered dimensions without bounds."""
    told: list[Mapping[str, Any]] = []

    def record(folder: Path, episodes: Iterable[Episode], about: Mapping[str, Any]) -> None:
        told.append({**about, "episodes": sum(1 for _ in episodes)})

    monkeypatch.setattr(minari, "export", record)
    manifest = make_manifest()
    export(stored, tmp_path / "out", to="minari", manifest=manifest, control_rate_hz=5)
    export(stored, tmp_path / "out", to="minari", control_rate_hz=5)
    known, bare = told
    assert (known["name"], known["action"], known["observation"]) == ("slider", manifest.action, manifest.observation)
    assert (known["licence"], known["robot"], known["robot_body"]) == ("MIT", "slider", "a block on a rail")
    assert known["control_rate_hz"] == bare["control_rate_hz"] == 5
    assert (bare["name"], bare["observation"].names, bare["action"].names) == ("episodes", ("o0", "o1"), ("a0",))
    assert np.isinf(bare["action"].high).all()
    assert known["episodes"] == bare["episodes"] == 6
