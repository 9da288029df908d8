"""A Config from parsed YAML: unknown keys are refused with the nearest name, and every value has its declared type."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from offline_to_online.errors import ParameterError
from offline_to_online.plugins import unknown


def build(config: type[Any], values: Any, *, where: str) -> Any:
    """A frozen dataclass from a mapping: nested dataclasses too, ints accepted for (finite) floats, lists for tuples.

    Raises:
        ParameterError: a key is unknown (with the nearest name) or missing, or a value has the wrong type.
    """
    if not isinstance(values, Mapping):
        raise ParameterError(f"found {values!r}", where=where, limit="a mapping of keys", remedy="mend the section")
    hints = typing.get_type_hints(config)
    fields = {f.name: f for f in dataclasses.fields(config) if f.init}
    for key in values:
        if key not in fields:
            raise unknown(str(key), sorted(fields), what="unknown key", where=where)
    missing = [
        name
        for name, f in fields.items()
        if name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ParameterError(f"missing key {missing[0]!r}", where=where, remedy="add it")
    built = {key: _convert(hints[key], value, where=f"{where} {key}") for key, value in values.items()}
    return config(**built)


def _convert(hint: Any, value: Any, *, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, where=where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (dict, Mapping) or origin is typing.get_origin(Mapping[str, int]):
        return _convert_mapping(arguments, value, where=where)
    if origin in (list, tuple):
        return _convert_sequence(origin, arguments, value, where=where)
    if origin in (typing.Union, types.UnionType):
        return (
            None if value is None else _convert(next(a for a in arguments if a is not type(None)), value, where=where)
        )
    if origin is typing.Literal:
        if value not in arguments:
            raise unknown(str(value), [str(a) for a in arguments], what="unknown value", where=where)
        return value
    return _scalar(hint, value, where=where)


def _convert_mapping(arguments: tuple[Any, ...], value: Any, *, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ParameterError(f"found {value!r}", where=where, limit="a mapping of keys", remedy="mend the section")
    return {str(k): _convert(arguments[1], v, where=f"{where}.{k}") for k, v in value.items()}


def _convert_sequence(origin: Any, arguments: tuple[Any, ...], value: Any, *, where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise ParameterError(f"found {value!r}", where=where, limit="a list", remedy="mend the value")
    return origin(_convert(arguments[0], v, where=f"{where}[{i}]") for i, v in enumerate(value))


def _scalar(hint: Any, value: Any, *, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = hint in (int, float, str, bool)
    if plain and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ParameterError(f"found {value!r}", where=where, limit=f"of type {hint.__name__}", remedy="mend the value")
    if hint is float and not math.isfinite(value):
        raise ParameterError(f"found {value!r}", where=where, limit="a finite number", remedy="mend the value")
    return value
