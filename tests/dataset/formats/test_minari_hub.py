"""A Minari data set by its name: what is here already is found, and what cannot be had is one clear error."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from offline_to_online.dataset.formats import _minari_hub, minari
from offline_to_online.errors import DataError
from tests.dataset.formats.small_minari import Box, twelve, written

pytest.importorskip("minari", reason="fetching needs the minari library")


@pytest.fixture(autouse=True)
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Minari's own folder of data sets, empty, and a hub that there is not."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    monkeypatch.setenv("MINARI_REMOTE", "nowhere://at-all")
    return tmp_path / "datasets"


@pytest.mark.parametrize("prefix", ["", "minari:"])
def test_a_data_set_that_is_here_is_not_downloaded(datasets: Path, prefix: str) -> None:
    """Its folder among Minari's own is read like any other."""
    written(datasets / "made" / "up-v0", "hdf5", observation=Box(-9, 99, (3,)), episodes=twelve())
    folder = minari.fetch(f"{prefix}made/up-v0")
    assert folder == datasets / "made" / "up-v0"
    assert len(list(minari.read(folder))) == 12


@pytest.mark.parametrize("name", ["minari:D4RL/door/human-v2", "hf://farama-minari/D4RL/door/human-v2"])
def test_no_network_is_said_in_one_line(datasets: Path, name: str) -> None:
    """With the name, what the library says, and what to do; nothing is left behind."""
    with pytest.raises(
        DataError,
        match=r"cannot download .*D4RL/door/human-v2.*minari says.*minari\[hdf5,hf\]==0\.5\.4.*path of a copy",
    ):
        minari.fetch(name)
    assert not list(datasets.iterdir())


def test_the_errors_name_what_the_extra_installs() -> None:
    """One version, in the text and in this package's extra ``hub``."""
    project = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text())
    (wanted,) = project["project"]["optional-dependencies"]["hub"]
    assert f"pip install '{wanted}'" == _minari_hub.INSTALL


def test_no_library_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no part of this package's requirements."""
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(
        DataError, match=r"downloading needs the minari library.*pip install 'minari\[hdf5,hf\]==0\.5\.4'"
    ):
        minari.fetch("minari:D4RL/door/human-v2")


@pytest.mark.parametrize(
    "name", ["minari:", "minari:D4RL/door/human", "minari:../../etc-v0", "minari:/door-v0", "door v0"]
)
def test_a_name_of_another_form_is_refused(name: str) -> None:
    """Before anything is looked up: it would be a path out of Minari's folder, or have no version."""
    with pytest.raises(DataError, match="is no name of a Minari data set"):
        minari.fetch(name)
