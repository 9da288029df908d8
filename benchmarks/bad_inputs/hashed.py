"""Damage by chance, against a recorded hash: a manifest was written for the sound data, then some bytes turned over."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.bad_inputs.case import WRITERS, Case, options_for, rng_of
from benchmarks.bad_inputs.damage import flipped, truncated
from benchmarks.bad_inputs.logs import slides

FLIPS = (1, 8, 64)
TRUNCATIONS = 2


def cases() -> list[Case]:
    """A few of each kind in every format."""
    return [
        *(_case("bytes turned over", name, f"{count} byte(s)", count) for name in WRITERS for count in FLIPS),
        *(_case("cut off", name, f"cut {i}", 0) for name in WRITERS for i in range(TRUNCATIONS)),
    ]


def _case(kind: str, format_name: str, what: str, count: int) -> Case:
    name = f"{format_name}: {what} under a recorded hash"
    return Case(
        group="hashed",
        kind=f"{kind}, hash recorded",
        name=name,
        format=format_name,
        make=partial(WRITERS[format_name], slides()),
        options=options_for(format_name, slides()),
        units=slides().units,
        # What no longer looks like any format is refused before its hash is asked for.
        place="is not the file that the manifest describes|gives no hash|no format recognises",
        spoil=partial(spoil, name, count),
    )


def spoil(name: str, count: int, path: Path) -> None:
    """Turn ``count`` bytes of one file of the data set over; none cuts it off at a random place."""
    rng = rng_of(name)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and p.stat().st_size)
    chosen = files[int(rng.integers(len(files)))]
    how = flipped(count, name) if count else truncated(float(rng.uniform(0.05, 0.95)))
    how(chosen)
