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


def blocks(pairs: Iterable[Pair]) -> Iterator[list[tuple[int, Pair]]]:
    """Episodes with their index, in blocks of some thousand steps: Pandera is fast by the block, not by the row."""
    block: list[tuple[int, Pair]] = []
    held = 0
    for index, pair in enumerate(pairs):
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
        self.identities: list[str] = []
        self.dropped_steps = 0
        self.left_out = 0
        self.refused: DataError | None = None

    def admit(self, block: list[tuple[int, Pair]]) -> None:
        """Take note of a block of episodes, and write it unless something was refused."""
        for index, (logged, episode) in block:
            self.examination.see(Seen(index=index, episode=episode, logged=logged))
        if self.refused is not None:
            return
        try:
            self._check([(index, episode) for index, (_, episode) in block])
            for index, (logged, episode) in block:
                self._write(index, logged, episode)
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

    def _write(self, index: int, logged: LoggedEpisode, assembled: Episode) -> None:
        clipped = self.manifest.action.clip(assembled.actions)
        episode = dataclasses.replace(assembled, actions=clipped)
        if self.robot is not None:
            episode = _labelled(episode, self.robot, self.manifest, keep_cost=logged.cost is not None)
        self.identities.append(episode.identity)
        if self.manifest.duplicates == "leave_out" and episode.identity in self.tally:
            self.left_out += 1
            return
        self.dropped_steps += len(logged) - len(episode)
        self.tally.add(episode, clipped=clipped != assembled.actions, where=f"{self.where}, episode {index}")
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
