"""Choose who goes online (BC unless beaten), bundle what that rests on, and write the offline report.

reads   everything the stages before it wrote
writes  models/handoff/, data/report/index.html
run     dvc repro handoff
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from offline_to_online.errors import one_line
from offline_to_online.evaluation.handoff import write_handoff
from offline_to_online.evaluation.handoff_sources import HandoffSources
from offline_to_online.params import load_params
from offline_to_online.report.offline_page import write_offline_report


@one_line
def main() -> None:
    """Hand off, report, and print the choice."""
    params = load_params()
    sources = HandoffSources(
        robot=params.robot,
        manifest=params.dataset.manifest,
        episodes=Path("data/episodes"),
        panel=params.panel,
        estimator=Path("models/support/estimator"),
        calibration=Path("models/support/calibration.json"),
        behaviour=Path("models/support/behaviour"),
        models={name: Path("models") / name for name in params.policies},
        audits={name: Path("data/audit") / name for name in params.policies},
        evaluations={name: Path("data/evaluation") / name for name in params.policies},
    )
    budgets = asdict(params.online.gates) | {"interaction_episodes": params.online.interaction_budget_episodes}
    record = write_handoff(Path("models/handoff"), sources, config=params.handoff, budgets=budgets)
    write_offline_report(
        Path("data/report/index.html"), sources=sources, handoff=record, coverage=Path("data/support/coverage.json")
    )
    print(f"handoff: {record['chosen']} ({record['comparison']['reason']})")


if __name__ == "__main__":
    main()
