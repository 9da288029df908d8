"""Where a data set lies: a path, or a name of Minari's hub that becomes one."""

from __future__ import annotations

from pathlib import Path

from offline_to_online.plugins import module_for

HUB = "minari:"


def located(name: str) -> Path:
    """The path of a data set; ``minari:D4RL/door/human-v2`` is fetched through the minari library first.

    Raises:
        DataError: it cannot be fetched: no library, no network, or no data set of that name.
    """
    if not name.startswith(HUB):
        return Path(name)
    fetched: Path = module_for("formats", "minari").fetch(name.removeprefix(HUB))
    return fetched
