"""The online report: what the run tried, what it spent, what the gates said, and what the champion is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from offline_to_online.online.run import AUDIT, CERTIFY
from offline_to_online.report.forgetting_view import MEANING, forgetting_figure, forgetting_rows, forgetting_sentence
from offline_to_online.report.learning_curve import WINDOW, rolling
from offline_to_online.report.learning_view import learning_figure, learning_sentences
from offline_to_online.report.offline_page import changes, panel_figure, panel_results
from offline_to_online.report.online_run import (
    RunRecord,
    aligned_rows,
    budgets,
    read_run,
    round_rows,
    spent,
    verdict_rows,
)
from offline_to_online.report.page import words, write_page
from offline_to_online.report.plots import Course, courses
from offline_to_online.report.switch import read_switch

RATCHET = (
    "Against D_k alone, a policy that walks away from D_0 a little each round looks clean: that is the ratchet, and a "
    "drift from D_0 that rises while the one from D_k stays low is how it shows."
)
LEARNING = (
    f"Band: 95 % interval of the last {WINDOW} collected episodes, which explore under the guard. Squares: panel "
    "values before the switch. Circles: certified on fresh tasks, played greedily; a success that needed the guard is "
    "a failure there alone, and accepted candidates were picked for being high. Triangle: the bottom of the dip."
)
CONTENTS = (
    ("learning", "Learning curve"),
    ("course", "Episodes"),
    ("rounds", "Rounds"),
    ("verdicts", "Verdicts"),
    ("table", "Aligned table"),
    ("final", "Champion and baseline"),
    ("spent", "Spent"),
    ("evidence", "Evidence"),
)


def write_online_report(folder: Path) -> Path:
    """Write ``report.html`` into a run's folder, from what lies there; the path.

    A run that is halted or still goes on gets a report of what there is.

    Raises:
        RunError: it is no run.
        DataError: a file of the run is broken.
    """
    run, path = read_run(folder), folder / "report.html"
    judged = {side: metrics for side, metrics in run.final.items() if metrics}
    results = [{**row, "condition": _condition(row["condition"])} for row in panel_results(judged)]
    context = {
        "title": f"Online run {run.facts['run']}: {words(run.facts['robot'])}",
        "kicker": f"Robot tuned on: {changes(run.facts['dynamics'])} · seed {run.facts['seed']} · {run.state}",
        "contents": CONTENTS,
        "run": run,
        "summary": run.summary,
        "learning": learning(folder, run),
        "figures": course_figures(run) if run.evidence else [],
        "rounds": round_rows(run),
        "verdicts": verdict_rows(run),
        "rows": aligned_rows(run),
        "results": results,
        "final_figure": panel_figure(results) if results else None,
        "spent": spent(run),
        "tuned": changes(run.facts["dynamics"]),
        "handoff": run.handoff,
        "hashes": hashes(run),
    }
    write_page(path, "online.html.j2", context)
    return path


def learning(folder: Path, run: RunRecord) -> dict[str, Any]:
    """The section on the switch: figures with their captions, sentences, and a row per candidate that was asked."""
    switch, rows = read_switch(folder, run), forgetting_rows(folder, run)
    figures = [(learning_figure(switch, switch.collected), LEARNING)] if switch.collected else []
    figures += [(forgetting_figure(rows), MEANING)] if rows else []
    return {
        "figures": figures,
        "sentences": learning_sentences(run, switch) if switch.collected else [],
        "forgotten": forgetting_sentence(rows) if rows else "",
        "rows": rows,
        "audited": any(AUDIT in phases for phases in run.rounds.values()),
    }


def course_figures(run: RunRecord) -> list[tuple[Markup, str]]:
    """Success, drift, interventions and cost, and the share of every safety budget that is spent, over episodes."""
    return [
        (
            _success(run),
            f"Mean over the last {WINDOW} episodes that the exploring champion collected; dots: candidates, certified.",
        ),
        (
            _drift(run),
            f"Share of an episode's steps beyond the step threshold, mean over {WINDOW} episodes, against the data as "
            f"handed off (D_0; dots: single episodes) and against D_k, which holds what was collected before it too. "
            + RATCHET,
        ),
        (_costs(run), "Steps in which the guard or a person acted, and the robot's constraint cost, added up."),
        (_budgets(run), "Every safety rule after each episode: measured, as a share of its limit. At 1 updates stop."),
    ]


def _success(run: RunRecord) -> Markup:
    x = np.arange(1, len(run.evidence) + 1)
    success = np.array([e.success for e in run.evidence], dtype=float)
    certified = np.array([e.certified for e in run.evidence], dtype=float)
    decided = zip(run.round_ends, run.rounds.values(), strict=False)
    judged = [(end, p[CERTIFY]) for end, p in decided if p.get(CERTIFY, {"pairs": 0})["pairs"]]
    lines = [
        Course(label="success", x=x, y=rolling(success, WINDOW)),
        Course(label="certified success", x=x, y=rolling(certified, WINDOW), hue=2),
    ]
    if judged:
        rates = np.array([c["certified_success_rate"]["candidate"] for _, c in judged])
        ends = np.array([end for end, _ in judged])
        lines.append(Course(label="candidates", x=ends, y=rates, hue=1, dots=True))
    alt = f"{success.sum():.0f} successes in {len(x)} episodes, {certified.sum():.0f} of them without an intervention"
    return courses("success", lines, label="success rate", alt=alt, rounds=run.round_ends, share=True)


def _drift(run: RunRecord) -> Markup:
    x = np.arange(1, len(run.evidence) + 1)
    drift = np.array([e.support_drift for e in run.evidence])
    rule = run.facts["config"]["gates"]["safety"].get("support_drift", {})
    lines = [
        Course(label="episode, D_0", x=x, y=drift, faint=True),
        Course(label="against D_0", x=x, y=rolling(drift, WINDOW)),
    ]
    alt = f"Support drift from D_0: mean {drift.mean():.3f}, worst {drift.max():.3f}"
    # Not measured: runs of earlier versions, and episodes of a round whose collection is not closed yet.
    known = [(i, e.support_drift_k) for i, e in enumerate(run.evidence, start=1) if e.support_drift_k is not None]
    if known:
        at, drift_k = (np.array(part) for part in zip(*known, strict=True))
        lines.append(Course(label="against D_k", x=at, y=rolling(drift_k, WINDOW), hue=1))
        alt += f"; from D_k: mean {drift_k.mean():.3f}, worst {drift_k.max():.3f}"
    limit = (f"limit ({rule.get('statistic', 'mean')}, D_0)", float(rule["limit"])) if "limit" in rule else None
    return courses("drift", lines, label="support drift", alt=alt, limit=limit, rounds=run.round_ends)


def _costs(run: RunRecord) -> Markup:
    x = np.arange(1, len(run.evidence) + 1)
    steps = np.cumsum([e.interventions for e in run.evidence])
    cost = np.cumsum([e.cost for e in run.evidence])
    lines = [
        Course(label="interventions (steps)", x=x, y=steps, hue=3),
        Course(label="constraint cost", x=x, y=cost, hue=4),
    ]
    alt = f"In all {steps[-1]} intervened steps and a constraint cost of {cost[-1]:.2f}"
    return courses("costs", lines, label="added up", alt=alt, rounds=run.round_ends)


def _budgets(run: RunRecord) -> Markup:
    lines, said = [], []
    for hue, (rule, verdicts) in enumerate(budgets(run).items()):
        shares = np.array([v.measured / v.limit if v.limit else float(not v.passed) for v in verdicts])
        lines.append(Course(label=words(rule), x=np.arange(1, len(shares) + 1), y=shares, hue=hue))
        said.append(f"{words(rule)} at most {shares.max():.2f}")
    alt = f"Share of each safety budget spent: {', '.join(said)}"
    return courses("budgets", lines, label="measured / limit", alt=alt, limit=("limit", 1.0), rounds=run.round_ends)


def _condition(name: str) -> str:
    return {"nominal": "tuned robot", "shifted": "shifted resets", "dynamics": "robot as logged"}[name]


def hashes(run: RunRecord) -> dict[str, str]:
    """What the run rests on, and what came of it, by hash."""
    facts: dict[str, Any] = {
        "handoff": run.handoff["handoff_sha256"],
        "baseline policy": run.handoff["policy_sha256"],
        "champion policy": run.summary.get("champion_policy_sha256"),
        "panel": run.facts.get("panel_sha256"),
        "git commit": run.facts.get("git_commit"),
    }
    return {what: str(value) for what, value in facts.items() if value}
