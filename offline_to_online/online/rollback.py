"""Rollback by a person: the champion is an earlier version again, or the handed-off baseline.

The stored artifact must load in a fresh process and act as the version's recorded policy does. Then the decision is
journaled in the run that made the version, and the alias moves. Killed in between, the same command again ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_to_online.dataset.files import file_sha256, read_json
from offline_to_online.errors import RunError
from offline_to_online.online import people
from offline_to_online.online.collect import settle_episode
from offline_to_online.online.decide import keep_head, open_registry
from offline_to_online.online.finish import FINAL, SUMMARY
from offline_to_online.online.going_back import BASELINE, store_baseline
from offline_to_online.online.recorded import settled_sha256
from offline_to_online.online.registry import Registry
from offline_to_online.online.robot_lock import robot_held
from offline_to_online.online.run import CERTIFY, CLOSING, DECISION, PHASES, OnlineRun

FACTS = "run.json"


@dataclass(frozen=True, kw_only=True)
class _Target:
    """What a person wants to go back to: a version of a run, ``""`` for its baseline, and the file it must act as."""

    run: OnlineRun
    version: str
    policy: Path


def roll_back(registry: Registry, locks: Path, *, to: str, name: str, reason: str) -> str:
    """Make an earlier version, or the baseline, the champion; what was done, in a sentence.

    A run that is not over goes on from there: its champion and its learner are that version's.

    Args:
        registry: whose alias moves.
        locks: the folder of the robots' locks.
        to: the version, or ``baseline``: the policy that was handed to the run which made the champion.
        name: who decides.
        reason: why.

    Raises:
        ParameterError: no name or no reason.
        RunError: no such version, its run is gone or was changed, or what is stored acts differently.
        RobotError: a run is in progress; who holds the robot is said.
    """
    people.Answer(answer=people.ROLLBACK, name=name, reason=reason)
    before = registry.champion()
    folder, to = _place(registry, to, before)
    # Nothing of the journal is opened before the robot is ours: whoever holds it may be writing.
    with robot_held(locks, str(read_json(folder / FACTS)["robot"]), f"rollback by {name}"):
        target = _target(OnlineRun(folder), to)
        _demand_not_finishing(target.run)
        _, run_id = open_registry(target.run, resume=False)
        version = target.version or store_baseline(target.run, registry, run_id)
        registry.demand_alike(version, target.policy)
        _settle(target.run)
        sequence = _journaled(target, name=name, reason=reason)
        registry.move_alias(version)
        registry.mark_followed(run_id, sequence)
        keep_head(target.run)
    what = f"version {version} of {registry.model}{'' if target.version else ', the baseline'}, run {target.run.name}"
    return f"the champion is {what} (it was version {before}): rolled back by {name}: {reason}"


def _place(registry: Registry, to: str, champion: str) -> tuple[Path, str]:
    """The folder of the run that is concerned, and what of it to go back to: a version, or "" for its baseline."""
    versions = registry.versions()
    if not champion:
        raise RunError("no champion to go back from", where=registry.model, limit="no candidate was accepted yet")
    if to != BASELINE and to not in versions:
        raise _unknown(registry.model, to, versions)
    tags = versions[champion if to == BASELINE else to]
    folder = registry.folder_of(tags["online_run_id"])
    if not (folder / "run.json").is_file():
        raise RunError(
            f"the run that made version {to} is gone",
            where=str(folder),
            limit="its folder, with the policy as it was recorded",
            remedy="restore the folder, or go back to another version",
        )
    return folder, "" if to == BASELINE or tags["round"] == BASELINE else to


def _unknown(model: str, to: str, versions: Mapping[str, Mapping[str, Any]]) -> RunError:
    """The error for a version that is none, listing those there are."""
    named = [f"{version} ({tags['online_run']}, round {tags['round']})" for version, tags in versions.items()]
    listed = ", ".join(named)
    return RunError(
        f"no version {to!r}", where=model, limit=f"{listed or 'none yet'}, or {BASELINE}", remedy="name one"
    )


def _demand_not_finishing(run: OnlineRun) -> None:
    """Refuse while a run is being evaluated at its end: its summary would mix two champions."""
    ending = any((run.folder / name).exists() for name in (FINAL, SUMMARY))
    if (ending and not run.over) or (run.folder / CLOSING).exists():
        raise RunError(
            f"run {run.name!r} is evaluating its champion",
            where=str(run.folder / FINAL),
            limit="its rounds are over, and it is not",
            remedy="let it end (python -m flows.finetune), then roll back",
        )


def _target(run: OnlineRun, version: str) -> _Target:
    if not version:
        return _Target(run=run, version="", policy=run.baseline)
    for number, decision in run.results(DECISION):
        if decision.get("version") == version:
            policy = run.round_folder(number) / "candidate" / "policy.safetensors"
            if file_sha256(policy) != decision["policy_sha256"]:
                raise RunError(
                    f"version {version} is not the policy that was accepted",
                    where=str(policy),
                    limit=f"recorded {decision['policy_sha256'][:12]}, found {file_sha256(policy)[:12]}",
                    remedy="restore the run's folder",
                )
            return _Target(run=run, version=version, policy=policy)
    raise RunError(
        f"version {version} is registered, and its round not decided",
        where=str(run.folder),
        limit="a run that was killed while it decided",
        remedy="go on with the run first: python -m flows.finetune",
    )


def _settle(run: OnlineRun) -> None:
    """Put on record what a killed process had finished, so that it counts as what came before the rollback."""
    number = len(run.journal.of("phase", phase=DECISION)) + 1
    settle_episode(run, number)
    batches = sorted((run.round_folder(number) / CERTIFY).glob("*.json"))
    for path in batches:
        run.journal.once("batch", {"file": str(path.relative_to(run.folder))}, {"sha256": settled_sha256(path)})
    for phase in PHASES:
        if run.result(number, phase) is not None:
            run.phase(number, phase, dict)


def _journaled(target: _Target, *, name: str, reason: str) -> int:
    """The sequence number of the decision, journaled unless it is what was journaled last."""
    journal = target.run.journal
    number = len(journal.of("phase", phase=DECISION))
    asked = journal.of(people.KIND, subject=people.ROLLBACK, round=number)
    answer = people.Answer(answer=people.ROLLBACK, name=name, reason=reason, version=target.version)
    if asked and asked[-1] == journal.records[-1] and people.Decision.from_json(asked[-1].data).answer == answer:
        return asked[-1].sequence
    question = people.Question(subject=people.ROLLBACK, round=number, number=len(asked) + 1)
    people.decide(journal, question, answer)
    return journal.records[-1].sequence
