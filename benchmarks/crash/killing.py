"""Processes that die: forked from a parent that has imported everything, so that a restart costs no imports.

The parent computes nothing and opens nothing; what is killed is a process of its own, by a real SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from offline_to_online.online.journal import Journal
from offline_to_online.online.registry import Registry

UNHANDLED = 99
# What is called of MLflow in a run: killed before and after each.
METHODS = ("begin", "log", "store", "move_alias", "keep_head", "finish")


def forked(work: Callable[[], None], *, said: Path) -> int:
    """Start work in a process of its own; its number. What it says goes to a file."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        _child(work, said)
    return process


def _child(work: Callable[[], None], said: Path) -> NoReturn:
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    status = 0
    try:
        work()
    except SystemExit as error:
        status = int(error.code or 0)
    except BaseException:  # the parent must not go on in the child
        traceback.print_exc()
        status = UNHANDLED
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def ended(process: int) -> int:
    """How a process ended: its status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def killed_after(process: int, seconds: float) -> int:
    """Kill a process so much later, unless it ended before; how it ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    return ended(process)


class Points:
    """Places in a run at which it is killed, each once, whatever process comes there first.

    Args:
        path: where the places are noted that somebody came to.
        stride: every so many-th of them kills.
    """

    def __init__(self, path: Path, stride: int = 1) -> None:
        self._path, self._stride = path, stride
        self._seen = set(path.read_text(encoding="utf-8").splitlines()) if path.exists() else set()

    def reach(self, place: str, before: Callable[[], None] = lambda: None) -> None:
        """Die here, the first time that anybody comes here."""
        if place in self._seen:
            return
        self._seen.add(place)
        spared = len(self._seen) % self._stride != 0
        if not spared:
            before()
        with self._path.open("a", encoding="utf-8") as file:
            file.write(place + "\n")
            file.flush()
            os.fsync(file.fileno())
        if not spared:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Every record of the journal (before, torn, after), every file that is put in place, every word to MLflow."""
        append, replace = Journal.append, os.replace
        self._at_methods()

        def appending(journal: Journal, kind: str, data: Mapping[str, Any]) -> Any:
            name = f"record {len(journal.records) + 1} {kind}"
            self.reach(f"before {name}")
            self.reach(f"within {name}", lambda: _half_a_line(journal.path))
            record = append(journal, kind, data)
            self.reach(f"after {name}")
            return record

        def replacing(source: Any, target: Any, **options: Any) -> None:
            name = os.path.relpath(target)
            if not name.startswith("..") and "mlartifacts" not in name:
                self.reach(f"before {name} is in place")
            replace(source, target, **options)

        Journal.append = appending  # type: ignore[method-assign, assignment]
        os.replace = replacing  # type: ignore[assignment]
        yield

    def _at_methods(self) -> None:
        for name in METHODS:
            method = getattr(Registry, name)
            counted = [0]

            def killing(
                self_: Registry, *a: Any, _m: Any = method, _n: str = name, _c: list[int] = counted, **k: Any
            ) -> Any:
                _c[0] += 1
                place = f"{_n} {a[1] if _n == 'store' else _c[0] if _n in ('move_alias', 'finish') else ''}"
                self.reach(f"before MLflow {place}")
                said = _m(self_, *a, **k)
                self.reach(f"after MLflow {place}")
                return said

            setattr(Registry, name, killing)


def _half_a_line(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"data":{"half a li')
        file.flush()
        os.fsync(file.fileno())


def lives(rng: Random, shortest: float, longest: float) -> Callable[[bool], float]:
    """How long the next process lives, in seconds: at random; longer where the last one got nowhere."""
    reach = [longest]

    def next_life(got_on: bool) -> float:
        reach[0] = longest if got_on else 1.5 * reach[0]
        return shortest + (reach[0] - shortest) * rng.random()

    return next_life
