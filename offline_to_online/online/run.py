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
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from offline_to_online.dataset.files import file_sha256, read_json, write_json
from offline_to_online.errors import ParameterError, RunError
from offline_to_online.evaluation.handoff import load_handoff
from offline_to_online.evaluation.panel import Panel, load_panel
from offline_to_online.online import people
from offline_to_online.online.config import OnlineConfig
from offline_to_online.online.evidence import RolloutEvidence
from offline_to_online.online.gating import Rule, rules
from offline_to_online.online.journal import Journal
from offline_to_online.online.recorded import recorded_json, settled_files, settled_sha256
from offline_to_online.online.standing import Standing, standing_of
from offline_to_online.plugins import module_for

COLLECT, SAFETY, UPDATE, AUDIT, CERTIFY, DECISION = "collect", "safety", "update", "audit", "certify", "decision"
SCREEN = "screen"
# A phase's place is part of its seed: the screen comes after the update, but stands last, so that no other moves.
PHASES = (COLLECT, SAFETY, UPDATE, AUDIT, CERTIFY, DECISION, SCREEN)
# What a phase makes beside its result, in a folder of its own; the phase's record names every file of it.
MADE_BESIDE = {UPDATE: "candidate", AUDIT: "audit"}
OVER = "over"
# Lies in a run's folder while it is closed: of one that is over, MLflow may not have been told yet.
CLOSING = "closing"
EVALUATED_CONDITIONS = 3
# In run.json: policies that runs beside this one had rejected when it began, by hash, and where.
REJECTED = "rejected"


