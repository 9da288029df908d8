"""Time by who took it: spans around the doors of gate, journal, Prefect and MLflow, each without what lies within."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any

GATE, JOURNAL, PREFECT, MLFLOW, WORK = "gate", "journal", "prefect", "mlflow", "work"
OVERHEAD = (GATE, JOURNAL, PREFECT, MLFLOW)


class Spans:
    """Seconds by category. A span within another is taken off it."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys((*OVERHEAD, WORK), 0.0)
        self._within: list[float] = []

    def reset(self) -> None:
        """Begin to count anew, in the middle of whatever is going on."""
        self.seconds = dict.fromkeys(self.seconds, 0.0)
        self._within = [0.0] * len(self._within)

    def around(self, category: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time counted."""

        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self._within.append(0.0)
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - began
                self.seconds[category] += took - self._within.pop()
                if self._within:
                    self._within[-1] += took

        return counted

    def method(self, category: str, owner: type, *names: str) -> None:
        """Count a class's methods."""
        for name in names:
            setattr(owner, name, self.around(category, getattr(owner, name)))

    def functions(self, category: str, *functions: Callable[..., Any]) -> None:
        """Count functions wherever they have been imported to."""
        counted = {function: self.around(category, function) for function in functions}
        for name, module in list(sys.modules.items()):
            if name.startswith(("offline_to_online.online", "flows", "benchmarks.online_overhead")):
                for key, value in list(vars(module).items()):
                    if isinstance(value, FunctionType) and value in counted:
                        setattr(module, key, counted[value])

    @property
    def overhead(self) -> float:
        """Seconds of all but the work."""
        return sum(self.seconds[name] for name in OVERHEAD)


def around_the_run(spans: Spans) -> None:
    """Count the doors of gate, journal and MLflow; hashes of what a record rests on are the journal's."""
    from offline_to_online.online import attempts, decide, gating, journal, people, recorded, registry, run, spending

    spans.method(JOURNAL, journal.Journal, "__init__", "append", "once")
    spans.method(JOURNAL, run.OnlineRun, "__init__")
    spans.method(JOURNAL, attempts._Attempts, "note", "read")
    spans.functions(JOURNAL, recorded.settled_sha256, recorded.settled_files)
    spans.method(GATE, gating.Rule, "check", "wants_pairs")
    spans.method(GATE, spending.Spending, "add", "evidence")
    spans.method(GATE, run.OnlineRun, "halt", "gate", "acknowledged")
    spans.functions(GATE, gating.judge, spending.spending_before, people.decisions)
    spans.method(MLFLOW, registry.Registry, "__init__", "begin", "log", "head", "keep_head", "register", "finish")
    spans.functions(MLFLOW, decide.log_round, decide.open_registry, decide.keep_head)
