"""The few lines on the terminal that say what came out, and where to look."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from offline_to_online.errors import RunError
from offline_to_online.evaluation.handoff import load_handoff
from offline_to_online.report.offline_page import changes
from offline_to_online.report.online_run import RunRecord, read_run
from offline_to_online.report.page import interval, number, words

BOLD, PLAIN = "\033[1m", "\033[0m"


def results(handoff: Path, runs: Path, page: Path, *, run: str = "") -> list[str]:
    """The summary, a line each.

    Args:
        handoff: folder of the handoff.
        runs: folder of the online runs; there may be none yet.
        page: the offline report.
        run: name of the run to show; "" takes the one that was started last.

    Raises:
        HandoffError: there is no handoff, or it was changed.
        RunError: no run of that name.
    """
    record = load_handoff(handoff)
    lines = [f"{words(record['robot'])}, on the robot as it was logged", *_table(record["table"]), ""]
    lines += [f"handed off: {record['chosen']} ({record['comparison']['reason']})"]
    folder = _run_folder(runs, run)
    if folder is not None:
        lines += ["", *_online(read_run(folder), folder)]
    lines += ["", "reports", f"  {page}"]
    return [*lines, f"  {folder / 'report.html'}"] if folder is not None else lines


def print_results(lines: Sequence[str]) -> None:
    """Print the summary; headings are bold on a terminal only."""
    headings = {0} | {i + 1 for i, line in enumerate(lines) if not line and i + 1 < len(lines)}
    for i, line in enumerate(lines):
        strong = i in headings and sys.stdout.isatty()
        print(f"{BOLD}{line}{PLAIN}" if strong else line)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as aligned lines: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ("", "episodes", "success", "95 % interval", "score", "outside support")
    return columns([head, *(_cells(f"{row['kind']} {row['name']}", row) for row in rows)])


def _cells(who: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    outside = number(row.get("share_outside"), 3)
    episodes = str(row.get("episodes", row.get("tasks")))
    return (
        who,
        episodes,
        number(row["success_rate"]),
        interval(row["success_interval"]),
        number(row["score"], 3),
        outside,
    )


def _run_folder(runs: Path, name: str) -> Path | None:
    if name:
        if not (runs / name / "run.json").is_file():
            raise RunError(f"no run {name!r}", where=str(runs), remedy="name one of its folders")
        return runs / name
    found = [path for path in runs.glob("*/run.json") if not path.parent.name.startswith(".")]
    return max(found, key=lambda p: (p.stat().st_mtime, p.parent.name)).parent if found else None


def _online(run: RunRecord, folder: Path) -> list[str]:
    lines = [f"online run {folder.name}, {run.state}, on the robot with {changes(run.facts['dynamics'])}"]
    judged = [_cells(side, metrics) for side, metrics in run.final.items() if metrics]
    if judged:
        lines += columns([("", "episodes", "success", "95 % interval", "score", "outside support"), *judged])
    summary = run.summary
    if summary.get("difference") is not None:
        lines.append(
            f"  champion minus baseline {summary['difference']:+.2f} {interval(summary['difference_interval'])}, paired"
        )
    lines.append(
        f"  {len(run.evidence)} episodes collected, {len(run.accepted)} candidates accepted, "
        f"{sum(e.interventions for e in run.evidence)} intervened steps"
    )
    lines += _drift(run)
    if summary.get("halted"):
        lines.append(f"  halted, and moved nothing from then on: {summary['halt_reason']}")
    version, model = summary.get("champion_version"), run.facts["config"]["registered_model"]
    return [*lines, f"  registered: {model} version {version}, alias champion" if version else "  registered: nothing"]


def _drift(run: RunRecord) -> list[str]:
    """Drift against the data as handed off, and against them with what was collected before: one line, or none."""
    sides = {
        "the data handed off (D_0)": [e.support_drift for e in run.evidence],
        "what was collected before too (D_k)": [
            e.support_drift_k for e in run.evidence if e.support_drift_k is not None
        ],
    }
    said = [
        f"mean {sum(drifts) / len(drifts):.2f}, worst {max(drifts):.2f} against {data}"
        for data, drifts in sides.items()
        if drifts
    ]
    return [f"  support drift: {'; '.join(said)}"] if said else []
