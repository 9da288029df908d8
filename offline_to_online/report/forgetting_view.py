"""What the candidates of an online run forgot on the data's own states, as far as their audits asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from offline_to_online.dataset.files import read_json
from offline_to_online.online.forgetting import FILE
from offline_to_online.online.run import AUDIT, COLLECT
from offline_to_online.report.online_run import RunRecord, round_rows
from offline_to_online.report.page import number, words
from offline_to_online.report.plots import inline
from offline_to_online.support.drawing import GREY, HUES, INK, figure_in_style

MEANING = (
    "A rise says that the candidate does less of what the better logged episodes did. That is forgetting where the log "
    "is still right; on a robot that differs from the logged one, better actions differ from the log's too, so read it "
    "beside the certified success. The states are fixed and the actions greedy: no luck of play is in these numbers."
)


def forgetting_rows(folder: Path, run: RunRecord) -> list[dict[str, Any]]:
    """A row per candidate whose audit has a ``forgetting.json``: round, episodes, outcome, and what stands there."""
    outcomes = {row["round"]: row["outcome"] for row in round_rows(run)}
    rows = []
    for round_number, phases in run.rounds.items():
        path = folder / "rounds" / f"{round_number:03d}" / AUDIT / FILE
        if AUDIT not in phases or COLLECT not in phases or not path.is_file():
            continue
        said = read_json(path)
        episodes = int(phases[COLLECT]["first"]) + int(phases[COLLECT]["episodes"])
        worst = [{"name": name, **said["regions"][name]} for name in said["worst_regions"]]
        rows.append(
            {**said, "round": round_number, "episodes": episodes, "outcome": outcomes[round_number], "worst": worst}
        )
    return rows


def forgetting_figure(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Imitation error of every candidate over the episodes collected by then, with those it is held against."""
    last = rows[-1]["imitation_error"]
    with figure_in_style(4.6, 3.1) as figure:
        axes = figure.subplots()
        axes.plot(*_points(rows), color=HUES[1], linewidth=1, alpha=0.6)
        for outcome, face in (("accepted", HUES[1]), ("rejected", "none"), ("not decided yet", GREY)):
            own = [row for row in rows if _fate(row) == outcome]
            if own:
                axes.plot(*_points(own), "o", color=HUES[1], markerfacecolor=face, label=f"candidate, {outcome}")
        axes.axhline(last["baseline"], color=INK, linestyle="--", linewidth=1, label="handed-off policy")
        axes.axhline(last["bc"], color=GREY, linestyle=":", linewidth=1.4, label="behaviour cloning")
        axes.set(xlabel="episodes collected online", ylabel="imitation error")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside upper center", ncols=2, fontsize=8)
        return inline(figure, "forgetting", _alt(rows))


def forgetting_sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the last candidate forgot, and where it moved."""
    row = rows[-1]
    error, since, worst = row["imitation_error"], row["forgotten"], row["worst"]
    verb = "it rose" if since["baseline"]["difference"] > 0 else "it did not rise"
    where = f", most in {words(worst[0]['name'])} ({number(worst[0]['moved'], 3)})" if worst else ""
    states = "held-out logged states" if row["held_out"] else "logged states that it also trained on"
    return (
        f"On {states} of the better half of the episodes, the last candidate's imitation error is "
        f"{number(error['candidate'], 4)} against {number(error['baseline'], 4)} of the handed-off policy "
        f"({since['baseline']['difference']:+.4f}: {verb}) and {number(error['bc'], 4)} of behaviour cloning "
        f"({since['bc']['difference']:+.4f}); its actions moved by {number(row['moved'], 3)} half ranges from the "
        f"handed-off policy's{where}."
    )


def _fate(row: Mapping[str, Any]) -> str:
    return row["outcome"] if row["outcome"] in ("accepted", "rejected") else "not decided yet"


def _points(rows: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[float]]:
    return [row["episodes"] for row in rows], [row["imitation_error"]["candidate"] for row in rows]


def _alt(rows: Sequence[Mapping[str, Any]]) -> str:
    error = rows[-1]["imitation_error"]
    values = [(row["imitation_error"]["candidate"], row["round"], _fate(row)) for row in rows]
    each = ", ".join(f"{value:.4f} in round {at} ({fate})" for value, at, fate in values)
    return (
        f"Imitation error on the data's own states: candidates {each}; handed-off policy {error['baseline']:.4f}, "
        f"behaviour cloning {error['bc']:.4f}"
    )
