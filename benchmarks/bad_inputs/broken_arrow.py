"""Structural damage to Minari's Arrow storage and to this project's own store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.bad_inputs.damage import (
    Damage,
    changed,
    dropped,
    entry,
    first_rows,
    key,
    no_json,
    removed,
    table_with,
    these_rows,
    words,
)
from benchmarks.bad_inputs.folders import arrow_batch
from benchmarks.bad_inputs.logs import EPISODES, Recording, slides
from benchmarks.bad_inputs.rows import (
    FINITE,
    HERE,
    JSON,
    LENGTH,
    LIES,
    MISSING,
    NOTHING,
    ORDER,
    SHAPE,
    TEXT,
    Row,
    at,
    row_of,
)


def _batch(change: Callable[[Any], Any]) -> Damage:
    """Episode 3 of Minari's Arrow storage, its record batch changed."""
    return _recorded(lambda recording: change(arrow_batch(recording)))


def _recorded(change: Callable[[Recording], Any]) -> Damage:
    """Episode 3 of Minari's Arrow storage, written from something else than its recording."""

    def damage(path: Path) -> None:
        batch = change(slides().recordings[3])
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)

    return at("data/3/part-0.arrow", damage)


def _narrow(recording: Recording) -> Any:
    return arrow_batch(replace(recording, observations=recording.observations[:, :-1]))


def _nan(recording: Recording) -> Any:
    values = recording.observations.copy()
    values[5, 2] = np.nan
    return arrow_batch(replace(recording, observations=values))


THIRD, META = "data/3/metadata.json", "data/metadata.json"
ARROW: tuple[Row, ...] = (
    (MISSING, "no rewards in one episode", _batch(lambda b: b.drop_columns(["rewards"])), "episode 3"),
    (SHAPE, "another width in one episode", _recorded(_narrow), "episode 3"),
    (FINITE, "NaN in observations", _recorded(_nan), HERE),
    (LENGTH, "one row too few", _batch(lambda b: b.slice(0, b.num_rows - 1)), "episode 3"),
    (ORDER, "episode 3 is missing", at("data/3", removed), "episode 3"),
    (ORDER, "episode 3 is called 40", lambda path: (path / "data/3").rename(path / "data/40"), "episode 3"),
    (NOTHING, "episode 3 has no rows", _batch(lambda b: b.slice(0, 0)), "episode 3"),
    (NOTHING, "episode 3 has no files", at("data/3/part-0.arrow", removed), "episode 3"),
    (LIES, "total_steps of one episode", at(THIRD, key("total_steps", to=7)), "episode 3|data/3"),
    (LIES, "total_episodes", at(META, key("total_episodes", to=EPISODES + 1)), rf"metadata|episode {EPISODES}"),
    (JSON, "metadata of one episode breaks off", at(THIRD, no_json), r"\b3\b"),
    (JSON, "no metadata", at(META, removed), "metadata.json|minari"),
)

STEPS, TABLE = "transitions.parquet", "episodes.parquet"
THERE, FRAME = "store|episode", row_of(3, 5)
LACKING = these_rows(range(3), range(4, EPISODES))
EXCHANGED = these_rows(range(3), (4, 3), range(5, EPISODES))
STORE: tuple[Row, ...] = (
    (MISSING, "no actions", at(STEPS, table_with(dropped("action"))), "action"),
    (MISSING, "no identities", at(TABLE, table_with(dropped("identity"))), "identity"),
    (MISSING, "no table of episodes", at(TABLE, removed), "episodes.parquet|store"),
    (LENGTH, "one step too few", at(STEPS, table_with(first_rows(-1))), "transitions|store"),
    (TEXT, "rewards are words", at(STEPS, changed("reward", words)), "store|reward"),
    (FINITE, "NaN in a reward", at(STEPS, changed("reward", entry(FRAME, float("nan")))), "episode 3"),
    (ORDER, "one episode is missing", at(TABLE, table_with(LACKING)), THERE),
    (ORDER, "two episodes exchanged", at(TABLE, table_with(EXCHANGED)), THERE),
    (NOTHING, "an episode of no steps", at(TABLE, changed("length", entry(3, 0))), THERE),
    (LIES, "the length of one episode", at(TABLE, changed("length", entry(3, 7))), THERE),
    (LIES, "one action is another", at(STEPS, changed("action", entry(FRAME, 0.123, 1))), "episode 3"),
    (LIES, "one ending is another", at(TABLE, changed("truncated", entry(3, True))), "episode 3"),
    (SHAPE, "a vector too short", at(STEPS, changed("action", lambda v: [x[:-1] for x in v])), THERE),
)
