"""A Config from parsed YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from offline_to_online.configs import build
from offline_to_online.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A section within."""

    gain: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Outer:
    """Every kind of value that there is."""

    count: int
    units: tuple[int, ...] = (1,)
    mode: Literal["slow", "fast"] = "slow"
    limit: float | None = None
    inner: Inner = field(default_factory=Inner)
    named: dict[str, float] = field(default_factory=dict)


def test_values_become_what_was_declared() -> None:
    """Whole numbers for floats, lists for tuples, mappings for sections; what is not given has its default."""
    given = {"count": 3, "units": [4, 5], "limit": 2, "inner": {"gain": 2}, "named": {"a": 1}}
    built = build(Outer, given, where="here")
    assert built == Outer(count=3, units=(4, 5), limit=2.0, inner=Inner(gain=2.0), named={"a": 1.0})
    assert isinstance(built.inner.gain, float)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, r"missing key 'count' \(here\)"),
        ({"count": 1, "mod": "fast"}, r"unknown key 'mod' .*did you mean 'mode'"),
        ({"count": 1, "mode": "fats"}, r"unknown value 'fats' \(here mode\).*did you mean 'fast'"),
        ({"count": True}, r"found True \(here count\): of type int"),
        ({"count": 1, "units": 4}, r"found 4 \(here units\): a list"),
        ({"count": 1, "inner": {"gain": float("inf")}}, r"found inf \(here inner gain\): a finite number"),
        ({"count": 1, "named": {"a": "x"}}, r"found 'x' \(here named.a\): of type float"),
        ([], r"found \[\] \(here\): a mapping"),
    ],
)
def test_what_does_not_fit_is_refused(values: Any, said: str) -> None:
    """The line names the key where the value stands."""
    with pytest.raises(ParameterError, match=said):
        build(Outer, values, where="here")
