"""Train one policy of params.yaml on the train split.

reads   data/episodes; offline RL also models/support (the estimator, or the behaviour that its penalty is measured by)
writes  models/<policy>/: policy, learner (safetensors), card, metrics, penalty_by_region (json), curves.csv
run     dvc repro train@<policy>
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch

from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.dataset.store import load_episodes
from offline_to_online.errors import one_line
from offline_to_online.learning.learner import Normaliser, needs_data, needs_penalty, save_state
from offline_to_online.learning.replay import replay_for
from offline_to_online.learning.training import require_device, require_rewards, train
from offline_to_online.params import BEHAVIOUR, ESTIMATOR, load_params, robot_of
from offline_to_online.plugins import module_for
from offline_to_online.progress import progress
from offline_to_online.support.estimator import SupportEstimator
from offline_to_online.support.penalty import SupportPenalty, table, where_it_acts
from stages import argument


@one_line
def main() -> None:
    """Train, export, and print how much it was and, where there is a penalty, where it acts."""
    params = load_params()
    name = argument(params.policies, what="policy", where="params.yaml policies")
    config, folder = params.algorithm_config(name), Path("models") / name
    algorithm = module_for("algorithms", params.policies[name].algorithm)
    require_rewards(read_json(Path("data/episodes/schema.json"))["reward_source"], algorithm, policy=name)
    module, device = robot_of(params), require_device(params.device, where="params.yaml device")
    penalty = SupportPenalty.load(Path(BEHAVIOUR)) if needs_penalty(algorithm) else None
    episodes = load_episodes(Path("data/episodes"), "train")
    replay = replay_for(config, module.SPEC.observation.size, module.SPEC.action.size, device=device)
    replay.extend(episodes)
    learner = algorithm.make(
        config,
        observation=module.SPEC.observation,
        action=module.SPEC.action,
        normaliser=Normaliser.from_episodes(episodes),
        seed=params.seed,
        device=device,
        **({"penalty": penalty} if penalty else {}) | ({"data": replay} if needs_data(algorithm) else {}),
    )
    with progress(f"training {name}") as tell:
        curve = train(
            learner,
            replay,
            updates=config.updates,
            batch_size=config.batch_size,
            generator=torch.Generator(device).manual_seed(params.seed),
            threads=params.threads,
            progress=tell,
        )
    learner.export(folder / "policy.safetensors")
    save_state(folder / "learner.safetensors", learner.state())
    card = {"algorithm": params.policies[name].algorithm, "config": asdict(config), "seed": params.seed}
    card |= {"episodes": len(episodes), "steps": len(replay), "pessimism": algorithm.PESSIMISM}
    acts = where_it_acts(penalty, module.regions, episodes, learner.act) if penalty else {}
    if penalty:
        card["behaviour_sha256"] = penalty.sha256
    elif algorithm.NEEDS_SUPPORT:
        card["estimator_sha256"] = SupportEstimator.load(Path(ESTIMATOR)).sha256
    write_json(folder / "penalty_by_region.json", acts)
    write_json(folder / "card.json", card)
    write_json(folder / "metrics.json", curve[-1] if curve else {"update": 0})
    pd.DataFrame(curve).to_csv(folder / "curves.csv", index=False, lineterminator="\n")
    said = f"train {name}: {config.updates} updates on {len(episodes)} episodes, {len(replay)} steps"
    print(f"{said}\n{table(acts)}" if acts else said)


if __name__ == "__main__":
    main()
