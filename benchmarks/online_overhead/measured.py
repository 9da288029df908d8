"""A real flow whose time is accounted for: ``python -m benchmarks.online_overhead.measured OUT`` in a workplace."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.online_overhead.spans import PREFECT, WORK, Spans, around_the_run

TASKS = ("collect_task", "safety_task", "update_task", "screen_task", "certify_task", "decide_task", "finish_task")


def main() -> None:
    """Run the flow to its end, and write down where its time went after the start."""
    born = psutil.Process().create_time()
    from flows import asking, finetune, shown

    spans, began = Spans(), list[float]()
    around_the_run(spans)
    for name in TASKS:
        task = getattr(finetune, name)
        # What Prefect does around a task is Prefect's, what the task does is not.
        task.fn = spans.around(WORK, task.fn)
        setattr(finetune, name, spans.around(PREFECT, task))
    spans.functions(PREFECT, shown.show_verdicts, shown.close_crashed, shown.name_flow_run, asking.ask)
    spans.method(PREFECT, shown.Progress, "__init__", "advance", "done")
    rounds = finetune.rounds

    def starting(*args: Any) -> Any:
        began.append(time.time())
        spans.reset()
        return spans.around(WORK, rounds)(*args)

    vars(finetune)["rounds"] = starting
    finetune.main([])
    said = {
        "start_up_s": began[0] - born,
        "wall_s": time.time() - began[0],
        "seconds": spans.seconds,
        # The flow's own end, after its last task, is Prefect's too.
        "flow_end_s": max(0.0, time.time() - began[0] - sum(spans.seconds.values())),
    }
    Path(sys.argv[1]).write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main()
