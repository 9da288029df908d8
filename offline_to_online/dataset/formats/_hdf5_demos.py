"""HDF5 files with one group for each demonstration: ``data/demo_3/actions``, as robosuite and robomimic write them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.formats._hdf5 import BROKEN, reading
from offline_to_online.dataset.formats._hdf5_groups import (
    column_of,
    count_in,
    entries,
    is_image,
    is_numeric,
    is_text,
    rows_of,
    width_of,
)
from offline_to_online.dataset.logged import LeftOut, Vector
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

DEMONSTRATION = re.compile(r"demo_?(0|[1-9]\d{0,8})")


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """One demonstration: its place in the file, and what lies directly in its group, by name."""

    index: int
    name: str
    group: Any
    entries: Mapping[str, Any]
    path: Path

    @property
    def where(self) -> str:
        """File and episode, for messages."""
        return f"{self.path.name}, episode {self.index} ({self.name})"

    @property
    def rows(self) -> int:
        """Rows of ``actions``.

        Raises:
            DataError: there are no actions, or they are no vector a row.
        """
        actions = self.entries.get("actions")
        if actions is None or not is_numeric(actions) or actions.ndim != 2 or width_of(actions) == 0:
            found = "no actions" if actions is None else "actions that are no vector a step"
            limit = "actions of shape (steps, width)"
            raise DataError(f"the demonstration has {found}", where=self.where, limit=limit, remedy="record it again")
        return len(actions)

    def inside(self, name: str) -> dict[str, Any]:
        """What lies in one of its groups, by name; nothing where there is no such group.

        Raises:
            DataError: something there is a link, or lies in another file.
        """
        group = self.entries.get(name)
        return entries(group, self.path) if isinstance(group, h5py.Group) else {}

    def vector(self, data: Any) -> Array:
        """All rows of a data set, (T, width).

        Raises:
            DataError: it does not have one row of numbers for each action, or cannot be read.
        """
        return rows_of(data, self.rows, self.path, where=self.where)

    def column(self, name: str) -> Array | None:
        """One number for each action, (T,); None where it is not logged.

        Raises:
            DataError: as ``vector``, or a row holds more than one number.
        """
        data = self.entries.get(name)
        return None if data is None else column_of(data, self.rows, self.path, where=self.where)


def names_in(path: Path) -> set[str]:
    """What lies in the demonstrations of a file, all names together; empty where it holds none. Never raises."""
    if not path.is_file():
        return set()
    try:
        with h5py.File(path, "r") as file:
            return _names_in(file)
    except BROKEN:
        return set()


def _names_in(file: Any) -> set[str]:
    """Links are not followed here either; whoever describes the file names them."""
    names: set[str] = set()
    if not _is_own_group(file, "data"):
        return names
    data = file["data"]
    for name in data:
        if DEMONSTRATION.fullmatch(name) and _is_own_group(data, name):
            names.update(data[name])
    return names


def _is_own_group(group: Any, name: str) -> bool:
    return isinstance(group.get(name, getlink=True), h5py.HardLink) and isinstance(group[name], h5py.Group)


def data_group(file: Any, path: Path) -> Any:
    """The group that holds the demonstrations.

    Raises:
        DataError: there is none.
    """
    data = entries(file, path).get("data")
    if not isinstance(data, h5py.Group):
        raise DataError("there is no group 'data'", where=str(path), limit="data/demo_0 ...", remedy="mend the file")
    return data


def demonstrations(data: Any, path: Path) -> Iterator[Demonstration]:
    """Every demonstration in the order of its number, ``demo_10`` after ``demo_9``; one at a time.

    Raises:
        DataError: there is none, something beside them is none, or one is a link or lies in another file.
    """
    with reading(path):
        names = list(data)
        odd = [name for name in names if not (DEMONSTRATION.fullmatch(name) and _is_own_group(data, name))]
    if odd:
        entries(data, path)  # a link says so itself
        limit = "data holds groups demo_0, demo_1 ... alone"
        raise DataError(
            f"/data/{odd[0]} is no demonstration", where=str(path), limit=limit, remedy="remove or rename it"
        )
    if not names:
        raise DataError("the file holds no demonstrations", where=str(path), limit="at least 1", remedy="record some")
    for index, name in enumerate(sorted(names, key=number_of)):
        with reading(path):
            group = data[name]
        yield Demonstration(index=index, name=name, group=group, entries=entries(group, path), path=path)


def number_of(name: str) -> int:
    """7 of ``demo_7``."""
    return int(name.removeprefix("demo").removeprefix("_"))


def missing_numbers(names: list[str], path: Path) -> tuple[Finding, ...]:
    """A warning where the numbers of the demonstrations, given in their order, have gaps."""
    numbers = [number_of(name) for name in names]
    gaps = numbers[-1] - numbers[0] + 1 - len(numbers)
    if gaps <= 0:
        return ()
    before = next(low for low, high in itertools.pairwise(numbers) if high > low + 1)
    return (
        Finding(
            check="missing_demonstrations",
            severity="warning",
            message=f"demo_{numbers[0]} to demo_{numbers[-1]} lack {gaps}, the first after demo_{before}",
            remedy="find them, or state that they were removed on purpose",
            file=path.name,
            count=gaps,
        ),
    )


def vector_of(name: str, data: Any) -> Vector:
    """A data set as a vector that is logged at every step."""
    return Vector(name=name, width=width_of(data), dtype=str(data.dtype))


def left_out(name: str, node: Any) -> LeftOut:
    """Something that no sensor is made of: pictures, texts, arrays without width, groups."""
    if not isinstance(node, h5py.Dataset):
        return LeftOut(name=name, kind="other", detail="a group")
    detail = f"{node.dtype} {node.shape}"
    if not is_numeric(node):
        return LeftOut(name=name, kind="text" if is_text(node) else "other", detail=detail)
    if width_of(node) == 0:
        return LeftOut(name=name, kind="empty", detail=detail)
    return LeftOut(name=name, kind="image" if is_image(node) else "other", detail=detail)


def rate_in(settings: Mapping[str, Any]) -> float | None:
    """``control_freq`` of an environment's settings, in Hz."""
    rate = settings.get("control_freq")
    return float(rate) if isinstance(rate, int | float) and rate > 0 else None


