"""What ``benchmarks.support_speed`` measures, each in a process of its own, so that its peak memory is its own.

python -m benchmarks.support_speed_tasks TASK FOLDER VALUE ...
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from offline_to_online.dataset.spec import Array

OBSERVATIONS, ACTIONS, LATENT, HIDDEN = 39, 28, 8, 64
WIDTH, STEPS, SEED, NEAREST = OBSERVATIONS + ACTIONS, 200, 11, 5
EPISODE, ADDITIONS = 50, 50  # steps of the episode that is added, and how many are
RECALL_QUERIES = 1000
BLOCK, TOGETHER = 50, 250  # queries that the guard's candidates answer in turn; episodes that are made at a time


def episodes_of(rng: np.random.Generator, count: int, steps: int = STEPS) -> Array:
    """Smooth motions to random goals in 8 dimensions, seen as 39 sensors and 28 commands: (count, steps, 67).

    With their noise, by the estimate of Levina & Bickel (2004), they fill some 34 dimensions; the four real logs fill
    7 to 32. So recall here is no easier than on those.
    """
    mapping = np.random.default_rng(SEED)
    inward = mapping.normal(size=(LATENT, HIDDEN)) / np.sqrt(LATENT)
    outward = mapping.normal(size=(HIDDEN, WIDTH)) * 2 / np.sqrt(HIDDEN)
    place, goal = rng.normal(size=(2, count, LATENT))
    speed, path = np.zeros_like(place), np.empty((count, steps, LATENT))
    for step in range(steps):
        path[:, step] = place
        speed = 0.9 * speed + 0.02 * (goal - place) + 0.01 * rng.normal(size=place.shape)
        place = place + speed
    rows = np.tanh(path @ inward) @ outward
    seen: Array = (rows + 0.03 * rng.normal(size=rows.shape)).astype(np.float32)
    return seen


def make(folder: Path, points: str, queries: str) -> dict[str, Any]:
    """Write ``points.npy``, ``queries.npy`` and ``added.npy``, episodes to come, in deviations of each dimension."""
    rng = np.random.default_rng(SEED)
    sample = episodes_of(rng, TOGETHER).reshape(-1, WIDTH)
    mean, scale = sample.mean(axis=0), sample.std(axis=0)
    for name, count in (("points", int(points)), ("queries", int(queries)), ("added", EPISODE * ADDITIONS)):
        rows = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (count, WIDTH))
        steps = EPISODE if name == "added" else STEPS
        for start in range(0, count, TOGETHER * steps):
            part = rows[start : start + TOGETHER * steps]
            made = episodes_of(rng, -(-len(part) // steps), steps).reshape(-1, WIDTH)
            part[:] = (made[: len(part)] - mean) / scale
        rows.flush()
    return {}


def bare(points: Array) -> Callable[[Array], Any]:
    """A flat faiss index as anyone would use it, on one thread."""
    import faiss

    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    faiss.omp_set_num_threads(1)
    return lambda queries: index.search(queries, NEAREST)


def ours(points: Array) -> Callable[[Array], Any]:
    """The product's exact neighbours."""
    from offline_to_online.support.neighbours import Neighbours

    neighbours = Neighbours(points)
    return lambda queries: neighbours.nearest(queries, NEAREST)


def scikit(points: Array) -> Callable[[Array], Any]:
    """scikit-learn's neighbours by brute force, on one thread."""
    from sklearn.neighbors import NearestNeighbors

    fitted = NearestNeighbors(n_neighbors=NEAREST, algorithm="brute", n_jobs=1).fit(points)
    return lambda queries: fitted.kneighbors(queries)


SEARCHES = {"ours": ours, "bare": bare, "scikit": scikit}


def alone(folder: Path, name: str, most: str) -> dict[str, Any]:
    """One search, by itself; of at most so many queries, scaled to all of them."""
    every = np.load(folder / "queries.npy")
    queries = every[: int(most)]
    search = SEARCHES[name](np.load(folder / "points.npy"))
    seconds, _ = timed(search, queries)
    return {"seconds": seconds * len(every) / len(queries), "queries_measured": len(queries)}


def pairs(folder: Path, repeats: str, parts: str) -> dict[str, Any]:
    """Ours and the bare one in turn, either first, on so many parts of the queries: the median ratio of a pair.

    Where a search takes half a minute, pairs of whole ones would measure how busy the machine was in either half.
    """
    points, queries = np.load(folder / "points.npy"), np.load(folder / "queries.npy")
    searches = [ours(points), bare(points)]
    ratios: list[float] = []
    for part in np.array_split(queries, int(parts)) * int(repeats):
        turns = ((0, 1), (1, 0))[len(ratios) % 2]
        seconds = {turn: timed(searches[turn], part)[0] for turn in turns}
        ratios.append(seconds[0] / seconds[1])
    mine, theirs = searches[0](queries[:BLOCK])[0], np.sqrt(searches[1](queries[:BLOCK])[0])
    return {
        "ratio": float(np.median(ratios)),
        "ratios": sorted(ratios),
        "largest_difference": float(np.abs(mine - theirs).max()),
    }


