"""A small real handoff: Fetch, thirty recorded episodes, a short behaviour cloning, a panel of three."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from offline_to_online.dataset.files import file_sha256, write_json
from offline_to_online.dataset.manifest import load_manifest
from offline_to_online.dataset.split import make_split
from offline_to_online.dataset.store import load_episodes, write_episodes
from offline_to_online.evaluation.handoff import HandoffConfig, HandoffSources, write_handoff
from offline_to_online.evaluation.measure import evaluate_policy
from offline_to_online.evaluation.off_policy import ScreenConfig
from offline_to_online.evaluation.panel import load_panel, make_panel, write_panel
from offline_to_online.learning.algorithms import bc
from offline_to_online.learning.learner import Normaliser, save_state
from offline_to_online.learning.policy import Policy
from offline_to_online.learning.replay import Replay
from offline_to_online.learning.switch import Switch
from offline_to_online.learning.training import train
from offline_to_online.online.audit_rule import AuditConfig
from offline_to_online.online.config import GatesConfig, OnlineConfig
from offline_to_online.robots import Dynamics
from offline_to_online.robots import fetch_pick_and_place as fetch
from offline_to_online.robots._recording import record_log
from offline_to_online.support.audit import audit
from offline_to_online.support.calibration import Calibration, calibrate
from offline_to_online.support.estimator import SupportConfig, SupportEstimator

ROBOT = "fetch_pick_and_place"
MANIFEST = Path(__file__).resolve().parents[1] / "data" / "manifests" / "fetch_mixed.yaml"
GENEROUS: dict[str, dict[str, Any]] = {
    "interventions": {"limit": 10_000},
    "support_drift": {"limit": 1.0},
    "constraint_cost": {"per_episode": 1e6, "total": 1e6},
}
# With a margin this wide a candidate is accepted after very few pairs; nothing here is about who is better.
LENIENT: dict[str, dict[str, Any]] = {"no_regression": {"margin": 0.9, "alpha": 0.5, "max_pairs": 12, "batch": 4}}
# Decides nothing either: the champion is played beside the baseline, and the bound is a wide one.
AUDIT = AuditConfig(pairs=2, margin=0.9)
# Trained too little to be believed, and vetoes nothing.
SCREEN = ScreenConfig(margin=1e6, members=2, updates=10, hidden_units=(8,))
STRICT: dict[str, dict[str, Any]] = {"no_regression": {"margin": 0.0, "alpha": 0.001, "max_pairs": 4, "batch": 2}}


def small_config(**changes: Any) -> OnlineConfig:
    """Two rounds of two episodes, generous budgets, a candidate that is accepted if it does anything at all."""
    small: dict[str, Any] = {
        "dynamics": Dynamics(action_gain=0.5),
        "rounds": 2,
        "episodes_per_round": 2,
        "switch": Switch(updates_per_step=0.1),
        "registered_model": "small",
        "gates": GatesConfig(safety=GENEROUS, acceptance=LENIENT, audit=AUDIT),
        "screen": SCREEN,
    }
    return OnlineConfig(**{**small, **changes})


_MADE: dict[str, Path] = {}


def shared_handoff(folder: Path) -> Path:
    """The handoff, made in a folder the first time that any test asks."""
    if "handoff" not in _MADE:
        _MADE["handoff"] = build_handoff(folder / "small-handoff")
    return _MADE["handoff"]


def build_handoff(folder: Path) -> Path:
    """Make every part as the stages do, and hand off behaviour cloning; the handoff's folder."""
    sources = _sources(folder)
    _episodes(sources)
    _support(sources)
    write_panel(make_panel(ROBOT, 5, report_size=3, blocks=4), sources.panel)
    _model(sources)
    _audit_and_evaluate(folder, sources)
    write_handoff(folder / "handoff", sources, config=HandoffConfig(), budgets={"interaction_budget_episodes": 200})
    return folder / "handoff"


def _sources(folder: Path) -> HandoffSources:
    manifest = folder / "manifest.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    manifest.write_bytes(MANIFEST.read_bytes())
    return HandoffSources(
        robot=ROBOT,
        manifest=manifest,
        episodes=folder / "episodes",
        panel=folder / "panel.json",
        estimator=folder / "support" / "estimator",
        calibration=folder / "support" / "calibration.json",
        models={"bc": folder / "models"},
        audits={"bc": folder / "audit"},
        evaluations={"bc": folder / "evaluation"},
    )


def _episodes(sources: HandoffSources) -> None:
    episodes = record_log(fetch, {"expert": 20, "biased": 10}, seed=3)
    write_episodes(sources.episodes, episodes)
    split = make_split(episodes, load_manifest(sources.manifest).split, 3)
    write_json(sources.episodes / "split.json", split.to_json())


def _support(sources: HandoffSources) -> None:
    train_part = load_episodes(sources.episodes, "train")
    estimator = SupportEstimator.fit(train_part, SupportConfig())
    estimator.save(sources.estimator)
    calibrate(estimator, load_episodes(sources.episodes, "calibration"), train_part, 0.2).save(sources.calibration)


def _model(sources: HandoffSources) -> None:
    config = bc.Config(hidden_units=(32,), batch_size=64)
    episodes = load_episodes(sources.episodes, "train")
    spec = fetch.SPEC
    learner = bc.make(
        config,
        observation=spec.observation,
        action=spec.action,
        normaliser=Normaliser.from_episodes(episodes),
        seed=1,
    )
    replay = Replay(spec.observation.size, spec.action.size)
    replay.extend(episodes)
    train(learner, replay, updates=300, batch_size=64, generator=torch.Generator().manual_seed(1))
    folder = sources.models["bc"]
    folder.mkdir()
    learner.export(folder / "policy.safetensors")
    save_state(folder / "learner.safetensors", learner.state())
    card = {"algorithm": "bc", "config": {"hidden_units": [32], "batch_size": 64}}
    write_json(folder / "card.json", card | {"policy_sha256": file_sha256(folder / "policy.safetensors")})


def _audit_and_evaluate(folder: Path, sources: HandoffSources) -> None:
    path = sources.models["bc"] / "policy.safetensors"
    estimator = SupportEstimator.load(sources.estimator)
    heldout = load_episodes(sources.episodes, "heldout")
    calibration = Calibration.load(sources.calibration)
    audit(Policy.load(path), estimator, calibration, heldout, fetch, np.random.default_rng(0), name="bc").save(
        sources.audits["bc"]
    )
    metrics, outcomes = evaluate_policy(
        path,
        name="bc",
        panel=load_panel(sources.panel),
        gamma=0.98,
        dynamics=Dynamics(),
        perturbation=Dynamics(action_gain=0.5),
        support_folder=folder / "support",
        jobs=1,
    )
    target = sources.evaluations["bc"]
    write_json(target / "metrics.json", json.loads(json.dumps(metrics)))
    outcomes.to_parquet(target / "outcomes.parquet")
