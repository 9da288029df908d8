"""The end of a run: champion and baseline audited and evaluated on the report block, on the robot that was tuned on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from offline_to_online.dataset.files import read_json, replacing, write_json
from offline_to_online.evaluation.measure import NOMINAL, evaluate_policy
from offline_to_online.evaluation.rollout import read_rollout
from offline_to_online.evaluation.statistics import paired_difference_interval
from offline_to_online.learning.policy import Policy
from offline_to_online.online.attempts import motion
from offline_to_online.online.audit_block import audit_champion
from offline_to_online.online.certify import audit_policy
from offline_to_online.online.collect import evidence_of
from offline_to_online.online.decide import keep_head, log_round, open_registry
from offline_to_online.online.emergency import stop_file, stoppable
from offline_to_online.online.evidence import RolloutEvidence
from offline_to_online.online.recorded import recorded_json, settled_files, settled_sha256
from offline_to_online.online.run import CLOSING, COLLECT, DECISION, EVALUATED_CONDITIONS, OVER, OnlineRun
from offline_to_online.progress import progress
from offline_to_online.robots import Dynamics

BASELINE, CHAMPION, FINAL = "baseline", "champion", "final"
SUMMARY = "summary.json"
# What the summary says of either side, by its name in ``metrics.json``; and of their paired difference, by metric.
OF_A_SIDE = {
    "success": "success_rate",
    "interval": "success_interval",
    "certified_success": "certified_success_rate",
    "score": "score",
    "score_interval": "score_interval",
}
DIFFERENCES = {"success": "difference", "score": "score_difference"}
COMPARED = (
    *(f"{who}_{key}" for who in (BASELINE, CHAMPION) for key in OF_A_SIDE),
    *(f"{key}{suffix}" for key in DIFFERENCES.values() for suffix in ("", "_interval")),
)


def finish(run: OnlineRun) -> dict[str, Any]:
    """Hold the champion against the baseline, evaluate both, write ``summary.json``, end the MLflow run; the summary.

    A champion that the audit block shows to be worse is champion no longer before anything else is said of the run.
    The report block is played on the tuned robot, with its resets shifted, and on the robot as it was logged.
    A run that was halted moves nothing any more: neither block is played, and the summary has null for their figures.
    """
    path = run.folder / SUMMARY
    if not run.over:
        _summarise(run, path)
    summary: dict[str, Any] = read_json(path)
    for number, _ in run.results(COLLECT):
        log_round(run, number)
    registry, run_id = open_registry(run)
    registry.finish(run_id, summary, [path, run.folder / "run.json"])
    return summary


def _summarise(run: OnlineRun, path: Path) -> None:
    """Play what is to be played at the end, and write down what came of the run, anew if it is not what it was."""
    audited = None
    if run.halt() is None:
        audited = audit_champion(run)
        _evaluate(run)
    said = json.loads(json.dumps(summary_of(run, audited)))
    if not path.exists() or read_json(path) != said:
        write_json(path, said)


def close(run: OnlineRun) -> None:
    """Write down that the run is over, after everything else; from then on it is not gone on with.

    A run that is killed between that record and the head that MLflow is to keep of it is ended by the next start.
    """
    closing = run.folder / CLOSING
    closing.touch()
    files = settled_files(run.folder / FINAL, run.folder)
    run.journal.once(OVER, {}, {"sha256": settled_sha256(run.folder / SUMMARY), "files": files})
    keep_head(run)
    closing.unlink()


def _evaluate(run: OnlineRun) -> None:
    """Baseline and champion on the report block, each once."""
    standing = run.standing()
    _judge(run, BASELINE, run.baseline)
    if standing.policy != run.baseline:
        _judge(run, CHAMPION, standing.policy)


def _judge(run: OnlineRun, who: str, policy: Path) -> None:
    folder = run.folder / "final" / who
    if (folder / "metrics.json").exists():
        return
    audit_policy(run, policy, who, folder / "audit", 0)
    with progress(f"evaluating the {who}") as tell, stoppable(run, FINAL) as asks, motion(run, f"{FINAL} {who}"):
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
            stop=asks,
        )
    with replacing(folder / "outcomes.parquet") as partial:
        outcomes.to_parquet(partial, index=False)
    write_json(folder / "metrics.json", metrics)


def summary_of(run: OnlineRun, audited: Mapping[str, Any] | None) -> dict[str, Any]:
    """What ``summary.json`` says, by what is recorded; an episode of a round that nobody finished counts as well."""
    decisions = [decision for _, decision in run.results(DECISION)]
    standing, collected, certified = run.standing(), all_collected(run), all_certified(run)
    champion = CHAMPION if standing.policy != run.baseline else BASELINE
    halt_reason = run.halt_reason()
    evaluated = 0 if halt_reason else (1 + (champion == CHAMPION)) * EVALUATED_CONDITIONS * len(run.panel.report)
    drifts = [e.support_drift for e in collected]
    drifts_k = [e.support_drift_k for e in collected if e.support_drift_k is not None]
    said = audited or {"executed": 0, "rolled_back": False, "reason": ""}
    return {
        "run": run.name,
        "robot": run.robot,
        "dynamics": asdict(run.config.dynamics),
        "seed": run.facts["seed"],
        "episodes": len(collected),
        "certification_episodes": len(certified),
        "audit_episodes": said["executed"],
        "executed_episodes": len(collected) + len(certified) + said["executed"] + evaluated,
        "rounds": len(decisions) + bool(halt_reason),
        "accepted": sum(bool(d["accepted"]) for d in decisions),
        "rejected": sum(bool(d["candidate"]) and not d["accepted"] for d in decisions),
        "vetoed": sum(bool(d.get("vetoed")) for d in decisions),
        "halted": bool(halt_reason),
        "halt_reason": halt_reason,
        "interventions": sum(e.interventions for e in collected),
        "constraint_cost": float(sum(e.cost for e in collected)),
        "certification_interventions": sum(e.interventions for e in certified),
        "certification_constraint_cost": float(sum(e.cost for e in certified)),
        "worst_support_drift": max(drifts, default=0.0),
        "mean_support_drift": float(np.mean(drifts)) if drifts else 0.0,
        "worst_support_drift_k": max(drifts_k, default=None),
        "mean_support_drift_k": float(np.mean(drifts_k)) if drifts_k else None,
        "champion_version": standing.version,
        "champion_policy_sha256": Policy.load(standing.policy).sha256,
        "unchanged_baseline": champion == BASELINE,
        "rolled_back": said["rolled_back"],
        "audit": said["reason"],
        **(dict.fromkeys(COMPARED) if halt_reason else _comparison(run.folder / FINAL, champion)),
    }


def all_collected(run: OnlineRun) -> list[RolloutEvidence]:
    """Every collected episode on record; of a round whose collection did not end, read from the episodes themselves."""
    closed = run.evidence()
    open_ones = range(len(closed), len(run.journal.of("episode")))
    return closed + [evidence_of(read_rollout(run.episode_path(index))) for index in open_ones]


def all_certified(run: OnlineRun) -> list[RolloutEvidence]:
    """Every episode on record that was played to certify a candidate, by whichever side."""
    files = [str(record.data["file"]) for record in run.journal.of("batch")]
    batches = [recorded_json(run.folder / name) for name in files if not name.startswith(f"{FINAL}/")]
    return [RolloutEvidence.from_json(row) for sides in batches for rows in sides.values() for row in rows]


def _comparison(final: Path, champion: str) -> dict[str, Any]:
    sides: Mapping[str, dict[str, Any]] = {
        BASELINE: read_json(final / BASELINE / "metrics.json"),
        CHAMPION: read_json(final / champion / "metrics.json"),
    }
    said: dict[str, Any] = {f"{who}_{key}": sides[who][name] for who in sides for key, name in OF_A_SIDE.items()}
    for metric, key in DIFFERENCES.items():
        pairs = _values(final / champion, metric) - _values(final / BASELINE, metric)
        said |= {key: float(pairs.mean()), f"{key}_interval": list(paired_difference_interval(pairs))}
    return said


def _values(folder: Path, metric: str) -> Any:
    outcomes = pd.read_parquet(folder / "outcomes.parquet")
    nominal = outcomes[outcomes["condition"] == NOMINAL].sort_values("task")
    return nominal[metric].to_numpy(dtype=np.float64)
