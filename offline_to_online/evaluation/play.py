"""Many episodes of one policy, in processes side by side; what comes out does not depend on how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from offline_to_online.errors import ParameterError, SupportError
from offline_to_online.evaluation.guard import Guard
from offline_to_online.evaluation.rollout import Acts, Rollout, Stop, run_episode
from offline_to_online.learning.policy import Policy, RandomPolicy
from offline_to_online.learning.training import computing_on
from offline_to_online.plugins import module_for
from offline_to_online.robots import Dynamics, RobotSpec, Task
from offline_to_online.support.calibration import Calibration
from offline_to_online.support.estimator import SupportEstimator

RANDOM = "random"
PolicySource = Path | Literal["random"]
CHUNKS_PER_JOB = 4


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What a process needs to play: names and paths, never arrays."""

    policy: PolicySource
    robot: str
    dynamics: Dynamics
    support: Path | None
    explore_seed: int | None
    exploration_scale: float
    operator: str
    stop_file: Path | None


def play(
    policy: PolicySource,
    robot: str,
    tasks: Sequence[Task],
    *,
    dynamics: Dynamics,
    support_folder: Path | None,
    jobs: int,
    explore_seed: int | None = None,
    exploration_scale: float = 1.0,
    operator: str = "policy",
    progress: Callable[[int, int], None] | None = None,
    backend: str = "loky",
    stop_file: Path | None = None,
    stop: Stop | None = None,
) -> list[Rollout]:
    """Play every task once, under the guard; the rollouts come in the tasks' order.

    An exploring episode draws from a generator seeded by ``explore_seed`` and its task's own seed, so that neither
    ``jobs`` nor what else is played changes it.

    Args:
        policy: an exported policy's file, or ``random`` for uniformly random actions, seeded by the task.
        robot: the plug-in's name.
        tasks: what to play.
        dynamics: how this robot differs from the logged one.
        support_folder: holds ``estimator/`` and ``calibration.json``; None guards bounds and rate alone.
        jobs: processes; 1 plays in this one. A real robot is one, and wants 1.
        explore_seed: given, the policy explores; random actions need none.
        exploration_scale: multiplies its noise.
        operator: the name that the episodes carry.
        progress: called with (episodes done, episodes in all).
        backend: joblib's; ``loky`` is processes here, kept warm between calls.
        stop_file: once it is there, no process executes another control step.
        stop: asked before every control step too, where this process plays alone (``jobs`` 1).

    Raises:
        EmergencyStopError: the file is there, or the robot stopped itself.
        PipelineError: whatever is wrong with the policy, the support, the robot or an action.
    """
    if jobs < 1:
        raise ParameterError(f"jobs {jobs}", where="play", limit="at least 1", remedy="mend params.yaml")
    work = _Work(
        policy=policy if isinstance(policy, str) else policy.resolve(),
        robot=robot,
        dynamics=dynamics,
        support=support_folder.resolve() if support_folder else None,
        explore_seed=explore_seed,
        exploration_scale=exploration_scale,
        operator=operator,
        stop_file=stop_file.resolve() if stop_file else None,
    )
    if not tasks:
        return []
    parts = _one_by_one(work, tasks, stop) if jobs == 1 else _side_by_side(work, tasks, jobs, backend)
    rollouts = list[Rollout]()
    for part in parts:
        rollouts += part
        if progress:
            progress(len(rollouts), len(tasks))
    return rollouts


def stop_at(path: Path) -> Stop:
    """What ``run_episode`` asks before every control step: whether somebody has put the stop file there."""
    return lambda: f"the stop file {path} is there" if path.exists() else ""


def load_support(folder: Path) -> tuple[SupportEstimator, Calibration]:
    """The estimator and the thresholds in a support folder.

    Raises:
        SupportError: broken, or thresholds that were calibrated with another estimator.
    """
    estimator, calibration = SupportEstimator.load(folder / "estimator"), Calibration.load(folder / "calibration.json")
    if calibration.estimator_sha256 != estimator.sha256:
        raise SupportError(
            "the thresholds belong to another estimator",
            where=str(folder),
            limit=f"calibrated with {str(calibration.estimator_sha256)[:12]}, found {estimator.sha256[:12]}",
            remedy="run `dvc repro support`",
        )
    return estimator, calibration


def load_policy(source: PolicySource, spec: RobotSpec, *, seed: int = 0) -> Policy | RandomPolicy:
    """The policy, once known to fit the robot; ``seed`` is that of random actions.

    Raises:
        PolicyError: broken, or made for another robot.
    """
    if isinstance(source, str):
        return RandomPolicy(spec.action, observation_size=spec.observation.size, seed=seed)
    policy = Policy.load(source)
    policy.check_fits(spec.observation, spec.action)
    return policy


def _side_by_side(work: _Work, tasks: Sequence[Task], jobs: int, backend: str) -> Iterator[list[Rollout]]:
    from joblib import Parallel, delayed, parallel_config

    size = -(-len(tasks) // (jobs * CHUNKS_PER_JOB))
    chunks = [tasks[i : i + size] for i in range(0, len(tasks), size)]
    threads = {"inner_max_num_threads": 1} if backend == "loky" else {}
    with parallel_config(backend=backend, **threads):
        yield from Parallel(n_jobs=jobs, return_as="generator")(delayed(_play_chunk)(work, chunk) for chunk in chunks)


def _play_chunk(work: _Work, tasks: Sequence[Task]) -> list[Rollout]:
    return [rollout for part in _one_by_one(work, tasks) for rollout in part]


def _one_by_one(work: _Work, tasks: Sequence[Task], asked: Stop | None = None) -> Iterator[list[Rollout]]:
    module = module_for("robots", work.robot)
    policy = load_policy(work.policy, module.SPEC)
    guard = Guard(module, *(load_support(work.support) if work.support else ()))
    stop = _either(stop_at(work.stop_file) if work.stop_file else None, asked)
    with computing_on(1):
        robot = module.make(work.dynamics)
        try:
            for task in tasks:
                who, rng = _prepared(policy, work, module.SPEC, task)
                yield [run_episode(robot, module, who, task, guard, rng=rng, operator=work.operator, stop=stop)]
        finally:
            robot.close()


def _either(*stops: Stop | None) -> Stop | None:
    """Whatever any of them says first."""
    asked = [stop for stop in stops if stop]
    return (lambda: next((reason for stop in asked if (reason := stop())), "")) if asked else None


def _prepared(
    policy: Policy | RandomPolicy, work: _Work, spec: RobotSpec, task: Task
) -> tuple[Acts, np.random.Generator | None]:
    """Who plays a task, and the generator to explore with: a function of the task, not of what was played before."""
    if isinstance(policy, RandomPolicy):
        return load_policy(work.policy, spec, seed=task.seed), None
    policy.exploration_scale = work.exploration_scale
    return policy, None if work.explore_seed is None else np.random.default_rng([work.explore_seed, task.seed])
