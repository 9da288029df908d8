"""An open D4RL-layout file, turned into episodes one slice at a time, and refused where it contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.formats._hdf5 import optional, reading, values_of
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

COLUMNS = ("observations", "actions", "rewards", "terminals")
SAME = 1e-3  # of a dimension's declared width: more apart, and two readings are not of the same moment


@dataclass(frozen=True, kw_only=True)
class Source:
    """An open file and what it must agree with."""

    file: Any
    path: Path
    manifest: Manifest
    found: dict[str, Any] = field(default_factory=dict)

    def require_lengths(self) -> None:
        """Refuse data sets that are missing, or whose shapes disagree with each other or the manifest."""
        sizes = {"observations": self.manifest.observation.size, "actions": self.manifest.action.size}
        total = count_steps(self.file, self.path)
        if total == 0:
            raise DataError("the file holds no steps", where=str(self.path), limit="at least 1", remedy="record some")
        for name in (
            *COLUMNS,
            "timeouts",
            "next_observations",
            "infos/cost",
            "infos/intervened",
            "infos/operator",
            "infos/seed",
        ):
            data = self._find(name)
            if data is None:
                continue
            width = sizes.get(name.removeprefix("next_"))
            wanted = (total,) if width is None else (total, width)
            if data.shape != wanted and not (width is None and data.shape == (total, 1)):
                raise DataError(
                    f"{name} has the shape {data.shape}",
                    where=str(self.path),
                    limit=f"{wanted} for {total} steps and the dimensions in manifest {self.manifest.name}",
                    remedy="mend the file or the manifest",
                )

    def ends(self) -> Array:
        """One past the last row of each episode, ascending."""
        last = self._rows("terminals", slice(None), np.bool_)
        if self._find("timeouts") is not None:
            last = last | self._rows("timeouts", slice(None), np.bool_)
        ends = np.unique(np.r_[np.flatnonzero(last) + 1, len(last)])
        if (logged := optional(self.file, "episodes/ends", self.path)) is not None:
            self._require_ends(ends, values_of(logged, slice(None), self.path).reshape(-1))
        return ends

    def episode(self, index: int, start: int, end: int) -> Episode:
        """Rows [start, end) as an episode; ``index`` names it in messages."""
        where = f"{self.path}, episode {index}"
        self.manifest.require_length(end - start, where=where)
        rows = slice(start, end)
        observations, cut = self._observations(rows, where=where)
        kept = slice(start, start + len(observations) - 1)
        self.manifest.require_length(kept.stop - kept.start, where=f"{where} (its last step has no next observation)")
        terminated = bool(self._rows("terminals", rows, np.bool_)[-1]) and not cut
        return Episode(
            observations=observations,
            actions=self._finite("actions", kept, where),
            rewards=self._finite("rewards", kept, where) if self._find("rewards") is not None else _zeros(kept),
            cost=self._finite("infos/cost", kept, where) if self._find("infos/cost") is not None else _zeros(kept),
            intervened=self._flags("infos/intervened", kept),
            terminated=terminated,
            truncated=not terminated or self._flags("timeouts", rows)[-1].item(),
            operator=self._operator(index, rows, where=where),
            seed=self._seed(index, rows, where=where),
            success=bool(self._number("success", index, rows, default=0, where=where)),
            score=float(self._number("score", index, rows, default=0, where=where)),
        )

    def _observations(self, rows: slice, *, where: str) -> tuple[Array, bool]:
        """T+1 observations, and whether the last step had to be dropped for want of the one after it."""
        observed = self._finite("observations", rows, where)
        if self._find("next_observations") is None:
            return observed, True
        after = self._finite("next_observations", rows, where)
        width = self.manifest.observation.high - self.manifest.observation.low
        apart = np.abs(after[:-1] - observed[1:]) > SAME * width
        if apart.any():
            step, dimension = np.argwhere(apart)[0]
            raise DataError(
                f"next_observations says {after[step, dimension]:g}, the next row of observations "
                f"{observed[step + 1, dimension]:g}",
                where=f"{where}, step {step}, observation.{self.manifest.observation.names[dimension]}",
                limit="both are the same moment within an episode",
                remedy="mark the end of the episode in terminals or timeouts",
            )
        return np.concatenate([observed, after[-1:]]), False

    def _finite(self, name: str, rows: slice, where: str) -> Array:
        """Rows as float32; what is too large for float32 counts as infinite."""
        values = self._rows(name, rows, np.float32)
        self._require_finite(name, values, where=where)
        return values

    def _require_finite(self, name: str, values: Array, *, where: str) -> None:
        odd = np.argwhere(~np.isfinite(values))
        if len(odd):
            step, *dimension = odd[0].tolist()
            schema = self.manifest.action if name == "actions" else self.manifest.observation
            label = f"{name}.{schema.names[dimension[0]]}" if dimension else name
            raise DataError(
                f"{label} is {values[tuple(odd[0])]}; {len(odd)} such value(s) here",
                where=f"{where}, step {step}",
                limit="a finite number",
                remedy="remove the episode or mend the recording",
            )

    def _flags(self, name: str, rows: slice) -> Array:
        if self._find(name) is None:
            return np.zeros(rows.stop - rows.start, dtype=np.bool_)
        return self._rows(name, rows, np.bool_)

    def _rows(self, name: str, rows: slice, dtype: Any) -> Array:
        values = values_of(self._find(name), rows, self.path)
        if name not in ("observations", "actions", "next_observations"):
            values = values.reshape(-1)
        if dtype is np.bool_:
            # NaN would count as true; as a number it stays what it is, and is refused by name.
            self._require_finite(name, values, where=f"{self.path}, rows from {rows.start or 0}")
        with np.errstate(over="ignore"):
            return values.astype(dtype)

    def _find(self, name: str) -> Any:
        """The data set of that name, looked up and checked once; None where it may be and is absent."""
        if name not in self.found:
            self.found[name] = self._look_up(name)
        return self.found[name]

    def _look_up(self, name: str) -> Any:
        required = name in COLUMNS and not (name == "rewards" and self.manifest.reward_source == "robot")
        return dataset(self.file, name, self.path) if required else optional(self.file, name, self.path)

    def _operator(self, index: int, rows: slice, *, where: str) -> str:
        alone = self.manifest.operators[0] if len(self.manifest.operators) == 1 else None
        found = self._of_episode("operator", index, rows, default=alone, where=where)
        if found is None:
            raise DataError(
                "no operator is logged",
                where=where,
                limit=f"the manifest names {', '.join(self.manifest.operators)}",
                remedy="add episodes/operator to the file, or name the one operator in the manifest",
            )
        name = found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
        self.manifest.require_operator(name, where=where)
        return name

    def _seed(self, index: int, rows: slice, *, where: str) -> int:
        value = self._number("seed", index, rows, default=-1, where=where)
        if value != int(value) or not -1 <= value < 2**63:
            raise DataError(
                f"the seed is {value}",
                where=where,
                limit="a whole number from -1 (not logged) to 2^63 - 1",
                remedy="mend the recording",
            )
        return int(value)

    def _number(self, name: str, index: int, rows: slice, *, default: int, where: str) -> Any:
        value = self._of_episode(name, index, rows, default=default, where=where)
        if not np.isfinite(value):
            raise DataError(f"the {name} is {value}", where=where, limit="a finite number", remedy="mend the recording")
        return value

    def _of_episode(self, name: str, index: int, rows: slice, *, default: Any, where: str) -> Any:
        """One value of an episode: from ``episodes/``, else the one value that all its steps share in ``infos/``."""
        data = self._find(f"episodes/{name}")
        if data is not None:
            if data.ndim != 1 or index >= len(data):
                limit = f"one value per episode, and this is episode {index}"
                raise DataError(
                    f"episodes/{name} has the shape {data.shape}", where=where, limit=limit, remedy="mend the file"
                )
            return values_of(data, slice(index, index + 1), self.path)[0]
        data = self._find(f"infos/{name}") if name in ("operator", "seed") else None
        if data is None:
            return default
        values = np.unique(values_of(data, rows, self.path))
        if len(values) > 1:
            raise DataError(
                f"infos/{name} changes within the episode: {values[0]}, {values[1]}",
                where=where,
                limit=f"one {name} per episode",
                remedy="mark the end of the episode in terminals or timeouts",
            )
        return values[0]

    def _require_ends(self, ends: Array, logged: Array) -> None:
        empty = np.flatnonzero(np.diff(np.r_[0, logged]) <= 0)
        if len(empty):
            self.manifest.require_length(0, where=f"{self.path}, episode {empty[0]} by episodes/ends")
        if not np.array_equal(ends, logged):
            raise DataError(
                f"terminals and timeouts end {len(ends)} episodes, episodes/ends {len(logged)}",
                where=str(self.path),
                limit="both mark the same rows",
                remedy="mend whichever is wrong",
            )


def dataset(file: Any, name: str, path: Path) -> Any:
    """A data set that must be there.

    Raises:
        DataError: it is not; the message says what is.
    """
    data = optional(file, name, path)
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


def count_steps(file: Any, path: Path) -> int:
    """Rows of ``actions``."""
    shape = dataset(file, "actions", path).shape
    return int(shape[0]) if shape else 0


def _zeros(rows: slice) -> Array:
    return np.zeros(rows.stop - rows.start, dtype=np.float32)
