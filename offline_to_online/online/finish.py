"""The end of a run: champion and baseline audited and evaluated on the report block, on the robot that was tuned on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from offline_to_online.dataset.files import read_json, replacing, write_json
from offline_to_online.evaluation.measure import NOMINAL, evaluate_policy
from offline_to_online.evaluation.statistics import paired_difference_interval
from offline_to_online.learning.policy import Policy
from offline_to_online.online.attempts import motion
from offline_to_online.online.audit_block import audit_champion
from offline_to_online.online.certify import audit_policy
from offline_to_online.online.decide import keep_head, log_round, open_registry
from offline_to_online.online.emergency import stop_file, stoppable
from offline_to_online.online.recorded import settled_files, settled_sha256
from offline_to_online.online.run import CERTIFY, COLLECT, DECISION, EVALUATED_CONDITIONS, OVER, OnlineRun
from offline_to_online.progress import progress
from offline_to_online.robots import Dynamics

BASELINE, CHAMPION, FINAL = "baseline", "champion", "final"


def finish(run: OnlineRun) -> dict[str, Any]:
    """Hold the champion against the baseline, evaluate both, write ``summary.json``, end the MLflow run; the summary.

    A champion that the audit block shows to be worse is champion no longer before anything else is said of the run.
    The report block is played on the tuned robot, with its resets shifted, and on the robot as it was logged.
    """
    path, audited = run.folder / "summary.json", audit_champion(run)
    if not path.exists():
        standing = run.standing()
        _judge(run, BASELINE, run.baseline)
        if standing.policy != run.baseline:
            _judge(run, CHAMPION, standing.policy)
        write_json(path, summary_of(run, audited))
    summary: dict[str, Any] = read_json(path)
    for number, _ in run.results(COLLECT):
        log_round(run, number)
    registry, run_id = open_registry(run)
    registry.finish(run_id, summary, [path, run.folder / "run.json"])
    return summary


def close(run: OnlineRun) -> None:
    """Write down that the run is over, after everything else; from then on it is not gone on with."""
    files = settled_files(run.folder / FINAL, run.folder)
    run.journal.once(OVER, {}, {"sha256": settled_sha256(run.folder / "summary.json"), "files": files})
    keep_head(run)


def _judge(run: OnlineRun, who: str, policy: Path) -> None:
    folder = run.folder / "final" / who
    if (folder / "metrics.json").exists():
        return
    audit_policy(run, policy, who, folder / "audit", 0)
    with progress(f"evaluating the {who}") as tell, stoppable(run, FINAL), motion(run, f"{FINAL} {who}"):
        metrics, outcomes = evaluate_policy(
            policy,
            name=who,
            panel=run.panel,
            gamma=run.gamma,
            dynamics=run.config.dynamics,
            perturbation=Dynamics(),
            support_folder=run.handoff_folder,
            jobs=int(run.facts["jobs"]),
            progress=tell,
            stop_file=stop_file(run),
        )
    with replacing(folder / "outcomes.parquet") as partial:
        outcomes.to_parquet(partial, index=False)
    write_json(folder / "metrics.json", metrics)


def summary_of(run: OnlineRun, audited: Mapping[str, Any] | None) -> dict[str, Any]:
    """What ``summary.json`` says, by what is recorded."""
    decisions = [decision for _, decision in run.results(DECISION)]
    standing, evidence = run.standing(), run.evidence()
    champion = CHAMPION if standing.policy != run.baseline else BASELINE
    played = 1 if champion == BASELINE else 2
    drifts = [e.support_drift for e in evidence]
    drifts_k = [e.support_drift_k for e in evidence if e.support_drift_k is not None]
    halt_reason = run.halt_reason()
    said = audited or {"executed": 0, "rolled_back": False, "reason": ""}
    return {
        "run": run.name,
        "robot": run.robot,
        "dynamics": asdict(run.config.dynamics),
        "seed": run.facts["seed"],
        "episodes": len(evidence),
        "certification_episodes": sum(int(r["executed"]) for _, r in run.results(CERTIFY)),
        "audit_episodes": said["executed"],
        "executed_episodes": run.executed() + said["executed"] + played * EVALUATED_CONDITIONS * len(run.panel.report),
        "rounds": len(decisions) + bool(halt_reason),
        "accepted": sum(bool(d["accepted"]) for d in decisions),
        "rejected": sum(bool(d["candidate"]) and not d["accepted"] for d in decisions),
        "vetoed": sum(bool(d.get("vetoed")) for d in decisions),
        "halted": bool(halt_reason),
        "halt_reason": halt_reason,
        "interventions": sum(e.interventions for e in evidence),
        "constraint_cost": float(sum(e.cost for e in evidence)),
        "worst_support_drift": max(drifts, default=0.0),
        "mean_support_drift": float(np.mean(drifts)) if drifts else 0.0,
        "worst_support_drift_k": max(drifts_k, default=None),
        "mean_support_drift_k": float(np.mean(drifts_k)) if drifts_k else None,
        "champion_version": standing.version,
        "champion_policy_sha256": Policy.load(standing.policy).sha256,
        "unchanged_baseline": champion == BASELINE,
        "rolled_back": said["rolled_back"],
        "audit": said["reason"],
        **_comparison(run.folder / "final", champion),
    }


def _comparison(final: Path, champion: str) -> dict[str, Any]:
    sides: Mapping[str, dict[str, Any]] = {
        "baseline": read_json(final / BASELINE / "metrics.json"),
        "champion": read_json(final / champion / "metrics.json"),
    }
    said: dict[str, Any] = {}
    for side, metrics in sides.items():
        said |= {
            f"{side}_success": metrics["success_rate"],
            f"{side}_interval": metrics["success_interval"],
            f"{side}_certified_success": metrics["certified_success_rate"],
            f"{side}_score": metrics["score"],
            f"{side}_score_interval": metrics["score_interval"],
        }
    for metric, key in (("success", "difference"), ("score", "score_difference")):
        pairs = _values(final / champion, metric) - _values(final / BASELINE, metric)
        said |= {key: float(pairs.mean()), f"{key}_interval": list(paired_difference_interval(pairs))}
    return said


def _values(folder: Path, metric: str) -> Any:
    outcomes = pd.read_parquet(folder / "outcomes.parquet")
    nominal = outcomes[outcomes["condition"] == NOMINAL].sort_values("task")
    return nominal[metric].to_numpy(dtype=np.float64)
