"""``python -m offline_to_online.online``: the worked trace of the safety gate, and ``verify`` of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from offline_to_online.errors import one_line

ONLINE_RUNS = Path("data/online")


@one_line
def main(arguments: list[str] | None = None) -> None:
    """Print the worked trace, or the one that the options make of it; or look whether a run still holds."""
    parser = argparse.ArgumentParser(prog="python -m offline_to_online.online", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("trace", help="the worked trace of the gate")
    command.add_argument("--interventions", type=int, default=2, help="interventions in the first rollout (2)")
    command.add_argument("--add-intervention", action="store_true", help="one more intervention in the first rollout")
    command.add_argument("--drift", type=float, default=0.18, help="support drift of the first rollout, 0 to 1 (0.18)")
    command.add_argument("--max-interventions", type=int, default=3, help="the budget of interventions (3)")
    command.add_argument("--max-drift", type=float, default=0.20, help="the limit of the worst support drift (0.20)")
    look = commands.add_parser("verify", help="every hash and every verdict of a run again; exit status 1 if one fails")
    look.add_argument("run", metavar="RUN", help="a run in data/online, or the path of its folder")
    chosen = parser.parse_args(arguments)
    if chosen.command == "verify":
        _verify(chosen.run)
    else:
        _trace(chosen)


def _trace(chosen: argparse.Namespace) -> None:
    from offline_to_online.online.trace import trace, worked_rollouts

    rollouts = worked_rollouts(interventions=chosen.interventions + chosen.add_intervention, drift=chosen.drift)
    print("\n".join(trace(rollouts, max_interventions=chosen.max_interventions, max_drift=chosen.max_drift)))


def _verify(run: str) -> None:
    from offline_to_online.online.finding import Finding
    from offline_to_online.online.verify import head_of, verify

    folder = (ONLINE_RUNS / run if Path(run).name == run else Path(run)).resolve()
    said = verify(folder, head=lambda: head_of(folder))
    print(said.line())
    if isinstance(said, Finding):
        sys.exit(1)


if __name__ == "__main__":
    main()
