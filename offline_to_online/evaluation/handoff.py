"""The handoff: which policy goes online, from which baseline, and the hash of everything that says so."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from offline_to_online.dataset.files import file_sha256, json_bytes, read_json, write_json
from offline_to_online.dataset.manifest import load_manifest
from offline_to_online.dataset.split import load_split
from offline_to_online.dataset.store import load_episodes
from offline_to_online.errors import DataError, HandoffError
from offline_to_online.evaluation.handoff_choice import Choice, HandoffConfig, choose
from offline_to_online.evaluation.handoff_sources import (
    REMEDY,
    HandoffSources,
    copies,
    demand_agreement,
    demand_complete,
    files_sha256,
    learned_with_penalty,
)
from offline_to_online.evaluation.handoff_table import operator_rows, policy_row
from offline_to_online.evaluation.panel import load_panel
from offline_to_online.plugins import module_for
from offline_to_online.support.calibration import Calibration
from offline_to_online.support.estimator import SupportEstimator
from offline_to_online.support.penalty import SupportPenalty

__all__ = ["HandoffConfig", "HandoffSources", "load_handoff", "write_handoff"]

RECORD = "handoff.json"
# The five names that every handoff and every registered policy answers to, then what they rest on.
FIVE = ("behaviour_policy", "support_estimator", "pessimism_mechanism", "bc_baseline", "evaluation_artifact")
REQUIRED = (
    *FIVE,
    *("chosen", "algorithm", "policy_sha256", "comparison", "robot", "manifest_sha256", "episodes_sha256"),
    *("split_sha256", "calibration", "audit", "files", "table", "budgets", "handoff_sha256"),
)
REQUIRED_FILES = (
    *("policy.safetensors", "learner.safetensors", "card.json", "bc/policy.safetensors"),
    *("calibration.json", "panel.json", "estimator/estimator.json", "estimator/estimator.safetensors"),
    *("episodes/transitions.parquet", "episodes/episodes.parquet", "episodes/split.json"),
)


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The sources, read: what the record is written from."""

    panel_sha256: str
    estimator: SupportEstimator
    calibration: Calibration
    policies: dict[str, str]
    metrics: dict[str, dict[str, Any]]
    outcomes: dict[str, pd.DataFrame]


def write_handoff(
    folder: Path, sources: HandoffSources, *, config: HandoffConfig, budgets: Mapping[str, Any]
) -> dict[str, Any]:
    """Choose the policy, make the aligned table, copy what they rest on, and write ``handoff.json``.

    The folder appears whole or not at all; the same sources give the same bytes. An earlier handoff in its place
    is replaced.

    Args:
        folder: where the handoff goes (``models/handoff``).
        sources: every path that it is made from.
        config: how an offline policy earns it.
        budgets: what the online run may spend, by name, as the parameters say.

    Returns:
        The record, as it stands in ``handoff.json``.

    Raises:
        HandoffError: a part is missing, parts were not made for each other, or the folder holds a foreign file.
    """
    demand_complete(sources)
    parts = _read(sources)
    choice = choose(parts.outcomes["bc"], {n: o for n, o in parts.outcomes.items() if n != "bc"}, config)
    with _replacing(folder) as partial:
        plan = copies(sources, choice.name)
        for name, path in plan.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, partial / name)
        record = _record(sources, parts, choice)
        record |= {"budgets": dict(budgets), "files": {name: file_sha256(partial / name) for name in plan}}
        record["handoff_sha256"] = _own_sha256(record)
        write_json(partial / RECORD, record)
    return record


def load_handoff(folder: Path) -> dict[str, Any]:
    """Read a handoff and verify every file that it names.

    Raises:
        HandoffError: there is none, it lacks a name, or a file is missing or no longer the one that was handed off.
    """
    try:
        record = read_json(folder / RECORD)
    except DataError as error:
        raise HandoffError(f"no handoff: {error.what}", where=str(folder / RECORD), remedy=REMEDY) from error
    lacking = [key for key in REQUIRED if not isinstance(record, dict) or record.get(key) in (None, "")]
    lacking += [] if lacking else [name for name in REQUIRED_FILES if name not in record["files"]]
    if lacking:
        raise HandoffError(f"the handoff does not name {lacking[0]}", where=str(folder / RECORD), remedy=REMEDY)
    _unchanged(folder / RECORD, record["handoff_sha256"], _own_sha256(record))
    for name, expected in sorted(record["files"].items()):
        if not (folder / name).is_file():
            raise HandoffError(f"{name} is missing from the handoff", where=str(folder / name), remedy=REMEDY)
        _unchanged(folder / name, expected, file_sha256(folder / name))
    return dict(record)


def _unchanged(path: Path, expected: str, found: str) -> None:
    if found != expected:
        raise HandoffError(
            f"{path.name} was changed after the handoff",
            where=str(path),
            limit=f"sha256 {expected[:12]}, found {found[:12]}",
            remedy=REMEDY,
        )


def _own_sha256(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json_bytes({k: v for k, v in record.items() if k != "handoff_sha256"})).hexdigest()


