"""An open D4RL-layout file: what is in it, where its episodes end, and its rows in blocks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.formats._hdf5 import attribute, optional, reading, values_of
from offline_to_online.dataset.logged import Contents, LeftOut, Vector
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

COLUMNS = ("observations", "actions", "rewards", "terminals")
OURS = ("infos/cost", "infos/intervened", "infos/operator", "infos/seed")
SUCCESSES = ("infos/success", "infos/is_success", "infos/goal_achieved")
FLAGS = ("terminals", "timeouts", "infos/intervened", *SUCCESSES)
TIMES = ("timestamps", "infos/time", "infos/timestamp", "infos/timestamps")
BLOCK_ROWS = 16_384
SCAN_ROWS = 2**20


@dataclass(frozen=True, kw_only=True)
class Source:
    """An open file."""

    file: Any
    path: Path
    found: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def rows(self) -> int:
        """Rows of ``actions``."""
        return count_steps(self.file, self.path)

    def find(self, name: str) -> Any:
        """The data set of that name, looked up and checked once; None where it is absent."""
        if name not in self.found:
            self.found[name] = _flag_or_numbers(self.file, name, self.path)
        return self.found[name]

    def first(self, names: tuple[str, ...]) -> str | None:
        """The first of the names that there is."""
        return next((name for name in names if self.find(name) is not None), None)

    def require_rows(self) -> None:
        """Refuse a file without steps, one that lacks a column, and columns whose lengths disagree.

        Raises:
            DataError: with the name, its shape and the shape it must have.
        """
        if self.rows == 0:
            raise DataError("the file holds no steps", where=str(self.path), limit="at least 1", remedy="record some")
        width = {name: dataset(self.file, name, self.path).ndim == 2 for name in ("observations", "actions")}
        width["next_observations"] = True
        dataset(self.file, "terminals", self.path)
        for name in (*COLUMNS, "timeouts", "next_observations", *OURS, *SUCCESSES, *TIMES):
            data = self.find(name)
            if data is None:
                continue
            flat = name not in width and data.shape in ((self.rows,), (self.rows, 1))
            if not flat and not (width.get(name) and data.ndim == 2 and len(data) == self.rows):
                wanted = f"({self.rows}, a width)" if name in width else f"({self.rows},)"
                raise DataError(
                    f"{name} has the shape {data.shape}",
                    where=str(self.path),
                    limit=f"{wanted} for the {self.rows} steps of actions",
                    remedy="mend the file",
                )
        after = self.find("next_observations")
        if after is not None and after.shape != self.find("observations").shape:
            raise DataError(
                f"next_observations has the shape {after.shape}",
                where=str(self.path),
                limit=f"that of observations, {self.find('observations').shape}",
                remedy="mend the file",
            )

    def ends(self) -> Array:
        """One past the last row of each episode, ascending; flags are read a million at a time."""
        pieces = [
            start + 1 + np.flatnonzero(self._last(slice(start, min(start + SCAN_ROWS, self.rows))))
            for start in range(0, self.rows, SCAN_ROWS)
        ]
        ends = np.unique(np.r_[np.concatenate(pieces), self.rows])
        if (logged := self.find("episodes/ends")) is not None:
            self._require_ends(ends, values_of(logged, slice(None), self.path).reshape(-1))
        return ends

    def _last(self, rows: slice) -> Array:
        last = self._flags("terminals", rows)
        return last if self.find("timeouts") is None else last | self._flags("timeouts", rows)

    def _flags(self, name: str, rows: slice) -> Array:
        """Flags as bool. NaN would count as true: as a number it stays what it is, and is refused by name."""
        values = self.read(name, rows)
        odd = np.flatnonzero(~np.isfinite(values))
        if len(odd):
            raise DataError(
                f"{name} is {values[odd[0]]}; {len(odd)} such value(s) here",
                where=f"{self.path}, rows from {rows.start}, step {odd[0]}",
                limit="a finite number",
                remedy="mend the recording",
            )
        return values.astype(np.bool_)

    def read(self, name: str, rows: slice) -> Array:
        """Rows as they stand in the file; a column of shape (N, 1) that is one number a step is flat."""
        values = values_of(self.find(name), rows, self.path)
        flat = name not in ("observations", "actions", "next_observations") and not self.is_sensor(name)
        return values.reshape(len(values)) if flat and values.ndim == 2 and values.shape[1] == 1 else values

    def is_sensor(self, name: str) -> bool:
        """Whether a manifest may select it as (a part of) the observation."""
        return name == "observations" or name in self.info_sensors

    @cached_property
    def info_sensors(self) -> tuple[str, ...]:
        """Vectors of floats that are logged beside the observations at every step."""
        known = {*OURS, *SUCCESSES, *TIMES}
        return tuple(
            name
            for name in self._numeric("infos")
            if name not in known and self.find(name).ndim == 2 and len(self.find(name)) == self.rows
        )

    @cached_property
    def extra(self) -> tuple[str, ...]:
        """Other numbers a step."""
        loose = ("infos",) if self.find("infos") is not None else ()
        known = {*OURS, *TIMES, *self.info_sensors}
        return tuple(
            name
            for name in (*loose, *self._numeric("infos"))
            if name not in known and self.find(name).ndim >= 1 and len(self.find(name)) == self.rows
        )

    @cached_property
    def facts(self) -> tuple[str, ...]:
        """Numbers an episode, beyond those that an Episode has a field for."""
        known = {f"episodes/{name}" for name in ("ends", "operator", "seed", "success", "score")}
        return tuple(name for name in self._numeric("episodes") if name not in known and self.find(name).ndim >= 1)

    def _numeric(self, group: str) -> list[str]:
        with reading(self.path):
            node = self.file.get(group)
            names = sorted(node) if isinstance(node, h5py.Group) else []
            texts = [n for n in names if isinstance(node[n], h5py.Dataset) and node[n].dtype.kind not in "fiub"]
        return [f"{group}/{name}" for name in names if name not in texts and self.find(f"{group}/{name}") is not None]

    def contents(self, format_name: str) -> Contents:
        """What the headers say."""
        self.require_rows()
        sensors = ("observations", *self.info_sensors)
        return Contents(
            format=format_name,
            sensors=tuple(self._vector(name) for name in sensors),
            observation=("observations",),
            actions=self._vector("actions"),
            rewards=self.find("rewards") is not None,
            ends=self.find("timeouts") is not None,
            times=self.first(TIMES) is not None,
            final_observation=self.find("next_observations") is not None,
            steps=self.rows,
            left_out=self._left_out(),
            findings=self._findings(),
            facts=self._facts(),
            operators=self._operators(),
        )

    def _vector(self, name: str) -> Vector:
        data = self.find(name)
        names = self._texts().get({"observations": "observation_names", "actions": "action_names"}.get(name, ""), "")
        width = int(data.shape[1]) if data.ndim == 2 else 1
        return Vector(name=name, width=width, dtype=str(data.dtype), names=_names(names, width))

    def _texts(self) -> dict[str, str]:
        with reading(self.path):
            names = list(self.file.attrs)
        texts: dict[str, str] = {}
        for name in names:
            # A description that is neither text nor number describes nothing to us.
            with contextlib.suppress(DataError):
                value = attribute(self.file, name, self.path)
                texts |= {str(name): str(value)} if np.ndim(value) == 0 else {}
        return texts

    def _facts(self) -> dict[str, str]:
        return {k: v for k, v in self._texts().items() if k not in ("observation_names", "action_names")}

    def _operators(self) -> tuple[str, ...]:
        data = self.find("episodes/operator")
        if data is None:
            return ()
        return tuple(sorted({text(value) for value in values_of(data, slice(None), self.path)}))

    def _left_out(self) -> tuple[LeftOut, ...]:
        with reading(self.path):
            node = self.file.get("infos")
            group = dict(node.items()) if isinstance(node, h5py.Group) else {}
        return tuple(
            LeftOut(name=f"infos/{name}", kind="image" if value.ndim >= 3 else "other", detail=str(value.shape))
            for name, value in sorted(group.items())
            if isinstance(value, h5py.Dataset)
            and (value.ndim >= 3 or value.dtype.kind not in "fiub")
            and f"infos/{name}" not in OURS
        )

    def _findings(self) -> tuple[Finding, ...]:
        found = []
        if self.find("infos") is not None:
            found.append(
                Finding(
                    check="infos_not_a_group",
                    severity="notice",
                    message="infos is one data set where D4RL has a group; it is kept out of the episodes",
                    file=str(self.path),
                )
            )
        return tuple(found)

    def _require_ends(self, ends: Array, logged: Array) -> None:
        empty = np.flatnonzero(np.diff(np.r_[0, logged]) <= 0)
        if len(empty):
            raise DataError(
                "an empty episode",
                where=f"{self.path}, episode {empty[0]} by episodes/ends",
                limit="at least 1 step",
                remedy="remove it from the data",
            )
        if not np.array_equal(ends, logged):
            raise DataError(
                f"terminals and timeouts end {len(ends)} episodes, episodes/ends {len(logged)}",
                where=str(self.path),
                limit="both mark the same rows",
                remedy="mend whichever is wrong",
            )


def blocks(ends: Array) -> Iterator[tuple[int, int]]:
    """Episodes [first, stop) in blocks of some thousand rows: one read a column serves many short episodes."""
    first, starts = 0, np.r_[0, ends[:-1]]
    for index in range(len(ends)):
        if index + 1 == len(ends) or ends[index + 1] - starts[first] > BLOCK_ROWS:
            yield first, index + 1
            first = index + 1


def dataset(file: Any, name: str, path: Path) -> Any:
    """A data set that must be there.

    Raises:
        DataError: it is not; the message says what is.
    """
    data = _flag_or_numbers(file, name, path)
    if data is None:
        with reading(path):
            present = sorted(file)
        raise DataError(
            f"no data set {name!r}",
            where=str(path),
            limit=f"D4RL layout has {', '.join(COLUMNS)}; here are {', '.join(present) or 'none'}",
            remedy="rename or add it",
        )
    return data


def _flag_or_numbers(file: Any, name: str, path: Path) -> Any:
    unset = "write the zeros out" if name in COLUMNS else "write the zeros out, or leave the data set away"
    return optional(file, name, path, unset=unset if name in FLAGS else None)


def count_steps(file: Any, path: Path) -> int:
    """Rows of ``actions``."""
    shape = dataset(file, "actions", path).shape
    return int(shape[0]) if shape else 0


def text(value: Any) -> str:
    """A text of an HDF5 file, whatever its encoding."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _names(content: str, width: int) -> tuple[str, ...]:
    """Dimension names from an attribute that holds a JSON list of them; none where it does not fit."""
    try:
        names = json.loads(content)
    except ValueError:
        return ()
    fits = isinstance(names, list) and len(names) == width and all(isinstance(n, str) for n in names)
    return tuple(names) if fits and len(set(names)) == width else ()
