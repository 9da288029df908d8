"""Emergency stop: by a signal, by a file, or by the robot itself; it acts within one control step, below everything.

    kill -USR1 PID                 the process that plays
    touch data/online/STOP         every process that plays, whatever its run; what is written in it is the reason
    the robot's own                ``Step.stopped``

However it was asked for, the robot's ``stop()`` comes first, then the STOP file, so that other processes stop too and
nothing moves again by a schedule, then the journal, then one line of error. While the file is there no run starts or
goes on; whoever has seen that the robot is safe removes it. SIGTERM, SIGHUP and Ctrl-C are no emergency stops: they
end the process by an exception, which stops the robot on its way, and the run goes on at its next start.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from offline_to_online.errors import EmergencyStopError
from offline_to_online.evaluation.rollout import Rollout
from offline_to_online.online import people
from offline_to_online.online.run import DECISION, OnlineRun
from offline_to_online.robots import Task

KIND = "emergency_stop"
FILE = "STOP"
ASKED_BY_FILE = "the STOP file"
# Of what is written in the file; it goes into the journal and into an error of one line.
LONGEST_REASON = 200
SafetySignal = signal.SIGUSR1
ENDING = (signal.SIGTERM, signal.SIGHUP)
# Asked before every control step: who or what wants the robot stopped, or "".
Asks = Callable[[], str]
_Former = dict[int, Any]


def stop_file(run: OnlineRun) -> Path:
    """The file that stops this run and every other beside it: ``data/online/STOP``."""
    return run.folder.parent / FILE


def reason_in(path: Path) -> str:
    """Why the file stops: its first line, or that it is there; "" where it is not."""
    if not os.path.lexists(path):
        return ""
    said = ""
    with suppress(OSError):
        said = path.read_text(encoding="utf-8", errors="replace").strip()
    line = "".join(letter for letter in said.partition("\n")[0] if letter.isprintable())
    return line[:LONGEST_REASON] or ASKED_BY_FILE


def leave(path: Path, reason: str) -> None:
    """Put the file there with a reason, unless one is there; a full disk keeps nothing from stopping."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            os.write(descriptor, f"{reason}\n".encode())
        finally:
            os.close(descriptor)


def demand_no_stop(path: Path) -> None:
    """Refuse to move anything while the file is there.

    Raises:
        EmergencyStopError: it is; who may remove it is said.
    """
    reason = reason_in(path)
    if reason:
        raise EmergencyStopError(
            f"an emergency stop stands: {reason}",
            where=str(path),
            limit="no run starts or goes on while this file is there",
            remedy=f"whoever has seen that the robot is safe removes it (rm {path}), then start again",
        )


def demand_none_came(run: OnlineRun, number: int, phase: str, index: int) -> None:
    """Refuse to begin a motion after somebody asked for a stop while nothing moved; it is journaled like any other.

    Raises:
        EmergencyStopError: somebody did, or the stop that was journaled last still stands.
    """
    reason, question, last = reason_in(stop_file(run)), run.open_question(), run.journal.records[-1]
    known = last.kind == KIND and last.data["reason"] == reason
    if known or (question is not None and question.subject == people.EMERGENCY_STOP):
        demand_no_stop(stop_file(run))
    elif reason:
        raise journaled(run, number, phase, index, 0, reason)


@contextmanager
def listening(path: Path) -> Iterator[Asks]:
    """Signals stop the robot while this lasts; what to ask before every control step.

    SIGUSR1 leaves the file, which every process that plays sees. SIGTERM and SIGHUP, where nobody else minds them, end
    the process by an exception instead of at once, so that the robot is stopped. Outside the main thread, where Python
    sets no signals, the file alone is asked, and the main thread must be listening. What was set before is set again.
    """
    asked: list[str] = []

    def stop(number: int, _: FrameType | None) -> None:
        asked.append(f"signal {signal.Signals(number).name}")
        leave(path, asked[0])

    former = _set(stop) if threading.current_thread() is threading.main_thread() else {}
    try:
        yield lambda: asked[0] if asked else reason_in(path)
    finally:
        for number, before in former.items():
            signal.signal(number, before)


def _set(stop: Callable[[int, FrameType | None], None]) -> _Former:
    former: _Former = {SafetySignal: signal.signal(SafetySignal, stop)}
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            former[number] = signal.signal(number, _end)
    return former


def _end(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def round_under_way(run: OnlineRun) -> int:
    """The round that a stop is journaled under; at the end of the run, the last one."""
    return min(run.config.rounds, len(run.journal.of("phase", phase=DECISION)) + 1)


def stopped_tasks(run: OnlineRun, phase: str) -> set[int]:
    """Indices of the tasks in which a stop came, in a phase of the round under way."""
    return {int(r.data["index"]) for r in run.journal.of(KIND, phase=phase, round=round_under_way(run))}


@contextmanager
def stoppable(run: OnlineRun, phase: str, tasks: Sequence[Task] = (), first: int = 0) -> Iterator[Asks]:
    """Playing that keeps nothing of what was stopped: the stop is journaled, and all of it is played again later.

    What it gives is to be asked before every control step that this process itself executes.

    Args:
        run: whose robot moves.
        phase: of the round under way, or of the end of the run, where the last round stands for it.
        tasks: what is played.
        first: index of the first of them.

    Raises:
        EmergencyStopError: there is a stop file, or one came, or the robot stopped itself.
    """
    number = round_under_way(run)
    demand_none_came(run, number, phase, first)
    with listening(stop_file(run)) as asks:
        try:
            yield asks
        except EmergencyStopError as stopped:
            index, steps = first, 0
            if isinstance(stopped.rollout, Rollout):
                steps = len(stopped.rollout.episode)
                seeds = [task.seed for task in tasks]
                index += seeds.index(stopped.rollout.task.seed) if stopped.rollout.task.seed in seeds else 0
            raise journaled(run, number, phase, index, steps, reason_of(run, stopped)) from stopped


def reason_of(run: OnlineRun, stopped: EmergencyStopError) -> str:
    """Who or what asked for a stop: whoever left the file, or else the robot, for which the file is left now."""
    path = stop_file(run)
    reason = reason_in(path) or stopped.what
    leave(path, reason)
    return reason


def journaled(run: OnlineRun, number: int, phase: str, index: int, steps: int, reason: str) -> EmergencyStopError:
    """Journal a stop in an episode of a round, ``steps`` control steps into it; the one line that ends the run."""
    run.journal.append(KIND, {"round": number, "phase": phase, "index": index, "steps": steps, "reason": reason})
    path = stop_file(run)
    return EmergencyStopError(
        f"emergency stop: {reason}",
        where=f"run {run.name!r}, round {number}, {phase} {index}, after {steps} control steps",
        limit="the robot was stopped and the stop is journaled",
        remedy=f"once it is safe, remove {path} and start again: the run goes on",
    )
