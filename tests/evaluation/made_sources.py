"""Everything that a handoff is made from, small: a made-up log of PushT, untrained policies, made-up outcomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import file_sha256, write_json
from offline_to_online.dataset.manifest import Manifest, SplitRule
from offline_to_online.dataset.split import make_split
from offline_to_online.dataset.store import load_episodes, write_episodes
from offline_to_online.evaluation.handoff import HandoffSources
from offline_to_online.evaluation.panel import load_panel, make_panel, write_panel
from offline_to_online.evaluation.statistics import mean_interval, wilson_interval
from offline_to_online.learning.policy import Policy
from offline_to_online.learning.policy_file import Architecture, policy_bytes
from offline_to_online.robots import pusht
from offline_to_online.support.audit import audit
from offline_to_online.support.calibration import calibrate
from offline_to_online.support.estimator import SupportConfig, SupportEstimator
from offline_to_online.support.regions import coverage

GAMMA = 0.98
TASKS = 40


def logged_episode(seed: int, operator: str) -> Episode:
    """Twelve steps towards the T; a novice is less exact, and fails."""
    rng = np.random.default_rng(seed)
    observations = (rng.uniform(0.2, 0.8, (13, 5)) * pusht.SPEC.observation.high).astype(np.float32)
    actions = observations[:-1, 2:4] + rng.normal(0, 60 if operator == "novice" else 15, (12, 2))
    return Episode(
        observations=observations,
        actions=pusht.SPEC.action.clip(actions).astype(np.float32),
        rewards=rng.uniform(0, 1, 12).astype(np.float32),
        cost=(rng.uniform(0, 1, 12) < 0.05).astype(np.float32),
        intervened=np.zeros(12, dtype=bool),
        terminated=operator == "human",
        truncated=operator != "human",
        operator=operator,
        seed=seed,
        success=operator == "human",
        score=float(rng.uniform(0.95, 1.0) if operator == "human" else rng.uniform(0, 0.9)),
    )


def outcomes(success_rate: float, *, tasks: int = TASKS, seed: int = 0) -> pd.DataFrame:
    """Made-up outcomes under all three conditions, in the layout of an evaluation; tasks in order of difficulty."""
    rng = np.random.default_rng(seed)
    tables = []
    for condition, share in (("nominal", 1.0), ("shifted", 0.5), ("dynamics", 0.25)):
        success = np.arange(tasks) < round(tasks * success_rate * share)
        score = np.where(success, 1.0, rng.uniform(0, 0.9, tasks))
        tables.append(
            pd.DataFrame(
                {
                    "task": np.arange(tasks), "condition": condition, "success": success, "certified_success": success,
                    "score": score, "return_discounted": score * 10, "return_plain": score * 12,
                    "cost": rng.integers(0, 3, tasks).astype(float), "interventions": rng.integers(0, 2, tasks),
                    "clipped": 0, "support_drift": rng.uniform(0, 0.2, tasks), "support_score_median": 0.2,
                    "support_score_p95": 0.5, "failure": np.where(success, "", "not_covered"), "steps": 12,
                }
            )
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def metrics_of(table: pd.DataFrame, condition: str) -> dict:
    """The numbers of one condition, with the keys of an evaluation."""
    rows = table[table["condition"] == condition]
    return {
        "tasks": len(rows),
        "success_rate": float(rows["success"].mean()),
        "success_interval": list(wilson_interval(int(rows["success"].sum()), len(rows))),
        "certified_success_rate": float(rows["certified_success"].mean()),
        "score": float(rows["score"].mean()),
        "score_interval": list(mean_interval(rows["score"].to_numpy())),
        "return_discounted": float(rows["return_discounted"].mean()),
        "return_plain": float(rows["return_plain"].mean()),
        "constraint_cost": float(rows["cost"].mean()),
        "interventions": float(rows["interventions"].mean()),
        "clipped": 0.0,
        "support_score": {"median": 0.21, "p95": 0.54},
        "share_outside": float(rows["support_drift"].mean()),
        "failures": {"not_covered": int((~rows["success"]).sum())} if not rows["success"].all() else {},
        "dynamics": {"action_gain": 0.5 if condition == "dynamics" else 1.0, "action_delay_steps": 0},
    }


def write_evaluation(folder: Path, table: pd.DataFrame, *, policy: str, policy_sha256: str, panel_sha256: str) -> dict:
    """``metrics.json`` and ``outcomes.parquet`` of an evaluation; the metrics."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / "outcomes.parquet", index=False)
    metrics = {
        "policy": policy, "policy_sha256": policy_sha256, "panel_sha256": panel_sha256, "robot": "pusht",
        "gamma": GAMMA, **metrics_of(table, "nominal"),
        "perturbed": {condition: metrics_of(table, condition) for condition in ("shifted", "dynamics")},
    }  # fmt: skip
    write_json(folder / "metrics.json", metrics)
    return metrics


