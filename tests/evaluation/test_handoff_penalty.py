"""A policy that learned with the support penalty is handed off with it, since it goes on learning with it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from made_sources import make_sources, sources_in

from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.dataset.store import load_episodes
from offline_to_online.errors import HandoffError
from offline_to_online.evaluation.handoff import HandoffConfig, load_handoff, write_handoff
from offline_to_online.evaluation.handoff_sources import HandoffSources
from offline_to_online.support.behaviour import BehaviourConfig
from offline_to_online.support.penalty import SupportPenalty

TINY = BehaviourConfig(hidden=4, components=2, updates=5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources whose offline policy clearly wins, and whose card says that it learned with a penalty."""
    root = tmp_path_factory.mktemp("penalised")
    make_sources(root, success={"bc": 0.4, "iql": 0.8})
    fit_penalty(root, seed=0)
    card = root / "models/iql/card.json"
    write_json(card, read_json(card) | {"behaviour_sha256": SupportPenalty.load(root / "behaviour").sha256})
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy, to change."""
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def fit_penalty(root: Path, seed: int) -> None:
    SupportPenalty.fit(load_episodes(root / "episodes", "train"), TINY, seed).save(root / "behaviour")


def sources(root: Path) -> HandoffSources:
    return dataclasses.replace(sources_in(root, ("bc", "iql")), behaviour=root / "behaviour")


def hand_off(root: Path, **config: float) -> dict:
    return write_handoff(root / "out", sources(root), config=HandoffConfig(**config), budgets={"episodes": 1})


def test_the_penalty_goes_with_the_policy_that_learned_with_it(root: Path) -> None:
    """Copied, named with its hash, and readable where the online run will look for it."""
    assert hand_off(root)["chosen"] == "iql"
    assert {"behaviour/behaviour.json", "behaviour/behaviour.safetensors"} <= set(load_handoff(root / "out")["files"])
    assert SupportPenalty.load(root / "out/behaviour").sha256 == SupportPenalty.load(root / "behaviour").sha256


def test_cloning_needs_none(root: Path) -> None:
    """Where behaviour cloning is handed off, nothing is copied that it does not use."""
    record = hand_off(root, alpha=1e-9)
    assert record["chosen"] == "bc"
    assert not [name for name in record["files"] if name.startswith("behaviour")]


def test_a_policy_that_learned_with_another_penalty_is_refused(root: Path) -> None:
    """The stage support was run again since."""
    fit_penalty(root, seed=1)
    with pytest.raises(HandoffError, match="card of 'iql' was made with another behaviour"):
        hand_off(root)


def test_a_penalty_that_is_not_there_is_named(root: Path) -> None:
    """Before anything is written."""
    shutil.rmtree(root / "behaviour")
    with pytest.raises(HandoffError, match="no support penalty of 'iql'"):
        hand_off(root)
    assert not (root / "out").exists()
