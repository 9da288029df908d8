"""Collection: the champion explores under the guard, and the safety gate looks at every episode.

The guard measures against D_0 and never against anything else; an episode's drift from D_k is written down beside it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from offline_to_online.dataset.files import file_sha256
from offline_to_online.evaluation.guard import Guard
from offline_to_online.evaluation.panel import collection_task
from offline_to_online.evaluation.play import load_support
from offline_to_online.evaluation.rollout import Rollout, read_rollout, run_episode, write_rollout
from offline_to_online.learning.policy import Policy
from offline_to_online.online.drift import data_of
from offline_to_online.online.evidence import Evidence, RolloutEvidence
from offline_to_online.online.gating import Rule, broken, judge, rules
from offline_to_online.online.run import COLLECT, SAFETY, OnlineRun
from offline_to_online.progress import progress

CHAMPION = "champion"


def evidence_of(rollout: Rollout, *, support_drift_k: float | None = None) -> RolloutEvidence:
    """What a gate sees of a rollout; its drift from D_k where that was measured."""
    return RolloutEvidence(
        success=rollout.episode.success,
        interventions=rollout.interventions,
        support_drift=rollout.support_drift,
        support_drift_k=support_drift_k,
        cost=rollout.cost,
        score=rollout.episode.score,
    )


def collect(run: OnlineRun, number: int) -> dict[str, Any]:
    """Collect a round's episodes, up to the one after which the safety gate stops. Episodes that exist are kept.

    Returns:
        ``first`` (index of the round's first episode), ``episodes``, ``steps``, and their ``evidence``.
    """
    return run.phase(number, COLLECT, lambda: _collect(run, number))


def safety_gate(run: OnlineRun, number: int) -> dict[str, Any]:
    """The safety rules' word on everything collected so far: ``passed``, ``reason``, ``verdicts``."""

    def look() -> dict[str, Any]:
        gate = rules(run.config.gates.safety)
        verdicts = judge(gate, Evidence(rollouts=tuple(_judged_by(run, gate))))
        return {
            "passed": all(v.passed for v in verdicts),
            "reason": broken(verdicts),
            "verdicts": [v.to_json() for v in verdicts],
        }

    return run.phase(number, SAFETY, look)


def _collect(run: OnlineRun, number: int) -> dict[str, Any]:
    first = run.collected(before=number)
    wanted = min(run.config.episodes_per_round, run.allowance())
    gate = rules(run.config.gates.safety)
    judged = _judged_by(run, gate)
    seen = list[RolloutEvidence]()
    steps = 0
    champion = _Champion(run, number)
    try:
        with progress(f"round {number}: collecting") as tell:
            for index in range(first, first + wanted):
                rollout = champion.episode(index)
                seen.append(evidence_of(rollout, support_drift_k=data_of(run, index).drift(rollout)))
                judged.append(seen[-1])
                steps += len(rollout.episode)
                tell(len(seen), wanted)
                if broken(judge(gate, Evidence(rollouts=tuple(judged)))):
                    break
    finally:
        champion.close()
    return {"first": first, "episodes": len(seen), "steps": steps, "evidence": [e.to_json() for e in seen]}


def _judged_by(run: OnlineRun, gate: Sequence[Rule]) -> deque[RolloutEvidence]:
    """What a gate looks at of everything collected so far: as much as its widest window, however long the run is."""
    windows = [int(getattr(rule.config, "window", 0)) for rule in gate]
    widest = None if 0 in windows else max(windows)
    judged = deque[RolloutEvidence](maxlen=widest)
    for number in range(run.config.rounds, 0, -1):
        if len(judged) == widest:
            break
        for row in reversed((run.result(number, COLLECT) or {"evidence": []})["evidence"]):
            if len(judged) != widest:
                judged.appendleft(RolloutEvidence.from_json(row))
    return judged


class _Champion:
    """The champion at the robot, connected when the first episode is really played."""

    def __init__(self, run: OnlineRun, number: int) -> None:
        self._run, self._number = run, number
        self._robot: Any = None

    def episode(self, index: int) -> Rollout:
        """The ``index``-th episode: read where it exists, else played, written and journaled."""
        path = self._run.episode_path(index)
        if not path.exists():
            write_rollout(path, self._play(index))
        self._run.journal.once("episode", {"index": index}, {"round": self._number, "sha256": file_sha256(path)})
        return read_rollout(path)

    def close(self) -> None:
        """Disconnect, if it was connected."""
        if self._robot is not None:
            self._robot.close()

    def _play(self, index: int) -> Rollout:
        if self._robot is None:
            self._connect()
        run = self._run
        return run_episode(
            self._robot,
            run.module,
            self._policy,
            collection_task(run.module, int(run.facts["seed"]), index),
            self._guard,
            rng=run.rng(COLLECT, 0, index) if run.config.exploration_scale else None,
            operator=CHAMPION,
        )

    def _connect(self) -> None:
        run = self._run
        self._policy = Policy.load(run.standing(before=self._number).policy)
        self._policy.check_fits(run.module.SPEC.observation, run.module.SPEC.action)
        self._policy.exploration_scale = run.config.exploration_scale
        self._guard = Guard(run.module, *load_support(run.handoff_folder))
        self._robot = run.module.make(run.config.dynamics)