def write_policy(folder: Path, algorithm: str, seed: int) -> Policy:
    """An untrained policy with the files that training leaves."""
    folder.mkdir(parents=True)
    spec = pusht.SPEC
    made = Architecture(observation=spec.observation.names, action=spec.action.names, hidden=((8, "relu"),))
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: torch.rand(shape, generator=generator) - 0.5 for name, shape in made.shapes().items()}
    tensors["observation.mean"] = torch.tensor([256.0, 256.0, 256.0, 256.0, 3.0])
    tensors["observation.std"] = torch.tensor([100.0, 100.0, 100.0, 100.0, 1.0])
    tensors["action.low"], tensors["action.high"] = (torch.from_numpy(b) for b in (spec.action.low, spec.action.high))
    tensors["action.std"] = torch.full((2,), 20.0)
    (folder / "policy.safetensors").write_bytes(policy_bytes(made, tensors))
    (folder / "learner.safetensors").write_bytes(bytes([seed]) * 64)
    write_json(folder / "card.json", {"algorithm": algorithm})
    return Policy.load(folder / "policy.safetensors")


def make_sources(root: Path, *, success: dict[str, float]) -> HandoffSources:
    """All of it in a folder, with a policy of each name; ``bc`` and ``iql`` are algorithms there are."""
    episodes = [logged_episode(i, "novice" if i % 3 == 0 else "human") for i in range(30)]
    rule = SplitRule(train=0.6, calibration=0.2, heldout=0.2, stratify="operator")
    write_episodes(root / "episodes", episodes)
    write_json(root / "episodes" / "split.json", make_split(episodes, rule, seed=0).to_json())
    (root / "manifest.yaml").write_text(yaml.safe_dump(manifest(rule).to_json()))
    write_panel(make_panel("pusht", 0, report_size=TASKS, blocks=1), root / "panel.json")
    train, held_back, heldout = (load_episodes(root / "episodes", p) for p in ("train", "calibration", "heldout"))
    estimator = SupportEstimator.fit(train, SupportConfig())
    calibration = calibrate(estimator, held_back, train, 0.2)
    estimator.save(root / "estimator")
    calibration.save(root / "calibration.json")
    write_json(root / "coverage.json", coverage(train, pusht))
    for number, (name, rate) in enumerate(success.items()):
        policy = write_policy(root / "models" / name, "bc" if name == "bc" else "iql", number)
        rng = np.random.default_rng(number)
        audit(policy, estimator, calibration, heldout, pusht, rng, name=name).save(root / "audit" / name)
        sha256 = file_sha256(root / "models" / name / "policy.safetensors")
        write_evaluation(
            root / "evaluation" / name, outcomes(rate, seed=number),
            policy=name, policy_sha256=sha256, panel_sha256=load_panel(root / "panel.json").sha256,
        )  # fmt: skip
    return sources_in(root, success)


def manifest(rule: SplitRule) -> Manifest:
    """The manifest of the made-up log."""
    spec = pusht.SPEC
    return Manifest(
        name="made_up", robot="pusht", robot_body=spec.body, sensors=spec.sensors, action=spec.action,
        observation=spec.observation, control_rate_hz=10.0, operators=("human", "novice"), split=rule,
        reset_distribution="anywhere", episode_horizon=300, reward_source="file", licence="none", source="made up",
        hashes={},
    )  # fmt: skip


def sources_in(root: Path, names) -> HandoffSources:
    """The paths of ``make_sources``."""
    return HandoffSources(
        robot="pusht",
        manifest=root / "manifest.yaml",
        episodes=root / "episodes",
        panel=root / "panel.json",
        estimator=root / "estimator",
        calibration=root / "calibration.json",
        models={n: root / "models" / n for n in names},
        audits={n: root / "audit" / n for n in names},
        evaluations={n: root / "evaluation" / n for n in names},
    )
