"""Pools of real episodes, played once under the guard and kept: what replayed runs are drawn from.

Handed off here is what `dvc repro` would hand off with params.yaml and another seed: the recorded operators, the
support with its thresholds, the offline policy.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from offline_to_online.dataset.files import file_sha256, read_json, write_json
from offline_to_online.dataset.manifest import SplitRule
from offline_to_online.dataset.split import make_split
from offline_to_online.evaluation.panel import collection_task
from offline_to_online.evaluation.play import PolicySource, play
from offline_to_online.learning.learner import Normaliser
from offline_to_online.learning.replay import replay_for
from offline_to_online.learning.training import train
from offline_to_online.online.collect import evidence_of
from offline_to_online.online.evidence import RolloutEvidence
from offline_to_online.params import Params
from offline_to_online.plugins import module_for
from offline_to_online.progress import progress
from offline_to_online.robots import Dynamics
from offline_to_online.robots._recording import record_log
from offline_to_online.support.calibration import calibrate
from offline_to_online.support.estimator import SupportEstimator

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = ROOT / "build" / "gate_null"
# Whatever an episode under the guard depends on; another version of it plays its own pools.
SOURCES = ("dataset", "robots", "support", "learning", "evaluation/rollout.py", "evaluation/guard.py")
RULE = SplitRule(train=0.7, calibration=0.2, heldout=0.1)
OFFLINE = "iql"
Pool = tuple[RolloutEvidence, ...]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is played.

    Attributes:
        operators: recorded episodes by scripted operator.
        updates: of the offline policy.
        exploring: episodes of the handed-off policy, exploring as the online run does; on the tuned robot.
        unchanged: the same on the robot as it was logged.
        random: episodes of uniformly random actions.
        paired: tasks that the baseline and every worsened policy play, greedy but for the noise that worsens.
        noise: of the worsened policies, in multiples of the policy's own, growing.
    """

    operators: Mapping[str, int]
    updates: int
    exploring: int
    unchanged: int
    random: int
    paired: int
    noise: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class HandedOff:
    """What runs begin with: the policy's file, the folder of the support, and where pools are kept."""

    policy: Path
    folder: Path


def handed_off(params: Params, size: Size, seed: int) -> HandedOff:
    """The handoff's parts for a seed, made once for these parameters and this version of the code."""
    facts = [dataclasses.asdict(params.support), params.calibration.alpha, dataclasses.asdict(size), seed]
    facts += [dataclasses.asdict(params.algorithm_config(OFFLINE)), params.robot, _sources()]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    made = HandedOff(policy=SCRATCH / digest / "policy.safetensors", folder=SCRATCH / digest)
    if not made.policy.is_file():
        _make(made, params, size, seed)
    return made


def _make(made: HandedOff, params: Params, size: Size, seed: int) -> None:
    module = module_for("robots", params.robot)
    episodes = record_log(module, size.operators, seed, jobs=params.jobs)
    split = make_split(episodes, RULE, seed)
    parts = {name: [e for e in episodes if e.identity in set(split.part(name))] for name in ("train", "calibration")}
    estimator = SupportEstimator.fit(parts["train"], params.support)
    estimator.save(made.folder / "estimator")
    calibrate(estimator, parts["calibration"], parts["train"], params.calibration.alpha).save(
        made.folder / "calibration.json"
    )
    algorithm, config = module_for("algorithms", params.policies[OFFLINE].algorithm), params.algorithm_config(OFFLINE)
    learner = algorithm.make(
        config,
        observation=module.SPEC.observation,
        action=module.SPEC.action,
        normaliser=Normaliser.from_episodes(parts["train"]),
        seed=seed,
    )
    replay = replay_for(config, module.SPEC.observation.size, module.SPEC.action.size)
    replay.extend(parts["train"])
    generator = torch.Generator().manual_seed(seed)
    train(learner, replay, updates=size.updates, batch_size=config.batch_size, generator=generator)
    learner.export(made.policy)


@dataclass(frozen=True, kw_only=True)
class Player:
    """Plays pools for a seed, and keeps them."""

    params: Params
    made: HandedOff
    seed: int

    def pool(
        self,
        name: str,
        episodes: int,
        *,
        policy: PolicySource | None = None,
        dynamics: Dynamics | None = None,
        noise: float | None = None,
    ) -> Pool:
        """So many episodes under the guard, read where they were played before.

        Args:
            name: of the pool; tasks are the same in all of them, and so are the seeds.
            episodes: how many.
            policy: who plays; the handed-off policy if not given.
            dynamics: of the robot; the online run's if not given.
            noise: scale of its exploration; None is greedy.
        """
        path = self.made.folder / f"{name}.json"
        if not path.is_file():
            write_json(path, self._played(name, episodes, policy, dynamics, noise))
        return tuple(RolloutEvidence.from_json(row) for row in read_json(path))

    def _played(
        self, name: str, episodes: int, policy: PolicySource | None, dynamics: Dynamics | None, noise: float | None
    ) -> list[dict[str, Any]]:
        params, module = self.params, module_for("robots", self.params.robot)
        with progress(f"playing {name}") as tell:
            rollouts = play(
                policy or self.made.policy,
                params.robot,
                [collection_task(module, self.seed, index) for index in range(episodes)],
                dynamics=params.online.dynamics if dynamics is None else dynamics,
                support_folder=self.made.folder,
                jobs=params.jobs,
                explore_seed=None if noise is None else self.seed,
                exploration_scale=noise or 0.0,
                progress=tell,
            )
        return [evidence_of(rollout).to_json() for rollout in rollouts]


@dataclass(frozen=True, kw_only=True)
class Pools:
    """Episodes of a seed: sound ones on both robots, reckless ones, and the same tasks played worse and worse."""

    exploring: Pool
    unchanged: Pool
    random: Pool
    baseline: Pool
    worse: tuple[Pool, ...]


def pools(params: Params, size: Size, seed: int) -> Pools:
    """Play everything that is not kept already."""
    player = Player(params=params, made=handed_off(params, size, seed), seed=seed)
    noise = params.online.exploration_scale
    return Pools(
        exploring=player.pool("exploring", size.exploring, noise=noise),
        unchanged=player.pool("unchanged", size.unchanged, noise=noise, dynamics=Dynamics()),
        random=player.pool("random", size.random, policy="random"),
        baseline=player.pool("baseline", size.paired),
        worse=tuple(player.pool(f"noise-{scale:g}", size.paired, noise=scale) for scale in size.noise),
    )


def _sources() -> str:
    """Hash of the code that a pool depends on."""
    roots = [ROOT / "offline_to_online" / part for part in SOURCES]
    files = [path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*.py")))]
    return hashlib.sha256("".join(file_sha256(path) for path in files).encode()).hexdigest()[:12]
