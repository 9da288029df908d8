"""Logs as RLDS: TFRecord files of tf.train.Example, one an episode, as TensorFlow Datasets writes them.

Formats: tensorflow/core/example/{example,feature}.proto, the TFRecord format of TensorFlow's documentation, and
the features.json and dataset_info.json of TFDS. Written without TensorFlow.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from benchmarks.bad_inputs.logs import Log, Recording
from offline_to_online.dataset.spec import Array

SHARDS = 2
NAME = "slide"


def rlds(log: Log, folder: Path) -> Path:
    """``rlds/slide-train.tfrecord-0000N-of-00002`` with dataset_info.json and features.json."""
    root = folder / "rlds"
    root.mkdir()
    parts = np.array_split(np.arange(len(log.recordings)), SHARDS)
    sizes = list[int]()
    for shard, numbers in enumerate(parts):
        content = b"".join(record(example(features(log.recordings[i]))) for i in numbers)
        (root / shard_name(shard)).write_bytes(content)
        sizes.append(len(content))
    info = {
        "name": NAME,
        "version": "1.0.0",
        "fileFormat": "tfrecord",
        "splits": [
            {
                "name": "train",
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "numBytes": str(sum(sizes)),
                "shardLengths": [str(len(numbers)) for numbers in parts],
            }
        ],
    }
    (root / "dataset_info.json").write_text(json.dumps(info, indent=2), encoding="utf-8")
    (root / "features.json").write_text(json.dumps(_features_json(log), indent=4), encoding="utf-8")
    return root


def shard_name(shard: int) -> str:
    """Of a file."""
    return f"{NAME}-train.tfrecord-{shard:05d}-of-{SHARDS:05d}"


def features(recording: Recording) -> dict[str, Any]:
    """An episode's features by their flattened names: T+1 steps, the last with an observation and nothing done.

    The RLDS specification (https://github.com/google-research/rlds) calls action, reward and discount there invalid.
    """
    steps = len(recording) + 1
    rows = np.arange(steps)
    over = bool(recording.terminals[-1])
    return {
        "steps/observation/state": recording.observations.astype(np.float32).reshape(-1),
        "steps/action": _padded(recording.actions).reshape(-1),
        "steps/reward": _padded(recording.rewards),
        "steps/discount": np.where(rows == steps - 2, 1.0 - over, 1.0).astype(np.float32),
        "steps/is_first": (rows == 0).astype(np.int64),
        "steps/is_last": (rows == steps - 1).astype(np.int64),
        "steps/is_terminal": np.append(recording.terminals[:-1], (False, over)).astype(np.int64),
        "steps/language_instruction": [b"slide to the goal"] * steps,
        "episode_metadata/file_path": [f"{recording.operator}/{recording.seed}".encode()],
    }


def _padded(values: Array) -> Array:
    return np.concatenate([values, np.zeros_like(values[:1])]).astype(np.float32)


def example(columns: dict[str, Any]) -> bytes:
    """A serialised tf.train.Example."""
    entries = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, _feature(values))) for name, values in columns.items()
    )
    return _field(1, entries)


def record(content: bytes) -> bytes:
    """A TFRecord: its length and its content, each followed by its masked CRC."""
    length = struct.pack("<Q", len(content))
    return length + _masked(length) + content + _masked(content)


def _masked(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _feature(values: Any) -> bytes:
    if isinstance(values, list):
        return _field(1, b"".join(_field(1, value) for value in values))
    if values.dtype.kind == "f":
        return _field(2, _field(1, values.astype("<f4").tobytes()))
    return _field(3, _field(1, b"".join(_varint(int(value)) for value in values)))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _features_json(log: Log) -> dict[str, Any]:
    observation = _dict({"state": _tensor([len(log.observation)], "float32")})
    scalars = {name: _tensor([], "bool") for name in ("is_first", "is_last", "is_terminal")}
    scalars |= {name: _tensor([], "float32") for name in ("reward", "discount")}
    step = _dict(
        {
            "observation": observation,
            "action": _tensor([len(log.action)], "float32"),
            "language_instruction": _text(),
            **scalars,
        }
    )
    steps = {
        "pythonClassName": "tensorflow_datasets.core.features.dataset_feature.Dataset",
        "sequence": {"feature": step, "length": "-1"},
    }
    return _dict({"steps": steps, "episode_metadata": _dict({"file_path": _text()})})


def _dict(inner: dict[str, Any]) -> dict[str, Any]:
    name = "tensorflow_datasets.core.features.features_dict.FeaturesDict"
    return {"pythonClassName": name, "featuresDict": {"features": inner}}


def _tensor(shape: Sequence[int], dtype: str) -> dict[str, Any]:
    kind = "tensor_feature.Tensor" if shape else "scalar.Scalar"
    dimensions = {"dimensions": [str(side) for side in shape]} if shape else {}
    return {
        "pythonClassName": f"tensorflow_datasets.core.features.{kind}",
        "tensor": {"shape": dimensions, "dtype": dtype, "encoding": "none"},
    }


def _text() -> dict[str, Any]:
    return {"pythonClassName": "tensorflow_datasets.core.features.text_feature.Text", "text": {}}
