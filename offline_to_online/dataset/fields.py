"""Typed fields out of parsed YAML: each value checked, each error naming the field and the nearest known name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from offline_to_online.errors import ManifestError


def require_keys(content: Any, wanted: Iterable[str], *, where: str, optional: tuple[str, ...] = ()) -> None:
    """Refuse a mapping that lacks a wanted key, or has one that is neither wanted nor optional."""
    wanted = tuple(wanted)
    if not isinstance(content, Mapping):
        raise ManifestError("not a mapping", where=where, limit=f"the fields {', '.join(wanted)}", remedy="mend it")
    for key in content:
        if key not in wanted + optional:
            known = wanted + optional
            remedy = nearest(str(key), known) or "remove it"
            raise ManifestError(
                f"unknown field {str(key)!r}", where=where, limit=f"known are {', '.join(known)}", remedy=remedy
            )
    missing = [key for key in wanted if content.get(key) is None]
    if missing:
        raise ManifestError(
            f"missing field {', '.join(missing)}", where=where, limit="every field is required", remedy="add it"
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """A question after the nearest known name, empty where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else ""


def text(content: Mapping[str, Any], key: str, where: str) -> Any:
    """A text of at least one word, on one line."""
    value = content[key]
    if not isinstance(value, str) or not value.strip():
        raise ManifestError(f"{key} is {value!r}", where=where, limit="a text", remedy="say it in words")
    return " ".join(value.split())


def names(content: Mapping[str, Any], key: str, where: str) -> Any:
    """A list of different names, as a tuple."""
    value = content[key]
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(v, str) and v for v in value)
        or len(set(value)) < len(value)
    ):
        raise ManifestError(
            f"{key} is {value!r}", where=where, limit="a list of different names", remedy="mend the list"
        )
    return tuple(value)


def indices(content: Mapping[str, Any], key: str, where: str) -> tuple[int, ...]:
    """A list of different whole numbers from 0, as an ascending tuple."""
    value = content[key]
    whole = isinstance(value, list) and all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in value)
    if not whole or len(set(value)) < len(value):
        limit = "a list of different episodes, counted from 0"
        raise ManifestError(f"{key} is {value!r}", where=where, limit=limit, remedy="mend the list")
    return tuple(sorted(value))


def rows(content: Mapping[str, Any], where: str) -> list[Mapping[str, Any]]:
    """The rows of ``dimensions``."""
    rows = content["dimensions"]
    if not isinstance(rows, list):
        raise ManifestError(
            "dimensions is no list", where=where, limit="rows of name, unit, low, high", remedy="mend it"
        )
    return rows


def choice(content: Mapping[str, Any], key: str, choices: tuple[str, ...], where: str) -> Any:
    """One of a few words."""
    if content[key] not in choices:
        remedy = nearest(str(content[key]), choices) or "choose one of them"
        raise ManifestError(
            f"{key} is {content[key]!r}", where=where, limit=f"one of {', '.join(choices)}", remedy=remedy
        )
    return content[key]


def positive(content: Mapping[str, Any], key: str, where: str) -> float:
    """A finite number above 0."""
    value = content[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ManifestError(f"{key} is {value!r}", where=where, limit="a number above 0", remedy="mend it")
    return float(value)


def whole(content: Mapping[str, Any], key: str, where: str) -> int:
    """A whole number above 0."""
    value = positive(content, key, where)
    if value != int(value):
        raise ManifestError(f"{key} is {value:g}", where=where, limit="a whole number", remedy="mend it")
    return int(value)
