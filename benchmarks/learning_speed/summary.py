"""Rows, claims and the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.learning_speed.contenders import BARE_TORCH, OURS, PRODUCTS, THEIRS, THREADS
from benchmarks.learning_speed.timing import Interval, Side, ratio
from benchmarks.results_file import claim

BC, IQL, ANY, GUARD = 2.0, 1.25, 1.0, 2.0
# A large replay lies in memory that no cache holds. A batch asks 256 times for eleven places of it (two rows of
# observations and of actions, seven numbers), each some 0.1 us away: 0.3 ms at worst, a tenth of the cheapest update.
# Half as much again would be work that grows.
REPLAY, ONLINE = 1.15, 1.1
GPU, GPU_GUARD_PER_S, GPU_SEEDS, GPU_APART, GPU_REPLAYS = 5.0, 1852.0, 5.0, 1e-3, 3
Row = Mapping[str, Any]


def speed_row(name: str, taken: Mapping[Side, Sequence[float]]) -> dict[str, Any]:
    """One algorithm's rates and ratios.

    Every side counts by the better of one thread and two (``threads:`` of params.yaml is ours); the products stand
    against ours on the same one thread.

    Args:
        name: of our algorithm.
        taken: seconds per update of each side, in each round.
    """
    ours = taken[Side(OURS, _better(OURS, taken))]
    row: dict[str, Any] = {"part": "speed", "algorithm": name, "our_threads": _better(OURS, taken)}
    row |= {"updates_per_s": {f"{s.name}, {s.threads}": 1 / Interval.of(times).median for s, times in taken.items()}}
    for side, key in ((THEIRS, "over_d3rlpy"), (BARE_TORCH, "over_bare")):
        threads = _better(side, taken)
        if threads:
            row |= {key: ratio(taken[Side(side, threads)], ours), f"{key}_threads": threads}
    if Side(PRODUCTS, 1) in taken:
        row |= {"time_over_products": ratio(taken[Side(OURS, 1)], taken[Side(PRODUCTS, 1)])}
    return row


def claims(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What the issue asks for, against what was measured; nothing of a GPU where there was none."""
    speed = {row["algorithm"]: row for row in rows if row["part"] == "speed"}
    beside = {name: row["over_d3rlpy"].median for name, row in speed.items() if "over_d3rlpy" in row}
    found = [
        _at_least(f"{name}: updates a second over d3rlpy's fit", beside[name], limit)
        for name, limit in (("bc", BC), ("iql", IQL))
        if name in beside
    ]
    slowest = min(beside, key=lambda name: beside[name])
    text = f"slowest beside d3rlpy's fit, of {len(beside)} algorithms: {slowest}"
    found.append(_at_least(text, beside[slowest], ANY))
    if "time_over_products" in speed.get("support_guard", {}):
        text = "support_guard: time of an update over that of its matrix products alone, one thread"
        found.append(_at_most(text, speed["support_guard"]["time_over_products"].median, GUARD))
    return found + _growth_claims(rows) + _gpu_claims(rows)


def _growth_claims(rows: Sequence[Row]) -> list[dict[str, Any]]:
    replay = [row for row in rows if row["part"] == "replay"]
    online = [row for row in rows if row["part"] == "online episode"]
    first, last = replay[0], replay[-1]
    update = f"update at {last['transitions']:,} transitions over one at {first['transitions']:,}"
    episode = f"online episode after {online[-1]['episodes']:,} over one after {online[0]['episodes']:,}"
    return [
        _at_most(f"{first['algorithm']}: {update}", last["update_over_smallest"].median, REPLAY),
        _at_most(f"{first['algorithm']}: {episode}", online[-1]["over_smallest"].median, ONLINE),
    ]


