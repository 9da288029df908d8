"""The thing that does not hold, as ``verify`` says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What does not hold, where, and what was recorded against what was found."""

    what: str
    where: str
    recorded: str = ""
    found: str = ""

    def line(self) -> str:
        """One line for a person."""
        said = f"recorded {self.recorded}" if self.recorded else ""
        said += f"{', ' if said else ''}found {self.found}" if self.found else ""
        return " ".join(f"{self.what} ({self.where}){': ' if said else ''}{said}".split())


def differences(stored: Mapping[str, Any], again: Mapping[str, Any], *, where: str) -> Iterator[Finding]:
    """The keys whose values are not what comes out when they are worked out again."""
    for key in sorted(set(stored) | set(again)):
        one, other = stored.get(key), again.get(key)
        if one != other:
            if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
                index = next(i for i, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
                key, one, other = f"{key}[{index}]", one[index], other[index]
            yield Finding(
                what=f"{key} does not follow from what is stored", where=where, recorded=repr(one), found=repr(other)
            )
