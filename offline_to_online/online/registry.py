"""MLflow's one door: the metrics of a run, and every accepted policy with the evidence that let it in.

Embedded by default: a SQLite file and a folder of artifacts beside the runs, both by absolute path, so that the
registry does not depend on where a command was started. Models are logged from code, with safetensors weights.
"""

from __future__ import annotations

import http.client
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from offline_to_online.dataset.files import write_json
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import RunError, ServerError
from offline_to_online.learning.policy import Policy

EXPERIMENT = "offline-to-online"
ALIAS = "champion"
PACKAGE = Path(__file__).resolve().parents[1]
SERVED = Path(__file__).with_name("served_policy.py")
REQUIREMENTS = ("torch", "numpy", "safetensors", "mlflow")
PATIENCE_S = 10.0
# /health of either server; behind a login it is the server's own client that signs in.
ANSWERS = (200, 401, 403)
MOST_METRICS = 1000

# Telemetry is off before MLflow is imported, anywhere; a served policy never needs to be unpickled.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
# It says nothing that a person at the terminal could act upon.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def store_address(root: Path, server: str) -> str:
    """Where MLflow keeps things: the configured address, or a SQLite file in ``root``."""
    return server or f"sqlite:///{root.resolve() / 'mlflow.db'}"


def artifact_folder(root: Path) -> Path:
    """Where the embedded store keeps artifacts."""
    return root.resolve() / "mlartifacts"


def demand_server(address: str, *, what: str) -> None:
    """Refuse an http address at which nobody answers, or somebody else, within a few seconds.

    Raises:
        ServerError: no such server there.
    """
    if urlsplit(address).scheme not in ("http", "https"):
        return
    try:
        status = _health(address)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _no_server(address, what, str(error)) from error
    if status not in ANSWERS:
        raise _no_server(address, what, f"what answers there says {status} to /health")


def _health(address: str) -> int:
    """The status with which a server answers ``GET <address>/health``; both kinds of server have that page."""
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/health")
        return connection.getresponse().status
    finally:
        connection.close()


def _no_server(address: str, what: str, reason: str) -> ServerError:
    return ServerError(
        f"no {what} server at {address}",
        where=f"online.servers.{what.lower()}",
        limit=reason,
        remedy="start it, or empty the address in params.yaml for the embedded one",
    )


