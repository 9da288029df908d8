"""The tables of docs/support.md, from the saved results of the four support benchmarks.

python -m benchmarks.support_tables            prints them
python -m benchmarks.support_tables --write    puts them into the page, each between its two marks
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results_file import RESULTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "support.md"
BENCHMARKS = ("detection", "calibration", "gaps", "speed")
FAR_WORSE = 0.05


def main(arguments: Sequence[str] | None = None) -> None:
    """Print every table, or write them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.support_tables", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/support.md")
    write, page = parser.parse_args(arguments).write, PAGE.read_text(encoding="utf-8")
    for name in BENCHMARKS:
        text = table(name)
        print(text, end="\n\n")
        begin, end = marks(name)
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
    if write:
        PAGE.write_text(page, encoding="utf-8")


def marks(name: str) -> tuple[str, str]:
    """Between which a table stands in the page."""
    return f"<!--{name}-->", f"<!--/{name}-->"


def table(name: str) -> str:
    """The Markdown of one benchmark: what was measured, at which commit, with which seeds."""
    path = RESULTS / f"support_{name}.json"
    if not path.exists():
        return "Not run at this version."
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = detection(content["rows"]) if name == "detection" else claimed(content["claims"])
    seeds = ", ".join(map(str, content["seeds"]))
    return f"{rows}\n\nCommit {content['commit'][:7]}, seeds {seeds}."


def claimed(claims: Sequence[Mapping[str, Any]]) -> str:
    """A row a claim."""
    lines = ["| claim | measured | limit | holds |", "|---|---|---|---|"]
    for one in claims:
        holds = "yes" if one["holds"] else "**no**"
        lines.append(f"| {one['claim']} | {said(one['measured'])} | {said(one['limit'])} | {holds} |")
    return "\n".join(lines)


def said(value: Any) -> str:
    """A figure as a person reads it."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return " to ".join(said(one) for one in value) if value else "none"
    return str(value)


def detection(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row a log, ours and the best peer; then the kinds in which ours is far worse than the best of that kind."""
    mean = {(r["log"], r["detector"]): r for r in rows if r["part"] == "detectors" and r["kind"] == "mean"}
    beside = [row for row in rows if row["part"] == "against the best peer"]
    lines = [
        "| log | score: mean AUROC | best peer | its AUROC | difference, paired | FPR at 95 % recall | its FPR |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in (row for row in beside if row["kind"] == "mean"):
        ours, peer = mean[row["log"], "score"], mean[row["log"], row["peer"]]
        lines.append(
            f"| {row['log']} | {between(ours, 'auroc')} | {row['peer']} | {between(peer, 'auroc')} "
            f"| {between(row, 'difference')} | {ours['fpr95']:.3f} | {peer['fpr95']:.3f} |"
        )
    worse = [row for row in beside if row["kind"] != "mean" and row["difference"] < -FAR_WORSE]
    lines += ["", f"Kinds in which the score is worse by more than {FAR_WORSE} than the best peer of that kind:", ""]
    lines += ["| log | kind | score | best peer | its AUROC |", "|---|---|---|---|---|"]
    lines += [f"| {r['log']} | {r['kind']} | {r['score']:.3f} | {r['peer']} | {r['peer_auroc']:.3f} |" for r in worse]
    return "\n".join(lines)


def between(row: Mapping[str, Any], figure: str) -> str:
    """A figure with its interval."""
    sign = "+" if figure == "difference" else ""
    return f"{row[figure]:{sign}.3f} [{row[figure + '_low']:{sign}.3f}, {row[figure + '_high']:{sign}.3f}]"


if __name__ == "__main__":
    main()