def require_samples(demo: Demonstration) -> None:
    """Refuse a demonstration whose ``num_samples`` is not the number of its actions.

    Raises:
        DataError: with both numbers.
    """
    announced = count_in(demo.group, "num_samples", demo.path)
    if announced is not None and announced != demo.rows:
        what = f"num_samples says {announced}, there are {demo.rows} actions"
        raise DataError(what, where=demo.where, limit="the same number", remedy="record the demonstration again")


def require_total(data: Any, rows: int, path: Path) -> None:
    """Refuse a file whose ``total`` is not the number of actions in it.

    Raises:
        DataError: with both numbers.
    """
    announced = count_in(data, "total", path)
    if announced is not None and announced != rows:
        what = f"total says {announced}, the demonstrations hold {rows} actions"
        raise DataError(what, where=f"{path}, /data", limit="the same number", remedy="find the missing demonstrations")


def require_widths(arrays: Mapping[str, Any], widths: dict[str, int], *, where: str) -> None:
    """Refuse arrays that are not those of the first demonstration, which ``widths`` remembers.

    Raises:
        DataError: with the name, and both widths.
    """
    found = {name: width_of(data) for name, data in arrays.items()}
    if not widths:
        widths.update(found)
    for name in sorted(widths.keys() | found.keys()):
        here, first = found.get(name), widths.get(name)
        if here != first:
            what = f"{name} is {'absent' if here is None else f'{here} wide'}"
            limit = f"{'absent' if first is None else f'{first} wide'}, as in the first demonstration"
            raise DataError(what, where=where, limit=limit, remedy="record the demonstration again")
