"""The files of an RLDS data set: which shards ``dataset_info.json`` names, and whether those are the ones there.

Layout: tensorflow_datasets/core/proto/dataset_info.proto; names of files:
https://www.tensorflow.org/datasets/external_tfrecord.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_to_online.dataset.files import read_json
from offline_to_online.dataset.formats._own_files import own
from offline_to_online.dataset.formats._tfrecord import records
from offline_to_online.errors import DataError

INFO, FEATURES, RECORDS = "dataset_info.json", "features.json", ".tfrecord"
TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file, and how many episodes it must hold."""

    path: Path
    split: str
    episodes: int


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A version of a data set: its folder, what is said of it, its shards in order."""

    folder: Path
    info: dict[str, Any]
    shards: tuple[Shard, ...]

    @property
    def episodes(self) -> int:
        """As ``dataset_info.json`` counts them."""
        return sum(shard.episodes for shard in self.shards)

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(shard.path.stat().st_size for shard in self.shards)

    def splits(self) -> dict[str, int]:
        """Episodes of each split."""
        found: dict[str, int] = {}
        for shard in self.shards:
            found[shard.split] = found.get(shard.split, 0) + shard.episodes
        return found

    def records(self) -> Iterator[tuple[str, int, bytes]]:
        """Every episode's record, with its file and split for messages, and its number in the data set.

        Raises:
            DataError: a record is damaged, or a shard holds more or fewer than announced.
        """
        index = 0
        for shard in self.shards:
            found = 0
            for record in records(shard.path):
                if found < shard.episodes:
                    yield f"{shard.path.name}, split {shard.split}", index, record
                found, index = found + 1, index + 1
            if found != shard.episodes:
                limit = f"{shard.episodes} by shardLengths of {INFO}"
                what = f"{found} episodes in this shard"
                where = f"{shard.path}, split {shard.split}"
                raise DataError(what, where=where, limit=limit, remedy="copy the data set again")


def looks_like_versions(path: Path) -> list[Path]:
    """The folder itself, or those directly in it, that hold a TFDS data set."""
    candidates = [path] if (path / INFO).is_file() else sorted(p.parent for p in path.glob(f"*/{INFO}"))
    return [p for p in candidates if (p / FEATURES).is_file() or any(p.glob(f"*{RECORDS}*"))]


def find(path: Path) -> DataSet:
    """The data set in a folder, once all its shards are there and no other.

    Raises:
        DataError: it holds several versions or none, a file is missing, broken, a link out of ``path`` or one too many.
    """
    versions = looks_like_versions(path)
    if len(versions) != 1:
        found = (
            f"{len(versions)} versions: {', '.join(v.name for v in versions)}" if versions else "no data set of TFDS"
        )
        raise DataError(found, where=str(path), limit="one version", remedy="name the folder of one version")
    folder = versions[0]
    own(folder / FEATURES, path)
    info = read_json(own(folder / INFO, path))
    if not isinstance(info, dict) or not isinstance(info.get("splits"), list):
        limit = "an object with splits"
        raise DataError("no splits are listed", where=str(folder / INFO), limit=limit, remedy="copy the data set again")
    shards = tuple(shard for split in info["splits"] for shard in _shards(folder, info, split))
    _require_files(folder, shards, path)
    return DataSet(folder=folder, info=info, shards=shards)


def _shards(folder: Path, info: dict[str, Any], split: Any) -> Iterator[Shard]:
    where = folder / INFO
    if not isinstance(split, dict) or not isinstance(split.get("name"), str):
        raise DataError("a split has no name", where=str(where), limit="an object", remedy="copy the data set again")
    kind = str(info.get("fileFormat") or "tfrecord")
    if kind != "tfrecord":
        limit = "tfrecord"
        raise DataError(f"fileFormat is {kind!r}", where=str(where), limit=limit, remedy="write it as tfrecord")
    lengths = split.get("shardLengths", [])
    if not isinstance(lengths, list) or not all(str(n).isascii() and str(n).isdigit() for n in lengths):
        what = f"shardLengths of split {split['name']} is {str(lengths)[:60]}"
        raise DataError(what, where=str(where), limit="a list of counts", remedy="copy the data set again")
    for index, length in enumerate(lengths):
        name = _file_name(
            str(split.get("filepathTemplate") or TEMPLATE), str(info.get("name")), split["name"], index, lengths
        )
        yield Shard(path=folder / name, split=split["name"], episodes=int(str(length)))


def _file_name(template: str, dataset: str, split: str, index: int, lengths: list[Any]) -> str:
    parts = {
        "DATASET": dataset,
        "SPLIT": split,
        "FILEFORMAT": "tfrecord",
        "SHARD_X_OF_Y": f"{index:05d}-of-{len(lengths):05d}",
        "SHARD_INDEX": f"{index:05d}",
        "NUM_SHARDS": f"{len(lengths):05d}",
    }
    for key, value in parts.items():
        template = template.replace("{" + key + "}", value)
    return template


def _require_files(folder: Path, shards: tuple[Shard, ...], root: Path) -> None:
    for shard in shards:
        if shard.path.parent != folder or shard.path.name in ("", ".."):
            limit = "a file of the data set's own folder"
            where = str(folder / INFO)
            raise DataError(f"a shard is {shard.path.name!r}", where=where, limit=limit, remedy="mend filepathTemplate")
        if not own(shard.path, root).is_file():
            limit = f"{shard.episodes} episodes of split {shard.split}, by {INFO}"
            raise DataError(
                "the shard is missing", where=str(shard.path), limit=limit, remedy="copy the data set again"
            )
    named = {shard.path.name for shard in shards}
    beyond = sorted(p.name for p in folder.iterdir() if RECORDS in p.name and p.name not in named)
    if beyond:
        limit = f"the {len(named)} shards that {INFO} names"
        raise DataError("the shard belongs to no split", where=str(folder / beyond[0]), limit=limit, remedy="remove it")
    if not shards:
        raise DataError(
            "the data set has no shards", where=str(folder / INFO), limit="at least 1", remedy="copy it again"
        )
