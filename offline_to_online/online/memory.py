"""What grows with a run's episodes, kept in this process from one use to the next.

What is new is read and added, and no episode is read twice; finding what is new looks through the journal's records.
The truth stays on disk: a process that has just started builds the same content, in the same order, from the files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from offline_to_online.online.journal import Record
from offline_to_online.online.run import OnlineRun

Grows = TypeVar("Grows")
EPISODE = "episode"


class Kept(Generic[Grows]):
    """One thing that takes in a run's episodes in their order; of the last run that was asked for.

    Args:
        make: makes it for a run, before the first episode.
        add: adds the episode in a file to it.
    """

    def __init__(self, make: Callable[[OnlineRun], Grows], add: Callable[[Grows, Path], None]) -> None:
        self._make, self._add = make, add
        self._held: tuple[Path, Grows] | None = None
        self._record: Record | None = None
        self._episodes = 0

    def after(self, run: OnlineRun, episodes: int) -> Grows:
        """As it is after the run's first ``episodes``, all of them in the journal; to be read, not to be changed.

        Raises:
            DataError: an episode of the run is missing or broken.
        """
        if self._held is None or not self._goes_on(run, episodes):
            self._held, self._episodes = (run.folder.resolve(), self._make(run)), 0
            self._record = run.journal.records[0]
        held, made, self._held = self._held[1], self._held, None  # cut within an addition, it is made anew
        for record in run.journal.of(EPISODE)[self._episodes : episodes]:
            self._add(held, run.episode_path(int(record.data["index"])))
            self._episodes, self._record = self._episodes + 1, record
        self._held = made
        return held

    def _goes_on(self, run: OnlineRun, episodes: int) -> bool:
        """Whether what is held is of this run, and of an earlier part of it.

        Each record of a journal holds the hash of all before it: where the last one that was taken in still stands,
        everything up to it is the same, the run's own facts included.
        """
        if self._held is None or self._record is None or self._held[0] != run.folder.resolve():
            return False
        place = self._record.sequence - 1
        return self._episodes <= episodes and run.journal.records[place : place + 1] == [self._record]
