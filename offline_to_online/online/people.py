"""What people decide about a run: their answers as values, and as records of the journal, which is where they count.

A run that its safety gate halted, that an emergency stop ended, or whose candidate needs approval asks one question.
A question has a subject, a round and a number (the second emergency stop of a round asks another question than the
first); it is answered once. Whoever asks (``flows.asking`` in the Prefect UI, a command, a test) journals the answer
first and acts then, so that a run that is killed in between neither forgets an answer nor asks twice.

    {"subject": "safety", "round": 3, "question": 1, "answer": "raise_budget", "name": "Ada", "reason": "new gripper",
     "raised": {"interventions": {"limit": 60}}, "episodes": 90}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from offline_to_online.errors import ParameterError
from offline_to_online.online.gating import rule
from offline_to_online.online.journal import Journal
from offline_to_online.plugins import unknown

KIND = "decision"
SAFETY, EMERGENCY_STOP, ACCEPTANCE, ROLLBACK = "safety", "emergency_stop", "acceptance", "rollback"
SUBJECTS = (SAFETY, EMERGENCY_STOP, ACCEPTANCE, ROLLBACK)
APPROVE, REJECT, RAISE_BUDGET, TIMEOUT = "approve", "reject", "raise_budget", "timeout"
ANSWERS = (APPROVE, REJECT, RAISE_BUDGET, ROLLBACK, TIMEOUT)
GRANTING = (APPROVE, RAISE_BUDGET)
HALTS = (SAFETY, EMERGENCY_STOP)
NOBODY, REMOVER = "nobody", "whoever removed the STOP file"

Limits = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a person says, and why: ``answer``, ``name``, ``reason``; for ``raise_budget`` the new limits by rule.

    ``version`` is what a rollback goes back to: a model version of the run, or "" for the baseline.

    Raises:
        ParameterError: an unknown answer, no name, no reason, a budget to raise without new limits, or new limits
            with another answer.
    """

    answer: str
    name: str
    reason: str
    raised: Limits = field(default_factory=dict)
    version: str = ""

    def __post_init__(self) -> None:
        if self.answer not in ANSWERS:
            raise unknown(self.answer, list(ANSWERS), what="unknown answer", where="answer")
        for key in ("name", "reason"):
            if not str(getattr(self, key)).strip():
                raise ParameterError(f"no {key}", where="answer", limit="it is journaled", remedy=f"give a {key}")
        if (self.answer == RAISE_BUDGET) != any(self.raised.values()):
            raise ParameterError(
                f"answer {self.answer!r} with new limits {dict(self.raised)!r}",
                where="answer",
                limit=f"{RAISE_BUDGET} names the new limits, no other answer does",
                remedy=f"answer {RAISE_BUDGET} with them, or {APPROVE} without",
            )

    @property
    def grants(self) -> bool:
        """Whether the run may go on."""
        return self.answer in GRANTING


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a run waits for: the ``number``-th question (from 1) on a subject in a round, and why it is asked."""

    subject: str
    round: int
    number: int = 1
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An answer as it stands in the journal.

    Attributes:
        subject: what it is about: ``safety``, ``emergency_stop``, ``acceptance`` or ``rollback``.
        round: the round that asked; of a rollback, the last decided one.
        question: which question on that subject in that round, from 1.
        answer: what was said, by whom and why.
        episodes: collected in the run when it was given.
    """

    subject: str
    round: int
    question: int
    answer: Answer
    episodes: int

    @property
    def grants(self) -> bool:
        """Whether the run may go on."""
        return self.answer.grants

    def sentence(self) -> str:
        """Who decided what, for a reason."""
        said = {APPROVE: "approved", REJECT: "rejected", RAISE_BUDGET: "budget raised", ROLLBACK: "rolled back"}
        if self.answer.answer == TIMEOUT:
            return self.answer.reason
        return f"{said[self.answer.answer]} by {self.answer.name}: {self.answer.reason}"

    def to_json(self) -> dict[str, Any]:
        """The record's data; ``version`` for a rollback only."""
        said = asdict(self.answer)
        if self.subject != ROLLBACK:
            del said["version"]
        row = {"subject": self.subject, "round": self.round, "question": self.question, "episodes": self.episodes}
        return json.loads(json.dumps(row | said))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Decision:
        """The inverse of ``to_json``.

        Raises:
            ParameterError: no answer that a person could have given.
        """
        return cls(
            subject=str(row["subject"]),
            round=int(row["round"]),
            question=int(row["question"]),
            answer=Answer(
                answer=str(row["answer"]),
                name=str(row["name"]),
                reason=str(row["reason"]),
                raised=dict(row["raised"]),
                version=str(row.get("version", "")),
            ),
            episodes=int(row["episodes"]),
        )


