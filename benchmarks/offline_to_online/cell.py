"""One cell of the table: a method on a setting with a seed, from its offline policy to the end of its online budget."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.offline_to_online.preparing import Prepared, config_of, logged, make, offline, prepared, state_of
from benchmarks.offline_to_online.settings import CHECKPOINTS, METHODS, Method, Setting
from offline_to_online.evaluation.guard import Guard
from offline_to_online.evaluation.panel import collection_task, load_panel
from offline_to_online.evaluation.rollout import Rollout, run_episode
from offline_to_online.learning.learner import Learner
from offline_to_online.learning.policy import Policy
from offline_to_online.learning.replay import replay_for
from offline_to_online.learning.switch import Switch
from offline_to_online.learning.training import computing_on, train
from offline_to_online.robots import Task

ROOT = Path(__file__).resolve().parents[2]
CLONING = METHODS["bc"]


def run_cell(setting: Setting, method: Method, seed: int) -> dict[str, Any]:
    """The method's evaluations before and after the switch, and what collecting cost.

    Returns:
        ``evaluations``: per checkpoint ``episodes``, ``success`` and ``score`` (per task of the panel);
        ``collected``: per episode ``success``, ``score``, ``cost``, ``interventions``; ``seconds``.
    """
    started = time.monotonic()
    with computing_on(1):
        shared = prepared(setting.data, setting.robot, seed)
        robot = shared.module.make(setting.dynamics)
        try:
            found = _Run(setting, method, seed, shared, robot).whole()
        finally:
            robot.close()
    return {**found, "seconds": round(time.monotonic() - started, 1)}


class _Run:
    """One cell as it goes."""

    def __init__(self, setting: Setting, method: Method, seed: int, shared: Prepared, robot: Any) -> None:
        self._setting, self._method, self._seed, self._shared, self._robot = setting, method, seed, shared, robot
        self._tasks = load_panel(ROOT / "data/panels" / f"{setting.robot}.json").report[: setting.tasks]
        self._folder = shared.folder / "online"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._rng = np.random.default_rng([seed, 1])
        self._generator = torch.Generator().manual_seed(seed + 1)

    def whole(self) -> dict[str, Any]:
        """From the offline policy to the end of the budget."""
        setting, method = self._setting, self._method
        if method.switch is None:
            policy = Policy.load(offline(method, setting, self._shared, self._seed) / "policy.safetensors")
            return {"evaluations": [self._evaluation(policy, 0)], "collected": []}
        learner = self._first_learner(method.switch)
        policy = self._policy_of(learner)
        evaluations, rows = [self._evaluation(policy, 0)], list[dict[str, float]]()
        config = config_of(method, setting, online=True)
        offline_part = logged(config, self._shared)
        online = replay_for(config, offline_part.observation_size, offline_part.action_size)
        due = [int(np.ceil(share * setting.episodes)) for share in CHECKPOINTS]
        alone, owed = method.switch.value_updates, 0.0
        while len(rows) < setting.episodes:
            rollouts = self._collect(policy, len(rows))
            online.extend(r.episode for r in rollouts)
            warm = len(rows) < method.switch.warmup_episodes
            rows += [_row(r) for r in rollouts]
            owed += (
                0
                if warm
                else method.switch.updates_per_step * setting.updates_per_step * sum(len(r.episode) for r in rollouts)
            )
            sampler = method.switch.sampler(offline_part, online, len(rows) / setting.episodes)
            for count, values_alone in ((min(alone, int(owed)), True), (int(owed) - min(alone, int(owed)), False)):
                method.switch.schedule(learner, len(rows) / setting.episodes, values_alone=values_alone)
                train(learner, sampler, updates=count, batch_size=config.batch_size, generator=self._generator)
            alone, owed = alone - min(alone, int(owed)), owed - int(owed)
            policy = self._policy_of(learner)
            if due and len(rows) >= due[0]:
                due = [d for d in due if d > len(rows)]
                evaluations.append(self._evaluation(policy, len(rows)))
        return {"evaluations": evaluations, "collected": rows}

    def _first_learner(self, switch: Switch) -> Learner:
        method, setting, shared, seed = self._method, self._setting, self._shared, self._seed
        config = config_of(method, setting, online=True)
        if not switch.keep:
            return make(method, config, shared, seed)
        source = offline(_clone_of(method) if method.clone else method, setting, shared, seed)
        state = {} if method.clone else state_of(source)
        return switch.begin(lambda: make(method, config, shared, seed), state, source / "policy.safetensors")

    def _policy_of(self, learner: Learner) -> Policy:
        path = self._folder / f"{self._method.label.replace(' ', '_')}-{self._setting.dynamics.action_gain}.safetensors"
        learner.export(path)
        policy = Policy.load(path)
        policy.exploration_scale = self._setting.exploration_scale
        return policy

    def _collect(self, policy: Policy, first: int) -> list[Rollout]:
        guard = Guard(self._shared.module, self._shared.estimator, self._shared.calibration)
        count = min(self._setting.per_round, self._setting.episodes - first)
        tasks = [collection_task(self._shared.module, self._seed, first + i) for i in range(count)]
        return self._play(policy, tasks, guard, self._rng)

    def _evaluation(self, policy: Policy, episodes: int) -> dict[str, Any]:
        rollouts = self._play(policy, self._tasks, Guard(self._shared.module), None)
        return {
            "episodes": episodes,
            "success": [int(r.episode.success) for r in rollouts],
            "score": [round(float(r.episode.score), 4) for r in rollouts],
        }

    def _play(
        self, policy: Policy, tasks: Sequence[Task], guard: Guard, rng: np.random.Generator | None
    ) -> list[Rollout]:
        return [
            run_episode(self._robot, self._shared.module, policy, task, guard, rng=rng, operator="learner")
            for task in tasks
        ]


def _clone_of(method: Method) -> Method:
    """Behaviour cloning with a network of the method's size."""
    same = {name: value for name, value in method.config.items() if name in ("updates", "hidden_units")}
    return dataclasses.replace(CLONING, config={**CLONING.config, **same})


def _row(rollout: Rollout) -> dict[str, float]:
    return {
        "success": float(rollout.episode.success),
        "score": round(float(rollout.episode.score), 4),
        "cost": round(rollout.cost, 4),
        "interventions": rollout.interventions,
    }
