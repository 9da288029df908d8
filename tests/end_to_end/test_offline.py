"""The offline stages through real DVC: what they leave, what runs again after a change, what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from small_checkout import ROOT, Checkout, clone

EVALUATION_KEYS = {
    "policy", "panel_sha256", "tasks", "success_rate", "success_interval", "score", "return_discounted", "failures",
    "perturbed",
}  # fmt: skip


def read(checkout: Checkout, name: str) -> dict:
    return json.loads((checkout.folder / name).read_text())


def change(checkout: Checkout, text: str) -> None:
    (checkout.folder / "change.yaml").write_text(text)
    checkout.run(sys.executable, "-m", "offline_to_online.params", "use", "change.yaml")


@pytest.fixture
def restored(checkout: Checkout) -> Checkout:
    """The clone, whose parameters are put back afterwards."""
    yield checkout
    change(checkout, "policies: {iql: {config: {expectile: 0.8}}}\ncalibration: {alpha: 0.1}\n"
           "online: {gates: {safety: {interventions: {limit: 100000}}}}\n")  # fmt: skip
    checkout.repro()


def test_the_stages_leave_what_the_readme_says(checkout: Checkout) -> None:
    """Evaluations, audits, the handoff and the report are there, with their keys."""
    for policy in ("bc", "iql"):
        assert read(checkout, f"data/evaluation/{policy}/metrics.json").keys() >= EVALUATION_KEYS
        assert "outside_support_rate" in read(checkout, f"data/audit/{policy}/metrics.json")
    handoff = read(checkout, "models/handoff/handoff.json")
    five = {"behaviour_policy", "support_estimator", "pessimism_mechanism", "bc_baseline", "evaluation_artifact"}
    assert handoff.keys() >= five
    assert "<table" in (checkout.folder / "data/report/index.html").read_text()


def test_nothing_lies_at_the_top_level(finetuned: Checkout) -> None:
    """No mlruns/, d3rlpy_logs/, gx/ or mlflow.db appears beside the project's own files, after stages and a run."""
    mine = {p.name for p in ROOT.iterdir()} | {"small.yaml", "change.yaml", "dvc.lock", "models"}
    assert {p.name for p in finetuned.folder.iterdir()} - mine == set()


def test_a_second_repro_does_nothing(checkout: Checkout) -> None:
    """What is up to date is not run again."""
    assert checkout.repro() == []


def test_metrics_and_plots_are_shown(checkout: Checkout) -> None:
    """``dvc metrics show`` and ``dvc plots show`` work on what the stages left."""
    shown = json.loads(checkout.run("dvc", "metrics", "show", "--json").stdout)
    assert "data/evaluation/iql/metrics.json" in shown[""]["data"]
    checkout.run("dvc", "plots", "show", "--out", "plots_shown")
    page = (checkout.folder / "plots_shown/index.html").read_text()
    assert "curves.csv" in page
    for path in sorted((checkout.folder / "plots_shown").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (checkout.folder / "plots_shown").rmdir()


def test_an_expectile_retrains_iql_alone(restored: Checkout) -> None:
    """Changing IQL's expectile trains IQL anew, and not BC."""
    change(restored, "policies: {iql: {config: {expectile: 0.7}}}\n")
    ran = restored.repro("train@bc", "train@iql")
    assert ran == ["train@iql"]


def test_alpha_and_a_gate_limit_retrain_nothing(restored: Checkout) -> None:
    """A new alpha calibrates, audits and evaluates anew; a gate's limit only hands off anew; neither trains."""
    change(restored, "online: {gates: {safety: {interventions: {limit: 99999}}}}\n")
    assert restored.repro() == ["handoff"]
    change(restored, "calibration: {alpha: 0.15}\n")
    ran = restored.repro()
    assert "support" in ran
    assert not [stage for stage in ran if stage.startswith(("train", "collect", "validate"))]


def test_offline_rl_rests_on_the_estimator_and_bc_does_not(checkout: Checkout) -> None:
    """A new support estimator asks for IQL again, not for BC."""
    listed = checkout.run("dvc", "stage", "list", "--names-only").stdout.split()
    assert {"train@bc", "train@iql", "audit@iql", "evaluate@bc", "handoff"} <= set(listed)
    lock = (checkout.folder / "dvc.lock").read_text()
    bc, iql = (lock.split(f"  train@{name}:")[1].split("\n  train@")[0].split("    outs:")[0] for name in ("bc", "iql"))
    assert "models/support/estimator" in iql
    assert "models/support" not in bc


def test_a_foreign_file_in_the_way_is_refused_and_intact(tmp_path: Path) -> None:
    """A user's file under the recording's own name is not overwritten: one line, exit code not 0."""
    made = clone(tmp_path)
    path = tmp_path / "data/raw/fetch_mixed.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"years of work")
    other = tmp_path / "data/raw/notes.txt"
    other.write_text("mine")
    done = made.run("dvc", "repro", check=False)
    assert done.returncode != 0
    assert "a file that this stage did not write is in the way" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    assert path.read_bytes() == b"years of work"
    assert other.read_text() == "mine"