def _read(sources: HandoffSources) -> _Parts:
    panel = load_panel(sources.panel)
    if panel.robot != sources.robot:
        raise HandoffError(
            f"the panel is for {panel.robot!r}",
            where=str(sources.panel),
            limit=f"one for {sources.robot!r}",
            remedy=REMEDY,
        )
    parts = _Parts(
        panel_sha256=panel.sha256,
        estimator=SupportEstimator.load(sources.estimator),
        calibration=Calibration.load(sources.calibration),
        policies={n: file_sha256(p / "policy.safetensors") for n, p in sources.models.items()},
        metrics={n: read_json(p / "metrics.json") for n, p in sources.evaluations.items()},
        outcomes={n: pd.read_parquet(p / "outcomes.parquet") for n, p in sources.evaluations.items()},
    )
    hashes = {
        "panel_sha256": parts.panel_sha256,
        "estimator_sha256": parts.estimator.sha256,
        "calibration_sha256": parts.calibration.sha256,
        "episodes_sha256": files_sha256(sources.episodes, "transitions.parquet", "episodes.parquet"),
    }
    if any(learned_with_penalty(sources, name) for name in sources.models) and sources.behaviour:
        hashes["behaviour_sha256"] = SupportPenalty.load(sources.behaviour).sha256
    demand_agreement(sources, hashes, parts.policies)
    return parts


def _record(sources: HandoffSources, parts: _Parts, choice: Choice) -> dict[str, Any]:
    episodes = load_episodes(sources.episodes)
    split = load_split(sources.episodes / "split.json", [e.identity for e in episodes])
    if sorted(parts.estimator.episodes) != sorted(split.train):
        raise HandoffError("the support estimator has another train split", where=str(sources.estimator), remedy=REMEDY)
    module = module_for("robots", sources.robot)
    algorithm = str(read_json(sources.models[choice.name] / "card.json")["algorithm"])
    gamma = float(parts.metrics["bc"]["gamma"])
    logged = operator_rows(episodes, parts.estimator, parts.calibration.step_threshold, module.failure, gamma)
    policies = [policy_row("policy", n, parts.metrics[n]) for n in sorted(parts.metrics, key=lambda n: (n != "bc", n))]
    evaluation = sources.evaluations[choice.name]
    audit = sources.audits[choice.name]
    return {
        "robot": sources.robot,
        "chosen": choice.name,
        "algorithm": algorithm,
        "policy_sha256": parts.policies[choice.name],
        "comparison": choice.comparison,
        "behaviour_policy": _behaviour(parts, logged),
        "support_estimator": {
            "path": "estimator",
            "sha256": parts.estimator.sha256,
            "config": read_json(sources.estimator / "estimator.json")["config"],
        },
        "pessimism_mechanism": str(module_for("algorithms", algorithm).PESSIMISM),
        "bc_baseline": {
            "path": "bc/policy.safetensors",
            "sha256": parts.policies["bc"],
            "success_rate": parts.metrics["bc"]["success_rate"],
            "success_interval": parts.metrics["bc"]["success_interval"],
        },
        "evaluation_artifact": {
            "path": f"evaluation/{choice.name}",
            "sha256": files_sha256(evaluation, "metrics.json", "outcomes.parquet"),
            "panel_sha256": parts.panel_sha256,
        },
        "audit": {"path": f"audit/{choice.name}", "sha256": files_sha256(audit, "metrics.json", "actions.parquet")},
        "manifest_sha256": load_manifest(sources.manifest).sha256,
        "episodes_sha256": files_sha256(sources.episodes, "transitions.parquet", "episodes.parquet"),
        "split_sha256": split.sha256,
        "calibration": parts.calibration.to_json() | {"sha256": parts.calibration.sha256},
        "table": [*logged, *policies],
    }


def _behaviour(parts: _Parts, logged: list[dict[str, Any]]) -> dict[str, Any]:
    counts = {row["name"]: row["episodes"] for row in logged}
    who = ", ".join(f"{name} ({count} episodes)" for name, count in counts.items())
    return {
        "operators": counts,
        "description": f"logged by {who}; its model is behaviour cloning of these episodes",
        "path": "bc/policy.safetensors",
        "sha256": parts.policies["bc"],
    }


@contextlib.contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder``, which takes its place when the block ends well, else is removed."""
    _demand_own(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex[:8]
    partial, old = (folder.with_name(f".{folder.name}.{mark}.{kind}") for kind in ("partial", "old"))
    partial.mkdir()
    try:
        yield partial
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _demand_own(folder: Path) -> None:
    """Refuse to replace a folder that holds a file which no handoff wrote."""
    if not folder.exists():
        return
    named = set(read_json(folder / RECORD).get("files", {})) | {RECORD} if (folder / RECORD).is_file() else set()
    foreign = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    foreign = [name for name in foreign if name not in named]
    if foreign:
        raise HandoffError(
            f"{foreign[0]} was not written by a handoff",
            where=str(folder),
            limit="nothing foreign is deleted",
            remedy="move it away",
        )
