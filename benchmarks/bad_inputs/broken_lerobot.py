"""Structural damage to LeRobotDatasets, v2.1 and v3.0."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from benchmarks.bad_inputs.damage import (
    changed,
    dropped,
    entry,
    first_rows,
    key,
    lines_with,
    no_json,
    removed,
    swapped,
    table_with,
    words,
)
from benchmarks.bad_inputs.logs import EPISODES
from benchmarks.bad_inputs.rows import (
    FINITE,
    HERE,
    JSON,
    LENGTH,
    LIES,
    LINK,
    MISSING,
    NOTHING,
    ORDER,
    SHAPE,
    TEXT,
    Row,
    at,
    row_of,
)

INFO, LINES = "meta/info.json", "meta/episodes.jsonl"
ONE, OTHER = (f"data/chunk-000/episode_00000{number}.parquet" for number in (3, 5))
THIRD, NAN = "000003|episode 3", float("nan")


def _short(values: list[Any]) -> list[Any]:
    return [row[:-1] for row in values]


def _longer(lines: list[str]) -> list[str]:
    return [line.replace('"length": ', '"length": 1') if i == 3 else line for i, line in enumerate(lines)]


def _exchanged(table: Any) -> Any:
    return table.take([1, 0, *range(2, table.num_rows)])


V21: tuple[Row, ...] = (
    (MISSING, "no actions in one episode", at(ONE, table_with(dropped("action"))), THIRD),
    (MISSING, "no time stamps in one episode", at(ONE, table_with(dropped("timestamp"))), THIRD),
    (SHAPE, "a vector too short", at(ONE, changed("action", _short)), THIRD),
    (LENGTH, "one frame too few", at(ONE, table_with(first_rows(-1))), THIRD),
    (TEXT, "actions are words", at(ONE, changed("action", words)), THIRD),
    (FINITE, "NaN in the state", at(ONE, changed("observation.state", entry(5, NAN, 2))), HERE),
    (FINITE, "a null in the rewards", at(ONE, changed("next.reward", entry(5, None))), HERE),
    (ORDER, "two episodes with each other's file", swapped(ONE, OTHER), "00000[35]|episode [35]"),
    (ORDER, "frames out of order", at(ONE, table_with(_exchanged)), THIRD),
    (NOTHING, "an episode of no frames", at(ONE, table_with(first_rows(0))), THIRD),
    (LIES, "total_frames", at(INFO, key("total_frames", to=7)), "info.json|lerobot21"),
    (LIES, "total_episodes", at(INFO, key("total_episodes", to=EPISODES - 1)), "info.json|lerobot21"),
    (LIES, "the length of one episode", at(LINES, lines_with(_longer)), "episode"),
    (LIES, "an episode listed twice", at(LINES, lines_with(lambda lines: [*lines, lines[3]])), LINES),
    (LINK, "data_path climbs out", at(INFO, key("data_path", to="../../{episode_index:06d}.parquet")), INFO),
    (JSON, "info.json breaks off", at(INFO, no_json), INFO),
    (JSON, "no info.json", at(INFO, removed), "lerobot21|info.json"),
    (JSON, "a version of the future", at(INFO, key("codebase_version", to="v9.0")), INFO),
    (JSON, "a line breaks off", at(LINES, lines_with(lambda lines: [*lines[:5], lines[5][:20]])), LINES),
)

FILE, NEXT, TABLE = (
    "data/chunk-000/file-000.parquet",
    "data/chunk-000/file-001.parquet",
    "meta/episodes/chunk-000/file-000.parquet",
)
FRAME = row_of(3, 5)


def _without_third(table: Any) -> Any:
    return table.filter(pc.not_equal(table["episode_index"], 3))


V30: tuple[Row, ...] = (
    (MISSING, "no actions", at(FILE, table_with(dropped("action"))), "file-000|action"),
    (MISSING, "no episode metadata", at(TABLE, removed), "meta/episodes|lerobot30"),
    (LENGTH, "one frame too few at the end of a file", at(FILE, table_with(first_rows(-1))), "episode|file-000"),
    (TEXT, "actions are words", at(FILE, changed("action", words)), "file-000|action"),
    (FINITE, "NaN in the state", at(FILE, changed("observation.state", entry(FRAME, NAN, 2))), HERE),
    (ORDER, "two files with each other's name", swapped(FILE, NEXT), "file-00|episode"),
    (ORDER, "one frame in another episode", at(FILE, changed("episode_index", entry(FRAME, 7))), "episode [37]"),
    (ORDER, "one episode's frames are missing", at(FILE, table_with(_without_third)), "episode|file-000"),
    (NOTHING, "an episode of no frames", at(TABLE, changed("length", entry(3, 0))), "episode 3"),
    (LIES, "the length of one episode", at(TABLE, changed("length", entry(3, 7))), "episode 3"),
    (LIES, "where an episode begins", at(TABLE, changed("dataset_from_index", entry(3, 1))), "episode 3"),
    (LIES, "total_frames", at(INFO, key("total_frames", to=7)), "info.json|lerobot30"),
    (LIES, "the width of a feature", at(INFO, key("features", "action", "shape", to=[4])), "action"),
    (JSON, "info.json breaks off", at(INFO, no_json), INFO),
    (JSON, "fps is nothing", at(INFO, key("fps", to=0)), INFO),
    (JSON, "no features", at(INFO, key("features", to={})), INFO),
)
