"""What a step of an RLDS data set holds, as ``features.json`` says it (TFDS' features, written as JSON).

Layout: tensorflow_datasets/core/proto/feature.proto of TFDS 4.3 and later.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from offline_to_online.dataset.files import read_json
from offline_to_online.dataset.logged import LeftOut, Vector
from offline_to_online.errors import DataError

FLAGS = ("is_first", "is_last", "is_terminal")
NUMBERS = frozenset(
    ["bool", "float16", "float32", "float64", *(f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64))]
)
PICTURES = {"image": "image", "labeledImage": "image", "video": "video", "text": "text"}
DEEPEST = 20  # dictionaries in one another


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One entry of a step or of an episode's metadata.

    ``kind`` is ``number``, or as in ``LeftOut``; ``shape``, ``dtype`` and ``encoding`` are those of a number's tensor.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    dtype: str = ""
    encoding: str = "none"
    detail: str = ""

    @property
    def width(self) -> int:
        """Numbers a step."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features of a step and of the metadata, by name below ``steps`` and ``episode_metadata``."""

    path: Path
    steps: Mapping[str, Feature]
    metadata: Mapping[str, Feature]

    @cached_property
    def sensors(self) -> tuple[Feature, ...]:
        """Every vector under ``observation``, in the file's order."""
        return tuple(f for f in self._numbers if f.name.split("/")[0] == "observation")

    @property
    def default_observation(self) -> tuple[str, ...]:
        """The sensors that are the observation where a manifest selects none.

        Raises:
            DataError: there is none.
        """
        names = tuple(f.name for f in self.sensors if not f.name.endswith("embedding"))
        if not names:
            limit, remedy = "at least one vector under steps/observation", "add the robot's state to the observation"
            raise DataError("no vector is logged as an observation", where=str(self.path), limit=limit, remedy=remedy)
        return names

    @cached_property
    def action_parts(self) -> tuple[Feature, ...]:
        """The action, or the numeric parts of one that is a dictionary, by name.

        Raises:
            DataError: there are no numbers in it.
        """
        parts = tuple(sorted((f for f in self._numbers if f.name.split("/")[0] == "action"), key=lambda f: f.name))
        if not parts:
            raise DataError(
                "no steps/action of numbers", where=str(self.path), limit="a vector", remedy="record it again"
            )
        return parts

    @cached_property
    def others(self) -> tuple[Feature, ...]:
        """Other numbers a step: discount, embeddings of language."""
        known = {*FLAGS, "reward"}
        return tuple(
            f for f in self._numbers if f.name.split("/")[0] not in ("observation", "action") and f.name not in known
        )

    @property
    def _numbers(self) -> list[Feature]:
        return [f for f in self.steps.values() if f.kind == "number" and f.width > 0]

    @property
    def reward(self) -> Feature | None:
        """The reward, where one number a step is logged."""
        reward = self.steps.get("reward")
        return reward if reward is not None and reward.kind == "number" and reward.width == 1 else None

    def actions(self) -> Vector:
        """The action as one vector, its parts named where it has several."""
        parts = self.action_parts
        names = tuple(n for part in parts for n in _numbered(part.name.removeprefix("action/"), part.width))
        dtypes = {part.dtype for part in parts}
        dtype = dtypes.pop() if len(dtypes) == 1 else "mixed"
        return Vector(
            name="action", width=sum(p.width for p in parts), dtype=dtype, names=names if len(parts) > 1 else ()
        )

    def left_out(self) -> Iterator[LeftOut]:
        """What no episode of ours will hold."""
        for feature in self.steps.values():
            if feature.kind != "number":
                yield LeftOut(name=feature.name, kind=feature.kind, detail=feature.detail)
            elif feature.width == 0:
                yield LeftOut(name=feature.name, kind="empty", detail=f"{feature.dtype} {feature.shape}")
        for feature in self.others:
            yield LeftOut(name=feature.name, kind="other", detail=f"{feature.dtype} {feature.shape}: read as extra")
        for feature in self.metadata.values():
            if feature.kind != "number":
                yield LeftOut(name=f"episode_metadata/{feature.name}", kind=feature.kind, detail=feature.detail)


def _numbered(name: str, width: int) -> list[str]:
    return [name] if width == 1 else [f"{name}_{i}" for i in range(width)]


def read_features(path: Path) -> Features:
    """What ``features.json`` says.

    Raises:
        DataError: it is missing, no JSON, or describes no steps with an action.
    """
    root = _children(read_json(path), path, "the file")
    if "steps" not in root:
        limit = "an RLDS data set has steps"
        raise DataError("no steps are described", where=str(path), limit=limit, remedy="choose another format")
    steps = _object(root["steps"], "sequence")
    metadata = root.get("episode_metadata", {"featuresDict": {"features": {}}})
    features = Features(
        path=path,
        steps={f.name: f for f in _flat(_object(steps, "feature"), "", path)},
        metadata={f.name: f for f in _flat(metadata, "", path)},
    )
    for feature in features.action_parts and features.steps.values():
        if feature.name in FLAGS and (feature.kind != "number" or feature.width != 1):
            raise _odd(path, f"steps/{feature.name}", "it is no flag")
    return features


def _flat(node: Any, name: str, path: Path, depth: int = 0) -> Iterator[Feature]:
    if not isinstance(node, dict) or depth > DEEPEST:
        raise _odd(path, name, "it is no feature")
    if "featuresDict" not in node:
        yield _feature(node, name, path)
        return
    for key, child in _children(node, path, name).items():
        yield from _flat(child, f"{name}/{key}" if name else key, path, depth + 1)


def _feature(node: dict[str, Any], name: str, path: Path) -> Feature:
    if "classLabel" in node:
        return Feature(name=name, kind="number", dtype="int64")
    for key, kind in PICTURES.items():
        if key in node:
            return Feature(name=name, kind=kind, detail=str(_object(node, key).get("encodingFormat", "")))
    if "tensor" not in node:
        return Feature(name=name, kind="other", detail=str(node.get("pythonClassName", "")).rpartition(".")[2])
    tensor = _object(node, "tensor")
    dtype, shape = str(tensor.get("dtype")), _shape(tensor, name, path)
    if dtype in ("string", "object"):
        return Feature(name=name, kind="text")
    if dtype not in NUMBERS or any(n < 0 for n in shape):
        return Feature(name=name, kind="other", detail=f"{dtype} {shape}")
    return Feature(
        name=name, kind="number", shape=shape, dtype=dtype, encoding=str(tensor.get("encoding", "none")).lower()
    )


def _shape(tensor: dict[str, Any], name: str, path: Path) -> tuple[int, ...]:
    sizes = _object(tensor, "shape").get("dimensions", [])
    try:
        return tuple(int(size) for size in sizes)
    except (TypeError, ValueError) as error:
        raise _odd(path, name, f"its shape is {sizes!r}") from error


def _children(node: Any, path: Path, name: str) -> dict[str, Any]:
    features = _object(_object(node, "featuresDict"), "features")
    if not features and name:
        raise _odd(path, name, "it is no dictionary of features")
    return features


def _object(node: Any, key: str) -> dict[str, Any]:
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, dict) else {}


def _odd(path: Path, name: str, why: str) -> DataError:
    return DataError(
        f"cannot be read as features of TFDS: {why}",
        where=f"{path}, {name}" if name else str(path),
        limit="features.json as TFDS 4.3 and later write it",
        remedy="write the data set again",
    )
