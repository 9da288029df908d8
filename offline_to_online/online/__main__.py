"""``python -m offline_to_online.online trace``: what the safety gate says to the worked trace."""

from __future__ import annotations

import argparse

from offline_to_online.errors import one_line
from offline_to_online.online.trace import trace, worked_rollouts


@one_line
def main(arguments: list[str] | None = None) -> None:
    """Print the worked trace, or the one that the options make of it."""
    parser = argparse.ArgumentParser(prog="python -m offline_to_online.online", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("trace", help="the worked trace of the gate")
    command.add_argument("--interventions", type=int, default=2, help="interventions in the first rollout (2)")
    command.add_argument("--add-intervention", action="store_true", help="one more intervention in the first rollout")
    command.add_argument("--drift", type=float, default=0.18, help="support drift of the first rollout, 0 to 1 (0.18)")
    command.add_argument("--max-interventions", type=int, default=3, help="the budget of interventions (3)")
    command.add_argument("--max-drift", type=float, default=0.20, help="the limit of the worst support drift (0.20)")
    chosen = parser.parse_args(arguments)
    rollouts = worked_rollouts(interventions=chosen.interventions + chosen.add_intervention, drift=chosen.drift)
    print("\n".join(trace(rollouts, max_interventions=chosen.max_interventions, max_drift=chosen.max_drift)))


if __name__ == "__main__":
    main()
