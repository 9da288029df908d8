"""Whether the arrays of one logged episode fit each other: the last look before they become an episode of ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from offline_to_online.dataset.logged import LoggedEpisode
from offline_to_online.errors import DataError

PER_STEP = ("rewards", "terminals", "timeouts", "cost", "intervened")


def require_shapes(logged: LoggedEpisode, *, sensors: Sequence[tuple[str, int]], actions: int) -> None:
    """Refuse an episode whose arrays disagree, whatever its format has checked: a shorter one would shift the rest.

    Args:
        logged: with T actions.
        sensors: those that are selected, and the least width that the selection needs.
        actions: dimensions that an action has.

    Raises:
        DataError: with the array's name, its shape and the shape it must have.
    """
    for name, shape, wanted in _shapes(logged, sensors, actions):
        if shape not in wanted:
            raise DataError(
                f"{name} has the shape {shape}" if shape is not None else f"{name} is not logged",
                where=logged.where,
                limit=f"{' or '.join(map(str, wanted))} for the {len(logged)} steps of actions",
                remedy="mend the recording, or remove the episode",
            )


def _shapes(
    logged: LoggedEpisode, sensors: Sequence[tuple[str, int]], actions: int
) -> Iterator[tuple[str, tuple[int, ...] | None, tuple[tuple[int, ...], ...]]]:
    steps = len(logged)
    yield "actions", logged.actions.shape, ((steps, actions),)
    for name in PER_STEP:
        if (values := getattr(logged, name)) is not None:
            yield name, values.shape, ((steps,),)
    for name, least in sensors:
        shape = logged.sensors[name].shape if name in logged.sensors else None
        width = max((least, *(shape or ())[1:2]))
        yield name, shape, ((steps, width), (steps + 1, width))
        if name in logged.following:
            yield f"next {name}", logged.following[name].shape, ((steps, width),)
