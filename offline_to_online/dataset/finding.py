"""What a check says about a data set: its name, how bad it is, what was seen, and the first place to look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from offline_to_online.errors import DataError

Severity = Literal["error", "warning", "notice"]
ORDER: tuple[Severity, ...] = ("error", "warning", "notice")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a check found, at its first or worst place.

    Attributes:
        check: the check's name in snake_case; it names the defect (``repeated_samples``, not ``samples_ok``).
        severity: an ``error`` keeps the data out, a ``warning`` is reported, a ``notice`` says what was done.
        message: what was seen, with the value against the limit.
        remedy: what to do about it.
        file: where it lies, if not in the data set as a whole.
        episode, step: from 0; the first or worst of ``count`` places.
        dimension: ``observation.<name>``, ``action.<name>``, ``reward`` ..., or a sensor's name.
        count: how many places (steps, entries or episodes; the message says which).
    """

    check: str
    severity: Severity
    message: str
    remedy: str = ""
    file: str = ""
    episode: int | None = None
    step: int | None = None
    dimension: str = ""
    count: int = 1

    @property
    def place(self) -> str:
        """``file, episode 3, step 17, action.push``: as much of it as is known."""
        parts = (
            self.file,
            "" if self.episode is None else f"episode {self.episode}",
            "" if self.step is None else f"step {self.step}",
            self.dimension,
        )
        return ", ".join(part for part in parts if part)

    def to_json(self) -> dict[str, Any]:
        """All attributes by name."""
        return asdict(self)

    def error(self, *, file: str = "") -> DataError:
        """The same as an exception, for data that is refused."""
        place = self.place if self.file or not file else ", ".join(part for part in (file, self.place) if part)
        return DataError(f"{self.check}: {self.message}", where=place, remedy=self.remedy or "mend the data")


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first, then warnings, then notices; by name and place within each."""
    return sorted(
        findings,
        key=lambda f: (
            ORDER.index(f.severity),
            f.check,
            -1 if f.episode is None else f.episode,
            -1 if f.step is None else f.step,
            f.dimension,
        ),
    )