def decisions(journal: Journal, *, before: int | None = None) -> list[Decision]:
    """Every decision in the journal, in order, or those before the record with a sequence number."""
    found = journal.of(KIND)
    return [Decision.from_json(r.data) for r in found if before is None or r.sequence < before]


def answer_to(journal: Journal, question: Question) -> Decision | None:
    """What was decided about a question, or None while it stands."""
    found = journal.of(KIND, subject=question.subject, round=question.round, question=question.number)
    return Decision.from_json(found[0].data) if found else None


def decide(journal: Journal, question: Question, answer: Answer) -> Decision:
    """Journal the answer to a question, before anything follows from it; the same answer again changes nothing.

    Raises:
        RunError: the question was answered otherwise.
    """
    made = Decision(
        subject=question.subject,
        round=question.round,
        question=question.number,
        answer=answer,
        # Of a question that was answered before, the number of episodes is that of then.
        episodes=known.episodes if (known := answer_to(journal, question)) else len(journal.of("episode")),
    )
    key = ("subject", "round", "question")
    row = made.to_json()
    journal.once(KIND, {k: row[k] for k in key}, {k: v for k, v in row.items() if k not in key})
    return made


def no_answer(patience_s: int) -> Answer:
    """What silence means: no."""
    return Answer(answer=TIMEOUT, name=NOBODY, reason=f"no answer within {patience_s} s")


def file_removed() -> Answer:
    """What it means that a stopped run is started again where nobody can be asked."""
    return Answer(answer=APPROVE, name=REMOVER, reason="the STOP file was removed, and the run started again")


def raised_limits(limits: Limits, given: Sequence[Decision]) -> dict[str, dict[str, Any]]:
    """The limits of a gate's rules with those raised by decisions, the last word counting."""
    now = {name: dict(keys) for name, keys in limits.items()}
    for decision in given:
        for name, keys in decision.answer.raised.items():
            now[name] |= keys
    return now


def demand_raise(limits: Limits, raised: Limits) -> None:
    """Refuse new limits that are none: each is a number of a rule of the gate, above the one in force.

    Args:
        limits: of the gate's rules, as they are in force.
        raised: what a person asks for instead.

    Raises:
        ParameterError: an unknown rule or key, a window or a word (which are no budgets), a limit that is not higher
            than it was, or one that the rule itself refuses.
    """
    for name, keys in raised.items():
        where = f"raised {name}"
        if name not in limits:
            raise unknown(name, sorted(limits), what="unknown rule", where="raised")
        in_force = rule(name, limits[name], where=where).config
        asked = rule(name, {**limits[name], **keys}, where=where).config
        for key in keys:
            _demand_higher(key, getattr(in_force, key), getattr(asked, key), where=f"{where}.{key}")


def _demand_higher(key: str, before: Any, after: Any, *, where: str) -> None:
    if key.endswith("window") or isinstance(before, bool) or not isinstance(before, int | float):
        raise ParameterError(
            f"{key} is no budget that is in force",
            where=where,
            limit="limits are raised, nothing else",
            remedy="leave it",
        )
    if isinstance(after, bool) or not isinstance(after, int | float) or not after > before:
        raise ParameterError(
            f"new limit {after!r}",
            where=where,
            limit=f"above the one in force, {before!r}",
            remedy="raise it, or approve",
        )
