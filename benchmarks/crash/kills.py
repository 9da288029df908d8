"""A run that is killed at every place there is, and runs that are killed at random, each gone on with to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.crash.comparing import differences
from benchmarks.crash.killing import Points, ended, forked, killed_after, lives
from benchmarks.crash.small import RUN, RUNS, play, workplace

SHORTEST_S, LONGEST_S = 0.1, 4.0
# Dies of something else than us so often in a row: it does not get on.
PATIENCE = 3


def uninterrupted(place: Path) -> float:
    """Play a workplace's run to its end in a process of its own; the seconds it took."""
    began = time.monotonic()
    status = ended(forked(lambda: play(place), said=place / "said.txt"))
    if status:
        raise SystemExit(f"the uninterrupted run ended with {status}: {last_words(place)}")
    return time.monotonic() - began


def at_every_place(place: Path, reference: Path, *, stride: int = 1) -> dict[str, Any]:
    """Kill a run at every record, file and word to MLflow in turn, or at every so many-th of them."""
    points, kills, wrong = place / "points.txt", 0, list[str]()

    def life() -> None:
        with Points(points, stride).everywhere():
            play(place)

    while (status := ended(forked(life, said=place / "said.txt"))) == -9:
        kills += 1
    wrong += [f"ended with {status}: {last_words(place)}"] if status else []
    seen = points.read_text(encoding="utf-8").splitlines()
    return {
        "kind": f"at {'every' if stride == 1 else f'every {stride}th'} record, file and word to MLflow",
        "kills": kills,
        "places": len(seen),
        "stride": stride,
        "records": sum(name.startswith("before record ") for name in seen),
        "differences": wrong or differences(place, reference),
    }


def at_random(folder: Path, handoff: Path, reference: Path, *, kills: int, rng: Random) -> list[dict[str, Any]]:
    """Kill runs at random instants until there were so many kills; a row per run."""
    rows: list[dict[str, Any]] = []
    while sum(row["kills"] for row in rows) < kills:
        left = kills - sum(row["kills"] for row in rows)
        place = workplace(folder / f"random-{len(rows) + 1}", handoff)
        rows.append(_random_run(place, reference, left, lives(rng, SHORTEST_S, LONGEST_S)))
    return rows


def _random_run(place: Path, reference: Path, most: int, life: Callable[[bool], float]) -> dict[str, Any]:
    killed, seen, status = 0, "", -9
    while status == -9:
        state = _state(place)
        process = forked(lambda: play(place), said=place / "said.txt")
        status = killed_after(process, life(state != seen)) if killed < most else ended(process)
        killed, seen = killed + (status == -9), state
    wrong = [f"ended with {status}: {last_words(place)}"] if status else differences(place, reference)
    return {"kind": "at random instants", "kills": killed, "differences": wrong}


def _state(place: Path) -> str:
    """How far a run is, roughly: whether the last process got anywhere."""
    folder = place / RUNS / RUN
    return "\n".join(sorted(str(path) for path in folder.rglob("*")))


def last_words(place: Path) -> str:
    """The last line that a process said."""
    lines = (place / "said.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
