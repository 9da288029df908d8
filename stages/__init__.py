"""The offline stages, one file per DVC stage: paths in, one call, paths out, a summary."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from offline_to_online.errors import ParameterError
from offline_to_online.plugins import unknown


def argument(known: Iterable[str], *, what: str, where: str) -> str:
    """The one argument of a stage's command line, a name that params.yaml gives.

    Args:
        known: the names that there are.
        what: they are names of.
        where: in params.yaml they stand.

    Raises:
        ParameterError: no argument, more than one, or a name that is not there (with the nearest).
    """
    names, given = list(known), sys.argv[1:]
    if len(given) != 1:
        raise ParameterError(
            f"{len(given)} arguments",
            where="command line",
            limit=f"the name of one {what}: {', '.join(names) or f'{where} has none'}",
            remedy="give that and nothing else",
        )
    if given[0] not in names:
        raise unknown(given[0], names, what=f"unknown {what}", where=where)
    return given[0]
