"""The end of a round: accept and register the candidate, or keep the champion; and what MLflow is told of it all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from offline_to_online.dataset.files import read_json
from offline_to_online.errors import RunError
from offline_to_online.evaluation.handoff import FIVE
from offline_to_online.online import forgetting
from offline_to_online.online.fresh import FreshProcess
from offline_to_online.online.going_back import called_off, follow_rollback
from offline_to_online.online.registry import Head, Registry
from offline_to_online.online.run import AUDIT, CERTIFY, COLLECT, DECISION, SAFETY, SCREEN, UPDATE, OnlineRun
from offline_to_online.online.screen import metrics as screen_metrics
from offline_to_online.online.servers import store_address

# A server that is restarted is back within this.
OUTAGE_S = 180.0


def open_registry(run: OnlineRun, *, resume: bool = True) -> tuple[Registry, str]:
    """The registry of a run's configured server, and the id of its MLflow run; what was left undone there is done.

    Args:
        run: whose.
        resume: show an MLflow run that was closed as running again.

    Raises:
        RunError: the journal is not the one whose head MLflow keeps: records were cut off, or changed.
        ServerError: no MLflow server at the configured address, for longer than it is waited for.
    """
    registry = Registry(
        run.folder.parent,
        server=run.config.servers.mlflow,
        model=run.config.registered_model,
        patience_s=OUTAGE_S,
    )
    facts = {
        "robot": run.robot,
        "seed": run.facts["seed"],
        "algorithm": run.handoff["algorithm"],
        "handoff_sha256": run.handoff["handoff_sha256"],
        "git_commit": run.facts["git_commit"],
        "dynamics": run.facts["dynamics"],
        "rounds": run.config.rounds,
        "episodes_per_round": run.config.episodes_per_round,
        "interaction_budget_episodes": run.config.interaction_budget_episodes,
    }
    run_id = registry.begin(run.name, run.folder, facts, resume=resume)
    demand_head(run, registry.head(run_id))
    follow_rollback(run, registry, run_id)
    return registry, run_id


def demand_head(run: OnlineRun, kept: Head | None) -> None:
    """Refuse a journal that is not the one whose head was kept, or that with more after it.

    Raises:
        RunError: it is not.
    """
    if kept is not None and run.journal.head_at(kept.records) != kept.sha256:
        raise RunError(
            f"the journal is not the one that MLflow keeps the head of: {kept.records} records, {kept.sha256[:12]}",
            where=str(run.journal.path),
            limit=f"found {len(run.journal.records)} records, {run.journal.head_at(kept.records)[:12] or 'none'} there",
            remedy="restore the journal, or start another run with --new",
        )


def keep_head(run: OnlineRun) -> None:
    """Keep the head of the journal in MLflow, so that a journal that is cut or rewritten later is known as such.

    Raises:
        RunError: it was cut or rewritten since it was kept last.
        ServerError: as ``open_registry``.
    """
    registry, run_id = open_registry(run, resume=False)
    registry.keep_head(run_id, Head(sha256=run.journal.head, records=len(run.journal.records)))


def begin_fresh(run: OnlineRun) -> FreshProcess:
    """The process in which a candidate's stored policy is looked at, to be begun while it is still being certified."""
    return FreshProcess(store_address(run.folder.parent, run.config.servers.mlflow))


def accept_or_reject(run: OnlineRun, number: int, fresh: FreshProcess | None = None) -> dict[str, Any]:
    """End a round. Accepted: a new model version, and the alias moved to it. Rejected: the data and the champion stay.

    Args:
        run: whose round it is.
        number: of the round.
        fresh: what ``begin_fresh`` gave, entered; begun only now where there is none.

    Returns:
        ``candidate``, ``accepted``, ``reason``; for an accepted one ``version`` and ``policy_sha256``, for one that the
        screen kept off the robot ``vetoed``.

    Raises:
        ServerError: no MLflow server at the configured address; the round is decided at the next start.
    """
    return run.phase(number, DECISION, lambda: _decide(run, number, fresh))


def log_round(run: OnlineRun, number: int) -> None:
    """Tell MLflow what a round measured, over episodes; telling it again changes nothing."""
    registry, run_id = open_registry(run)
    collected, updated = run.result(number, COLLECT), run.result(number, UPDATE)
    certified = run.result(number, CERTIFY)
    if collected is not None:
        rows = [_episode_row(row) for row in collected["evidence"]]
        registry.log(run_id, rows, first_step=int(collected["first"]) + 1, time_ms=_time_ms(run, number, COLLECT))
    after = run.collected(before=number + 1)
    if updated is not None and updated["candidate"]:
        losses = {f"loss/{name}": value for name, value in updated["losses"].items()}
        registry.log(run_id, [losses], first_step=after, time_ms=_time_ms(run, number, UPDATE))
    forgotten = forgetting.written(run, number)
    if forgotten is not None:
        registry.log(run_id, [forgetting.metrics(forgotten)], first_step=after, time_ms=_time_ms(run, number, AUDIT))
    screened = run.result(number, SCREEN)
    if screened is not None:
        registry.log(run_id, [screen_metrics(screened)], first_step=after, time_ms=_time_ms(run, number, SCREEN))
    if certified is not None:
        rates = {f"certified/{side}": rate for side, rate in certified["certified_success_rate"].items()}
        row = {**rates, "certification_pairs": float(certified["pairs"]), "accepted": float(certified["accepted"])}
        registry.log(run_id, [row], first_step=after, time_ms=_time_ms(run, number, CERTIFY))
    registry.keep_head(run_id, Head(sha256=run.journal.head, records=len(run.journal.records)))


