"""What the headers of a LeRobotDataset already tell: its vectors, what is left out, and what is odd."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.formats._lerobot_episodes import (
    EPISODES_FILES,
    Span,
    data_files,
    stale_pointers,
    whole,
)
from offline_to_online.dataset.formats._lerobot_info import NUMERIC, Feature, Info, load_json
from offline_to_online.dataset.formats._lerobot_parquet import cells, column_types
from offline_to_online.dataset.formats._lerobot_paths import fill, inside, is_file, matching
from offline_to_online.dataset.formats._lerobot_roles import Roles, unused
from offline_to_online.dataset.logged import LeftOut, Vector
from offline_to_online.errors import DataError

PROVENANCE = "meta/offline_to_online.json"
KINDS = {"image": "image", "video": "video", "string": "text"}
SAME_TYPES = {"float": "float32", "double": "float64", "halffloat": "float16"}


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What ``export`` wrote beside the data, and lerobot has no field for; empty of any other data set."""

    facts: Mapping[str, str] = field(default_factory=dict)
    operators: tuple[str, ...] = ()
    bounds: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = field(default_factory=dict)


def provenance(info: Info) -> Provenance:
    """Licence, source, robot body, operators and bounds, where our own export wrote them.

    Raises:
        DataError: the file is broken.
    """
    path = inside(info.root, PROVENANCE)
    if not is_file(info.root, PROVENANCE):
        return Provenance()
    raw = load_json(info.root, PROVENANCE)
    try:
        return Provenance(
            facts={key: str(raw[key]) for key in ("licence", "source", "robot", "robot_body") if raw.get(key)},
            operators=tuple(str(name) for name in raw["operators"]),
            bounds={name: _bounds(rows) for name, rows in raw["bounds"].items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        limit = "licence, source, operators and bounds, as export writes them"
        raise DataError("not what export writes", where=str(path), limit=limit, remedy="restore the file") from error


def vector(feature: Feature, known: Provenance) -> Vector:
    """A feature as a vector that a manifest may select."""
    low, high = known.bounds.get(feature.name, ((), ()))
    fits = len(low) == feature.width
    return Vector(
        name=feature.name,
        width=feature.width,
        dtype=feature.dtype,
        names=feature.names,
        low=low if fits else (),
        high=high if fits else (),
    )


def left_out(info: Info, found: Roles, spans: Sequence[Span]) -> tuple[LeftOut, ...]:
    """Pictures, texts and tensors, and columns that the metadata does not list.

    Raises:
        DataError: the first data file is no Parquet.
    """
    listed = [
        LeftOut(
            name=feature.name,
            kind="empty" if 0 in feature.shape else KINDS.get(feature.dtype, "other"),
            detail=f"{feature.dtype}, {' x '.join(map(str, feature.shape)) or 'a scalar'}",
        )
        for feature in unused(info, found)
    ]
    listed += [
        LeftOut(name=feature.name, kind="other", detail="a number that no manifest can select")
        for feature in found.extra
        if feature.name != "task_index"
    ]
    present = column_types(info.root, spans[0].file)
    strangers = [name for name in present if name not in info.features]
    return (*listed, *(LeftOut(name=name, kind="other", detail="not in meta/info.json") for name in strangers))


def findings(info: Info, found: Roles, spans: Sequence[Span], tasks: Mapping[int, str] | None) -> tuple[Finding, ...]:
    """What is odd, and does not keep the data out.

    Raises:
        DataError: a data file is missing or broken.
    """
    return (
        *_absent(found),
        *_videos(info, spans),
        *_strays(info, spans),
        *_stale(info, spans),
        *_types(info, spans),
        *_tasks(info, tasks),
    )


def _bounds(rows: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """JSON has no infinity: a bound that is not there is null."""
    low = tuple(-math.inf if row["low"] is None else float(row["low"]) for row in rows)
    return low, tuple(math.inf if row["high"] is None else float(row["high"]) for row in rows)


def _absent(found: Roles) -> Iterator[Finding]:
    if "rewards" not in found.scalars:
        yield Finding(
            check="missing_rewards",
            severity="notice",
            message="no reward is logged: there is no feature next.reward",
            remedy="let the robot's own reward function compute it (reward_source: robot)",
            dimension="reward",
        )
    ends = [role for role in ("done", "terminated", "truncated") if role in found.scalars]
    if not ends:
        yield Finding(
            check="missing_ends",
            severity="notice",
            message="how an episode ended is not logged: there is no feature next.done; every end counts as a cut",
            remedy="nothing, where episodes were recorded until a person stopped",
        )
    elif ends == ["done"]:
        yield Finding(
            check="ends_not_told_apart",
            severity="notice",
            message="next.done is set both at the task's own end and at a cut, and no next.truncated tells them apart; "
            "it counts as the task's own end",
            remedy="say terminals: ignore in the manifest where it only marks the last frame",
        )


def _videos(info: Info, spans: Sequence[Span]) -> Iterator[Finding]:
    videos = [name for name, feature in info.features.items() if feature.dtype == "video"]
    if not videos or info.video_path is None:
        return
    names = list(dict.fromkeys(_video_files(info, videos, info.video_path, spans)))
    missing = [name for name in names if not is_file(info.root, name)]
    if missing:
        yield Finding(
            check="missing_files",
            severity="warning",
            message=f"{len(missing)} of {len(names)} video files that the metadata names are not there",
            remedy="fetch them where pictures are wanted; vectors do not need them",
            file=missing[0],
            count=len(missing),
        )


def _video_files(info: Info, videos: Sequence[str], template: str, spans: Sequence[Span]) -> Iterator[str]:
    if not info.consolidated:
        for span in spans:
            for video in videos:
                chunk = span.index // info.chunks_size
                yield fill(template, video_key=video, episode_chunk=chunk, episode_index=span.index)
        return
    pointers = {video: (f"videos/{video}/chunk_index", f"videos/{video}/file_index") for video in videos}
    wanted = [name for pair in pointers.values() for name in pair]
    for _, name in matching(info.root, EPISODES_FILES)[0]:
        for row in cells(info.root, name, wanted):
            for video, pair in pointers.items():
                chunk, file = (whole(row[key], key, where=str(info.root / name)) for key in pair)
                yield fill(template, video_key=video, chunk_index=chunk, file_index=file)


def _strays(info: Info, spans: Sequence[Span]) -> Iterator[Finding]:
    named, others = matching(info.root, info.data_path)
    known = set(data_files(info, spans))
    strays = sorted([name for _, name in named if name not in known] + others)
    if strays:
        yield Finding(
            check="undeclared_files",
            severity="warning",
            message=f"{len(strays)} Parquet file(s) lie beside the data, and no episode of the metadata is in them",
            remedy="restore the metadata if they hold episodes, else remove them",
            file=strays[0],
            count=len(strays),
        )


def _stale(info: Info, spans: Sequence[Span]) -> Iterator[Finding]:
    odd = stale_pointers(info, spans)
    if odd:
        span, name = odd[0]
        yield Finding(
            check="stale_file_index",
            severity="warning",
            message=f"{len(odd)} episode(s) are said to lie in another file than they do; this one in {span.file}, "
            "as lerobot's converter from v2.1 leaves it at the first episode of a file. Rows are found by their index",
            remedy="nothing here; tools that follow data/file_index read the wrong file",
            file=name,
            episode=span.index,
            count=len(odd),
        )


def _types(info: Info, spans: Sequence[Span]) -> Iterator[Finding]:
    present = column_types(info.root, spans[0].file)
    for name, feature in info.features.items():
        stored = SAME_TYPES.get(present.get(name, ""), present.get(name, ""))
        if stored in NUMERIC and stored != feature.dtype:
            yield Finding(
                check="stored_type_differs",
                severity="warning",
                message=f"stored as {stored}, and meta/info.json says {feature.dtype}; "
                + ("the stored values are read" if feature.is_vector else "it is left out"),
                remedy="mend meta/info.json",
                file=spans[0].file,
                dimension=name,
            )


def _tasks(info: Info, tasks: Mapping[int, str] | None) -> Iterator[Finding]:
    if tasks is None or (info.tasks is not None and info.tasks != len(tasks)):
        listed = "no file lists the tasks" if tasks is None else f"{len(tasks)} task(s) are listed"
        yield Finding(
            check="tasks_disagree",
            severity="warning",
            message=f"{listed}, and meta/info.json says total_tasks is {info.tasks}",
            remedy="restore the list of tasks; the episodes themselves are whole",
            file="meta/info.json",
        )
