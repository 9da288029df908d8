"""Which format a data set is in: told by looking, or forced by name."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from offline_to_online.dataset.files import require_readable
from offline_to_online.errors import DataError
from offline_to_online.plugins import available, module_for


def format_of(path: Path, name: str | None = None) -> ModuleType:
    """The plug-in of ``dataset/formats`` that reads this data.

    Args:
        path: a file or a folder.
        name: the format, where a person has chosen it; None asks each whether it recognises the data.

    Raises:
        DataError: no such data, a pickle, or none or several formats recognise it.
        ParameterError: no format of that name.
    """
    require_readable(path)
    if name is not None:
        return module_for("formats", name)
    names = available("formats")
    found = [module for module in (module_for("formats", n) for n in names) if module.recognises(path)]
    if len(found) == 1:
        return found[0]
    if found:
        several = [name_of(module) for module in found]
        raise DataError(
            f"{len(several)} formats recognise this data: {', '.join(several)}",
            where=str(path),
            limit="one format",
            remedy="name the right one: --format, or dataset.format in params.yaml",
        )
    raise DataError(
        "no format recognises this data",
        where=str(path),
        limit=f"there is {', '.join(names)}",
        remedy="convert it, name its format, or write a plug-in in dataset/formats",
    )


def name_of(module: ModuleType) -> str:
    """A format's name: that of its file."""
    return module.__name__.rpartition(".")[2]