def _decide(run: OnlineRun, number: int, fresh: FreshProcess | None) -> dict[str, Any]:
    said = outcome(run, number)
    if not said["accepted"]:
        return said
    certified, updated = run.result(number, CERTIFY) or {}, run.result(number, UPDATE) or {}
    return said | {"version": _register(run, number, certified, fresh), "policy_sha256": updated["policy_sha256"]}


def outcome(run: OnlineRun, number: int) -> dict[str, Any]:
    """What becomes of a round's candidate, by what is recorded of it; nothing is registered."""
    updated, certified = run.result(number, UPDATE), run.result(number, CERTIFY)
    screened = run.result(number, SCREEN)
    if screened is not None and not screened["passed"]:
        return {"candidate": True, "accepted": False, "vetoed": True, "reason": screened["reason"]}
    if updated is not None and updated["candidate"] and (why := called_off(run, number)):
        # One that was never compared on tasks counts as little as one that the screen kept off the robot.
        return {"candidate": True, "accepted": False, "vetoed": certified is None, "called_off": True, "reason": why}
    if updated is None or not updated["candidate"] or certified is None:
        return {"candidate": False, "accepted": False, "reason": updated["reason"] if updated else "no update"}
    if not certified["accepted"]:
        return {"candidate": True, "accepted": False, "reason": certified["reason"]}
    if refusal := run.refusal(number):
        return {"candidate": True, "accepted": False, "reason": refusal}
    return {"candidate": True, "accepted": True, "reason": certified["reason"]}


def _register(run: OnlineRun, number: int, certified: Mapping[str, Any], fresh: FreshProcess | None) -> str:
    registry, run_id = open_registry(run)
    evidence = evidence_of_round(run, number, certified)
    tags = {
        "online_run": run.name,
        "panel_sha256": evidence["panel_sha256"],
        "handoff_sha256": evidence["handoff_sha256"],
        "episodes_sha256": evidence["data"]["logged_episodes_sha256"],
        "online_episodes_sha256": evidence["data"]["online_episodes_sha256"],
        "git_commit": evidence["git_commit"],
        "parent_version": evidence["parent_version"],
    }
    for verdict in evidence["verdicts"]:
        # A budget may be held by both gates: while the champion collects, and while the candidate is certified.
        name = f"verdict/{verdict['rule']}"
        name = f"verdict/certification/{verdict['rule']}" if name in tags else name
        tags[name] = f"{verdict['measured']:.6g} against {verdict['limit']:.6g} {verdict['unit']}"
    tags |= {name: _short(evidence["handoff"][name]) for name in FIVE}
    policy = run.round_folder(number) / "candidate" / "policy.safetensors"
    return registry.register(run_id, f"{number:03d}", policy, evidence, tags, fresh=fresh)


def evidence_of_round(run: OnlineRun, number: int, certified: Mapping[str, Any]) -> dict[str, Any]:
    """What a registered policy carries: why it was let in, and everything it rests on, by hash."""
    safety = run.result(number, SAFETY) or {"verdicts": []}
    screened = run.result(number, SCREEN)
    parent = run.standing(before=number)
    return {
        "run": run.name,
        "round": number,
        "robot": run.robot,
        "dynamics": run.facts["dynamics"],
        "seed": run.facts["seed"],
        "verdicts": [*safety["verdicts"], *(screened or {"verdicts": []})["verdicts"], *certified["verdicts"]],
        "certification": {key: value for key, value in certified.items() if key != "verdicts"},
        "handoff": {name: run.handoff[name] for name in FIVE},
        "handoff_sha256": run.handoff["handoff_sha256"],
        "panel_sha256": run.facts["panel_sha256"],
        "data": {
            "logged_episodes_sha256": run.handoff["episodes_sha256"],
            "online_episodes": run.collected(before=number + 1),
            "online_episodes_sha256": online_sha256(run, number),
        },
        "policy_sha256": (run.result(number, UPDATE) or {})["policy_sha256"],
        "git_commit": run.facts["git_commit"],
        "parent_version": parent.version or f"handoff {run.handoff['policy_sha256'][:12]}",
        "audit": read_json(run.round_folder(number) / "audit" / "metrics.json"),
        "forgetting": forgetting.written(run, number),
        "screen": screened,
    }


def online_sha256(run: OnlineRun, number: int) -> str:
    """SHA-256 over the hashes of all episodes collected up to a round, in order."""
    hashes = [str(record.data["sha256"]) for record in run.journal.of("episode")[: run.collected(before=number + 1)]]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _episode_row(row: Mapping[str, Any]) -> dict[str, float]:
    names = ("success", "interventions", "support_drift", "support_drift_k", "cost", "score")
    return {f"episode/{name}": float(row[name]) for name in names if row.get(name) is not None}


def _time_ms(run: OnlineRun, number: int, phase: str) -> int:
    path: Path = run.round_folder(number) / f"{phase}.json"
    return int(path.stat().st_mtime * 1000)


def _short(value: Any) -> str:
    """One of the handoff's five names in a tag: its words, or its path and hash."""
    if not isinstance(value, Mapping):
        return str(value)[:500]
    return " ".join(str(value[key]) for key in ("description", "path", "sha256") if key in value)[:500]
