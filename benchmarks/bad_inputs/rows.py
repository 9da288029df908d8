"""What every table of structural damage is written in: the kinds, and where in the slider's log it is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.bad_inputs.damage import Damage
from benchmarks.bad_inputs.logs import slides

Row = tuple[str, str, Callable[[Path], object], str]
"""Kind, what, the damage to the data set as a whole, and where it must be said to lie (empty: the data set)."""

MISSING, SHAPE, LENGTH, TEXT = "missing array or column", "wrong shape", "wrong length", "text for numbers"
FINITE, LIES, ORDER = "NaN or infinity", "header that lies", "missing or misplaced episode"
NOTHING, LINK, JSON = "empty episode", "link out of the data", "broken metadata"
HERE = r"episode 3\b.*step 5\b"


def row_of(episode: int, step: int) -> int:
    """The row of a step where all episodes lie one after the other."""
    return sum(len(r) for r in slides().recordings[:episode]) + step


def at(name: str, how: Damage) -> Damage:
    """The damage, to one file of a folder."""
    return lambda path: how(path / name)
