"""What happens to every episode on its way in: held against manifest, schema and checks, labelled, clipped, written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from offline_to_online.dataset import summary
from offline_to_online.dataset.assembly import Layout, assemble
from offline_to_online.dataset.checks import RobotFacts, Seen
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.examination import Examination, refusal
from offline_to_online.dataset.logged import LoggedEpisode
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.schema import (
    check_final,
    check_transitions,
    final_frame,
    require_shapes,
    transition_frame,
)
from offline_to_online.dataset.spec import Array
from offline_to_online.dataset.store import EpisodeWriter
from offline_to_online.errors import DataError

ADMITTED_STEPS = 65_536  # at a time: Pandera copies its schema for every frame, which costs as much as 30,000 rows

Pair = tuple[LoggedEpisode, Episode]


def assembled(logged: LoggedEpisode, layout: Layout, manifest: Manifest) -> Episode:
    """An episode of at most the horizon, assembled.

    Raises:
        DataError: it is longer, or cannot be assembled.
    """
    # Too many steps is the plainest sign of a lost boundary: said before its other signs are.
    manifest.require_length(len(logged), where=logged.where)
    return assemble(logged, layout)


def blocks(pairs: Iterable[tuple[int, Pair]]) -> Iterator[list[tuple[int, Pair]]]:
    """Numbered episodes in blocks of some thousand steps: Pandera is fast by the block, not by the row."""
    block: list[tuple[int, Pair]] = []
    held = 0
    for index, pair in pairs:
        block.append((index, pair))
        held += len(pair[1])
        if held >= ADMITTED_STEPS:
            yield block
            block, held = [], 0
    if block:
        yield block


class Intake:
    """Holds every episode against manifest, schema and checks, and writes it.

    What the schema refuses is kept until every check has seen all episodes: a value out of bounds is a symptom,
    and a check often knows the cause. Nothing is written any more from there on.
    """

    def __init__(
        self,
        writer: EpisodeWriter,
        tally: summary.Tally,
        examination: Examination,
        *,
        manifest: Manifest,
        robot: RobotFacts | None,
        where: str,
    ) -> None:
        self.writer, self.tally, self.examination = writer, tally, examination
        self.manifest, self.robot, self.where = manifest, robot, where
        self.read = range(0)
        self.identities: dict[int, str] = {}
        self.dropped_steps = 0
        self.copies: list[int] = []
        self.refused: DataError | None = None

    def taken(self, logged: Iterable[LoggedEpisode], layout: Layout) -> Iterator[tuple[int, Pair]]:
        """The episodes with their index, assembled, but for those that the manifest leaves out.

        Raises:
            DataError: one is longer than the horizon, or cannot be assembled.
        """
        for index, one in enumerate(logged):
            self.read = range(index + 1)
            if index not in self.manifest.leave_out:
                yield index, (one, assembled(one, layout, self.manifest))

    def admit(self, block: list[tuple[int, Pair]]) -> None:
        """Take note of a block of episodes, and write it unless something was refused."""
        stored = [self._stored(logged, episode) for _, (logged, episode) in block]
        for (index, (logged, episode)), kept in zip(block, stored, strict=True):
            self.identities[index] = kept.identity
            self.examination.see(Seen(index=index, episode=episode, logged=logged, identity=kept.identity))
        if self.refused is not None:
            return
        try:
            self._check([(index, episode) for index, (_, episode) in block])
            for (index, (logged, episode)), kept in zip(block, stored, strict=True):
                self._write(index, kept, clipped=kept.actions != episode.actions, dropped=len(logged) - len(episode))
        except DataError as error:
            self.refused = error

    def require_sound(self) -> None:
        """Refuse the data set for what the schema or a check found.

        Raises:
            DataError: with the schema's first failure, else the first error of a check, and what was found beside it.
        """
        if self.refused is None:
            try:
                self.tally.require_plausible(where=self.where)
            except DataError as error:
                self.refused = error
        if (found := refusal(self.examination.findings, self.refused, where=self.where)) is not None:
            raise found

    def _check(self, episodes: list[tuple[int, Episode]]) -> None:
        for index, episode in episodes:
            place = f"{self.where}, episode {index}"
            self.manifest.require_length(len(episode), where=place)
            self.manifest.require_operator(episode.operator, where=place)
            require_shapes(episode, self.manifest, where=place)
        check_transitions(transition_frame(episodes, self.manifest), self.manifest, where=self.where)
        check_final(final_frame(episodes, self.manifest), self.manifest, where=self.where)

    def _stored(self, logged: LoggedEpisode, assembled: Episode) -> Episode:
        """As it is written: actions clipped as the robot clips them, labelled by the robot."""
        episode = dataclasses.replace(assembled, actions=self.manifest.action.clip(assembled.actions))
        if self.robot is None:
            return episode
        return _labelled(episode, self.robot, self.manifest, keep_cost=logged.cost is not None)

    def _write(self, index: int, episode: Episode, *, clipped: Array, dropped: int) -> None:
        if self.manifest.duplicates == "leave_out" and episode.identity in self.tally:
            self.copies.append(index)
            return
        self.dropped_steps += dropped
        self.tally.add(episode, clipped=clipped, where=f"{self.where}, episode {index}")
        self.writer.append(episode)


def _labelled(episode: Episode, robot: RobotFacts, manifest: Manifest, *, keep_cost: bool) -> Episode:
    labels = robot.label(episode.observations, episode.actions)
    rewards = labels.rewards if manifest.reward_source == "robot" else episode.rewards
    cost = episode.cost if keep_cost else labels.cost
    return dataclasses.replace(
        episode,
        rewards=np.asarray(rewards, dtype=np.float32),
        cost=np.asarray(cost, dtype=np.float32),
        success=bool(labels.success),
        score=float(labels.score),
    )
