"""One online run on disk: where it stands, and its phases, each done once.

    data/online/<run>/
      run.json            robot, parameters, seed, hashes of what it started from
      handoff/            the copy of the handoff it started from
      journal.jsonl       what happened, in order
      episodes/           one file per collected episode
      rounds/<k>/         <phase>.json of each phase, the candidate, its audit, its certification
      final/              champion and baseline on the report block
      summary.json        when it is over

A phase is done when its file is there. Files are written whole and never change, and all randomness derives from
(seed, phase, round, index): a run that was killed anywhere goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from offline_to_online.dataset.files import file_sha256, read_json, write_json
from offline_to_online.errors import ParameterError, RunError
from offline_to_online.evaluation.handoff import load_handoff
from offline_to_online.evaluation.panel import Panel, load_panel
from offline_to_online.online.config import OnlineConfig
from offline_to_online.online.evidence import RolloutEvidence
from offline_to_online.online.journal import Journal
from offline_to_online.plugins import module_for

COLLECT, SAFETY, UPDATE, AUDIT, CERTIFY, DECISION = "collect", "safety", "update", "audit", "certify", "decision"
SCREEN = "screen"
# A phase's place is part of its seed: the screen comes after the update, but stands last, so that no other moves.
PHASES = (COLLECT, SAFETY, UPDATE, AUDIT, CERTIFY, DECISION, SCREEN)
OVER = "over"
EVALUATED_CONDITIONS = 3


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


class OnlineRun:
    """A run's folder, opened.

    Args:
        folder: ``data/online/<run>``.

    Raises:
        RunError: no run, or a broken one.
        HandoffError: the run's copy of its handoff was changed.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "run.json").is_file():
            raise RunError("no such run", where=str(folder), remedy="start one: python -m flows.finetune --new")
        self.folder = folder
        self.facts: dict[str, Any] = read_json(folder / "run.json")
        self.config = _config_of(self.facts["config"], folder)
        self.journal = Journal(folder / "journal.jsonl")
        self.journal.once("begin", {}, {"run": self.name, "sha256": file_sha256(folder / "run.json")})
        self.handoff: dict[str, Any] = load_handoff(folder / "handoff")

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self.facts["run"])

    @property
    def robot(self) -> str:
        """The robot's plug-in name."""
        return str(self.facts["robot"])

    @property
    def module(self) -> ModuleType:
        """The robot module."""
        return module_for("robots", self.robot)

    @property
    def panel(self) -> Panel:
        """The panel, as it was handed off."""
        return load_panel(self.handoff_folder / "panel.json")

    @property
    def handoff_folder(self) -> Path:
        """The run's own copy of its handoff; it holds ``estimator/`` and ``calibration.json`` too."""
        return self.folder / "handoff"

    @property
    def baseline(self) -> Path:
        """The policy that was handed off."""
        return self.handoff_folder / "policy.safetensors"

    @property
    def gamma(self) -> float:
        """The discount that the handoff was evaluated with."""
        evaluation = self.handoff_folder / self.handoff["evaluation_artifact"]["path"]
        return float(read_json(evaluation / "metrics.json")["gamma"])

    def round_folder(self, number: int) -> Path:
        """Where a round (from 1) keeps what it makes."""
        return self.folder / "rounds" / f"{number:03d}"

    def episode_path(self, index: int) -> Path:
        """File of the ``index``-th collected episode (from 0)."""
        return self.folder / "episodes" / f"{index + 1:06d}.parquet"

    def rng(self, phase: str, number: int, index: int = 0) -> np.random.Generator:
        """The generator of one piece of work, the same in every attempt at it."""
        return np.random.default_rng(self.seed_sequence(phase, number, index))

    def seed_sequence(self, phase: str, number: int, index: int = 0) -> np.random.SeedSequence:
        """The seed of one piece of work."""
        return np.random.SeedSequence(int(self.facts["seed"]), spawn_key=(PHASES.index(phase), number, index))

    def phase(self, number: int, name: str, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The result of a phase, made now unless it was made before; written first, then journaled."""
        path = self.round_folder(number) / f"{name}.json"
        if not path.exists():
            write_json(path, make())
        self.journal.once("phase", {"round": number, "phase": name}, {"sha256": file_sha256(path)})
        result: dict[str, Any] = read_json(path)
        return result

    def result(self, number: int, name: str) -> dict[str, Any] | None:
        """What a phase said, or None while it is not done."""
        path = self.round_folder(number) / f"{name}.json"
        return dict(read_json(path)) if path.is_file() else None

    def results(self, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """(round, result) of every round in which the phase is done, in order."""
        for number in range(1, self.config.rounds + 1):
            result = self.result(number, name)
            if result is not None:
                yield number, result

    def collected(self, before: int | None = None) -> int:
        """Episodes collected in all finished collections, or in those of rounds before one."""
        return sum(int(r["episodes"]) for k, r in self.results(COLLECT) if before is None or k < before)

    def evidence(self) -> list[RolloutEvidence]:
        """The safety gate's evidence: every collected rollout, oldest first."""
        return [RolloutEvidence.from_json(row) for _, r in self.results(COLLECT) for row in r["evidence"]]

    def executed(self) -> int:
        """Episodes the robot executed so far: collected and played for certification."""
        return self.collected() + sum(int(r["executed"]) for _, r in self.results(CERTIFY))

    def reserved(self) -> int:
        """Episodes that the final evaluation of champion and baseline takes, kept back from the start."""
        return 2 * EVALUATED_CONDITIONS * len(self.panel.report)

    def allowance(self) -> int:
        """Episodes that rounds may still execute."""
        return max(0, self.config.interaction_budget_episodes - self.executed() - self.reserved())

    def halt_reason(self) -> str:
        """What the safety gate said when it halted the run, or ""."""
        return next((str(r["reason"]) for _, r in self.results(SAFETY) if not r["passed"]), "")

    def next_round(self) -> int | None:
        """The round to begin or go on with, or None when rounds are over: all done, halted, or the budget spent.

        Only what the journal holds is over: a round killed between its last file and that file's record goes on.
        """
        number = len(self.journal.of("phase", phase=DECISION)) + 1
        halted = self.halt_reason() and self.journal.of("phase", round=number, phase=SAFETY)
        if halted or number > self.config.rounds:
            return None
        begun = self.result(number, COLLECT) is not None
        return number if begun or self.allowance() > 0 else None

    def standing(self, before: int | None = None) -> Standing:
        """Champion and learner after all decided rounds, or after those before one."""
        standing = Standing(
            policy=self.baseline,
            version="",
            learner=self.handoff_folder / "learner.safetensors",
            learner_since=0,
            candidates=0,
        )
        for number, decision in self.results(DECISION):
            if before is None or number < before:
                standing = self._after(number, decision, standing)
        return standing

    def _after(self, number: int, decision: Mapping[str, Any], standing: Standing) -> Standing:
        if not decision["candidate"]:
            return standing
        made, accepted = self.round_folder(number) / "candidate", bool(decision["accepted"])
        goes_on = accepted or self.config.on_reject == "continue"
        return Standing(
            policy=made / "policy.safetensors" if accepted else standing.policy,
            version=str(decision["version"]) if accepted else standing.version,
            learner=made / "learner.safetensors" if goes_on else standing.learner,
            learner_since=self.collected(before=number + 1) if goes_on else standing.learner_since,
            candidates=standing.candidates + (not decision.get("vetoed", False)),
        )


def _config_of(row: Mapping[str, Any], folder: Path) -> OnlineConfig:
    try:
        return OnlineConfig.from_json(row)
    except ParameterError as error:
        raise RunError(
            f"settings that this version does not know: {error.what}",
            where=str(folder / "run.json"),
            limit="a run goes on with the version that it was begun with",
            remedy="finish it with that version, or start another: python -m flows.finetune --new",
        ) from error
