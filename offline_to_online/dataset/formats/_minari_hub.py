"""A Minari data set by its name: found where the minari library keeps its own, or downloaded by it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from offline_to_online.errors import DataError

PREFIX = "minari:"
INSTALL = "pip install 'minari[hdf5,hf]==0.5.4'"  # this package's extra "hub"
# Minari's own form: names of folders, the last with a version.
NAME = re.compile(r"(?P<remote>[a-z]+://[-\w]+/)?(?P<id>(?:[-\w]+/)*[-\w]+-v\d{1,9})")


def fetch(name: str) -> Path:
    """The folder of a data set from Minari's hub (https://minari.farama.org), downloaded unless it is here already.

    Args:
        name: ``D4RL/door/human-v2``, with or without ``minari:`` before it.

    Returns:
        Its folder among Minari's own (``MINARI_DATASETS_PATH``, or ``.minari/datasets`` in the home folder).

    Raises:
        DataError: no such form of a name, no minari library, no network, or no such data set.
    """
    found = NAME.fullmatch(name.removeprefix(PREFIX))
    if found is None:
        limit = "such as minari:D4RL/door/human-v2, the version at its end"
        raise DataError(f"{name!r} is no name of a Minari data set", limit=limit, remedy="mend the name")
    library = _library(name)
    with _asking(name):
        folder = Path(importlib.import_module("minari.storage").get_dataset_path(found["id"]))
        if not (folder / "data").is_dir():
            library.download_dataset(found[0])
    if not (folder / "data").is_dir():
        raise DataError("nothing was downloaded", where=f"{name}, to {folder}", remedy="try again, or copy it there")
    return folder


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module("minari")
    except ImportError as error:
        limit = f"downloading needs the minari library: {error}"
        remedy = f"{INSTALL}, or give the path of a copy"
        raise DataError("cannot download the data set", where=name, limit=limit, remedy=remedy) from error


@contextlib.contextmanager
def _asking(name: str) -> Iterator[None]:
    """Calls of the minari library alone; what it prints goes to stderr, and its advice on newer versions nowhere."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    except _what_it_raises() as error:
        limit = f"minari says: {error}"
        remedy = f"check the name and the network, {INSTALL}, or give the path of a copy"
        raise DataError("cannot download the data set", where=name, limit=limit, remedy=remedy) from error


def _what_it_raises() -> tuple[type[Exception], ...]:
    """The hub's clients raise OSError (requests) or httpx's own tree, minari ValueError, or KeyError for a remote."""
    usual = (ImportError, OSError, RuntimeError, ValueError, KeyError)
    if importlib.util.find_spec("httpx") is None:
        return usual
    httpx = importlib.import_module("httpx")
    return (*usual, httpx.HTTPError, httpx.InvalidURL)
