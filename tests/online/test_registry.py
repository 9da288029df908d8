"""The registry: accepted policies with their evidence, loadable anywhere without a pickle."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from offline_to_online.dataset.files import read_json
from offline_to_online.errors import RunError, ServerError
from offline_to_online.evaluation.handoff import FIVE
from offline_to_online.learning.policy import Policy
from offline_to_online.online.decide import open_registry
from offline_to_online.online.fresh import FreshProcess, probe
from offline_to_online.online.registry import Registry
from offline_to_online.online.run import OnlineRun
from offline_to_online.online.servers import demand_server, store_address

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

LOAD = """
import json, sys
import mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_registry_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/small@champion")
observations = np.array(json.loads(sys.stdin.read()), dtype=np.float32)
print(json.dumps(np.asarray(model.predict(observations)).tolist()))
"""


def test_the_champion_acts_alike_in_a_fresh_process_without_pickles(finished: Path, tmp_path: Path) -> None:
    """A process that knows nothing of this checkout loads the alias, pickles forbidden, and acts as the policy did."""
    run = OnlineRun(finished)
    policy = Policy.load(run.standing().policy)
    observations = probe(policy.observation_size)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, store_address(finished.parent, "")],
        input=json.dumps(observations.tolist()),
        cwd=tmp_path,
        env={**environment, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    served = np.array(json.loads(done.stdout.splitlines()[-1]), dtype=np.float32)
    assert np.array_equal(served, policy.act(observations))


def test_a_version_carries_its_evidence(finished: Path) -> None:
    """Verdicts with limits, the five names, every hash and the parent version go with the policy."""
    run = OnlineRun(finished)
    registry, run_id = open_registry(run)
    first, second = sorted(registry.client.search_model_versions("name = 'small'"), key=lambda v: int(v.version))
    stored = artifacts(registry, str(second.version))
    evidence = read_json(next(path for path in stored if path.name == "evidence.json"))
    for row in evidence["verdicts"]:
        assert {"rule", "passed", "measured", "limit", "unit", "reason"} <= set(row)
    assert {row["rule"] for row in evidence["verdicts"]} == {
        "interventions",
        "support_drift",
        "constraint_cost",
        "no_regression",
        "off_policy_evaluation",
    }
    assert set(evidence["handoff"]) == set(FIVE)
    assert evidence["panel_sha256"] == run.panel.sha256
    assert evidence["handoff_sha256"] == run.handoff["handoff_sha256"]
    assert evidence["data"]["logged_episodes_sha256"] == run.handoff["episodes_sha256"]
    assert evidence["data"]["online_episodes"] == 4
    assert evidence["git_commit"] == run.facts["git_commit"]
    assert evidence["parent_version"] == str(first.version)
    assert evidence["policy_sha256"] == Policy.load(run.standing().policy).sha256
    assert second.tags["parent_version"] == str(first.version)
    assert second.tags["panel_sha256"] == run.panel.sha256
    assert "verdict/no_regression" in second.tags
    assert set(FIVE) <= set(second.tags)
    assert second.run_id == run_id


def test_no_pickle_is_stored(finished: Path) -> None:
    """What lies in the registry's artifacts is code, JSON, text and safetensors."""
    suffixes = {path.suffix for path in (finished.parent / "mlartifacts").rglob("*") if path.is_file()}
    assert ".safetensors" in suffixes
    assert not suffixes & {".pkl", ".pickle", ".pt", ".pth", ".pyc"}


def test_registering_twice_makes_one_version(finished: Path) -> None:
    """Asked again for a round that was registered, the registry finds the version it made."""
    run = OnlineRun(finished)
    registry, run_id = open_registry(run)
    policy = run.round_folder(2) / "candidate" / "policy.safetensors"
    assert registry.register(run_id, "002", policy, {}, {}) == run.standing().version
    assert len(registry.client.search_model_versions("name = 'small'")) == 2
    assert registry.champion() == run.standing().version


