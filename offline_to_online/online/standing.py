"""Where a run stands between two rounds: who is champion, and what the next update starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_to_online.errors import RunError
from offline_to_online.online import people

if TYPE_CHECKING:
    from offline_to_online.online.run import OnlineRun

DECISION = "decision"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a run stands between two rounds.

    Attributes:
        policy: the champion's exported file.
        version: the champion's model version, "" while it is the baseline.
        learner: the learner's state that the next update starts from.
        learner_since: episodes that had been collected when that learner was made.
        candidates: candidates that were certified so far. One that the screen vetoed is none of them: it was never
            compared on tasks, so that it spends neither error nor a block of the acceptance gate.
    """

    policy: Path
    version: str
    learner: Path
    learner_since: int
    candidates: int


def standing_of(run: OnlineRun, before: int | None = None) -> Standing:
    """A run's standing after all decided rounds, or after those before one.

    What a person rolled back between two rounds holds from the next round on.

    Raises:
        RunError: the journal names a version to go back to that the run does not have.
    """
    standing = _beginning(run)
    for number, decision in run.results(DECISION):
        if before is None or number < before:
            standing = _rolled_back(run, number, _after(run, number, decision, standing), before)
    return standing


def _beginning(run: OnlineRun) -> Standing:
    learner = run.handoff_folder / "learner.safetensors"
    return Standing(policy=run.baseline, version="", learner=learner, learner_since=0, candidates=0)


def _after(run: OnlineRun, number: int, decision: Mapping[str, Any], standing: Standing) -> Standing:
    if not decision["candidate"]:
        return standing
    made, accepted = run.round_folder(number) / "candidate", bool(decision["accepted"])
    goes_on = accepted or (run.config.on_reject == "continue" and not decision.get("called_off", False))
    return Standing(
        policy=made / "policy.safetensors" if accepted else standing.policy,
        version=str(decision["version"]) if accepted else standing.version,
        learner=made / "learner.safetensors" if goes_on else standing.learner,
        learner_since=run.collected(before=number + 1) if goes_on else standing.learner_since,
        candidates=standing.candidates + (not decision.get("vetoed", False)),
    )


def _rolled_back(run: OnlineRun, number: int, standing: Standing, before: int | None) -> Standing:
    """What a person made of a round's standing: champion and learner are those of the version gone back to.

    A round whose certification had begun by then goes on with the champion that it began with.
    """
    records = run.journal.of(people.KIND, subject=people.ROLLBACK, round=number)
    if before == number + 1 and (begun := certification_begun(run, before)):
        records = [record for record in records if record.sequence < begun]
    if not records:
        return standing
    version = people.Decision.from_json(records[-1].data).answer.version
    if not version:
        return replace(_beginning(run), candidates=standing.candidates)
    folder = run.round_folder(_round_of(run, version)) / "candidate"
    return Standing(
        policy=folder / "policy.safetensors",
        version=version,
        learner=folder / "learner.safetensors",
        learner_since=run.collected(before=_round_of(run, version) + 1),
        candidates=standing.candidates,
    )


def certification_begun(run: OnlineRun, number: int) -> int:
    """The sequence number of the record of a round's first batch; 0 before there is one."""
    first = f"{run.round_folder(number).relative_to(run.folder).as_posix()}/certify/001.json"
    return next((record.sequence for record in run.journal.of("batch", file=first)), 0)


def _round_of(run: OnlineRun, version: str) -> int:
    for number, decision in run.results(DECISION):
        if decision.get("version") == version:
            return number
    raise RunError(
        f"run {run.name!r} has no version {version!r}", where=str(run.journal.path), limit="one it registered"
    )
