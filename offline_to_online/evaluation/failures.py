"""How it went wrong, counted by the robot's own taxonomy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from types import ModuleType

from offline_to_online.dataset.episode import Episode
from offline_to_online.errors import RobotError


def classify(module: ModuleType, episode: Episode) -> str:
    """The kind of failure of an episode, one of ``SPEC.failures``, or "" for a success.

    Raises:
        RobotError: the robot module names a kind that its own taxonomy does not hold.
    """
    kind = str(module.failure(episode))
    if kind and kind not in module.SPEC.failures:
        raise RobotError(
            f"failure {kind!r}",
            where=f"robot {module.SPEC.name}",
            limit=f"one of {', '.join(module.SPEC.failures)}",
            remedy="add it to SPEC.failures",
        )
    return kind


def tally(kinds: Iterable[str]) -> dict[str, int]:
    """How often each kind occurred, sorted by name; "" (no failure) is not counted."""
    return dict(sorted(Counter(str(kind) for kind in kinds if kind).items()))
