"""Gymnasium spaces as Minari writes them into JSON, flattened to their leaves without gymnasium.

The layout is ``minari.serialization``'s (https://minari.farama.org, version 0.5.4): every space is an object with a
``type``; ``Dict`` and ``Tuple`` hold ``subspaces``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from offline_to_online.errors import DataError

DEEPEST = 16
IMAGE_SIDE = 32  # pixels; Minari takes what is smaller (a grid world's cells) for numbers
NUMBERS = {"Box", "Discrete", "MultiDiscrete", "MultiBinary"}


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One space that holds no further spaces.

    Attributes:
        name: its place: ``observations``, or ``observations/arm/joints``; places in a tuple by number.
        kind: vector, image, text, empty or other.
        type: of the space, in gymnasium's words.
        shape: of one entry; None where the type declares none.
        dtype: that the space declares, in numpy's words; empty where it declares none.
        low, high: bounds, one a number; empty where none is finite.
    """

    name: str
    kind: str
    type: str
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


def leaves(space: Any, name: str, *, where: str) -> tuple[Leaf, ...]:
    """The leaves of a space, in its order.

    Raises:
        DataError: it is no space, nests too deep, or its shape and bounds contradict each other.
    """
    return tuple(_leaves(space, name, where, depth=0))


def image_like(shape: tuple[int, ...], dtype: str) -> bool:
    """Whether entries of this shape are pictures: bytes with two sides of 32 pixels or more."""
    return dtype == "uint8" and len(shape) in (2, 3) and sum(side >= IMAGE_SIDE for side in shape) >= 2


def _leaves(space: Any, name: str, where: str, *, depth: int) -> Iterator[Leaf]:
    kind = space.get("type") if isinstance(space, Mapping) else None
    if not isinstance(kind, str) or depth > DEEPEST:
        what = f"{name} nests too deep" if depth > DEEPEST else f"the space of {name} has no type"
        raise DataError(what, where=where, limit=f"a space, at most {DEEPEST} deep", remedy="mend the metadata")
    if kind in ("Dict", "Tuple"):
        for part, inner in _parts(space, kind, name, where):
            yield from _leaves(inner, f"{name}/{part}", where, depth=depth + 1)
    elif kind == "Box":
        yield _box(space, name, where)
    elif kind in NUMBERS:
        yield Leaf(name=name, kind="vector", type=kind, shape=() if kind == "Discrete" else None)
    else:
        yield Leaf(name=name, kind="text" if kind == "Text" else "other", type=kind)


def _parts(space: Mapping[str, Any], kind: str, name: str, where: str) -> list[tuple[str, Any]]:
    inner = space.get("subspaces")
    if kind == "Dict" and isinstance(inner, Mapping):
        return list(inner.items())
    if kind == "Tuple" and isinstance(inner, list):
        return [(str(i), part) for i, part in enumerate(inner)]
    raise DataError(f"the {kind} space of {name} has no subspaces", where=where, remedy="mend the metadata")


def _box(space: Mapping[str, Any], name: str, where: str) -> Leaf:
    shape, dtype = _shape(space, name, where), str(space.get("dtype", ""))
    size = math.prod(shape)
    low, high = (_bounds(space, key, size, name, where) for key in ("low", "high"))
    if low and high and not all(a <= b for a, b in zip(low, high, strict=True)):
        raise DataError(f"a low bound of {name} is above the high", where=where, remedy="mend the metadata")
    kind = "empty" if size == 0 else "image" if image_like(shape, dtype) else "vector"
    unbounded = kind != "vector" or not np.isfinite([*low, *high]).any()
    return Leaf(
        name=name,
        kind=kind,
        type="Box",
        shape=shape,
        dtype=dtype,
        low=() if unbounded else low,
        high=() if unbounded else high,
    )


def _shape(space: Mapping[str, Any], name: str, where: str) -> tuple[int, ...]:
    shape = space.get("shape")
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        limit = "a list of whole numbers"
        raise DataError(f"the shape of {name} is {shape!r:.60}", where=where, limit=limit, remedy="mend the metadata")
    return tuple(shape)


def _bounds(space: Mapping[str, Any], key: str, size: int, name: str, where: str) -> tuple[float, ...]:
    try:
        bounds = np.asarray(space.get(key, []), dtype=np.float64).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{key} of {name} is no list of numbers", where=where, limit=f"{size} numbers", remedy="mend the metadata"
        ) from error
    if len(bounds) not in (0, size):
        limit = f"its shape asks for {size}"
        raise DataError(f"{key} of {name} has {len(bounds)} numbers", where=where, limit=limit, remedy="mend it")
    return tuple(bounds.tolist())
