"""What the headers of a whole Minari data set tell before a value is read: who acted, and what contradicts what."""

from __future__ import annotations

from collections.abc import Sequence

from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.formats._minari_column import Storage
from offline_to_online.dataset.formats._minari_episode import LARGEST_SEED, operator_in
from offline_to_online.dataset.formats._minari_metadata import Metadata, whole


def survey(metadata: Metadata, storage: Storage, numbers: Sequence[int]) -> tuple[list[Finding], tuple[str, ...]]:
    """Findings from the attributes of all episodes, and the operators in order of appearance.

    Raises:
        DataError: the attributes of an episode cannot be read, or its operator is no text.
    """
    operators: dict[str, None] = {}
    steps, large = 0, []
    for number in numbers:
        attributes = storage.attributes(number)
        counted = whole(attributes.get("total_steps"))
        # One episode that does not say how long it is leaves the sum to the reading.
        steps = -1 if counted is None or steps < 0 else steps + counted
        if (whole(attributes.get("seed")) or 0) > LARGEST_SEED:
            large.append(number)
        if operator := operator_in(attributes, f"{storage.path}, episode {number}"):
            operators[operator] = None
    findings = misnumbered(metadata, storage, numbers)
    findings += [wrong_steps(metadata, steps)] if steps not in (-1, metadata.steps) else []
    findings += [_large_seeds(storage, large)] if large else []
    return findings, tuple(operators)


def misnumbered(metadata: Metadata, storage: Storage, numbers: Sequence[int]) -> list[Finding]:
    """An episode that is not there, and a count that is not that of the episodes."""
    wanted = max(metadata.episodes, numbers[-1] + 1 if numbers else 0)
    if len(numbers) < wanted:
        return [_missing(storage, numbers, wanted)]
    if len(numbers) != metadata.episodes:
        message = f"total_episodes is {metadata.episodes}, {len(numbers)} are stored"
        return [_contradiction("wrong_episode_count", message, metadata)]
    return []


def wrong_steps(metadata: Metadata, steps: int) -> Finding:
    """The declared number of steps is not theirs."""
    message = f"total_steps is {metadata.steps}, the episodes have {steps}"
    return _contradiction("wrong_step_count", message, metadata)


def _missing(storage: Storage, numbers: Sequence[int], wanted: int) -> Finding:
    strangers = storage.entries()[1]
    others = f"; there is also {', '.join(strangers[:3])}" if strangers else ""
    return Finding(
        check="missing_episode",
        severity="error",
        message=f"{wanted - len(numbers)} of {wanted} episodes are missing{others}",
        remedy="copy the data set again",
        file=str(storage.path),
        episode=next((i for i, number in enumerate(numbers) if i != number), len(numbers)),
        count=wanted - len(numbers),
    )


def _contradiction(check: str, message: str, metadata: Metadata) -> Finding:
    remedy = "copy the data set again, or mend whichever is wrong"
    return Finding(check=check, severity="error", message=message, remedy=remedy, file=str(metadata.path))


def _large_seeds(storage: Storage, large: Sequence[int]) -> Finding:
    return Finding(
        check="seed_not_kept",
        severity="notice",
        message=f"{len(large)} episodes have a seed above 2^63 - 1, which Minari draws and no seed of ours can be",
        file=str(storage.path),
        episode=large[0],
        count=len(large),
    )
