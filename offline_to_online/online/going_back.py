"""What a rollback means for a run: the alias follows the journal, and a candidate of the former champion is dropped.

The journal's record comes first. Whoever is killed between it and the alias leaves the alias behind, which the next
start, or the same command again, makes good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offline_to_online.evaluation.handoff import FIVE
from offline_to_online.online import people

if TYPE_CHECKING:
    from offline_to_online.online.registry import Registry
    from offline_to_online.online.run import OnlineRun

BASELINE = "baseline"


def called_off(run: OnlineRun, number: int) -> str:
    """Why a round's candidate is dropped whatever it does: its champion was rolled back after its update; or ""."""
    updated = run.journal.of("phase", round=number, phase="update")
    for record in run.journal.of(people.KIND, subject=people.ROLLBACK, round=number - 1):
        if updated and record.sequence > updated[0].sequence:
            return f"it comes from a champion that was {people.Decision.from_json(record.data).sentence()}"
    return ""


def follow_rollback(run: OnlineRun, registry: Registry, run_id: str) -> None:
    """Move the alias to where the journal's last rollback put the champion, unless that was done.

    Raises:
        RunError: what is stored does not act as the version did; the alias stays.
    """
    records = run.journal.of(people.KIND, subject=people.ROLLBACK)
    if not records or registry.followed(run_id) >= records[-1].sequence:
        return
    gone_back_to = str(records[-1].data["version"])
    standing = run.standing()
    if standing.version == gone_back_to:
        version = gone_back_to or store_baseline(run, registry, run_id)
        registry.demand_alike(version, standing.policy)
        registry.move_alias(version)
    registry.mark_followed(run_id, records[-1].sequence)


def store_baseline(run: OnlineRun, registry: Registry, run_id: str) -> str:
    """The handed-off policy as a version, made once: whoever loads the alias is to find it there."""
    handoff: dict[str, Any] = run.handoff
    evidence = {
        "run": run.name,
        "round": 0,
        "robot": run.robot,
        "verdicts": [],
        "handoff": {name: handoff[name] for name in FIVE},
        "handoff_sha256": handoff["handoff_sha256"],
        "panel_sha256": run.facts["panel_sha256"],
        "policy_sha256": handoff["policy_sha256"],
        "git_commit": run.facts["git_commit"],
    }
    tags = {name: str(evidence[name]) for name in ("handoff_sha256", "git_commit")} | {"online_run": run.name}
    return registry.store(run_id, BASELINE, run.baseline, evidence, tags)
