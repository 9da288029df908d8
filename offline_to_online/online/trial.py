"""A trial: policies on the same tasks with the same seeds, batch by batch. Batches lie on disk and are played once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.evaluation.play import play
from offline_to_online.online.attempts import motion
from offline_to_online.online.collect import evidence_of
from offline_to_online.online.emergency import Asks, stop_file, stoppable, stopped_tasks
from offline_to_online.online.evidence import RolloutEvidence
from offline_to_online.online.recorded import settled_sha256
from offline_to_online.online.run import OnlineRun
from offline_to_online.progress import progress
from offline_to_online.robots import Task

CANDIDATE, CHAMPION, BASELINE = "candidate", "champion", "baseline"
Sides = dict[str, list[RolloutEvidence]]


class Trial:
    """Policies that are compared, and what they have shown so far.

    Args:
        run: whose robot it is.
        folder: where the batches lie, ``001.json`` on.
        policies: by side.
        tasks: in the order in which they are played, each once by every side.
        title: what the progress bar says.
    """

    def __init__(
        self, run: OnlineRun, folder: Path, policies: Mapping[str, Path], tasks: Sequence[Task], *, title: str
    ) -> None:
        self._run, self._folder, self._tasks, self._title = run, folder, tasks, title
        self._batch = 0
        self.policies = dict(policies)
        self.sides: Sides = {name: [] for name in self.policies}

    @property
    def pairs(self) -> int:
        """Tasks that every side has played."""
        return min(len(rows) for rows in self.sides.values())

    @property
    def left(self) -> int:
        """Tasks that nobody has played."""
        return len(self._tasks) - self.pairs

    @property
    def executed(self) -> int:
        """Episodes that it cost."""
        return self.pairs * len(self.policies)

    def play(self, size: int) -> None:
        """Play the next tasks, all sides in turn, unless they were played before."""
        self._batch += 1
        path = self._folder / f"{self._batch:03d}.json"
        if not path.exists():
            tasks = self._tasks[self.pairs : self.pairs + size]
            place = f"{path.parent.relative_to(self._run.folder).as_posix()} {self._batch}"
            stops = stoppable(self._run, self._folder.name, tasks, self.pairs)
            with stops as asks, motion(self._run, f"batch {place}"):
                rows = {name: self._play(name, policy, tasks, asks) for name, policy in self.policies.items()}
                write_json(path, self._with_stops(rows))
        self._run.journal.once(
            "batch", {"file": str(path.relative_to(self._run.folder))}, {"sha256": settled_sha256(path)}
        )
        for name, rows in read_json(path).items():
            self.sides[name] += [RolloutEvidence.from_json(row) for row in rows]

    def rates(self, quality: str) -> dict[str, float]:
        """By side, the share of episodes with a quality: ``success`` or ``certified``."""
        return {name: sum(getattr(r, quality) for r in rows) / max(1, len(rows)) for name, rows in self.sides.items()}

    def _with_stops(self, rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """A task in which an emergency stop came counts as failed by the judged side, whoever was playing.

        Its batch is played again, and must not look better for it: a stop would be a way to choose what is kept.
        """
        judged = rows[next(iter(self.policies))]
        for index in stopped_tasks(self._run, self._folder.name):
            if 0 <= index - self.pairs < len(judged):
                row = judged[index - self.pairs]
                row |= {"emergency_stop": True, "interventions": row["interventions"] + 1}
        return rows

    def _play(self, name: str, policy: Path, tasks: Sequence[Task], asks: Asks) -> list[dict[str, Any]]:
        with progress(f"{self._title}, {name}") as tell:
            rollouts = play(
                policy,
                self._run.robot,
                tasks,
                dynamics=self._run.config.dynamics,
                support_folder=self._run.handoff_folder,
                jobs=int(self._run.facts["jobs"]),
                operator=name,
                progress=tell,
                stop_file=stop_file(self._run),
                stop=asks,
            )
        return [evidence_of(rollout).to_json() for rollout in rollouts]
