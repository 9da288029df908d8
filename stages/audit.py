"""Audit every action that a policy proposes on held-out states, greedy and exploring.

reads   data/episodes (held-out part), models/<policy>, models/support
writes  data/audit/<policy>/: metrics.json, actions.parquet, distances.csv, log_probs.csv, support.svg
run     dvc repro audit@<policy>
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from offline_to_online.dataset.store import load_episodes
from offline_to_online.errors import one_line
from offline_to_online.evaluation.play import load_support
from offline_to_online.learning.policy import Policy
from offline_to_online.params import load_params, robot_of
from offline_to_online.support.audit import audit
from offline_to_online.support.plots import write_plots
from stages import argument


@one_line
def main() -> None:
    """Audit, and print the share of proposals outside the support."""
    params = load_params()
    name = argument(params.policies, what="policy", where="params.yaml policies")
    estimator, calibration = load_support(Path("models/support"))
    found = audit(
        Policy.load(Path("models") / name / "policy.safetensors"),
        estimator,
        calibration,
        load_episodes(Path("data/episodes"), "heldout", at_least=1),
        robot_of(params),
        np.random.default_rng(params.seed),
        name=name,
    )
    folder = Path("data/audit") / name
    folder.mkdir(parents=True, exist_ok=True)
    found.save(folder)
    write_plots(found.actions, calibration, folder, title=f"{name} on held-out states")
    greedy, exploring = found.metrics["outside_support_rate"], found.metrics["outside_support_rate_exploring"]
    print(f"audit {name}: outside support {greedy:.3f} greedy, {exploring:.3f} exploring")


if __name__ == "__main__":
    main()
