"""Certification: candidate, champion and baseline on the same tasks of a fresh block, until it is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from offline_to_online.dataset.files import file_sha256, read_json, write_json
from offline_to_online.dataset.store import load_episodes
from offline_to_online.evaluation.panel import acceptance_block
from offline_to_online.evaluation.play import load_support, play
from offline_to_online.learning.policy import Policy
from offline_to_online.online.collect import evidence_of
from offline_to_online.online.evidence import Evidence, RolloutEvidence
from offline_to_online.online.forgetting import FILE, forgetting_of
from offline_to_online.online.gating import Rule, broken, judge, rules
from offline_to_online.online.run import AUDIT, CERTIFY, OnlineRun
from offline_to_online.progress import progress
from offline_to_online.robots import Task
from offline_to_online.support.audit import audit

CANDIDATE, CHAMPION, BASELINE = "candidate", "champion", "baseline"
Sides = dict[str, list[RolloutEvidence]]


def audit_candidate(run: OnlineRun, number: int) -> dict[str, Any]:
    """The support audit of the round's candidate on the handoff's held-out states; its ``metrics.json``.

    What the candidate has forgotten there lies beside it, in a file of its own, so that each number serves one purpose.
    """

    def look() -> dict[str, Any]:
        folder, policy = run.round_folder(number) / AUDIT, run.round_folder(number) / "candidate" / "policy.safetensors"
        audit_policy(run, policy, f"candidate {number}", folder, number)
        write_json(folder / FILE, forgetting_of(run, policy).to_json())
        return dict(read_json(folder / "metrics.json"))

    return run.phase(number, AUDIT, look)


def audit_policy(run: OnlineRun, policy: Path, name: str, folder: Path, number: int) -> None:
    """Audit a policy as the offline stage did, into ``metrics.json`` and ``actions.parquet`` of a folder."""
    estimator, calibration = load_support(run.handoff_folder)
    episodes = load_episodes(run.handoff_folder / "episodes", "heldout")
    found = audit(Policy.load(policy), estimator, calibration, episodes, run.module, run.rng(AUDIT, number), name=name)
    found.save(folder)


def certify(run: OnlineRun, number: int) -> dict[str, Any]:
    """Play batches of paired tasks until the rules want no more, a budget rule is broken, or nothing is left to play.

    Returns:
        ``candidate_number``, ``block`` and its hash, ``pairs``, ``executed`` episodes, ``accepted``, ``reason``,
        ``verdicts``, and the ``certified_success_rate`` of each side.
    """
    return run.phase(number, CERTIFY, lambda: _certify(run, number))


def _certify(run: OnlineRun, number: int) -> dict[str, Any]:
    standing = run.standing(before=number)
    block = int(run.facts["first_block"]) + standing.candidates
    trial = _Trial(run, number, acceptance_block(run.panel, block), candidate_number=standing.candidates + 1)
    gate = rules(run.config.gates.acceptance)
    while size := trial.next_batch(gate):
        trial.play(size)
    verdicts = judge(gate, trial.evidence())
    accepted = all(v.passed for v in verdicts)
    return {
        "candidate_number": standing.candidates + 1,
        "block": block,
        "block_sha256": run.panel.acceptance[block].sha256,
        "pairs": trial.pairs,
        "executed": trial.pairs * len(trial.policies),
        "accepted": accepted,
        "reason": "every rule passed" if accepted else trial.cut_short + broken(verdicts),
        "verdicts": [v.to_json() for v in verdicts],
        "certified_success_rate": {name: _rate([r.certified for r in rows]) for name, rows in trial.sides.items()},
        "success_rate": {name: _rate([r.success for r in rows]) for name, rows in trial.sides.items()},
    }


class _Trial:
    """One candidate's certification so far. Batches lie on disk, and are played once."""

    def __init__(self, run: OnlineRun, number: int, tasks: Sequence[Task], *, candidate_number: int) -> None:
        self._run, self._tasks, self._number = run, tasks, candidate_number
        self._folder = run.round_folder(number) / CERTIFY
        self._title = f"round {number}: certifying"
        self._batch = 0
        self._allowance = run.allowance()
        champion = run.standing(before=number).policy
        self.policies = {CANDIDATE: run.round_folder(number) / "candidate" / "policy.safetensors", CHAMPION: champion}
        if champion != run.baseline:
            self.policies[BASELINE] = run.baseline
        self.sides: Sides = {name: [] for name in self.policies}
        self.cut_short = ""

    @property
    def pairs(self) -> int:
        """Tasks that every side has played."""
        return len(self.sides[CANDIDATE])

    def evidence(self) -> Evidence:
        """What the acceptance rules may look at; while the champion is the baseline, it plays once for both."""
        return Evidence(
            rollouts=tuple(self.sides[CANDIDATE]),
            champion=tuple(self.sides[CHAMPION]),
            baseline=tuple(self.sides.get(BASELINE, self.sides[CHAMPION])),
            candidate_number=self._number,
        )

    def next_batch(self, gate: Sequence[Rule]) -> int:
        """How many tasks to play next; 0 when it is decided, or nothing is left to play with."""
        evidence = self.evidence()
        wanted = max((rule.wants_pairs(evidence) for rule in gate), default=0)
        if any(not rule.check(evidence).passed for rule in gate if not rule.compares):
            return 0
        affordable = self._allowance // len(self.policies) - self.pairs
        size = min(wanted, len(self._tasks) - self.pairs, affordable)
        if wanted and size <= 0:
            self.cut_short = f"the {'interaction budget' if affordable <= 0 else 'acceptance block'} is spent; "
        return max(0, size)

    def play(self, size: int) -> None:
        """Play the next tasks, all sides in turn, unless they were played before."""
        self._batch += 1
        path = self._folder / f"{self._batch:03d}.json"
        if not path.exists():
            tasks = self._tasks[self.pairs : self.pairs + size]
            write_json(path, {name: self._play(name, policy, tasks) for name, policy in self.policies.items()})
        self._run.journal.once(
            "batch", {"file": str(path.relative_to(self._run.folder))}, {"sha256": file_sha256(path)}
        )
        for name, rows in read_json(path).items():
            self.sides[name] += [RolloutEvidence.from_json(row) for row in rows]

    def _play(self, name: str, policy: Path, tasks: Sequence[Task]) -> list[Mapping[str, Any]]:
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
            )
        return [evidence_of(rollout).to_json() for rollout in rollouts]


def _rate(outcomes: Sequence[bool]) -> float:
    return sum(outcomes) / max(1, len(outcomes))
