"""What all methods share for a log and a seed: episodes, the guard, the penalty, and the learners trained offline."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmarks import support_data
from benchmarks.offline_to_online.settings import ALPHA, SUPPORT, Method, Setting
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import file_sha256
from offline_to_online.dataset.manifest import SplitRule
from offline_to_online.dataset.split import make_split
from offline_to_online.learning.learner import Learner, Normaliser, load_state, needs_penalty, save_state
from offline_to_online.learning.replay import Replay, replay_for
from offline_to_online.learning.training import train
from offline_to_online.plugins import module_for
from offline_to_online.robots._recording import record_log
from offline_to_online.support.behaviour import BehaviourConfig
from offline_to_online.support.calibration import Calibration, calibrate
from offline_to_online.support.estimator import SupportEstimator
from offline_to_online.support.penalty import SupportPenalty

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("dataset", "robots", "support", "learning")
PLAYING = ("rollout", "guard", "panel", "failures")
SOURCES = [
    *(f"offline_to_online/{room}" for room in ROOMS),
    *(f"offline_to_online/evaluation/{name}.py" for name in PLAYING),
]
# Updates in a CUDA graph: cells are run on a CPU.
APART = {"captured.py"}
SCRATCH = Path(os.environ.get("OFFLINE_TO_ONLINE_BUILD", "build/offline_to_online"))
RULE = SplitRule(train=0.7, calibration=0.2, heldout=0.1)
# Of 25 episodes the guard's threshold must come from those that it was fitted on, each left out: 20 are enough.
RULES = {"door": SplitRule(train=0.8, calibration=0.12, heldout=0.08)}
OPERATORS = {
    "fetch": {"expert": 40, "recovery": 60, "biased": 200},
    "fetch_small": {"expert": 8, "recovery": 10, "biased": 12},
}
BEHAVIOUR = {"fetch_small": BehaviourConfig(updates=200, hidden=16)}


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What is learned from, and what guards the robot."""

    module: ModuleType
    train: tuple[Episode, ...]
    estimator: SupportEstimator
    calibration: Calibration
    penalty: SupportPenalty
    normaliser: Normaliser
    folder: Path


@functools.cache
def prepared(data: str, robot: str, seed: int) -> Prepared:
    """Everything before the learners, made from the seed."""
    module = module_for("robots", robot)
    episodes = _episodes(data, module, seed)
    split = make_split(episodes, RULES.get(data, RULE), seed)
    parts = {name: [e for e in episodes if e.identity in set(split.part(name))] for name in ("train", "calibration")}
    estimator = SupportEstimator.fit(parts["train"], SUPPORT)
    return Prepared(
        module=module,
        train=tuple(parts["train"]),
        estimator=estimator,
        calibration=calibrate(estimator, parts["calibration"], parts["train"], ALPHA),
        penalty=SupportPenalty.fit(parts["train"], BEHAVIOUR.get(data, BehaviourConfig()), seed),
        normaliser=Normaliser.from_episodes(parts["train"]),
        folder=SCRATCH / data / str(seed),
    )


def _episodes(data: str, module: ModuleType, seed: int) -> list[Episode]:
    if data in OPERATORS:
        return record_log(module, OPERATORS[data], seed)
    return [_judged(module, one) for one in support_data.load(data).episodes]


def _judged(module: ModuleType, episode: Episode) -> Episode:
    """With the robot's own reward, cost and score, so that offline and online speak of the same."""
    said = module.label(episode.observations, episode.actions)
    return dataclasses.replace(
        episode, rewards=said.rewards, cost=said.cost, success=said.success, score=said.score, terminated=False
    )


def config_of(method: Method, setting: Setting, *, online: bool = False) -> Any:
    """The algorithm's Config for a method."""
    module = module_for("algorithms", method.algorithm)
    known = {f.name for f in dataclasses.fields(module.Config)}
    common = {"gamma": setting.gamma} if "gamma" in known else {}
    return module.Config(**{**common, **method.config, **(method.online_config if online else {})})


def make(method: Method, config: Any, shared: Prepared, seed: int) -> Learner:
    """A learner with new weights."""
    module = module_for("algorithms", method.algorithm)
    spec = shared.module.SPEC
    learner: Learner = module.make(
        config,
        observation=spec.observation,
        action=spec.action,
        normaliser=shared.normaliser,
        seed=seed,
        **({"penalty": shared.penalty} if needs_penalty(module) else {}),
    )
    return learner


def logged(config: Any, shared: Prepared) -> Replay:
    """The train episodes in a replay that fits a Config."""
    spec = shared.module.SPEC
    replay = replay_for(config, spec.observation.size, spec.action.size)
    replay.extend(shared.train)
    return replay


def offline(method: Method, setting: Setting, shared: Prepared, seed: int) -> Path:
    """The folder of the learner trained offline: ``learner.safetensors``, ``policy.safetensors``; made once."""
    config = config_of(method, setting)
    made_with = dataclasses.asdict(config) | {"sources": sources(method.algorithm)}
    folder = shared.folder / f"{method.algorithm}-{_digest(made_with)}"
    if (folder / "policy.safetensors").is_file():
        return folder
    learner = make(method, config, shared, seed)
    train(
        learner,
        logged(config, shared),
        updates=config.updates,
        batch_size=config.batch_size,
        generator=torch.Generator().manual_seed(seed),
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_state(folder / "learner.safetensors", learner.state())
    learner.export(folder / "policy.safetensors")
    return folder


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    """The learner's state that ``offline`` wrote."""
    return load_state(folder / "learner.safetensors")


@functools.cache
def sources(algorithm: str) -> str:
    """Hash of all code that an algorithm's cells come from: one table has one version of it.

    Of the other algorithms only cloning is part of it, whose policy some methods start from.
    """
    parts = [ROOT / part for part in SOURCES]
    files = [path for part in parts for path in ([part] if part.is_file() else sorted(part.rglob("*.py")))]
    files = [path for path in files if path.parent.name != "algorithms" or path.stem in (algorithm, "bc", "__init__")]
    files = [path for path in files if path.name not in APART]
    files += [Path(__file__).with_name(name) for name in ("preparing.py", "cell.py")]
    return hashlib.sha256("".join(file_sha256(path) for path in files).encode()).hexdigest()[:12]


def _digest(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
