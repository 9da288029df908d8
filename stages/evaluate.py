"""Play a policy on the report block of the one saved panel, and on its two perturbations.

reads   models/<policy>, models/support (the guard's), data/panels/<robot>.json
writes  data/evaluation/<policy>/: metrics.json, outcomes.parquet
run     dvc repro evaluate@<policy>
"""

from __future__ import annotations

from pathlib import Path

from offline_to_online.dataset.files import replacing, write_json
from offline_to_online.errors import one_line
from offline_to_online.evaluation.measure import evaluate_policy
from offline_to_online.evaluation.panel import load_panel
from offline_to_online.params import load_params
from offline_to_online.progress import progress
from offline_to_online.robots import Dynamics
from stages import argument


@one_line
def main() -> None:
    """Evaluate, and print the success rate with its interval."""
    params = load_params()
    name = argument(params.policies, what="policy", where="params.yaml policies")
    with progress(f"evaluating {name}") as tell:
        metrics, outcomes = evaluate_policy(
            Path("models") / name / "policy.safetensors",
            name=name,
            panel=load_panel(params.panel),
            gamma=params.evaluation.gamma,
            dynamics=Dynamics(),
            perturbation=params.evaluation.dynamics,
            support_folder=Path("models/support"),
            jobs=params.jobs,
            progress=tell,
        )
    folder = Path("data/evaluation") / name
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "outcomes.parquet") as partial:
        outcomes.to_parquet(partial, index=False)
    write_json(folder / "metrics.json", metrics)
    low, high = metrics["success_interval"]
    print(
        f"evaluate {name}: success {metrics['success_rate']:.2f} [{low:.2f}, {high:.2f}], score {metrics['score']:.2f}"
    )


if __name__ == "__main__":
    main()
