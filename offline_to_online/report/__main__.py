"""``python -m offline_to_online.report``: the results on the terminal, or an online run's page written anew."""

from __future__ import annotations

import argparse
from pathlib import Path

from offline_to_online.errors import one_line
from offline_to_online.report.online_page import write_online_report
from offline_to_online.report.results import print_results, results

HANDOFF, RUNS, PAGE = Path("models/handoff"), Path("data/online"), Path("data/report/index.html")


@one_line
def main(arguments: list[str] | None = None) -> None:
    """``summary`` prints what came out; ``online RUN`` writes ``report.html`` of a run from what lies in its folder."""
    parser = argparse.ArgumentParser(prog="python -m offline_to_online.report", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    summary = commands.add_parser("summary", help="policies, the online run, the registered version, the reports")
    summary.add_argument("--run", default="", metavar="NAME", help="the run to show (the one started last)")
    page = commands.add_parser("online", help="write an online run's report.html anew")
    page.add_argument("run", metavar="NAME", help="a folder of data/online")
    chosen = parser.parse_args(arguments)
    if chosen.command == "summary":
        print_results(results(HANDOFF, RUNS, PAGE, run=chosen.run))
    else:
        print(write_online_report(RUNS / chosen.run))


if __name__ == "__main__":
    main()