def approximate(folder: Path, kind: str) -> dict[str, Any]:
    """Building, searching and keeping an approximate index; loading it, and adding to what was loaded."""
    from offline_to_online.support.index import IndexConfig
    from offline_to_online.support.neighbours import Neighbours

    config, points = IndexConfig(kind=kind), np.load(folder / "points.npy")  # type: ignore[arg-type]
    build_s, built = timed(lambda rows: Neighbours(rows, config), points)
    row = {"build_s": build_s, **searched(built, points, np.load(folder / "queries.npy"))}
    row["save_s"], content = timed(Neighbours.to_bytes, built)
    del built
    row["load_s"], loaded = timed(lambda kept: Neighbours.from_bytes(kept, points, config), content)
    added = np.load(folder / "added.npy").reshape(-1, EPISODE, WIDTH)
    add_ms = [1e3 * timed(loaded.add, episode)[0] for episode in added]
    return {**row, "kept_mib": len(content) / 2**20, **spread("add_ms", add_ms)}


def searched(neighbours: Any, points: Array, queries: Array) -> dict[str, Any]:
    """Seconds for all queries, milliseconds for one, the peak so far; the recall as the product tells it, and another.

    The product asks near its own points. Here the queries are of other episodes, which lie farther off.
    """
    seconds, found = timed(lambda rows: neighbours.nearest(rows, NEAREST)[0], queries)
    asked = queries[:RECALL_QUERIES]
    alone_ms = [1e3 * timed(lambda row: neighbours.nearest(row, NEAREST), one)[0] for one in each(asked)]
    peak = peak_mib()
    recall = neighbours.recall(NEAREST, RECALL_QUERIES, np.random.default_rng(SEED))
    truth = ours(points)(asked)[0][:, -1:]
    return {
        "seconds": seconds,
        "searched_mib": peak,
        "recall": recall,
        "recall_other_episodes": float(np.mean(found[: len(asked)] <= truth * (1 + 1e-5))),
        **spread("one_query_ms", alone_ms),
    }


def guard(folder: Path, rounds: str) -> dict[str, Any]:
    """One action at a time on one core, by blocks in turn: a bare query, the estimator's neighbours, and its score."""
    from offline_to_online.support.estimator import SupportConfig, SupportEstimator

    points = np.load(folder / "points.npy")
    queries = np.load(folder / "queries.npy")[: BLOCK * int(rounds)]
    fit_s, estimator = timed(lambda rows: SupportEstimator.fit(logged(rows), SupportConfig()), points)
    flat = bare(points)
    calls: dict[str, Callable[[Array], Any]] = {
        "bare": flat,
        "nearest": lambda row: estimator.nearest(row[:, :OBSERVATIONS], row[:, OBSERVATIONS:], NEAREST),
        "score": lambda row: estimator.score(row[:, :OBSERVATIONS], row[:, OBSERVATIONS:]),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call(queries[:1])
    for block in queries.reshape(-1, BLOCK, WIDTH):
        for name, call in calls.items():
            times[name] += [1e3 * timed(call, row)[0] for row in each(block)]
    medians = {name: np.median(np.reshape(each_ms, (-1, BLOCK)), axis=1) for name, each_ms in times.items()}
    row = {key: value for name, each_ms in times.items() for key, value in spread(f"{name}_ms", each_ms).items()}
    return {"fit_s": fit_s, "ratio": float(np.median(medians["nearest"] / medians["bare"])), **row}


def logged(rows: Array) -> list[Any]:
    """Rows as episodes of 200 steps; the last observation of each is repeated."""
    from offline_to_online.dataset.episode import Episode

    zeros, made = np.zeros(STEPS, dtype=np.float32), []
    for number, part in enumerate(rows.reshape(-1, STEPS, WIDTH)):
        episode = Episode(
            observations=np.concatenate([part, part[-1:]])[:, :OBSERVATIONS],
            actions=part[:, OBSERVATIONS:],
            rewards=zeros,
            cost=zeros,
            intervened=zeros > 0,
            terminated=False,
            truncated=True,
            operator="script",
            seed=number,
            success=False,
            score=0.0,
        )
        made.append(episode)
    return made


def each(rows: Array) -> list[Array]:
    """Rows one by one, (1, D) each."""
    return [rows[i : i + 1] for i in range(len(rows))]


def timed(call: Callable[[Any], Any], argument: Any) -> tuple[float, Any]:
    """Seconds, and what came back."""
    start = time.perf_counter()
    result = call(argument)
    return time.perf_counter() - start, result


def spread(name: str, values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and largest."""
    return {
        f"{name}_median": float(np.median(values)),
        f"{name}_p99": float(np.quantile(values, 0.99)),
        f"{name}_max": float(np.max(values)),
    }


def peak_mib() -> float:
    """Largest resident memory of this process so far; ``getrusage`` would count what its parent held at its start."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    task.__name__: task for task in (make, alone, pairs, approximate, guard)
}


def main() -> None:
    """Run one task and print what it measured."""
    name, folder, *values = sys.argv[1:]
    if name == "guard" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    row = TASKS[name](Path(folder), *values)
    print(json.dumps({**row, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
