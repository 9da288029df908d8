"""An open D4RL-layout file, turned into episodes one slice at a time, and refused where it contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.formats._hdf5 import optional, unreadable
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
            self._require_ends(ends, np.asarray(logged[:]).reshape(-1).astype(np.int64))
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
            seed=int(self._of_episode("seed", index, rows, default=-1, where=where)),
            success=bool(self._of_episode("success", index, rows, default=False, where=where)),
            score=float(self._of_episode("score", index, rows, default=0.0, where=where)),
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
        odd = np.argwhere(~np.isfinite(values))
        if len(odd):
            step, *dimension = odd[0].tolist()
            schema = self.manifest.action if name == "actions" else self.manifest.observation
            label = f"{name}.{schema.names[dimension[0]]}" if dimension else name
            raise DataError(
                f"{label} is {values[tuple(odd[0])]}; {len(odd)} such value(s) in this episode",
                where=f"{where}, step {step}",
                limit="a finite number",
                remedy="remove the episode or mend the recording",
            )
        return values

    def _flags(self, name: str, rows: slice) -> Array:
        if self._find(name) is None:
            return np.zeros(rows.stop - rows.start, dtype=np.bool_)
        return self._rows(name, rows, np.bool_)

    def _rows(self, name: str, rows: slice, dtype: Any) -> Array:
        data = self._find(name)
        try:
            with np.errstate(over="ignore"):
                values = np.asarray(data[rows]).astype(dtype)
        except OSError as error:
            raise unreadable(self.path, error) from error
        flat = name not in ("observations", "actions", "next_observations")
        return values.reshape(-1) if flat else values

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

    def _of_episode(self, name: str, index: int, rows: slice, *, default: Any, where: str) -> Any:
        """One value of an episode: from ``episodes/``, else the one value that all its steps share in ``infos/``."""
        data = self._find(f"episodes/{name}")
        if data is not None:
            if data.ndim != 1 or index >= len(data):
                limit = f"one value per episode, and this is episode {index}"
                raise DataError(
                    f"episodes/{name} has the shape {data.shape}", where=where, limit=limit, remedy="mend the file"
                )
            return data[index]
        data = self._find(f"infos/{name}") if name in ("operator", "seed") else None
        if data is None:
            return default
        values = np.unique(data[rows])
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
        raise DataError(
            f"no data set {name!r}",
            where=str(path),
            limit=f"D4RL layout has {', '.join(COLUMNS)}; here are {', '.join(sorted(file)) or 'none'}",
            remedy="rename or add it",
        )
    return data


def count_steps(file: Any, path: Path) -> int:
    """Rows of ``actions``."""
    shape = dataset(file, "actions", path).shape
    return int(shape[0]) if shape else 0


def _zeros(rows: slice) -> Array:
    return np.zeros(rows.stop - rows.start, dtype=np.float32)
