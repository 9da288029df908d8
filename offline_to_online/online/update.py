"""The update: the champion's learner goes on learning, from the logs and from everything collected online."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from offline_to_online.dataset.files import file_sha256, read_json, write_json
from offline_to_online.dataset.store import load_episodes, read_episode
from offline_to_online.errors import HandoffError, TrainingError
from offline_to_online.learning.learner import Learner, Normaliser, load_state, needs_data, needs_penalty, save_state
from offline_to_online.learning.replay import Replay, Sampler, replay_for
from offline_to_online.learning.switch import DATA, at
from offline_to_online.learning.training import require_device, train
from offline_to_online.online.memory import Kept
from offline_to_online.online.run import UPDATE, OnlineRun
from offline_to_online.online.standing import Standing
from offline_to_online.plugins import module_for
from offline_to_online.progress import progress
from offline_to_online.support.penalty import SupportPenalty

CURVE_ROWS = 20


def update(run: OnlineRun, number: int) -> dict[str, Any]:
    """Make the round's candidate, unless all was collected in the warm-up, or the update turned non-finite.

    The learner starts from the standing's state, or, straight from the handoff, from what ``online.switch`` keeps of
    it. It takes ``updates_per_step`` gradient steps for each step collected since that state was made, with rates,
    weights and the mixture of batches where their schedules stand.

    Returns:
        ``candidate`` (whether there is one), ``reason``, ``updates``, ``steps``, ``values_alone`` (the updates of them
        in which only the values learned), ``updates_since_switch``, ``progress`` and where each schedule stands,
        ``losses`` (means over the last part), hashes of what was made and of the state it started from.
    """
    return run.phase(number, UPDATE, lambda: _update(run, number))


@dataclass(frozen=True, kw_only=True)
class Transitions:
    """What a run learns from.

    Attributes:
        normaliser: of the logs' observations.
        offline: the logs' train part.
        online: what was collected.
        lengths: steps of each collected episode.
    """

    normaliser: Normaliser
    offline: Replay
    online: Replay
    lengths: list[int]


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What one round's update is: how many gradient steps, and where the run stands."""

    updates: int
    values_alone: int
    share: float


def _update(run: OnlineRun, number: int) -> dict[str, Any]:
    standing, switch = run.standing(before=number), run.config.switch
    collected = run.collected(before=number + 1)
    transitions = KEPT.after(run, collected)
    frozen_until = max(standing.learner_since, switch.warmup_episodes)
    steps = sum(transitions.lengths[frozen_until:collected])
    updates, before = round(switch.updates_per_step * steps), _updates_before(run, standing)
    values_alone = min(updates, max(0, switch.value_updates - before))
    work = _Work(updates=updates, values_alone=values_alone, share=run.config.progress(collected))
    facts = _facts(run, work) | {
        "steps": steps,
        "updates_since_switch": before + updates,
        "started_from_sha256": file_sha256(standing.learner),
    }
    if not updates:
        return {"candidate": False, "reason": "warm-up: the weights are frozen", **facts}
    if values_alone == updates:
        # The policy would be the champion itself: nothing to certify. They are made again with the next round's.
        return {"candidate": False, "reason": "only the values would have learned", **facts}
    learner, batch_size = load_learner(run, standing.learner, transitions.normaliser, fresh=_is_fresh(run, standing))
    sampler = switch.sampler(transitions.offline, transitions.online, work.share)
    try:
        curve = _train(run, number, learner, sampler, work, batch_size)
    except TrainingError as error:
        return {"candidate": False, "reason": str(error), **facts}
    return {"candidate": True, "reason": "", **facts, **_write(run.round_folder(number) / "candidate", learner, curve)}


def _facts(run: OnlineRun, work: _Work) -> dict[str, Any]:
    """What is written down of an update, and where the schedules stood."""
    switch = run.config.switch
    pairs = ("actor_learning_rate", "critic_learning_rate", "behaviour")
    return {
        "updates": work.updates,
        "values_alone": work.values_alone,
        "progress": work.share,
        "online_share": at(switch.online_share, work.share) if DATA in switch.keep else 1.0,
        **{name: at(getattr(switch, name), work.share) for name in pairs},
    }


def _is_fresh(run: OnlineRun, standing: Standing) -> bool:
    """Whether the next update's learner comes straight from the handoff."""
    return standing.learner.parent == run.handoff_folder


def _updates_before(run: OnlineRun, standing: Standing) -> int:
    """Online updates behind the standing's learner."""
    if _is_fresh(run, standing):
        return 0
    return int(read_json(standing.learner.parents[1] / f"{UPDATE}.json")["updates_since_switch"])


