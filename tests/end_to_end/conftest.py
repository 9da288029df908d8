"""Small copies of the project: one with all stages and an online run, one for bad input."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

import pytest
from small_checkout import SMALL, Checkout, clone
from tiny_log import Place, demand_one_line

Run = Callable[..., str]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clone with few episodes, a panel of ten tasks, and all offline stages run."""
    made = clone(tmp_path_factory.mktemp("checkout"))
    (made.folder / "small.yaml").write_text(SMALL)
    made.run(sys.executable, "-m", "offline_to_online.params", "use", "small.yaml")
    panel = made.folder / "data/panels/fetch_pick_and_place.json"
    panel.unlink()
    made.run(
        *(sys.executable, "-m", "offline_to_online.evaluation", "make-panel", "--robot", "fetch_pick_and_place"),
        *("--seed", "3", "--report-size", "10", "--blocks", "4", "--path", str(panel.relative_to(made.folder))),
    )
    made.repro()
    return made


@pytest.fixture(scope="session")
def finetuned(checkout: Checkout) -> Checkout:
    """The same clone after one online run."""
    checkout.run(sys.executable, "-m", "flows.finetune")
    return checkout


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One clone for all tests of bad input."""
    return Place(clone(tmp_path_factory.mktemp("bad-input")))


@pytest.fixture
def place(made: Place) -> Place:
    """The clone with a sound tiny log, and nothing written."""
    made.reset()
    return made


@pytest.fixture
def run(place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("stages.train", "bc")``: a command in this process; what it prints."""

    def ran(module: str, *arguments: str) -> str:
        monkeypatch.chdir(place.folder)
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        importlib.import_module(module).main()
        return capsys.readouterr().out

    return ran


@pytest.fixture
def refused(run: Run, place: Place, capsys: pytest.CaptureFixture[str]) -> Run:
    """``refused("stages.train", "bc")``: the one line of a command in this process, which leaves all as it was."""

    def ran(module: str, *arguments: str) -> str:
        before = place.files()
        with pytest.raises(SystemExit) as ended:
            run(module, *arguments)
        said = capsys.readouterr()
        assert place.files() == before
        return demand_one_line(ended.value.code, said.out, said.err)

    return ran


@pytest.fixture
def refused_command(place: Place) -> Run:
    """The same of a process of its own, as a user types it."""

    def ran(module: str, *arguments: str) -> str:
        before = place.files()
        done = place.checkout.run(sys.executable, "-m", module, *arguments, check=False)
        assert place.files() == before
        return demand_one_line(done.returncode, done.stdout, done.stderr)

    return ran
