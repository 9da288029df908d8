"""Support Guard through the real stages, on the tiny log: what they leave, and what a person reads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import yaml
from tiny_log import Place

from offline_to_online.dataset.files import read_json
from offline_to_online.params import BEHAVIOUR
from offline_to_online.support.penalty import SupportPenalty

Run = Callable[..., str]
GUARD = {
    "algorithm": "support_guard",
    "rests_on": BEHAVIOUR,
    "config": {"updates": 30, "batch_size": 32, "hidden_units": [16], "cloning_updates": 10, "gamma": 0.9},
}


@pytest.fixture
def guarded(place: Place) -> Place:
    """The tiny log with Support Guard in the place of IQL."""
    params = yaml.safe_load((place.folder / "params.yaml").read_text())
    place.set_params(
        policies={"bc": {**params["policies"]["bc"], "config": {"updates": 5}}, "guard": GUARD},
        calibration={"alpha": 0.2},
    )
    return place


def test_the_stages_leave_where_the_penalty_acts(guarded: Place, run: Run) -> None:
    """The penalty's own output, the curve, the regions ranked, at most six lines, and the critics' disagreement."""
    run("stages.validate")
    run("stages.support")
    penalty = SupportPenalty.load(guarded.folder / BEHAVIOUR)
    said = run("stages.train", "guard")
    folder = guarded.folder / "models/guard"
    found = read_json(folder / "penalty_by_region.json")
    assert found["sha256"] == read_json(folder / "card.json")["behaviour_sha256"] == penalty.sha256
    assert "estimator_sha256" not in read_json(folder / "card.json")
    sums = [row["greedy"]["mean"] * row["greedy"]["steps"] for row in found["regions"]]
    assert sums == sorted(sums, reverse=True)
    assert {"mean", "share_penalised", "steps"} == set(found["greedy"]) == set(found["data"])
    assert "nats a step" in said
    assert len(said.splitlines()) <= 6
    assert np.isfinite(pd.read_csv(folder / "curves.csv")["penalty"]).all()
    assert "penalty" in read_json(folder / "metrics.json")
    run("stages.audit", "guard")
    audited = pd.read_parquet(guarded.folder / "data/audit/guard/actions.parquet")
    assert (audited["disagreement"] > 0).all()


def test_cloning_learns_with_no_penalty_and_says_so(guarded: Place, run: Run) -> None:
    """An empty record, no mention of the behaviour in the card, no disagreement in the audit."""
    run("stages.validate")
    run("stages.support")
    assert run("stages.train", "bc").count("\n") == 1
    assert read_json(guarded.folder / "models/bc/penalty_by_region.json") == {}
    assert "behaviour_sha256" not in read_json(guarded.folder / "models/bc/card.json")
    run("stages.audit", "bc")
    assert "disagreement" not in pd.read_parquet(guarded.folder / "data/audit/bc/actions.parquet")


def test_training_before_the_behaviour_is_fitted_is_one_line(guarded: Place, run: Run, refused: Run) -> None:
    """It names the folder and the stage that writes it."""
    run("stages.validate")
    assert "stage support" in refused("stages.train", "guard")


def test_it_must_rest_on_the_behaviour(guarded: Place, refused: Run) -> None:
    """Not on the estimator alone, else DVC would not train it anew when the penalty changes."""
    content = yaml.safe_load((guarded.folder / "params.yaml").read_text())
    content["policies"]["guard"]["rests_on"] = "models/support/estimator"
    (guarded.folder / "params.yaml").write_text(yaml.safe_dump(content))
    assert f"support_guard rests on {BEHAVIOUR}" in refused("offline_to_online.params", "show")
