"""Audit every action that a policy proposes on held-out states, greedy and exploring.

reads   data/episodes (held-out part), models/<policy>, models/support
writes  data/audit/<policy>/: metrics.json, exposures.json, actions.parquet, worst.parquet; plots and their numbers
run     dvc repro audit@<policy>
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from offline_to_online.dataset.store import load_episodes
from offline_to_online.errors import one_line
from offline_to_online.evaluation.play import load_support
from offline_to_online.learning.learner import load_state
from offline_to_online.learning.policy import Policy
from offline_to_online.params import Params, load_params, robot_of
from offline_to_online.plugins import module_for
from offline_to_online.robots import RobotSpec
from offline_to_online.support.audit import audit
from offline_to_online.support.exposures import table
from offline_to_online.support.plots import write_plots
from offline_to_online.support.proposals import Disagreement
from offline_to_online.support.region_map import region_map, write_map
from offline_to_online.support.worst_plot import write_worst
from stages import argument


@one_line
def main() -> None:
    """Audit; print the share of proposals outside the support, and the regions where the policy leaves the data."""
    params = load_params()
    name = argument(params.policies, what="policy", where="params.yaml policies")
    estimator, calibration = load_support(Path("models/support"))
    module = robot_of(params)
    found = audit(
        Policy.load(Path("models") / name / "policy.safetensors"),
        estimator,
        calibration,
        load_episodes(Path("data/episodes"), "heldout", at_least=1),
        module,
        np.random.default_rng(params.seed),
        name=name,
        disagreement=_disagreement(params, name, module.SPEC),
    )
    folder = Path("data/audit") / name
    folder.mkdir(parents=True, exist_ok=True)
    found.save(folder)
    title = f"{name} on held-out states"
    write_plots(found.actions, calibration, folder, title=title)
    logged = module.regions(estimator.observations, estimator.actions)
    write_map(region_map(found.actions, logged, [one.name for one in found.exposures]), folder, title=title)
    write_worst(found.worst, module.SPEC.action, folder, title=f"{name}: the worst proposals on held-out states")
    greedy, exploring = found.metrics["outside_support_rate"], found.metrics["outside_support_rate_exploring"]
    print(f"audit {name}: outside support {greedy:.3f} greedy, {exploring:.3f} exploring; ", end="")
    print(table(found.exposures))


def _disagreement(params: Params, name: str, spec: RobotSpec) -> Disagreement | None:
    """That of the policy's critics, where its algorithm has an ensemble of them."""
    algorithm = module_for("algorithms", params.policies[name].algorithm)
    if not hasattr(algorithm, "disagreement"):
        return None
    config, state = params.algorithm_config(name), load_state(Path("models") / name / "learner.safetensors")
    found: Disagreement = algorithm.disagreement(config, state, observation=spec.observation, action=spec.action)
    return found


if __name__ == "__main__":
    main()
