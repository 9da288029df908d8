"""The parts of sensors that a manifest, or a person at the command line, selects as the observation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from offline_to_online.dataset.fields import nearest
from offline_to_online.dataset.logged import Contents
from offline_to_online.errors import ManifestError

SLICED = re.compile(r"(?P<name>.+)\[(?P<start>\d*):(?P<stop>\d*)\]")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Entries [start, stop) of one sensor."""

    sensor: str
    start: int
    stop: int


def parts_of(keys: Sequence[str], contents: Contents, *, where: str) -> tuple[Part, ...]:
    """Sensors by name, each whole or sliced (``observations[0:28]``).

    Raises:
        ManifestError: no sensor at all, no such sensor, or no such entries of it.
    """
    if not keys:
        limit = f"there is {', '.join(sensor.name for sensor in contents.sensors) or 'no vector'}"
        raise ManifestError("nothing is the observation", where=where, limit=limit, remedy="select sensors by name")
    twice = [key for key in keys if list(keys).count(key) > 1]
    if twice:
        limit = "each is selected once"
        raise ManifestError(
            f"{twice[0]} stands twice", where=f"{where}: observation_schema.keys", limit=limit, remedy="mend it"
        )
    return tuple(_part(key, contents, where=where) for key in keys)


def names_of(part: Part, contents: Contents, *, alone: bool) -> list[str]:
    """What the entries of a part are called: as the file says, else by number; with the sensor's name unless alone."""
    sensor = contents.sensor(part.sensor)
    if sensor is not None and sensor.names:
        names = list(sensor.names[part.start : part.stop])
        return names if alone else [f"{part.sensor}.{name}" for name in names]
    prefix = "o" if alone else f"{part.sensor}."
    return [f"{prefix}{i}" for i in range(part.start, part.stop)]


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The same names, those that stand more than once with their place behind them."""
    return tuple(f"{name}.{i}" if names.count(name) > 1 else name for i, name in enumerate(names))


def _part(key: str, contents: Contents, *, where: str) -> Part:
    names = [sensor.name for sensor in contents.sensors]
    sliced = None if key in names else SLICED.fullmatch(key)
    name = sliced["name"] if sliced else key
    sensor = contents.sensor(name)
    if sensor is None:
        raise ManifestError(
            f"no sensor {name!r} is logged",
            where=f"{where}: observation_schema.keys",
            limit=f"there is {', '.join(names) or 'none'}",
            remedy=nearest(name, names) or "choose among those",
        )
    start = int(sliced["start"] or 0) if sliced else 0
    stop = int(sliced["stop"] or sensor.width) if sliced else sensor.width
    if not 0 <= start < stop <= sensor.width:
        raise ManifestError(
            f"{key} selects entries {start} to {stop}",
            where=f"{where}: observation_schema.keys",
            limit=f"{name} has {sensor.width}",
            remedy="mend the range",
        )
    return Part(sensor=name, start=start, stop=stop)