class OnlineRun:
    """A run's folder, opened.

    Args:
        folder: ``data/online/<run>``.

    Raises:
        RunError: no run, or a broken one.
        HandoffError: the run's copy of its handoff was changed.
    """

    # Whether the robot may move for it; not for one that is only looked at (``verify``).
    moves = True

    def __init__(self, folder: Path) -> None:
        if not (folder / "run.json").is_file():
            raise RunError("no such run", where=str(folder), remedy="start one: python -m flows.finetune --new")
        self.folder = folder
        self.facts, self.config = facts_of(folder)
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
        facts: dict[str, Any] = {"sha256": settled_sha256(path)}
        if name in MADE_BESIDE:
            facts["files"] = settled_files(path.parent / MADE_BESIDE[name], self.folder)
        self.journal.once("phase", {"round": number, "phase": name}, facts)
        return recorded_json(path)

    def result(self, number: int, name: str) -> dict[str, Any] | None:
        """What a phase said, or None while it is not done."""
        path = self.round_folder(number) / f"{name}.json"
        return recorded_json(path) if path.is_file() else None

    def results(self, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """(round, result) of every round in which the phase is done, in order."""
        for number in range(1, self.config.rounds + 1):
            # Rounds follow each other: after one that nothing was made in there is none.
            if not self.round_folder(number).is_dir():
                return
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
        """Episodes that audit block and final evaluation of champion and baseline take, kept back from the start."""
        return 2 * (EVALUATED_CONDITIONS * len(self.panel.report) + self.config.gates.audit.pairs)

    def allowance(self) -> int:
        """Episodes that rounds may still execute."""
        return max(0, self.config.interaction_budget_episodes - self.executed() - self.reserved())

    def gate(self, name: str, *, before: int | None = None) -> tuple[Rule, ...]:
        """The rules of the ``safety`` or the ``acceptance`` gate that are in force.

        Args:
            name: of the gate. Only budgets of the safety gate are ever raised.
            before: the rules that were in force at the record with this sequence number; None: now.
        """
        return rules(self.limits(name, before=before), where=f"online.gates.{name}")

    def limits(self, name: str, *, before: int | None = None) -> dict[str, dict[str, Any]]:
        """The limits that ``gate`` is made of, ``{rule: {key: value}}``: run.json's, and those that people raised."""
        given = people.decisions(self.journal, before=before) if name == "safety" else ()
        return people.raised_limits(getattr(self.config.gates, name), given)

    def acknowledged(self, *, before: int | None = None) -> int:
        """Episodes after which a person let a spent budget pass: no window of a budget looks before them.

        Totals over the run go on counting them, and an emergency stop that was let pass gives no budget back.
        ``before`` is a record's sequence number, as in ``gate``.
        """
        given = people.decisions(self.journal, before=before)
        return max((d.episodes for d in given if d.grants and d.subject == people.SAFETY), default=0)

    def halt(self) -> people.Question | None:
        """What holds the run up: the first safety gate or emergency stop that was not let pass; None: nothing.

        An emergency stop that nobody was asked about is let pass by whoever removes the STOP file (``emergency``).
        """
        for question in self._halts():
            decision = people.answer_to(self.journal, question)
            stands = question.subject != people.EMERGENCY_STOP if decision is None else not decision.grants
            if stands:
                return question
        return None

    def halt_reason(self) -> str:
        """Why the run is halted, and what was decided about it; "" where it may go on."""
        question = self.halt()
        if question is None:
            return ""
        decision = people.answer_to(self.journal, question)
        return question.reason + (f"; {decision.sentence()}" if decision else "")

    def approval(self, number: int) -> people.Question | None:
        """The question whether a round's candidate, which the gate passed, may be registered; None: nobody need say."""
        certified = self.result(number, CERTIFY)
        recorded = self.journal.of("phase", round=number, phase=CERTIFY)
        if not self.config.people.approve_acceptance or certified is None or not recorded or not certified["accepted"]:
            return None
        return people.Question(subject=people.ACCEPTANCE, round=number, reason=str(certified["reason"]))

    def refusal(self, number: int) -> str:
        """What stands against registering a candidate that the gate passed: a person's no, or nobody's yes; or ""."""
        question = self.approval(number)
        if question is None:
            return ""
        decision = people.answer_to(self.journal, question)
        if decision is None:
            return "needs a person's approval, and nobody was asked"
        return "" if decision.grants else decision.sentence()

    def open_question(self) -> people.Question | None:
        """What a person must answer before the run goes on; None: nothing, or it was answered."""
        number = len(self.journal.of("phase", phase=DECISION)) + 1
        unanswered = (q for q in self._halts() if people.answer_to(self.journal, q) is None)
        question = self.halt() or next(unanswered, None) or self.approval(number)
        return None if question is None or people.answer_to(self.journal, question) else question

    def decide(self, question: people.Question, answer: people.Answer) -> people.Decision:
        """Journal a person's answer to a question; from then on it counts. The same answer again changes nothing.

        Raises:
            ParameterError: it asks for limits that cannot be; nothing is journaled, and the question stands.
            RunError: the question was answered otherwise.
        """
        if answer.raised and people.answer_to(self.journal, question) is None:
            people.demand_raise(self.limits("safety") if question.subject in people.HALTS else {}, answer.raised)
        return people.decide(self.journal, question, answer)

    def _halts(self) -> Iterator[people.Question]:
        """Every halt of the run, answered or not, in the order of the journal: only what is recorded there counts."""
        stops: dict[int, int] = {}
        for record in self.journal.records:
            number = int(record.data.get("round", 0))
            # One after the rounds holds nothing up: what it interrupted is played again.
            if record.kind == people.EMERGENCY_STOP and record.data["phase"] in (COLLECT, CERTIFY):
                stops[number] = stops.get(number, 0) + 1
                reason = f"emergency stop: {record.data['reason']}"
                yield people.Question(subject=people.EMERGENCY_STOP, round=number, number=stops[number], reason=reason)
            elif record.kind == "phase" and record.data["phase"] == SAFETY:
                said = self.result(number, SAFETY)
                if said is not None and not said["passed"]:
                    yield people.Question(subject=people.SAFETY, round=number, reason=str(said["reason"]))

    @property
    def over(self) -> bool:
        """Whether its end is on record: from then on nothing moves for it, and nobody is asked."""
        return bool(self.journal.of(OVER))

    def next_round(self) -> int | None:
        """The round to begin or go on with, or None when rounds are over: all done, halted, or the budget spent.

        Only what the journal holds is over: a round killed between its last file and that file's record goes on.
        A halted round goes on where a person let it.
        """
        number = len(self.journal.of("phase", phase=DECISION)) + 1
        if self.over or self.halt() is not None or number > self.config.rounds:
            return None
        begun = self.result(number, COLLECT) is not None
        return number if begun or self.allowance() > 0 else None

    def standing(self, before: int | None = None) -> Standing:
        """Champion and learner after all decided rounds, or after those before one, as people rolled them back."""
        return standing_of(self, before)


def was_rejected(certified: Mapping[str, Any] | None, decision: Mapping[str, Any] | None) -> bool:
    """Whether a candidate was played and not accepted; one that no pair was played of was not tested."""
    said = decision or {"accepted": True}
    tested = certified is not None and certified["pairs"] > 0 and not said.get("vetoed", False)
    return tested and not (certified is not None and certified["accepted"] and said["accepted"])


def facts_of(folder: Path) -> tuple[dict[str, Any], OnlineConfig]:
    """What a run's ``run.json`` says, and the settings in it.

    Raises:
        RunError: settings that this version does not know.
    """
    facts: dict[str, Any] = read_json(folder / "run.json")
    try:
        return facts, OnlineConfig.from_json(facts["config"])
    except ParameterError as error:
        raise RunError(
            f"settings that this version does not know: {error.what}",
            where=str(folder / "run.json"),
            limit="a run goes on with the version that it was begun with",
            remedy="finish it with that version, or start another: python -m flows.finetune --new",
        ) from error
