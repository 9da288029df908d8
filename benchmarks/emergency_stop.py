"""How many control steps does the robot execute between an emergency stop and its ``stop()``?

    python -m benchmarks.emergency_stop            # 100 trials
    python -m benchmarks.emergency_stop --quick    # 9 trials

A process of its own collects with the simulator; this one stops it at random instants, by SIGUSR1 and by the STOP file,
and the robot stops itself at random steps. A witness around the simulator notes when each step begins, and when the
robot was told to stop; a step counts if it begins after the signal was sent or the file was there. After every stop
the file is removed, and the same run goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from benchmarks.results_file import claim, commit, save
from benchmarks.small_handoff import build_handoff
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import EmergencyStopError
from offline_to_online.online.beginning import begin
from offline_to_online.online.collect import collect
from offline_to_online.online.config import GatesConfig, OnlineConfig
from offline_to_online.online.emergency import FILE
from offline_to_online.online.journal import Journal
from offline_to_online.online.run import OnlineRun
from offline_to_online.robots import Dynamics, Robot, Step, Task
from offline_to_online.robots import fetch_pick_and_place as fetch

NAME = "emergency_stop"
WAYS = ("signal", "file", "robot")
MOST_STEPS, TRIALS, QUICK_TRIALS, PER_RUN = 1, 100, 9, 10
SEED = 7
# More than is ever collected, and no budget that ends it sooner.
MANY = 10**4
# A step of the simulator under the guard takes some milliseconds, an episode a tenth of a second or more.
LONGEST_WAIT_S = 0.2


class Witness:
    """The simulator, and a note of every instant that matters; in step ``button`` it stops itself."""

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self.begun: list[int] = []
        self.pressed_ns = self.stopped_ns = 0
        self.button = -1

    def reset(self, task: Task) -> Array:
        """Begin an episode."""
        return self._robot.reset(task)

    def step(self, action: Array) -> Step:
        """One control step, with the instant at which it began."""
        if not self.begun:
            print("moving", flush=True)
        self.begun.append(time.monotonic_ns())
        said = self._robot.step(action)
        if len(self.begun) == self.button:
            self.pressed_ns = time.monotonic_ns()
            return replace(said, stopped="the red button")
        return said

    def stop(self) -> None:
        """The first is what counts."""
        self.stopped_ns = self.stopped_ns or time.monotonic_ns()
        self._robot.stop()

    def close(self) -> None:
        """Disconnect."""
        self._robot.close()


def play() -> None:
    """The process that is stopped: collects for a run whenever it is told to, and says how that ended."""
    make, made, button = fetch.make, list[Witness](), -1

    def witnessed(dynamics: Dynamics) -> Witness:
        made.append(Witness(make(dynamics)))
        made[-1].button = button
        return made[-1]

    fetch.make = witnessed
    for line in sys.stdin:
        folder, button = json.loads(line)
        try:
            collect(OnlineRun(Path(folder)), 1)
        except EmergencyStopError as error:
            seen = made[-1]
            said = {"error": str(error), "stopped_ns": seen.stopped_ns, "pressed_ns": seen.pressed_ns}
            print(json.dumps(said | {"begun_ns": seen.begun}), flush=True)


@dataclass(frozen=True, kw_only=True)
class Player:
    """That process, as it is talked to."""

    process: int
    to: IO[str]
    out: IO[str]

    def stopped(self, folder: Path, way: str, rng: np.random.Generator) -> dict[str, Any]:
        """One stop: the control steps begun and the milliseconds passed between it and the robot's ``stop()``."""
        file = folder.parent / FILE
        print(json.dumps([str(folder), int(rng.integers(1, 120)) if way == "robot" else -1]), file=self.to, flush=True)
        if self.out.readline().strip() != "moving":
            raise RuntimeError("the process that plays has ended; its own error is above")
        given_ns = 0
        if way != "robot":
            time.sleep(float(rng.uniform(0, LONGEST_WAIT_S)))
            given_ns = time.monotonic_ns()  # before: a step that begins while it is given counts
            if way == "signal":
                os.kill(self.process, signal.SIGUSR1)
            else:
                file.touch()
        said = json.loads(self.out.readline())
        asked_ns = given_ns or said["pressed_ns"]
        file.unlink()
        return {
            "way": way,
            "steps": sum(asked_ns < begun < said["stopped_ns"] for begun in said["begun_ns"]),
            "ms": max(0.0, (said["stopped_ns"] - asked_ns) / 1e6),
        }


def measure(trials: int, scratch: Path) -> tuple[list[dict[str, Any]], int]:
    """Every trial, and how many stops the journals hold."""
    handoff, rng = build_handoff(scratch / "handoff"), np.random.default_rng(SEED)
    config = OnlineConfig(
        dynamics=Dynamics(action_gain=0.5),
        rounds=1,
        episodes_per_round=MANY,
        interaction_budget_episodes=100 * MANY,
        gates=GatesConfig(safety={"interventions": {"limit": 100 * MANY}}),
    )
    folders = [
        begin(scratch / f"{k}", "run", handoff, config, seed=k, jobs=1).folder for k in range(-(-trials // PER_RUN))
    ]
    command = [sys.executable, "-m", f"benchmarks.{NAME}", "--play"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        player = Player(process=process.pid, to=cast("IO[str]", process.stdin), out=cast("IO[str]", process.stdout))
        done = [player.stopped(folders[k // PER_RUN], WAYS[k % len(WAYS)], rng) for k in range(trials)]
    recorded = sum(len(Journal(folder / "journal.jsonl").of("emergency_stop")) for folder in folders)
    return done, recorded


def summary(done: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each way to stop."""
    return [
        {
            "way": way,
            "trials": len(mine := [one for one in done if one["way"] == way]),
            "most_steps": max(one["steps"] for one in mine),
            "mean_steps": float(np.mean([one["steps"] for one in mine])),
            "median_ms": round(float(np.median([one["ms"] for one in mine])), 2),
            "most_ms": round(max(one["ms"] for one in mine), 2),
        }
        for way in WAYS
    ]


def report(rows: Sequence[dict[str, Any]], recorded: int) -> list[dict[str, Any]]:
    """Print the table; the claims made of it."""
    print(f"{'stopped by':12}{'trials':>8}{'steps: most':>13}{'mean':>7}{'ms: median':>12}{'most':>9}")
    for row in rows:
        print(
            f"{row['way']:12}{row['trials']:8}{row['most_steps']:13}{row['mean_steps']:7.2f}{row['median_ms']:12.1f}"
            f"{row['most_ms']:9.1f}"
        )
    most, trials = max(row["most_steps"] for row in rows), sum(row["trials"] for row in rows)
    return [
        claim(f"control steps from the signal to stop(), most of {trials}", most, MOST_STEPS, most <= MOST_STEPS),
        claim("emergency stops in the journal, one for each", recorded, trials, recorded == trials),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Stop it again and again, print the table, write benchmarks/results/emergency_stop.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_TRIALS} trials")
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.play:
        play()
        return
    at = commit()
    with tempfile.TemporaryDirectory() as scratch:
        done, recorded = measure(QUICK_TRIALS if chosen.quick else TRIALS, Path(scratch))
    rows = summary(done)
    claims = report(rows, recorded)
    print(save(NAME + ("_quick" if chosen.quick else ""), seeds=[SEED], rows=rows, claims=claims, at=at))


if __name__ == "__main__":
    main()
