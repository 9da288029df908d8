"""What a person sees who is asked: the form, and the evidence beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from prefect.input import RunInput
from pydantic import Field, ValidationError

from flows.shown import verdict_rows
from offline_to_online.errors import ParameterError
from offline_to_online.evaluation.rollout import read_rollout
from offline_to_online.online.collect import evidence_of
from offline_to_online.online.evidence import RolloutEvidence
from offline_to_online.online.people import ACCEPTANCE, EMERGENCY_STOP, SAFETY, Answer, Question
from offline_to_online.online.run import CERTIFY, OnlineRun

LAST_EPISODES = 10
ASKED = {
    SAFETY: "The safety gate halted it. May it go on?",
    EMERGENCY_STOP: "It was stopped. May it go on?",
    ACCEPTANCE: "A candidate passed the acceptance gate. May it become champion?",
}
MEANS = {
    ACCEPTANCE: {
        "approve": "the candidate is registered and becomes champion",
        "reject": "it is rejected, in your name; the champion stays and the run goes on",
    },
    "": {
        "approve": "the run goes on; the windows of the budgets begin anew, totals over the run go on counting",
        "raise_budget": "the same, and a rule has higher limits from now on: name the rule and its new limits",
        "reject": "the run ends with the champion it has",
    },
}


class Approval(RunInput):
    """The form for a candidate."""

    answer: Literal["approve", "reject"] = Field(description="may the candidate become champion?")
    name: str = Field(description="who answers; it is journaled")
    reason: str = Field(description="why; it is journaled")


class Permission(RunInput):
    """The form for a run that was halted."""

    answer: Literal["approve", "reject", "raise_budget"] = Field(description="may the run go on?")
    name: str = Field(description="who answers; it is journaled")
    reason: str = Field(description="why; it is journaled")
    rule: str = Field(default="", description="for raise_budget: the rule, as interventions")
    new_limits: dict[str, float] = Field(default={}, description='for raise_budget: its new limits, as {"limit": 60}')


def form_of(run: OnlineRun, question: Question, *, wrong: str = "") -> type[RunInput]:
    """The form for a question, with the evidence as its description; ``wrong`` is what the last answer lacked."""
    form = Approval if question.subject == ACCEPTANCE else Permission
    return form.with_initial_data(description=evidence_text(run, question, wrong=wrong))


def answer_of(question: Question, values: Mapping[str, Any]) -> Answer:
    """A filled form as an answer.

    Raises:
        ParameterError: it is none, or lacks a name or a reason.
    """
    try:
        filled = (Approval if question.subject == ACCEPTANCE else Permission)(**values)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ParameterError(f"the form is not filled in: {said}", where="answer") from error
    row = filled.model_dump()
    rule, limits = row.pop("rule", ""), row.pop("new_limits", {})
    row |= {key: str(row[key]).strip() for key in ("name", "reason")}
    return Answer(**row, raised={rule: limits} if limits else {})


def evidence_text(run: OnlineRun, question: Question, *, wrong: str = "") -> str:
    """Verdicts, the last episodes, the limits in force and what each answer does, as Markdown."""
    again = [f"**Your last answer could not be taken:** {wrong}", ""] if wrong else []
    means = MEANS.get(question.subject, MEANS[""])
    parts = [
        *again,
        f"## Run {run.name}, round {question.round}: {ASKED[question.subject]}",
        question.reason,
        "### Verdicts",
        _table(verdict_rows(run, question.round), "no verdict in this round yet"),
        f"### The last {LAST_EPISODES} of {len(run.journal.of('episode'))} episodes",
        _table(_episode_rows(run), "none"),
        *_certified(run, question),
        f"Limits in force: {_limits(run)}",
        f"Report: {(run.folder / 'report.html').resolve()}",
        "### Answers",
        "\n".join(f"- **{answer}**: {meaning}" for answer, meaning in means.items()),
        f"No answer within {run.config.people.patience_s} s means no. The robot is held meanwhile.",
    ]
    return "\n\n".join(parts)


def _episode_rows(run: OnlineRun) -> list[dict[str, Any]]:
    """The last episodes, those of a round that was stopped within its collection too."""
    first = max(0, len(run.journal.of("episode")) - LAST_EPISODES)
    found = [(i, r) for i, r in enumerate(_rollouts(run)) if i >= first]
    names = ("success", "interventions", "support_drift", "cost", "score")
    return [{"episode": i + 1, **{name: getattr(r, name) for name in names}} for i, r in found]


def _rollouts(run: OnlineRun) -> Sequence[RolloutEvidence]:
    known = run.evidence()
    rest = range(len(known), len(run.journal.of("episode")))
    return [*known, *(evidence_of(read_rollout(run.episode_path(index))) for index in rest)]


def _certified(run: OnlineRun, question: Question) -> Iterable[str]:
    certified = run.result(question.round, CERTIFY)
    if question.subject == ACCEPTANCE and certified is not None:
        rates = ", ".join(f"{side} {rate:.2f}" for side, rate in certified["certified_success_rate"].items())
        yield f"Success without help, on {certified['pairs']} paired tasks: {rates}"


def _limits(run: OnlineRun) -> str:
    return "; ".join(
        f"{name}: {', '.join(f'{key} {value}' for key, value in keys.items())}"
        for name, keys in run.limits("safety").items()
    )


def _table(rows: Sequence[Mapping[str, Any]], empty: str) -> str:
    if not rows:
        return empty
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(v) for v in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "/")
