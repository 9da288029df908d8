"""A small copy of the project, made once: offline stages, then one online run."""

from __future__ import annotations

import sys

import pytest
from small_checkout import SMALL, Checkout, clone


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
