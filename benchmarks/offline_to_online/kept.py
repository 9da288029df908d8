"""The cells as they are kept: a file each, with the settings and the code that it was made with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import results_file
from benchmarks.offline_to_online.preparing import config_of, sources
from benchmarks.offline_to_online.settings import ALL, SETTINGS, Method, Setting
from benchmarks.offline_to_online.summary import Results
from offline_to_online.dataset.files import read_json, replacing
from offline_to_online.errors import ParameterError

NAME = "offline_to_online"
Cell = tuple[str, str, int]
"""Setting, method, seed."""
OUTCOME = ("evaluations", "collected")


def folder() -> Path:
    """Where the cells lie."""
    return results_file.RESULTS / NAME


def path_of(cell: Cell, within: Path) -> Path:
    """A cell's file."""
    return within / f"{cell[0]}-{cell[1]}-{cell[2]}.json"


def made_with(setting: Setting, method: Method) -> dict[str, Any]:
    """Every setting that a cell rests on and a hash of the code, as JSON gives it back."""
    parts: dict[str, Any] = {"setting": dataclasses.asdict(setting), "method": dataclasses.asdict(method)}
    parts |= {"sources": sources(method.algorithm)}
    parts |= {"offline": dataclasses.asdict(config_of(method, setting))}
    parts |= {"online": dataclasses.asdict(config_of(method, setting, online=True))}
    known: dict[str, Any] = json.loads(json.dumps(parts))
    return known


def compact(found: Mapping[str, Any]) -> dict[str, Any]:
    """A cell's outcome as it is kept: collected episodes by column."""
    collected = found["collected"]
    columns = {name: [row[name] for row in collected] for name in collected[0]} if collected else {}
    return {**found, "collected": columns}


def keep(cell: Cell, content: Mapping[str, Any], within: Path) -> None:
    """Write a cell, in one step."""
    with replacing(path_of(cell, within)) as partial:
        partial.write_text(json.dumps(content, sort_keys=True) + "\n", encoding="utf-8")


def there(cell: Cell, within: Path) -> bool:
    """Whether a cell was run.

    Raises:
        ParameterError: with other settings than it would be now, or by other code.
    """
    path = path_of(cell, within)
    if not path.is_file():
        return False
    known, now = read_json(path)["made_with"], made_with(SETTINGS[cell[0]], ALL[cell[1]])
    if known == now:
        return True
    by_code = "; --confirm SEED takes it over if its twin comes out alike" if _is_of_other_code(known, now) else ""
    raise ParameterError(
        f"a cell of other {'code' if by_code else 'settings'}",
        where=str(path),
        limit="one table has one version of each method",
        remedy=f"delete it, and it is run again{by_code}",
    )


def of_other_code(cell: Cell) -> bool:
    """Whether a cell was made with the settings as they are by code that is not."""
    path = path_of(cell, folder())
    if not path.is_file():
        return False
    return _is_of_other_code(read_json(path)["made_with"], made_with(SETTINGS[cell[0]], ALL[cell[1]]))


def take_over(cell: Cell, again: Path) -> int:
    """Take a cell and those of its other seeds as made by the code as it is, which has made it again.

    Each says by which commit and seed it was confirmed, and keeps the commit that it was run at.

    Args:
        cell: one that lies in both folders.
        again: the folder in which the code as it is has run it.

    Returns:
        How many cells.

    Raises:
        ParameterError: it did not come out alike, to the last digit; nothing is taken over.
    """
    old, new = read_json(path_of(cell, folder())), read_json(path_of(cell, again))
    if any(old[name] != new[name] for name in OUTCOME):
        raise ParameterError(
            "a cell that comes out differently by the code as it is",
            where=str(path_of(cell, folder())),
            limit="the same to the last digit",
            remedy=f"delete the cells of {cell[1]} on {cell[0]}, and they are run again",
        )
    twins = [(cell[0], cell[1], seed) for seed in seeds_there()]
    taken = 0
    for twin in twins:
        path = path_of(twin, folder())
        if not path.is_file() or read_json(path)["made_with"] != old["made_with"]:
            continue
        content = read_json(path)
        by = {"commit": new["commit"], "seed": cell[2], "instead_of": old["made_with"]["sources"]}
        content |= {"made_with": new["made_with"], "confirmed": [*content.get("confirmed", []), by]}
        keep(twin, content, folder())
        taken += 1
    return taken


def seeds_there() -> list[int]:
    """Of all cells, whatever they were made with."""
    return sorted({int(path.stem.rpartition("-")[2]) for path in folder().glob("*.json")})


def results() -> Results:
    """All cells that were run with settings and code as they are; raises as ``there`` does."""
    seeds = seeds_there()
    cells = {
        (s, m): [read_json(path_of((s, m, i), folder())) for i in seeds if there((s, m, i), folder())]
        for s in SETTINGS
        for m in ALL
    }
    return Results({key: found for key, found in cells.items() if found})


def _is_of_other_code(known: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return known["sources"] != now["sources"] and {**known, "sources": ""} == {**now, "sources": ""}
