"""Which rows of which file are which episode: the metadata of a LeRobotDataset, held together before data is read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_to_online.dataset.formats._lerobot_info import Info
from offline_to_online.dataset.formats._lerobot_parquet import cells, column_types, count_rows
from offline_to_online.dataset.formats._lerobot_paths import fill, inside, is_file, matching
from offline_to_online.errors import DataError

EPISODES_LINES, TASKS_LINES = "meta/episodes.jsonl", "meta/tasks.jsonl"
EPISODES_FILES, TASKS_FILE = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet", "meta/tasks.parquet"
LARGEST = 2**63  # no counter is as large
PLACES = ("dataset_from_index", "dataset_to_index", "data/chunk_index", "data/file_index")


@dataclass(frozen=True, kw_only=True)
class Span:
    """The rows of an episode: ``length`` of them from row ``start`` of the whole data set; in ``file``, it is said."""

    index: int
    start: int
    length: int
    file: str


def load_spans(info: Info) -> list[Span]:
    """All episodes in their order; each begins where the one before it ends.

    Raises:
        DataError: the metadata is missing or broken, lists an episode twice or not at all, contradicts itself
            or ``total_episodes``; or a data file that it names is not there.
    """
    spans = _spans_of_files(info) if info.consolidated else _spans_of_lines(info)
    source = EPISODES_FILES.split("/chunk")[0] if info.consolidated else EPISODES_LINES
    if len(spans) != info.episodes:
        raise DataError(
            f"{source} lists {len(spans)} episodes",
            where=str(info.root),
            limit=f"meta/info.json says total_episodes is {info.episodes}",
            remedy="restore the metadata",
        )
    if not spans:
        raise DataError(
            "the data set holds no episodes", where=str(info.root), limit="at least 1", remedy="record some"
        )
    _require_files(info, spans)
    return spans


def data_files(info: Info, spans: Sequence[Span]) -> list[str]:
    """Names of the data files in the order of their rows: those of the spans, or for v3.0 those on disk.

    The pointers of v3.0 metadata are not enough: lerobot's converter from v2.1 leaves the first episode of each
    further file pointing at the file before it (https://github.com/huggingface/lerobot/issues/2401).
    """
    if not info.consolidated:
        return [span.file for span in spans]
    return [name for _, name in matching(info.root, info.data_path)[0]]


def load_tasks(info: Info) -> dict[int, str] | None:
    """Texts of the tasks by their index; None where no file lists them.

    Raises:
        DataError: the file is broken.
    """
    if not is_file(info.root, TASKS_FILE if info.consolidated else TASKS_LINES):
        return None
    if not info.consolidated:
        rows = [(row.get("task_index"), row.get("task")) for _, row in lines(info.root, TASKS_LINES)]
    else:
        kinds = column_types(info.root, TASKS_FILE)
        text = next((name for name, kind in kinds.items() if kind.endswith("string")), "task")
        listed = cells(info.root, TASKS_FILE, ["task_index", text])
        rows = [(row["task_index"], row[text]) for row in listed]
    return {index: str(task) for index, task in rows if isinstance(index, int) and abs(index) < LARGEST}


def stale_pointers(info: Info, spans: Sequence[Span]) -> list[tuple[Span, str]]:
    """Episodes whose metadata names another file than the one that their first row lies in, and that file.

    Raises:
        DataError: a data file is missing or broken.
    """
    if not info.consolidated:
        return []
    odd: list[tuple[Span, str]] = []
    remaining, end, name = data_files(info, spans), 0, ""
    for span in spans:
        while remaining and span.start >= end:
            name = remaining.pop(0)
            end += count_rows(info.root, name)
        if span.file != name:
            odd.append((span, name))
    return odd


def lines(root: Path, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of a file that holds one JSON object a line, with the line's number from 1.

    Raises:
        DataError: the file is missing, or a line is no JSON object.
    """
    path = inside(root, name)
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, _object(line, where=f"{path}, line {number}")
    except FileNotFoundError as error:
        raise DataError("no such file", where=str(path), remedy="restore the data set's meta folder") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"not readable as JSON lines: {error}", where=str(path), remedy="restore the file") from error


