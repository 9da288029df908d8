"""Collection: the champion explores under the guard, and the safety gate looks at every episode.

The guard measures against D_0 and never against anything else; an episode's drift from D_k is written down beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from offline_to_online.errors import EmergencyStopError
from offline_to_online.evaluation.guard import Guard
from offline_to_online.evaluation.panel import collection_task
from offline_to_online.evaluation.play import load_support
from offline_to_online.evaluation.rollout import Rollout, read_rollout, run_episode, write_rollout
from offline_to_online.learning.policy import Policy
from offline_to_online.online import emergency
from offline_to_online.online.attempts import motion
from offline_to_online.online.drift import data_of
from offline_to_online.online.evidence import RolloutEvidence
from offline_to_online.online.gating import broken, judge
from offline_to_online.online.recorded import settled_sha256
from offline_to_online.online.run import COLLECT, SAFETY, OnlineRun
from offline_to_online.online.spending import spending_before
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
        takeovers=int(rollout.takeover.sum()),
        emergency_stop=bool(rollout.emergency_stop),
    )


def collect(run: OnlineRun, number: int) -> dict[str, Any]:
    """Collect a round's episodes, up to the one after which the safety gate stops. Episodes that exist are kept.

    Returns:
        ``first`` (index of the round's first episode), ``episodes``, ``steps``, their ``evidence``, and the ``totals``
        of the run so far.

    Raises:
        EmergencyStopError: somebody or the robot stopped it, now or before, and the STOP file is still there. What was
            executed of an episode is kept as one, and not executed again.
    """
    return run.phase(number, COLLECT, lambda: _collect(run, number))


def safety_gate(run: OnlineRun, number: int) -> dict[str, Any]:
    """The safety rules' word on everything collected so far: ``passed``, ``reason``, ``verdicts``."""

    return run.phase(number, SAFETY, lambda: judged(run, number))


def judged(run: OnlineRun, number: int) -> dict[str, Any]:
    """What ``safety_gate`` writes down, by what is recorded."""
    gate = run.gate("safety")
    verdicts = judge(gate, spending_before(run, gate, number + 1).evidence())
    return {
        "passed": all(v.passed for v in verdicts),
        "reason": broken(verdicts),
        "verdicts": [v.to_json() for v in verdicts],
    }


def settle_episode(run: OnlineRun, number: int) -> None:
    """Put an episode on record that a killed process had written, and not recorded."""
    index = len(run.journal.of("episode"))
    if (path := run.episode_path(index)).exists():
        run.journal.once("episode", {"index": index}, {"round": number, "sha256": settled_sha256(path)})


def _collect(run: OnlineRun, number: int) -> dict[str, Any]:
    champion = _Champion(run, number)
    settle_episode(run, number)
    emergency.demand_none_came(run, number, COLLECT, len(run.journal.of("episode")))
    try:
        with progress(f"round {number}: collecting") as tell, emergency.listening(emergency.stop_file(run)) as asks:
            return gathered(run, number, lambda index: champion.episode(index, asks), tell)
    finally:
        champion.close()


def gathered(
    run: OnlineRun, number: int, episode: Callable[[int], Rollout], tell: Callable[[int, int], None] = lambda *_: None
) -> dict[str, Any]:
    """What ``collect`` writes down of a round's episodes, up to the one after which the safety gate stops.

    Args:
        run: as it is when they are collected.
        number: of the round.
        episode: the rollout with an index, played or read.
        tell: is told how many there are, and how many are wanted.
    """
    first = run.collected(before=number)
    wanted = min(run.config.episodes_per_round, run.allowance())
    gate = run.gate("safety")
    spending = spending_before(run, gate, number)
    seen = list[RolloutEvidence]()
    steps = 0
    for index in range(first, first + wanted):
        rollout = episode(index)
        seen.append(evidence_of(rollout, support_drift_k=data_of(run, index).drift(rollout)))
        spending.add(seen[-1])
        steps += len(rollout.episode)
        tell(len(seen), wanted)
        if broken(judge(gate, spending.evidence())):
            break
    rows = [evidence.to_json() for evidence in seen]
    said = {"first": first, "episodes": len(seen), "steps": steps, "evidence": rows}
    return said | {"totals": spending.totals.to_json()}


class _Champion:
    """The champion at the robot, connected when the first episode is really played."""

    def __init__(self, run: OnlineRun, number: int) -> None:
        self._run, self._number = run, number
        self._robot: Any = None

    def episode(self, index: int, asks: emergency.Asks) -> Rollout:
        """The ``index``-th episode: read where it exists, else played, written and journaled.

        Raises:
            EmergencyStopError: it was stopped. Whatever was executed of it is written and journaled first.
        """
        path = self._run.episode_path(index)
        if not path.exists():
            with motion(self._run, f"collect episode {index}"):
                self._play_into(path, index, asks)
        rollout = read_rollout(path)
        # What was executed is on record before anybody is asked about a stop.
        self._run.journal.once("episode", {"index": index}, {"round": self._number, "sha256": settled_sha256(path)})
        if stopped := self._stopped(rollout, index):
            raise stopped
        return rollout

    def close(self) -> None:
        """Disconnect, if it was connected."""
        if self._robot is not None:
            self._robot.close()

    def _play_into(self, path: Path, index: int, asks: emergency.Asks) -> None:
        try:
            rollout = self._play(index, asks)
        except EmergencyStopError as stopped:
            reason = emergency.reason_of(self._run, stopped)
            if not isinstance(stopped.rollout, Rollout):
                # Nothing moved: the episode is still to be played.
                raise self._journaled(index, 0, reason) from stopped
            rollout = replace(stopped.rollout, emergency_stop=reason)
        write_rollout(path, rollout)

    def _stopped(self, rollout: Rollout, index: int) -> EmergencyStopError | None:
        """The stop that ended an episode and is not in the journal yet; it is then."""
        steps, key = len(rollout.episode), {"phase": COLLECT, "index": index}
        if not rollout.emergency_stop or self._run.journal.of(emergency.KIND, **key, steps=steps):
            return None
        return self._journaled(index, steps, rollout.emergency_stop)

    def _journaled(self, index: int, steps: int, reason: str) -> EmergencyStopError:
        return emergency.journaled(self._run, self._number, COLLECT, index, steps, reason)

    def _play(self, index: int, asks: emergency.Asks) -> Rollout:
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
            stop=asks,
        )

    def _connect(self) -> None:
        run = self._run
        self._policy = Policy.load(run.standing(before=self._number).policy)
        self._policy.check_fits(run.module.SPEC.observation, run.module.SPEC.action)
        self._policy.exploration_scale = run.config.exploration_scale
        self._guard = Guard(run.module, *load_support(run.handoff_folder))
        self._robot = run.module.make(run.config.dynamics)
