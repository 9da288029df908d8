"""The worked trace of the gate, through the rules that a run uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from offline_to_online.online.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
TRACE = [
    "successes=2/3",
    "interventions=3 worst_support_drift=0.18",
    "continue_online_updates=True",
    "certified_successes=1/3",
]


def test_the_command_prints_the_worked_trace() -> None:
    """The documented command prints the four lines, and nothing else."""
    command = [sys.executable, "-m", "offline_to_online.online", "trace"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == TRACE
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        (["--add-intervention"], {1: "interventions=4 worst_support_drift=0.18", 2: "continue_online_updates=False"}),
        (["--interventions", "3"], {1: "interventions=4 worst_support_drift=0.18", 2: "continue_online_updates=False"}),
        (["--drift", "0.21"], {1: "interventions=3 worst_support_drift=0.21", 2: "continue_online_updates=False"}),
        (["--drift", "0.20"], {1: "interventions=3 worst_support_drift=0.20"}),
        (["--add-intervention", "--max-interventions", "4"], {1: "interventions=4 worst_support_drift=0.18"}),
    ],
)
def test_one_more_intervention_or_drift_stops_updates(
    options: list[str], changed: dict[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One more intervention, or a drift of 0.21, and updates stop; at the limit they go on."""
    main(["trace", *options])
    assert capsys.readouterr().out.splitlines() == [changed.get(i, line) for i, line in enumerate(TRACE)]


def test_a_drift_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A negative drift is refused in one line, with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(["trace", "--drift", "-1"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
