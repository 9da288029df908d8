"""The episodes of an open D4RL-layout file, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from offline_to_online.dataset.formats._d4rl_source import OURS, SUCCESSES, TIMES, Source, blocks, text
from offline_to_online.dataset.formats._hdf5 import values_of
from offline_to_online.dataset.logged import LoggedEpisode
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError

FLAT = ("rewards", "terminals", "timeouts")


def episodes(source: Source, sensors: Sequence[str] | None, *, extra: bool) -> Iterator[LoggedEpisode]:
    """Every episode, in order.

    Raises:
        DataError: a column is missing or of another length, an end contradicts another, a value of an episode
            is no such value or changes within it.
    """
    source.require_rows()
    ends = source.ends()
    starts = np.r_[0, ends[:-1]]
    wanted = _columns(source, sensors, extra=extra)
    for first, stop in blocks(ends):
        origin = int(starts[first])
        block = {name: source.read(name, slice(origin, int(ends[stop - 1]))) for name in wanted}
        for index in range(first, stop):
            rows = slice(int(starts[index]) - origin, int(ends[index]) - origin)
            columns = {name: values[rows] for name, values in block.items()}
            yield _episode(source, columns, index, len(ends), sensors, extra=extra)


def _columns(source: Source, sensors: Sequence[str] | None, *, extra: bool) -> list[str]:
    read = ["observations", *source.info_sensors] if sensors is None else list(sensors)
    names = ["actions", *FLAT, *read, *OURS, *(source.extra if extra else ())]
    names += ["next_observations"] if "observations" in read else []
    names += [name for name in (source.first(SUCCESSES), source.first(TIMES)) if name is not None]
    return [name for name in dict.fromkeys(names) if source.find(name) is not None]


def _episode(
    source: Source,
    columns: dict[str, Array],
    index: int,
    episodes: int,
    sensors: Sequence[str] | None,
    *,
    extra: bool,
) -> LoggedEpisode:
    where = f"{source.path}, episode {index}"
    facts = _Facts(source=source, columns=columns, index=index, where=where)
    selected = ("observations", *source.info_sensors) if sensors is None else sensors
    success = facts.number("success")
    return LoggedEpisode(
        where=where,
        sensors={name: columns[name] for name in selected},
        following={"observations": columns["next_observations"]} if "next_observations" in columns else {},
        actions=columns["actions"],
        **{name: columns.get(name) for name in FLAT},
        times=columns.get(source.first(TIMES) or ""),
        cost=columns.get("infos/cost"),
        intervened=columns.get("infos/intervened"),
        successes=columns.get(source.first(SUCCESSES) or ""),
        operator=facts.operator(),
        seed=facts.seed(),
        success=None if success is None else bool(success),
        score=facts.number("score"),
        extra={name: columns[name] for name in (source.extra if extra else ()) if name in columns},
        facts={
            name: np.asarray(facts.of_episode(name.removeprefix("episodes/")))
            for name in (source.facts if extra else ())
            if len(source.find(name)) == episodes
        },
    )


class _Facts:
    """What is logged once an episode: in ``episodes/``, or as the one value that all its steps share in ``infos/``."""

    def __init__(self, *, source: Source, columns: dict[str, Array], index: int, where: str) -> None:
        self.source, self.columns, self.index, self.where = source, columns, index, where

    def operator(self) -> str | None:
        """Who acted."""
        found = self.of_episode("operator")
        return None if found is None else text(found)

    def seed(self) -> int | None:
        """The seed of the reset, a whole number from -1."""
        value = self.number("seed")
        if value is None:
            return None
        if value != int(value) or not -1 <= value < 2**63:
            raise DataError(
                f"the seed is {value}",
                where=self.where,
                limit="a whole number from -1 (not logged) to 2^63 - 1",
                remedy="mend the recording",
            )
        return int(value)

    def number(self, name: str) -> Any:
        """A finite number of the episode; None where it is not logged."""
        value = self.of_episode(name)
        if value is not None and not np.isfinite(value):
            limit = "a finite number"
            raise DataError(f"the {name} is {value}", where=self.where, limit=limit, remedy="mend the recording")
        return value

    def of_episode(self, name: str) -> Any:
        """The value of this episode, whatever it is; None where it is not logged."""
        data = self.source.find(f"episodes/{name}")
        if data is not None:
            flat = name in ("operator", "seed", "success", "score")
            if data.ndim < 1 or (flat and data.ndim != 1) or self.index >= len(data):
                raise DataError(
                    f"episodes/{name} has the shape {data.shape}",
                    where=self.where,
                    limit=f"one value per episode, and this is episode {self.index}",
                    remedy="mend the file",
                )
            return self._table(name, data)[self.index]
        values = self.columns.get(f"infos/{name}") if name in ("operator", "seed") else None
        return None if values is None else self._shared(name, np.unique(values))

    def _table(self, name: str, data: Any) -> Array:
        """The whole table, read once a file: a value an episode is what may be held of all of them."""
        key = f"values of episodes/{name}"
        if key not in self.source.found:
            self.source.found[key] = values_of(data, slice(None), self.source.path)
        return np.asarray(self.source.found[key])

    def _shared(self, name: str, values: Array) -> Any:
        if len(values) > 1:
            raise DataError(
                f"infos/{name} changes within the episode: {values[0]}, {values[1]}",
                where=self.where,
                limit=f"one {name} per episode",
                remedy="mark the end of the episode in terminals or timeouts",
            )
        return values[0]
