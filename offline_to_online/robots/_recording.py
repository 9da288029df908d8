"""Record scripted operators on a simulator: the same episodes whatever the order and the number of processes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError
from offline_to_online.plugins import unknown
from offline_to_online.robots import Dynamics, Operator, Robot, Step, Task, episode_outcome

Job = tuple[str, int]
"""An operator's name, and the number of one of its episodes."""

CHUNKS_PER_JOB = 4


def record(robot: Robot, module: ModuleType, operator: Operator, task: Task, operator_name: str) -> Episode:
    """Play one task under an operator, to its end.

    Args:
        robot: made by ``module.make``.
        module: the robot's module; its SPEC bounds the actions.
        operator: who acts.
        task: where the episode starts.
        operator_name: how the operator is called in the episode.
    """
    observations, actions, steps = [robot.reset(task)], list[Array](), list[Step]()
    while not steps or not (steps[-1].terminated or steps[-1].truncated):
        action = module.SPEC.action.clip(np.asarray(operator.act(observations[-1]), dtype=np.float32))
        steps.append(robot.step(action))
        actions.append(action)
        observations.append(steps[-1].observation)
    success, score = episode_outcome(module.SPEC, [s.success for s in steps], [s.score for s in steps])
    return Episode(
        observations=np.asarray(observations, dtype=np.float32),
        actions=np.asarray(actions, dtype=np.float32),
        rewards=np.array([s.reward for s in steps], dtype=np.float32),
        cost=np.array([s.cost for s in steps], dtype=np.float32),
        intervened=np.zeros(len(steps), dtype=bool),
        terminated=steps[-1].terminated,
        truncated=steps[-1].truncated,
        operator=operator_name,
        seed=task.seed,
        success=success,
        score=score,
    )


def record_log(
    module: ModuleType,
    counts: Mapping[str, int],
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    jobs: int = 1,
    dynamics: Dynamics | None = None,
) -> list[Episode]:
    """A log of mixed operators, ordered by the operator's name.

    Every episode has random numbers of its own, drawn from (seed, operator, number), so that neither
    the other operators' counts nor ``jobs`` change it.

    Args:
        module: the robot.
        counts: episodes per operator, by its name in ``module.OPERATORS``.
        seed: of the whole log, at least 0.
        progress: called with (episodes done, episodes in all).
        jobs: processes.
        dynamics: of the robot that is recorded; none is the unchanged one.

    Raises:
        ParameterError: an operator the robot does not have, or a count below 0.
    """
    _check(module, counts, seed)
    todo = [(name, i) for name in sorted(counts) for i in range(counts[name])]
    size = max(1, -(-len(todo) // (jobs * CHUNKS_PER_JOB))) if jobs > 1 else max(1, len(todo))
    chunks = [todo[i : i + size] for i in range(0, len(todo), size)]
    changed = dynamics or Dynamics()
    if jobs == 1:
        return _record_chunk(module.__name__, todo, seed, changed, progress) if todo else []
    from joblib import Parallel, delayed

    episodes = list[Episode]()
    work = (delayed(_record_chunk)(module.__name__, chunk, seed, changed, None) for chunk in chunks)
    for done in Parallel(n_jobs=jobs, return_as="generator")(work):
        episodes += done
        if progress:
            progress(len(episodes), len(todo))
    return episodes


def _check(module: ModuleType, counts: Mapping[str, int], seed: int) -> None:
    for name, count in counts.items():
        if name not in module.OPERATORS:
            raise unknown(name, sorted(module.OPERATORS), what="unknown operator", where=f"robot {module.SPEC.name}")
        if count < 0:
            raise ParameterError(
                f"{count} episodes", where=f"operator {name}", limit="at least 0", remedy="mend the count"
            )
    if seed < 0:
        raise ParameterError(f"seed {seed}", where="recording", limit="at least 0", remedy="mend the seed")


def _record_chunk(
    module_name: str, todo: list[Job], seed: int, dynamics: Dynamics, progress: Callable[[int, int], None] | None
) -> list[Episode]:
    module = importlib.import_module(module_name)
    robot, episodes = module.make(dynamics), list[Episode]()
    try:
        for name, number in todo:
            episodes.append(_record_one(robot, module, name, number, seed))
            if progress:
                progress(len(episodes), len(todo))
    finally:
        robot.close()
    return episodes


def _record_one(robot: Robot, module: ModuleType, name: str, number: int, seed: int) -> Episode:
    drawn = np.random.SeedSequence([seed, sorted(module.OPERATORS).index(name), number])
    of_task, of_operator = (np.random.default_rng(s) for s in drawn.spawn(2))
    return record(robot, module, module.OPERATORS[name](of_operator), module.draw_task(of_task), name)