def test_another_policy_is_refused(finished: Path) -> None:
    """The alias moves only to a stored policy that is the one that was accepted; else it stays where it is."""
    run = OnlineRun(finished)
    registry, _ = open_registry(run)
    before = registry.champion()
    with pytest.raises(RunError, match=r"another policy is stored \(models:/small/1\): recorded .*stored"):
        registry.demand_alike("1", run.standing().policy)
    assert registry.champion() == before


def test_a_stored_policy_that_acts_differently_is_refused(finished: Path, tmp_path: Path) -> None:
    """The right weights behind code that changes what they do are refused: actions are compared, not hashes alone."""
    run = OnlineRun(finished)
    registry, _ = open_registry(run)
    stored = next(path for path in artifacts(registry, "2") if path.name == "served_policy.py")
    model = Path(shutil.copytree(stored.parent, tmp_path / "model"))
    code = (model / "served_policy.py").read_text()
    (model / "served_policy.py").write_text(code.replace("return self.policy.act(", "return 0.99 * self.policy.act("))
    with FreshProcess(registry.address) as fresh, pytest.raises(RunError, match="acts differently"):
        fresh.demand_same_actions(str(model), run.standing().policy)


def test_a_fresh_process_that_dies_is_one_line(finished: Path) -> None:
    """A stored policy that does not load in a process of its own is said in one line."""
    run = OnlineRun(finished)
    registry, _ = open_registry(run)
    with pytest.raises(RunError, match=r"does not load in a fresh process \(models:/small/77\): .*77") as said:
        registry.demand_alike("77", run.standing().policy)
    assert "\n" not in str(said.value)
    assert registry.champion() == run.standing().version


def test_metrics_are_told_once(finished: Path) -> None:
    """Success, drift, cost, interventions and losses over episodes; telling them again adds nothing."""
    run = OnlineRun(finished)
    registry, run_id = open_registry(run)
    from offline_to_online.online.decide import log_round

    log_round(run, 2)
    for name in ("success", "support_drift", "support_drift_k", "cost", "interventions"):
        history = registry.client.get_metric_history(run_id, f"episode/{name}")
        assert sorted(metric.step for metric in history) == [1, 2, 3, 4]
    assert [m.step for m in registry.client.get_metric_history(run_id, "loss/loss")] == [2, 4]


def test_the_store_does_not_depend_on_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded store's address is absolute; a configured server is taken as it is."""
    monkeypatch.chdir(tmp_path)
    assert store_address(Path("runs"), "") == f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}"
    assert store_address(Path("runs"), "http://here:1") == "http://here:1"


def test_no_server_is_one_line(tmp_path: Path) -> None:
    """An address at which nobody answers is refused at once, naming the setting."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServerError, match=r"no MLflow server at .*servers\.mlflow"):
        Registry(tmp_path, server=address, model="m")
    with pytest.raises(ServerError, match=r"no Prefect server at .*servers\.prefect"):
        demand_server(f"{address}/api", what="Prefect")
    assert list(tmp_path.iterdir()) == []


class Page(BaseHTTPRequestHandler):
    """A server that knows one page."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to the terminal."""


def test_a_stranger_at_the_address_is_one_line() -> None:
    """Whatever answers must be such a server: its health page is asked for; a port must be a port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        demand_server(f"{address}/api", what="Prefect")
        with pytest.raises(ServerError, match=r"no Prefect server at .*says 404 to /health"):
            demand_server(address, what="Prefect")
        server.shutdown()
    with pytest.raises(ServerError, match=r"no MLflow server at http://here:port .*'port'"):
        demand_server("http://here:port", what="MLflow")


def artifacts(registry: Registry, version: str) -> list[Path]:
    import mlflow
    from mlflow.artifacts import download_artifacts

    mlflow.set_tracking_uri(registry.address)
    mlflow.set_registry_uri(registry.address)
    uri = f"models:/small/{version}"
    folder = Path(download_artifacts(artifact_uri=uri, tracking_uri=registry.address))
    return list(folder.rglob("*"))
