"""What a policy is worth on the panel, and that every number follows from the kept outcomes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from offline_to_online.dataset.files import file_sha256, json_bytes
from offline_to_online.evaluation.measure import OUTCOME_COLUMNS, evaluate_policy, outcomes_of, summarise
from offline_to_online.evaluation.panel import make_panel
from offline_to_online.evaluation.play import play
from offline_to_online.evaluation.statistics import wilson_interval
from offline_to_online.plugins import module_for
from offline_to_online.robots import Dynamics

KEYS = {
    "tasks", "success_rate", "success_interval", "certified_success_rate", "score", "score_interval",
    "return_discounted", "return_plain", "constraint_cost", "interventions", "clipped", "support_score",
    "share_outside", "failures", "dynamics",
}  # fmt: skip


@pytest.fixture(scope="module")
def panel():
    return make_panel("fetch_pick_and_place", 8, report_size=4, blocks=1)


@pytest.fixture(scope="module")
def evaluated(panel, fetch_policy, fetch_support):
    told = []
    metrics, outcomes = evaluate_policy(
        fetch_policy,
        name="bc",
        panel=panel,
        gamma=0.98,
        dynamics=Dynamics(),
        perturbation=Dynamics(action_gain=0.5),
        support_folder=fetch_support,
        jobs=1,
        progress=lambda done, total: told.append((done, total)),
    )
    return metrics, outcomes, told


def test_metrics_say_what_was_measured_on_what(evaluated, panel, fetch_policy):
    """Policy, panel, robot and dynamics are named by content; both perturbed conditions have the same keys."""
    metrics, _, _ = evaluated
    assert metrics["policy_sha256"] == file_sha256(fetch_policy)
    assert metrics["panel_sha256"] == panel.sha256
    assert (metrics["policy"], metrics["robot"], metrics["gamma"]) == ("bc", "fetch_pick_and_place", 0.98)
    assert set(metrics) == KEYS | {"policy", "policy_sha256", "panel_sha256", "robot", "gamma", "perturbed"}
    assert {name: set(part) for name, part in metrics["perturbed"].items()} == {"shifted": KEYS, "dynamics": KEYS}
    assert metrics["perturbed"]["dynamics"]["dynamics"]["action_gain"] == 0.5
    assert json.loads(json_bytes(metrics)) == metrics


def test_every_outcome_is_kept_for_pairing(evaluated):
    """One row per task and condition, tasks numbered alike in all three."""
    _, outcomes, _ = evaluated
    assert tuple(outcomes.columns) == OUTCOME_COLUMNS
    tasks = outcomes.groupby("condition")["task"].apply(list).to_dict()
    assert tasks == {"nominal": [0, 1, 2, 3], "shifted": [0, 1, 2, 3], "dynamics": [0, 1, 2, 3]}


def test_the_numbers_follow_from_the_outcomes(evaluated):
    """Rates and means are those of the kept rows, and failures with successes make all tasks."""
    metrics, outcomes, _ = evaluated
    for condition, said in {"nominal": metrics, **metrics["perturbed"]}.items():
        rows = outcomes[outcomes["condition"] == condition]
        assert said["success_rate"] == rows["success"].mean()
        assert said["success_interval"] == list(wilson_interval(int(rows["success"].sum()), 4))
        assert said["constraint_cost"] == pytest.approx(rows["cost"].mean())
        assert said["interventions"] == pytest.approx(rows["interventions"].mean())
        assert said["share_outside"] == pytest.approx(rows["support_drift"].mean())
        assert sum(said["failures"].values()) == 4 - rows["success"].sum()


def test_the_perturbations_perturb(panel, fetch_policy, fetch_support):
    """Shifted resets and a weaker arm change what is observed on every task."""
    module = module_for("robots", panel.robot)

    def seen(tasks, dynamics):
        rollouts = play(fetch_policy, panel.robot, tasks, dynamics=dynamics, support_folder=None, jobs=1)
        return [r.episode.observations for r in rollouts]

    nominal = seen(panel.report, Dynamics())
    shifted = seen([module.shift_task(task) for task in panel.report], Dynamics())
    weaker = seen(panel.report, Dynamics(action_gain=0.5))
    for as_logged, elsewhere, slower in zip(nominal, shifted, weaker, strict=True):
        assert not np.array_equal(as_logged[0], elsewhere[0])
        assert np.array_equal(as_logged[0], slower[0])
        assert not np.array_equal(as_logged, slower)


def test_progress_runs_over_all_conditions(evaluated):
    """The bar goes once from the first episode to the last."""
    assert evaluated[2] == [(i, 12) for i in range(1, 13)]


def test_without_support_scores_are_null(panel, fetch_policy):
    """Unknown is null in JSON and NaN in the table, never a number."""
    rollouts = play(fetch_policy, panel.robot, panel.report[:1], dynamics=Dynamics(), support_folder=None, jobs=1)
    said = summarise(rollouts, 0.98)
    assert said["support_score"] == {"median": None, "p95": None}
    assert said["share_outside"] is None
    assert np.isnan(outcomes_of(rollouts, "nominal", 0.98)["support_score_median"]).all()
