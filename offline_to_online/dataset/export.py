"""Our episodes, or anybody's, written in a format that other tools open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from offline_to_online.dataset.assembly import Layout, assemble, implied_layout, layout_of
from offline_to_online.dataset.detection import format_of
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.logged import Contents
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.spec import ActionSchema, Dimension, ObservationSchema
from offline_to_online.errors import DataError, ParameterError
from offline_to_online.plugins import available, module_for, unknown


def exporters() -> list[str]:
    """The formats that can be written."""
    return [name for name in available("formats") if hasattr(module_for("formats", name), "export")]


def export(
    path: Path,
    folder: Path,
    *,
    to: str,
    format_name: str | None = None,
    manifest: Manifest | None = None,
    control_rate_hz: float | None = None,
) -> int:
    """Write the episodes of a data set in another format, whole or not at all; how many there were.

    Args:
        path: a data set in any format: ``data/episodes``, ``data/online/<run>``, or a stranger's.
        folder: where to write; it must not be there yet.
        to: one of ``exporters()``.
        format_name: of ``path``, forced; None looks.
        manifest: gives names, units and bounds; None leaves the dimensions numbered and unbounded.
        control_rate_hz: where neither manifest nor data says it.

    Raises:
        DataError: the data is broken, ``folder`` is there already, or nothing says the control rate.
        ParameterError: no format of that name is written.
    """
    writer = _writer(to)
    if folder.exists():
        raise DataError(
            "this is there already", where=str(folder), limit="nothing is overwritten", remedy="name another"
        )
    reader = format_of(path, format_name)
    contents: Contents = reader.describe(path)
    ours = manifest is not None and contents.format == "parquet_store"
    if manifest is None or ours:
        layout = implied_layout(contents)
    else:
        layout = layout_of(manifest, contents, where=f"manifest {manifest.name}")
    about = _about(contents, layout, manifest, name=path.resolve().name, control_rate_hz=control_rate_hz)
    if (len(layout.observation_names), len(layout.action_names)) != (about["observation"].size, about["action"].size):
        raise DataError(
            f"{len(layout.observation_names)} observation and {len(layout.action_names)} action dimensions",
            where=str(path),
            limit=f"manifest {about['name']} describes {about['observation'].size} and {about['action'].size}",
            remedy="name the manifest of this data",
        )
    count = _Counted(reader.read(path, sensors=layout.sensors), layout)
    writer.export(folder, iter(count), about)
    return count.episodes


class _Counted:
    """Episodes as they stream by, counted."""

    def __init__(self, logged: Iterator[Any], layout: Layout) -> None:
        self._logged, self._layout, self.episodes = logged, layout, 0

    def __iter__(self) -> Iterator[Episode]:
        for logged in self._logged:
            self.episodes += 1
            yield assemble(logged, self._layout)


def _writer(to: str) -> ModuleType:
    names = exporters()
    if to not in names:
        raise unknown(to, names, what="no export to", where="--to")
    return module_for("formats", to)


def _about(
    contents: Contents, layout: Layout, manifest: Manifest | None, *, name: str, control_rate_hz: float | None
) -> dict[str, Any]:
    known = manifest.control_rate_hz if manifest else contents.control_rate_hz
    rate = known if control_rate_hz is None else control_rate_hz
    if rate is not None and not 0 < rate < float("inf"):
        limit = "a number above 0"
        raise ParameterError(f"the control rate is {rate:g}", where="--rate", limit=limit, remedy="mend it")
    if rate is None:
        raise ParameterError(
            "nothing says the control rate",
            where=name,
            limit="a manifest, or the data's own time stamps",
            remedy="give --manifest or --rate",
        )
    if manifest is not None:
        return {
            "name": manifest.name,
            "action": manifest.action,
            "observation": manifest.observation,
            "control_rate_hz": rate,
            "licence": manifest.licence,
            "source": manifest.source,
            "robot": manifest.robot,
            "robot_body": manifest.robot_body,
        }
    facts = contents.facts
    return {
        "name": name,
        "action": ActionSchema(dimensions=_unbounded(layout.action_names)),
        "observation": ObservationSchema(dimensions=_unbounded(layout.observation_names)),
        "control_rate_hz": rate,
        "licence": facts.get("licence", facts.get("license", "")),
        "source": facts.get("source", ""),
        "robot": "",
        "robot_body": facts.get("robot_type", ""),
    }


def _unbounded(names: tuple[str, ...]) -> tuple[Dimension, ...]:
    return tuple(Dimension(name=name, unit="", low=float("-inf"), high=float("inf")) for name in names)
