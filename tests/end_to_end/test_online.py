"""One real online run: real Prefect, real MLflow, a real simulator, and the handoff that the stages made."""

from __future__ import annotations

import json
import sys

import numpy as np
from small_checkout import Checkout

from offline_to_online.learning.policy import Policy

SUMMARY_KEYS = {
    "episodes", "rounds", "accepted", "rejected", "halted", "baseline_success", "champion_success", "interventions",
    "constraint_cost", "worst_support_drift", "champion_version",
}  # fmt: skip

LOAD = """
import json, sys
import numpy as np, mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/fetch-pick-and-place@champion")
print(json.dumps(model.predict(np.array(json.loads(sys.argv[2]), dtype=np.float32)).tolist()))
"""


def test_the_run_leaves_its_summary_and_report(finetuned: Checkout) -> None:
    """The summary has its keys, a candidate was accepted, and the page names the rules."""
    folder = finetuned.folder / "data/online/run-001"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary.keys() >= SUMMARY_KEYS
    assert summary["accepted"] >= 1
    assert summary["episodes"] == 8
    assert "no regression" in (folder / "report.html").read_text()


def test_the_champion_loads_in_a_fresh_process_without_pickles(finetuned: Checkout) -> None:
    """``models:/<name>@champion`` acts as the fine-tuned policy did, with pickle deserialisation forbidden."""
    folder = finetuned.folder / "data/online/run-001"
    summary = json.loads((folder / "summary.json").read_text())
    found = [
        p for p in folder.rglob("policy.safetensors") if Policy.load(p).sha256 == summary["champion_policy_sha256"]
    ]
    observations = np.random.default_rng(0).normal(size=(5, 28)).astype(np.float32)
    store = f"sqlite:///{finetuned.folder}/data/online/mlflow.db"
    done = finetuned.run(
        *(sys.executable, "-c", LOAD, store, json.dumps(observations.tolist())),
        MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false",
    )
    assert np.array_equal(np.array(json.loads(done.stdout), dtype=np.float32), Policy.load(found[0]).act(observations))


def test_a_repro_for_another_robot_leaves_the_run_alone(finetuned: Checkout) -> None:
    """The run's handoff is a copy: when DVC takes models/handoff away to make another, the run keeps its own."""
    copy = finetuned.folder / "data/online/run-001/handoff"
    original = finetuned.folder / "models/handoff"
    before = {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    assert before.keys() == {p.relative_to(original) for p in original.rglob("*") if p.is_file()}
    aside = original.rename(original.with_name("aside"))
    assert {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*") if p.is_file()} == before
    done = finetuned.run(sys.executable, "-m", "flows.finetune", "--run", "run-001", check=False)
    aside.rename(original)
    assert "run-001" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*") if p.is_file()} == before


def test_a_tampered_handoff_is_refused(finetuned: Checkout) -> None:
    """A handoff whose data changed is refused in one line before anything is written."""
    path = finetuned.folder / "models/handoff/policy.safetensors"
    content = path.read_bytes()
    runs = sorted(p.name for p in (finetuned.folder / "data/online").glob("run-*"))
    path.chmod(0o644)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    done = finetuned.run(sys.executable, "-m", "flows.finetune", "--new", check=False)
    path.write_bytes(content)
    assert done.returncode != 0
    assert "policy.safetensors was changed after the handoff" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in (finetuned.folder / "data/online").glob("run-*")) == runs


def test_a_server_that_is_not_there_is_one_line(finetuned: Checkout) -> None:
    """No MLflow server at the configured address: one line, exit code 2."""
    original = (finetuned.folder / "params.yaml").read_text()
    wrong = original.replace('servers: {mlflow: ""', 'servers: {mlflow: "http://127.0.0.1:9"')
    assert wrong != original
    (finetuned.folder / "params.yaml").write_text(wrong)
    done = finetuned.run(sys.executable, "-m", "flows.finetune", "--new", check=False)
    (finetuned.folder / "params.yaml").write_text(original)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no MLflow server at http://127.0.0.1:9")
    assert len(done.stderr.strip().splitlines()) == 1
