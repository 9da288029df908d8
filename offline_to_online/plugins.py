"""The directory is the registry: a plug-in is a file, and its name is its file's name.

A dotted name is a module outside the project. A file whose name begins with an underscore is shared
by the plug-ins beside it and is none itself.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from types import ModuleType

from offline_to_online.errors import ParameterError

FOLDERS = {
    "formats": "offline_to_online.dataset.formats",
    "checks": "offline_to_online.dataset.checks",
    "robots": "offline_to_online.robots",
    "algorithms": "offline_to_online.learning.algorithms",
    "gates": "offline_to_online.online.gates",
}
# What a module outside the project must have at least, to be taken for a plug-in of its kind.
WANTED = {
    "formats": ("describe", "read"),
    "checks": ("checks",),
    "robots": ("SPEC",),
    "algorithms": ("Config", "make"),
    "gates": ("Config", "check"),
}


def available(kind: str) -> list[str]:
    """Names of the plug-ins of one kind, sorted."""
    package = importlib.import_module(FOLDERS[kind])
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def module_for(kind: str, name: str, *, where: str = "") -> ModuleType:
    """Import the plug-in ``name`` of a kind (``formats``, ``checks``, ``robots``, ``algorithms``, ``gates``).

    Args:
        kind: of plug-in.
        name: of a file in the kind's folder, or the dotted name of a module outside the project.
        where: the name was found, for the message.

    Raises:
        ParameterError: no such plug-in; the message lists those there are and the nearest name.
    """
    if "." in name:
        return _outside(kind, name, where=where or kind)
    names = available(kind)
    if name not in names:
        raise unknown(name, names, what=f"unknown {kind.removesuffix('s')}", where=where or kind)
    return importlib.import_module(f"{FOLDERS[kind]}.{name}")


def unknown(name: str, known: list[str], *, what: str, where: str) -> ParameterError:
    """The error for a name that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    remedy = f"did you mean {near[0]!r}?" if near else "choose one of those"
    return ParameterError(
        f"{what} {name!r}", where=where, limit=f"there is {', '.join(known) or 'none'}", remedy=remedy
    )


def _outside(kind: str, name: str, *, where: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except (ModuleNotFoundError, TypeError, ValueError) as error:
        raise ParameterError(
            f"no module {name!r}", where=where, limit=f"import failed: {error}", remedy="install it or mend its name"
        ) from error
    missing = [wanted for wanted in WANTED[kind] if not hasattr(module, wanted)]
    if missing:
        raise ParameterError(
            f"module {name!r} has no {missing[0]}",
            where=where,
            limit=f"a plug-in of {kind} has {', '.join(WANTED[kind])}",
            remedy="mend the module or its name",
        )
    return module