class Registry:
    """One online run as MLflow knows it, and the registered model that accepted policies are versions of.

    Args:
        root: the folder of online runs (``data/online``), for the embedded store.
        server: the address of an MLflow server, or "".
        model: name of the registered model.

    Raises:
        ServerError: an http address at which nobody answers.
    """

    def __init__(self, root: Path, *, server: str = "", model: str) -> None:
        self.address = store_address(root, server)
        demand_server(self.address, what="MLflow")
        from mlflow import MlflowClient

        root.mkdir(parents=True, exist_ok=True)
        self.model = model
        self.client = MlflowClient(tracking_uri=self.address, registry_uri=self.address)
        self.experiment = self._experiment(None if server else artifact_folder(root).as_uri())

    def begin(self, run: str, folder: Path, facts: Mapping[str, Any]) -> str:
        """The MLflow run of an online run, made on the first call; its id.

        Args:
            run: the online run's name.
            folder: the online run's folder; runs of that name in other folders are other runs.
            facts: what to show as its parameters.
        """
        place = str(folder.resolve())
        wanted = f"tags.`online_run` = '{run}' and tags.`folder` = '{place}'"
        found = self.client.search_runs([self.experiment], filter_string=wanted, max_results=1)
        if found:
            identity = str(found[0].info.run_id)
            self.client.update_run(identity, status="RUNNING")
            return identity
        made = self.client.create_run(self.experiment, run_name=run, tags={"online_run": run, "folder": place})
        for key, value in facts.items():
            self.client.log_param(made.info.run_id, key, str(value)[:500])
        return str(made.info.run_id)

    def log(self, run_id: str, rows: Sequence[Mapping[str, float]], *, first_step: int, time_ms: int) -> None:
        """Metrics by name, one row a step. The same call again (same time) changes nothing: MLflow keeps each once."""
        from mlflow.entities import Metric

        metrics = [
            Metric(key, float(value), time_ms, first_step + i)
            for i, row in enumerate(rows)
            for key, value in row.items()
        ]
        for start in range(0, len(metrics), MOST_METRICS):
            self.client.log_batch(run_id, metrics=metrics[start : start + MOST_METRICS])

    def register(
        self, run_id: str, round_name: str, policy: Path, evidence: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        """Store an accepted policy as a model version and move the alias to it; the version.

        Asked again for the same run and round it finds the version it made. The alias moves only after the stored
        artifact was loaded again and acted identically.

        Raises:
            RunError: the stored artifact acts differently.
        """
        tags = {**tags, "online_run_id": run_id, "round": round_name}
        version = self._version(run_id, round_name) or self._store(run_id, round_name, policy, evidence, tags)
        demand_same_actions(self.load(version), Policy.load(policy), where=f"models:/{self.model}/{version}")
        self.client.set_registered_model_alias(self.model, ALIAS, version)
        return version

    def load(self, version: str) -> Any:
        """The served policy of a version, loaded as any other program would."""
        import mlflow

        mlflow.set_tracking_uri(self.address)
        mlflow.set_registry_uri(self.address)
        return mlflow.pyfunc.load_model(f"models:/{self.model}/{version}")

    def champion(self) -> str:
        """The version that the alias points to, or "" before there is one."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self.client.get_model_version_by_alias(self.model, ALIAS).version)
        except MlflowException:
            return ""

    def finish(self, run_id: str, summary: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Log the summary's numbers and files, and close the MLflow run."""
        for key, value in summary.items():
            if isinstance(value, int | float):
                self.client.log_metric(run_id, f"summary/{key}", float(value))
        for path in files:
            self.client.log_artifact(run_id, str(path))
        self.client.set_terminated(run_id)

    def _experiment(self, artifacts: str | None) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        return str(
            found.experiment_id if found else self.client.create_experiment(EXPERIMENT, artifact_location=artifacts)
        )

    def _version(self, run_id: str, round_name: str) -> str:
        for found in self.client.search_model_versions(f"name = '{self.model}'"):
            if found.tags.get("online_run_id") == run_id and found.tags.get("round") == round_name:
                return str(found.version)
        return ""

    def _store(
        self, run_id: str, round_name: str, policy: Path, evidence: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            write_model(folder, policy, evidence)
            logged = self.client.create_logged_model(self.experiment, name=f"policy-{round_name}", source_run_id=run_id)
            self.client.log_model_artifacts(logged.model_id, str(folder))
        self.client.finalize_logged_model(logged.model_id, "READY")
        self._demand_model()
        made = self.client.create_model_version(
            self.model, source=logged.artifact_location, run_id=run_id, tags=dict(tags), model_id=logged.model_id
        )
        return str(made.version)

    def _demand_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_registered_model(self.model)
        except MlflowException:
            self.client.create_registered_model(self.model)


def write_model(folder: Path, policy: Path, evidence: Mapping[str, Any]) -> None:
    """An MLflow model on disk: code, ``policy.safetensors``, ``evidence.json``, and the shapes it takes and gives."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    loaded = Policy.load(policy)
    single = np.dtype(np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(single, (-1, loaded.observation_size))]),
        outputs=Schema([TensorSpec(single, (-1, loaded.action_size))]),
    )
    evidence_file = folder.with_name("evidence.json")
    write_json(evidence_file, evidence)
    with warnings.catch_warnings():
        # It asks for an example of an input, although the signature says it all.
        warnings.filterwarnings("ignore", category=UserWarning, module=r"mlflow\..*")
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(SERVED),
            artifacts={"policy": str(policy), "evidence": str(evidence_file)},
            code_paths=[str(PACKAGE)],
            pip_requirements=[f"{name}=={installed_version(name)}" for name in REQUIREMENTS],
            signature=signature,
        )


def demand_same_actions(served: Any, policy: Policy, *, where: str) -> None:
    """Refuse a stored policy that does not act as the one that was accepted.

    Raises:
        RunError: it acts differently.
    """
    observations = probe(policy.observation_size)
    if not np.array_equal(np.asarray(served.predict(observations)), policy.act(observations)):
        raise RunError(
            "the stored policy acts differently", where=where, limit="identical actions", remedy="keep the champion"
        )


def probe(observation_size: int) -> Array:
    """Fixed observations, float32 (64, O), on which two policies are compared."""
    return np.random.default_rng(0).standard_normal((64, observation_size)).astype(np.float32)
