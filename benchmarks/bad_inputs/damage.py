"""Ways to break a file: each takes its path, and changes what lies there."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.bad_inputs.case import rng_of
from offline_to_online.dataset.spec import Array

Damage = Callable[[Path], object]


def emptied(path: Path) -> None:
    """No bytes at all."""
    path.write_bytes(b"")


def truncated(share: float) -> Damage:
    """The first ``share`` of the bytes."""

    def damage(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return damage


def as_text(path: Path) -> None:
    """Words where numbers should be."""
    path.write_text("step,observation,action\n0,0.1,0.2\n" * 40, encoding="utf-8")


def as_picture(path: Path) -> None:
    """The signature of a PNG file, and noise."""
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + rng_of(path.name).bytes(4096))


def pickled(path: Path) -> None:
    """A pickle; were it opened, it would leave a file beside the data, and be found out by it."""
    path.write_bytes(pickle.dumps(_Loud(str(path.with_name("opened")))))


class _Loud:
    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(self.mark),))


def removed(path: Path) -> None:
    """Nothing there any more."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def moved_out(path: Path) -> None:
    """A symbolic link to a file outside the data set's folder."""
    outside = _raw(path) / f"elsewhere{path.suffix}"
    path.rename(outside)
    path.symlink_to(outside)


def swapped(one: str, other: str) -> Damage:
    """Two files (or folders) with each other's name."""

    def damage(path: Path) -> None:
        aside = path / "aside"
        (path / one).rename(aside)
        (path / other).rename(path / one)
        aside.rename(path / other)

    return damage


def flipped(count: int, seed: str) -> Damage:
    """``count`` bytes at random places, each with random bits turned over."""

    def damage(path: Path) -> None:
        rng = rng_of(seed)
        content = bytearray(path.read_bytes())
        for place in rng.choice(len(content), min(count, len(content)), replace=False):
            content[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(content))

    return damage


def json_with(change: Callable[[Any], Any]) -> Damage:
    """A JSON file whose content is changed; what the change returns is written, if it returns anything."""

    def damage(path: Path) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        changed = change(content)
        path.write_text(json.dumps(content if changed is None else changed), encoding="utf-8")

    return damage


def key(*places: Any, to: Any) -> Damage:
    """A JSON file with another value at one place; None removes it."""

    def change(content: Any) -> None:
        for place in places[:-1]:
            content = content[place]
        if to is None:
            del content[places[-1]]
        else:
            content[places[-1]] = to

    return json_with(change)


def no_json(path: Path) -> None:
    """JSON that breaks off."""
    path.write_text('{"total_episodes": 24, "total_steps": ', encoding="utf-8")


def lines_with(change: Callable[[list[str]], Sequence[str]]) -> Damage:
    """A file whose lines are changed."""

    def damage(path: Path) -> None:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(change(lines)), encoding="utf-8")

    return damage


def hdf5_with(change: Callable[[Any], None]) -> Damage:
    """An HDF5 file, changed in place."""

    def damage(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return damage


def without(*names: str) -> Damage:
    """An HDF5 file that lacks these."""

    def change(file: Any) -> None:
        for name in names:
            del file[name]

    return hdf5_with(change)


def array(name: str, change: Callable[[Array], Any]) -> Damage:
    """An HDF5 file with another array in the place of one."""

    def replace(file: Any) -> None:
        values = change(file[name][()])
        del file[name]
        file[name] = values

    return hdf5_with(replace)


def texts(values: Array) -> Array:
    """The numbers, spelled out."""
    return np.array([str(value).encode() for value in values.reshape(-1)]).reshape(values.shape)


def value_at(place: tuple[int, ...], value: float) -> Callable[[Array], Array]:
    """One entry is another."""

    def change(values: Array) -> Array:
        changed = values.astype(np.float64)
        changed[place] = value
        return changed

    return change


def table_with(change: Callable[[Any], Any]) -> Damage:
    """A Parquet file with another table."""

    def damage(path: Path) -> None:
        pq.write_table(change(pq.read_table(path)), path)

    return damage


def column(name: str, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A table with another column in the place of one, of the same type where it can be."""

    def replace(table: Any) -> Any:
        values, kind = change(table[name].to_pylist()), table.schema.field(name).type
        try:
            changed = pa.array(values, kind)
        except pa.ArrowException:
            changed = pa.array(values)
        return table.set_column(table.column_names.index(name), name, changed)

    return replace


def changed(name: str, change: Callable[[list[Any]], list[Any]]) -> Damage:
    """A Parquet file with another column in the place of one."""
    return table_with(column(name, change))


def dropped(*names: str) -> Callable[[Any], Any]:
    """A table without columns."""
    return lambda table: table.drop_columns(list(names))


def first_rows(count: int) -> Callable[[Any], Any]:
    """The first rows of a table; a negative count leaves out the last."""
    return lambda table: table.slice(0, count if count >= 0 else table.num_rows + count)


def these_rows(*runs: Iterable[int]) -> Callable[[Any], Any]:
    """Rows of a table, in this order."""
    return lambda table: table.take([row for run in runs for row in run])


def entry(step: int, value: Any, dimension: int | None = None) -> Callable[[list[Any]], list[Any]]:
    """A column with one entry, or one number of a vector there, exchanged."""

    def change(values: list[Any]) -> list[Any]:
        other = [list(v) if isinstance(v, list) else v for v in values]
        if dimension is None:
            other[step] = value
        else:
            other[step][dimension] = value
        return other

    return change


def words(values: list[Any]) -> list[Any]:
    """Every number spelled out."""
    return [[str(x) for x in v] if isinstance(v, list) else str(v) for v in values]


def _raw(path: Path) -> Path:
    """The folder that the data set was written to, whatever its depth in it."""
    return next(parent for parent in path.parents if parent.name == "raw")