def whole(value: Any, key: str, *, where: str) -> int:
    """A whole number from 0.

    Raises:
        DataError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LARGEST:
        raise DataError(f"{key} is {value!r}", where=where, limit="a whole number from 0", remedy="mend the metadata")
    return value


def _object(line: str, *, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not readable as JSON: {error}", where=where, remedy="restore the file") from error
    if not isinstance(value, dict):
        raise DataError("the line holds no object", where=where, limit="names and values", remedy="restore the file")
    return value


def _spans_of_lines(info: Info) -> list[Span]:
    lengths: dict[int, int] = {}
    for number, row in lines(info.root, EPISODES_LINES):
        where = f"{info.root / EPISODES_LINES}, line {number}"
        index = whole(row.get("episode_index"), "episode_index", where=where)
        if index in lengths:
            raise DataError(f"episode {index} stands twice", where=where, limit="once", remedy="restore the file")
        lengths[index] = _length(row.get("length"), where=where)
    spans, start = [], 0
    for place, index in enumerate(sorted(lengths)):
        _require_next(place, index, where=str(info.root / EPISODES_LINES))
        name = fill(info.data_path, episode_index=index, episode_chunk=index // info.chunks_size)
        spans.append(Span(index=index, start=start, length=lengths[index], file=name))
        start += lengths[index]
    return spans


def _spans_of_files(info: Info) -> list[Span]:
    spans: list[Span] = []
    names = [name for _, name in matching(info.root, EPISODES_FILES)[0]]
    if not names:
        raise DataError(
            "no metadata of episodes",
            where=str(info.root / "meta" / "episodes"),
            limit=EPISODES_FILES,
            remedy="restore the data set's meta folder",
        )
    for name in names:
        for row in cells(info.root, name, ["episode_index", "length", *PLACES]):
            spans.append(_span(info, row, spans, where=str(info.root / name)))
    return spans


def _span(info: Info, row: dict[str, Any], before: Sequence[Span], *, where: str) -> Span:
    index = whole(row["episode_index"], "episode_index", where=where)
    _require_next(len(before), index, where=where)
    where = f"{where}, episode {index}"
    length = _length(row["length"], where=where)
    start, end, chunk, file = (whole(row[key], key, where=where) for key in PLACES)
    expected = before[-1].start + before[-1].length if before else 0
    if start != expected or end != start + length:
        raise DataError(
            f"dataset_from_index and dataset_to_index are {start} and {end}",
            where=where,
            limit=f"{expected} and {expected + length} for {length} frames after the episode before it",
            remedy="restore the metadata",
        )
    return Span(index=index, start=start, length=length, file=fill(info.data_path, chunk_index=chunk, file_index=file))


def _length(value: Any, *, where: str) -> int:
    if (length := whole(value, "length", where=where)) == 0:
        raise DataError("an empty episode", where=where, limit="at least 1 frame", remedy="remove it from the data")
    return length


def _require_next(place: int, index: int, *, where: str) -> None:
    if index != place:
        raise DataError(
            f"episode {index} stands where episode {place} should",
            where=where,
            limit="episodes are numbered from 0 without gaps",
            remedy="restore the metadata; an episode may have been lost",
        )


def _require_files(info: Info, spans: Sequence[Span]) -> None:
    known: set[str] = set()
    missing: list[Span] = []
    for span in spans:
        if span.file in known:
            continue
        known.add(span.file)
        if not is_file(info.root, span.file):
            missing.append(span)
    if missing:
        raise DataError(
            f"no data file; {len(missing)} of {len(known)} are missing",
            where=f"{info.root / missing[0].file}, episode {missing[0].index}",
            limit="the metadata names it",
            remedy="restore the files, or the whole data set",
        )
