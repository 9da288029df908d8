"""Make the saved panel of a robot.

python -m offline_to_online.evaluation make-panel --robot pusht --seed 1 --path data/panels/pusht.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from offline_to_online.errors import one_line
from offline_to_online.evaluation.panel import BLOCKS, REPORT_SIZE, make_panel, write_panel


@one_line
def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m offline_to_online.evaluation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make-panel", help="draw a panel and write it; never overwrites one")
    make.add_argument("--robot", required=True, help="name of the robot's plug-in")
    make.add_argument("--seed", required=True, type=int, help="of every block")
    make.add_argument("--path", required=True, type=Path, help="where to write it, data/panels/<robot>.json")
    make.add_argument("--report-size", type=int, default=REPORT_SIZE, help="tasks in the report block")
    make.add_argument("--blocks", type=int, default=BLOCKS, help="acceptance blocks, 400 tasks each")
    chosen = parser.parse_args(arguments)
    panel = make_panel(chosen.robot, chosen.seed, report_size=chosen.report_size, blocks=chosen.blocks)
    write_panel(panel, chosen.path)
    blocks = f"{len(panel.report)} report tasks, {len(panel.acceptance)} acceptance blocks"
    print(f"panel {panel.sha256[:12]}: {blocks} -> {chosen.path}")


if __name__ == "__main__":
    main()
