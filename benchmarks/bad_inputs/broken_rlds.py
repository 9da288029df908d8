"""Structural damage to RLDS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bad_inputs.damage import Damage, key, no_json, removed
from benchmarks.bad_inputs.logs import EPISODES, slides
from benchmarks.bad_inputs.rlds import SHARDS, example, features, record, shard_name
from benchmarks.bad_inputs.rows import FINITE, HERE, JSON, LENGTH, LIES, MISSING, NOTHING, ORDER, TEXT, Row, at

HALF = EPISODES // SHARDS


def _shard(change: Callable[[list[dict[str, Any]]], Sequence[dict[str, Any]]]) -> Damage:
    """The first shard of RLDS, from its episodes' features, changed."""

    def damage(path: Path) -> None:
        episodes = [features(r) for r in slides().recordings[:HALF]]
        path.write_bytes(b"".join(record(example(each)) for each in change(episodes)))

    return damage


def _third(**changes: Any) -> Damage:
    """Episode 3 of the first shard, with features exchanged; None takes one out."""

    def change(episodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        named = {f"steps/{name.replace('__', '/')}": value for name, value in changes.items()}
        for name, value in named.items():
            made = None if value is None else value(episodes[3][name])
            episodes[3] = {k: v for k, v in {**episodes[3], name: made}.items() if v is not None}
        return episodes

    return _shard(change)


def _put(index: int, value: float) -> Callable[[Any], Any]:
    def change(values: Any) -> Any:
        changed = values.copy()
        changed[index] = value
        return changed

    return change


def _crc(path: Path) -> None:
    """One bit of one episode, its checksum left as it was."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _no_steps(episodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*episodes[:3], {name: values[:0] for name, values in episodes[3].items()}, *episodes[4:]]


def _spelled(values: Any) -> list[bytes]:
    return [str(value).encode() for value in values]


SHARD, INFO, FEATURES = shard_name(0), "dataset_info.json", "features.json"
FILES, LENGTHS = "tfrecord|dataset_info|rlds", ("splits", 0, "shardLengths")
RLDS: tuple[Row, ...] = (
    (MISSING, "no actions in one episode", at(SHARD, _third(action=None)), "episode 3"),
    (MISSING, "no flags of the end in one episode", at(SHARD, _third(is_last=None)), "episode 3"),
    (LENGTH, "an action too few", at(SHARD, _third(action=lambda v: v[:-3])), "episode 3"),
    (LENGTH, "a state too few", at(SHARD, _third(observation__state=lambda v: v[:-8])), "episode 3"),
    (TEXT, "actions are words", at(SHARD, _third(action=_spelled)), "episode 3"),
    (FINITE, "NaN in the state", at(SHARD, _third(observation__state=_put(5 * 8 + 2, np.nan))), HERE),
    (FINITE, "infinity in actions", at(SHARD, _third(action=_put(5 * 3 + 1, np.inf))), HERE),
    (ORDER, "one episode is missing", at(SHARD, _shard(lambda e: [*e[:3], *e[4:]])), "rlds|tfrecord"),
    (NOTHING, "an episode of no steps", at(SHARD, _shard(_no_steps)), "episode 3"),
    (LIES, "a checksum", at(SHARD, _crc), "tfrecord"),
    (LIES, "the number of episodes", at(INFO, key(*LENGTHS, to=[str(HALF), str(HALF - 1)])), FILES),
    (LIES, "the number of shards", at(INFO, key(*LENGTHS, to=[str(HALF)])), FILES),
    (JSON, "features.json breaks off", at(FEATURES, no_json), FEATURES),
    (JSON, "no features.json", at(FEATURES, removed), "rlds|features.json"),
    (JSON, "dataset_info.json breaks off", at(INFO, no_json), INFO),
)