def _algorithm(run: OnlineRun) -> tuple[ModuleType, Any]:
    """The handed-off algorithm and its Config.

    Raises:
        HandoffError: the handoff's card does not fit the algorithm.
    """
    card_path = run.handoff_folder / "card.json"
    card = read_json(card_path)
    try:
        module = module_for("algorithms", str(card["algorithm"]))
        return module, module.Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in card["config"].items()})
    except (KeyError, TypeError) as error:
        raise HandoffError(f"the card does not fit its algorithm: {error}", where=str(card_path)) from error


def load_learner(run: OnlineRun, state: Path, normaliser: Normaliser, *, fresh: bool = False) -> tuple[Learner, int]:
    """The handed-off algorithm's learner in a given state, and its batch size.

    Args:
        run: its handoff's card names the algorithm.
        state: the learner's file.
        normaliser: of the logs' observations; a state brings its own.
        fresh: whether the state is the handed-off one, of which ``online.switch`` says what is kept.

    Raises:
        HandoffError: the handoff's card does not fit the algorithm.
        ParameterError: the device that the run was begun on is not there.
        PolicyError: the state does not fit the learner.
        SupportError: the algorithm learns with a support penalty, and the handed-off one is broken.
    """
    module, config = _algorithm(run)
    wanted: dict[str, Any] = {}
    if needs_penalty(module):
        wanted["penalty"] = SupportPenalty.load(run.handoff_folder / "behaviour")
    if needs_data(module):
        wanted["data"] = transitions_of_logs(run).offline
    device = require_device(str(run.facts["device"]), where=str(run.folder / "run.json"))

    def make() -> Learner:
        made: Learner = module.make(
            config,
            observation=run.module.SPEC.observation,
            action=run.module.SPEC.action,
            normaliser=normaliser,
            seed=int(run.facts["seed"]),
            device=device,
            **wanted,
        )
        return made

    if fresh:
        return run.config.switch.begin(make, load_state(state), run.baseline), int(config.batch_size)
    learner = make()
    learner.restore(load_state(state))
    return learner, int(config.batch_size)


def transitions_of_logs(run: OnlineRun) -> Transitions:
    """The logs, and nothing collected yet."""
    spec, config = run.module.SPEC, _algorithm(run)[1]
    device = require_device(str(run.facts["device"]), where=str(run.folder / "run.json"))
    episodes = load_episodes(run.handoff_folder / "episodes", "train")
    offline, online = (
        replay_for(config, spec.observation.size, spec.action.size, hint, device)
        for hint in (sum(map(len, episodes)), 0)
    )
    offline.extend(episodes)
    return Transitions(normaliser=Normaliser.from_episodes(episodes), offline=offline, online=online, lengths=[])


def add_file(transitions: Transitions, path: Path) -> None:
    """Add the collected episode in a file."""
    episode = read_episode(path)[0]
    transitions.online.append(episode)
    transitions.lengths.append(len(episode))


KEPT = Kept(transitions_of_logs, add_file)


def _train(
    run: OnlineRun, number: int, learner: Learner, sampler: Sampler, work: _Work, batch_size: int
) -> list[dict[str, float]]:
    seed = int(run.seed_sequence(UPDATE, number).generate_state(1)[0])
    generator = torch.Generator(run.facts["device"]).manual_seed(seed)
    curve = list[dict[str, float]]()
    for done, updates in ((0, work.values_alone), (work.values_alone, work.updates - work.values_alone)):
        if not updates:
            continue
        run.config.switch.schedule(learner, work.share, values_alone=done < work.values_alone)
        with progress(f"round {number}: updating{' the values' if done < work.values_alone else ''}") as tell:
            part = train(
                learner,
                sampler,
                updates=updates,
                batch_size=batch_size,
                generator=generator,
                threads=int(run.facts["threads"]),
                progress=tell,
                log_every=max(1, work.updates // CURVE_ROWS),
            )
        curve += [row | {"update": done + row["update"]} for row in part]
    return curve


def _write(folder: Path, learner: Learner, curve: list[dict[str, float]]) -> Mapping[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    # The schedules are the online phase's own: what is stored is the learner as its algorithm configures it.
    learner.scale_learning_rates()
    learner.scale_behaviour(1.0)
    learner.export(folder / "policy.safetensors")
    save_state(folder / "learner.safetensors", learner.state())
    write_json(folder / "curve.json", curve)
    losses = {name: value for name, value in curve[-1].items() if name != "update"}
    return {
        "losses": losses,
        "policy_sha256": file_sha256(folder / "policy.safetensors"),
        "learner_sha256": file_sha256(folder / "learner.safetensors"),
    }