def _gpu_claims(rows: Sequence[Row]) -> list[dict[str, Any]]:
    beside = {row["algorithm"]: row for row in rows if row["part"] == "gpu" and row["measured"]}
    found = [
        _at_least(f"GPU: {name}: updates a second over d3rlpy's fit of {row['beside']}", row["ratio"].median, GPU)
        for name, row in beside.items()
    ]
    if "support_guard" in beside:
        rate = beside["support_guard"][f"{OURS}_per_s"]
        found.append(_at_least("GPU: support_guard: updates a second", rate, GPU_GUARD_PER_S))
    together = [row for row in rows if row["part"] == "gpu seeds"]
    for row in (row for row in rows if row["part"] == "gpu capture"):
        text = (
            f"GPU: captured and not, after {row['updates']} updates on the same random numbers: how far apart (share)"
        )
        found.append(_at_most(text, row["apart"], GPU_APART))
        found.append(_at_least("GPU: replays of that graph", row["replays"], GPU_REPLAYS))
    return found + [
        _at_least(f"GPU: {row['seeds']} seeds in one batch: updates a second over one", row["ratio"].median, GPU_SEEDS)
        for row in together
    ]


def plain(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows for JSON: intervals as objects."""
    return [{k: asdict(v) if isinstance(v, Interval) else v for k, v in row.items()} for row in rows]


def lines(row: Row) -> list[str]:
    """A row of the table, for people."""
    if row["part"] == "speed":
        return [_speed_line(row)]
    if row["part"] == "replay":
        sizes = (
            f"{row['transitions']:>10,} transitions: batch {row['sample_us']:7.1f} us, x {row['sample_over_smallest']}"
        )
        return [f"{sizes}; with update {row['update_us']:8.1f} us, x {row['update_over_smallest']}"]
    if row["part"] == "online episode":
        cost = f"append {row['append_ms']:.2f} ms, with its updates {row['episode_ms']:.1f} ms"
        return [f"{row['episodes']:>10,} episodes before: {cost}, x {row['over_smallest']}"]
    if not row["measured"]:
        return [f"GPU: not measured, {row['why']}"]
    if row["part"] == "gpu capture":
        return [f"gpu capture: {row['apart']:.1e} apart after {row['updates']} updates, {row['replays']} replays"]
    rates = ", ".join(f"{key.removesuffix('_per_s')} {row[key]:.0f}/s" for key in row if key.endswith("_per_s"))
    return [f"{row['part']} {row.get('algorithm', '')}: {rates}, x {row['ratio']}"]


def heading() -> str:
    """Above the rows of ``speed``."""
    head = (f"{side} {count}" for side in (OURS, THEIRS, BARE_TORCH, PRODUCTS) for count in THREADS)
    columns = "".join(f"{text:>13}" for text in head)
    return f"updates a second, by torch's threads\n{'':<14}{columns}"


def _speed_line(row: Row) -> str:
    rates = row["updates_per_s"]
    keys = (f"{side}, {count}" for side in (OURS, THEIRS, BARE_TORCH, PRODUCTS) for count in THREADS)
    columns = "".join(f"{rates[key]:>13.1f}" if key in rates else f"{'-':>13}" for key in keys)
    names = {
        "over_d3rlpy": "over d3rlpy's fit",
        "over_bare": "over bare torch",
        "time_over_products": "time over the products'",
    }
    ratios = "; ".join(f"{text} x {row[key]}" for key, text in names.items() if key in row)
    return f"{row['algorithm']:<14}{columns}\n{'':<14}  {ratios}"


def _better(name: str, taken: Mapping[Side, Sequence[float]]) -> int:
    """The number of threads with which a side was faster; 0 where there is no such side."""
    medians = {side.threads: Interval.of(times).median for side, times in taken.items() if side.name == name}
    return min(medians, key=lambda threads: medians[threads], default=0)


def _at_least(text: str, measured: float, limit: float) -> dict[str, Any]:
    return claim(text, measured, limit, measured >= limit)


def _at_most(text: str, measured: float, limit: float) -> dict[str, Any]:
    return claim(text, measured, limit, measured <= limit)
