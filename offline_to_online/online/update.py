"""The update: the champion's learner goes on learning, from the logs and from everything collected online."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from offline_to_online.dataset.files import file_sha256, read_json, write_json
from offline_to_online.dataset.store import load_episodes, read_episode
from offline_to_online.errors import HandoffError, TrainingError
from offline_to_online.learning.learner import Learner, Normaliser, load_state, needs_penalty, save_state
from offline_to_online.learning.replay import Mixture, Replay
from offline_to_online.learning.training import train
from offline_to_online.online.run import UPDATE, OnlineRun
from offline_to_online.plugins import module_for
from offline_to_online.progress import progress
from offline_to_online.support.penalty import SupportPenalty

CURVE_ROWS = 20


def update(run: OnlineRun, number: int) -> dict[str, Any]:
    """Make the round's candidate, unless all was collected in the warm-up, or the update turned non-finite.

    The learner starts from the standing's state and takes ``updates_per_step`` gradient steps for each step collected
    since that state was made, on batches of which the round's online share comes from this run.

    Returns:
        ``candidate`` (whether there is one), ``reason``, ``updates``, ``steps``, ``online_share``,
        ``learning_rate_scale``, ``losses`` (means over the last part), hashes of what was made and of the state it
        started from.
    """
    return run.phase(number, UPDATE, lambda: _update(run, number))


def _update(run: OnlineRun, number: int) -> dict[str, Any]:
    standing = run.standing(before=number)
    frozen_until = max(standing.learner_since, run.config.warmup_episodes)
    steps, collected = 0, run.collected(before=number + 1)
    train_part = load_episodes(run.handoff_folder / "episodes", "train")
    sizes = (run.module.SPEC.observation.size, run.module.SPEC.action.size)
    offline, online = Replay(*sizes), Replay(*sizes)
    offline.extend(train_part)
    for index in range(collected):
        episode = read_episode(run.episode_path(index))[0]
        online.append(episode)
        steps += len(episode) if index >= frozen_until else 0
    updates = round(run.config.updates_per_step * steps)
    facts = {
        "updates": updates,
        "steps": steps,
        "online_share": run.config.share(number),
        "learning_rate_scale": run.config.learning_rate(number),
        "started_from_sha256": file_sha256(standing.learner),
    }
    if not updates:
        return {"candidate": False, "reason": "warm-up: the weights are frozen", **facts}
    learner, batch_size = load_learner(run, standing.learner, Normaliser.from_episodes(train_part))
    learner.scale_learning_rates(actor=run.config.learning_rate(number), critic=run.config.learning_rate(number))
    mixture = Mixture(offline=offline, online=online, online_share=run.config.share(number))
    try:
        curve = _train(run, number, learner, mixture, updates, batch_size)
    except TrainingError as error:
        return {"candidate": False, "reason": str(error), **facts}
    return {"candidate": True, "reason": "", **facts, **_write(run.round_folder(number) / "candidate", learner, curve)}


def load_learner(run: OnlineRun, state: Path, normaliser: Normaliser) -> tuple[Learner, int]:
    """The handed-off algorithm's learner in a given state, and its batch size.

    Raises:
        HandoffError: the handoff's card does not fit the algorithm.
        PolicyError: the state does not fit the learner.
        SupportError: the algorithm learns with a support penalty, and the handed-off one is broken.
    """
    card_path = run.handoff_folder / "card.json"
    card = read_json(card_path)
    try:
        module = module_for("algorithms", str(card["algorithm"]))
        config = module.Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in card["config"].items()})
        config = config.for_online() if hasattr(config, "for_online") else config
    except (KeyError, TypeError) as error:
        raise HandoffError(f"the card does not fit its algorithm: {error}", where=str(card_path)) from error
    spec = run.module.SPEC
    learner: Learner = module.make(
        config,
        observation=spec.observation,
        action=spec.action,
        normaliser=normaliser,
        seed=int(run.facts["seed"]),
        **({"penalty": SupportPenalty.load(run.handoff_folder / "behaviour")} if needs_penalty(module) else {}),
    )
    learner.restore(load_state(state))
    return learner, int(config.batch_size)


def _train(
    run: OnlineRun, number: int, learner: Learner, mixture: Mixture, updates: int, batch_size: int
) -> list[dict[str, float]]:
    generator = torch.Generator().manual_seed(int(run.seed_sequence(UPDATE, number).generate_state(1)[0]))
    with progress(f"round {number}: updating") as tell:
        return train(
            learner,
            mixture,
            updates=updates,
            batch_size=batch_size,
            generator=generator,
            progress=tell,
            log_every=max(1, updates // CURVE_ROWS),
        )


def _write(folder: Path, learner: Learner, curve: list[dict[str, float]]) -> Mapping[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    # Online rates are a phase of their own: what is stored is the learner as its algorithm configures it.
    learner.scale_learning_rates()
    learner.export(folder / "policy.safetensors")
    save_state(folder / "learner.safetensors", learner.state())
    write_json(folder / "curve.json", curve)
    losses = {name: value for name, value in curve[-1].items() if name != "update"}
    return {
        "losses": losses,
        "policy_sha256": file_sha256(folder / "policy.safetensors"),
        "learner_sha256": file_sha256(folder / "learner.safetensors"),
    }
