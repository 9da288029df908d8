"""Every check over every episode: what a data set is found to be, beside what its schema allows."""

from __future__ import annotations

from functools import cached_property

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.finding import Finding, ordered
from offline_to_online.errors import DataError
from offline_to_online.plugins import available, module_for

SAID = 3  # findings that one line names beside the first


class Examination:
    """The checks of ``dataset/checks`` that apply to one data set, while its episodes stream by."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.checks: list[Check] = [
            check for name in available("checks") for check in module_for("checks", name).checks(subject)
        ]

    def see(self, seen: Seen) -> None:
        """Show an episode to every check."""
        for check in self.checks:
            check.see(seen)

    @cached_property
    def findings(self) -> list[Finding]:
        """What the headers and the checks told, errors first; asked for after the last episode.

        Where a check says the same as the headers, it knows more: how often, and where.
        """
        found = [finding for check in self.checks for finding in check.findings()]
        names = {finding.check for finding in found}
        return ordered([*(f for f in self.subject.contents.findings if f.check not in names), *found])


def refusal(findings: list[Finding], first: DataError | None, *, where: str) -> DataError | None:
    """The one error that keeps a data set out: the schema's own if there is one, else a check's first error.

    The line also names the errors and warnings beside it: the cause is often among them.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if first is None and not errors:
        return None
    chosen = errors[0].error(file=where) if first is None else first
    others = errors[1:] if first is None else errors
    others = others + [finding for finding in findings if finding.severity == "warning"]
    if not others:
        return chosen
    also = ", ".join(f"{f.check} ({f.place or 'the whole data set'})" for f in others[:SAID])
    more = f" and {len(others) - SAID} more" if len(others) > SAID else ""
    return DataError(
        chosen.what, where=chosen.where, limit=chosen.limit, remedy=f"{chosen.remedy}; also found: {also}{more}"
    )
