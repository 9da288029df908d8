"""MLflow's one door: the metrics of a run, and every accepted policy with the evidence that let it in.

Embedded by default: a SQLite file and a folder of artifacts beside the runs, both by absolute path, so that the
registry does not depend on where a command was started. Models are logged from code, with safetensors weights.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from offline_to_online.errors import ServerError
from offline_to_online.online.embedded_store import make_store
from offline_to_online.online.fresh import FreshProcess
from offline_to_online.online.served_model import write_model
from offline_to_online.online.servers import artifact_folder, await_server, demand_server, store_address

if TYPE_CHECKING:
    from mlflow import MlflowClient

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

EXPERIMENT = "offline-to-online"
ALIAS = "champion"
HEAD, RECORDS, FOLLOWED = "journal_head", "journal_records", "rollback_followed"
MOST_METRICS = 1000
# What MLflow says to a model, and to an alias, that it does not know.
NO_SUCH = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")

# Telemetry is off before MLflow is imported, anywhere; a served policy never needs to be unpickled.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


@dataclass(frozen=True, kw_only=True)
class Head:
    """The head of a journal as MLflow keeps it: the hash of its last line, and how many lines there were."""

    sha256: str
    records: int


def _clearly(
    method: Callable[Concatenate[Registry, Arguments], Result],
) -> Callable[Concatenate[Registry, Arguments], Result]:
    """A server that went away is waited for; what MLflow refuses is one line."""

    @wraps(method)
    def asked(self: Registry, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        await_server(self.address, what="MLflow", patience_s=self.patience_s)
        try:
            return method(self, *args, **kwargs)
        except (MlflowException, SQLAlchemyError) as error:
            demand_server(self.address, what="MLflow")
            reason = str(error).strip().splitlines()[0][:500]
            remedy = "mend what it says, and start this again: the run goes on where it stood"
            raise ServerError("MLflow refused", where=self.address, limit=reason, remedy=remedy) from error

    return cast("Callable[Concatenate[Registry, Arguments], Result]", asked)


class Registry:
    """One online run as MLflow knows it, and the registered model that accepted policies are versions of.

    Args:
        root: the folder of online runs (``data/online``), for the embedded store.
        server: the address of an MLflow server, or "".
        model: name of the registered model.
        patience_s: how long a server that went away is waited for.

    Raises:
        ServerError: nobody answers at an http address; from every method too, or MLflow refuses.
    """

    def __init__(self, root: Path, *, server: str = "", model: str, patience_s: float = 0.0) -> None:
        self.address, self.patience_s, self.model = store_address(root, server), patience_s, model
        self.client, self.experiment = self._connect(root, server)

    @_clearly
    def begin(self, run: str, folder: Path, facts: Mapping[str, Any], *, resume: bool = True) -> str:
        """The MLflow run of an online run, made on the first call; its id.

        Args:
            run: the online run's name.
            folder: the online run's folder; runs of that name in other folders are other runs.
            facts: what to show as its parameters.
            resume: show a run that was closed as running again.
        """
        found = _found(self.client, self.experiment, run, folder)
        if found is None:
            tags = {"online_run": run, "folder": str(folder.resolve())}
            found = self.client.create_run(self.experiment, run_name=run, tags=tags)
        elif resume and found.info.status != "RUNNING":
            self.client.update_run(found.info.run_id, status="RUNNING")
        for key in sorted(set(facts) - set(found.data.params)):
            self.client.log_param(found.info.run_id, key, str(facts[key])[:500])
        return str(found.info.run_id)

    @_clearly
    def log(self, run_id: str, rows: Sequence[Mapping[str, float]], *, first_step: int, time_ms: int) -> None:
        """Metrics by name, one row a step. The same call again (same time) changes nothing: MLflow keeps each once."""
        from mlflow.entities import Metric

        steps = enumerate(rows, start=first_step)
        metrics = [Metric(name, float(value), time_ms, step) for step, row in steps for name, value in row.items()]
        for start in range(0, len(metrics), MOST_METRICS):
            self.client.log_batch(run_id, metrics=metrics[start : start + MOST_METRICS])

    @_clearly
    def head(self, run_id: str) -> Head | None:
        """The head of the run's journal as it was kept last, or None before that."""
        return _head_of(self.client.get_run(run_id))

    @_clearly
    def keep_head(self, run_id: str, head: Head) -> None:
        """Keep the head of the run's journal, both tags at once."""
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(HEAD, head.sha256), RunTag(RECORDS, str(head.records))])

    @_clearly
    def followed(self, run_id: str) -> int:
        """The sequence number of the last rollback in the journal that the alias has followed; 0 before the first."""
        return int(self.client.get_run(run_id).data.tags.get(FOLLOWED, "0"))

    @_clearly
    def mark_followed(self, run_id: str, sequence: int) -> None:
        """Note that the alias has followed the rollback with this sequence number."""
        self.client.set_tag(run_id, FOLLOWED, sequence)

    @_clearly
    def register(
        self,
        run_id: str,
        round_name: str,
        policy: Path,
        evidence: Mapping[str, Any],
        tags: Mapping[str, str],
        *,
        fresh: FreshProcess | None = None,
    ) -> str:
        """Store a policy as a model version and move the alias to it; the version.

        The alias moves only after the stored artifact was loaded again, in a fresh process, and acted identically. That
        process may have been begun before (``fresh``), since it takes seconds to begin.

        Raises:
            RunError: the stored artifact acts differently, or does not load.
        """
        version = self._version(run_id, round_name)
        if version and version == self.champion():
            return version
        with nullcontext(fresh) if fresh else FreshProcess(self.address) as process:
            version = self.store(run_id, round_name, policy, evidence, tags)
            process.demand_same_actions(self.uri(version), policy)
        self.move_alias(version)
        return version

    @_clearly
    def store(
        self, run_id: str, round_name: str, policy: Path, evidence: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        """Store a policy as a model version, or find the one that this run and round made before; the version."""
        tags = {**tags, "online_run_id": run_id, "round": round_name}
        return self._version(run_id, round_name) or self._store(run_id, round_name, policy, evidence, tags)

    @_clearly
    def demand_alike(self, version: str, policy: Path) -> None:
        """Load a version in a fresh process, and refuse it unless it is the policy in a file and acts as it does.

        Raises:
            RunError: it differs, or does not load.
        """
        with FreshProcess(self.address) as fresh:
            fresh.demand_same_actions(self.uri(version), policy)

    @_clearly
    def move_alias(self, version: str) -> None:
        """Let the alias point to a version, which was looked at just before."""
        self.client.set_registered_model_alias(self.model, ALIAS, version)

    def uri(self, version: str) -> str:
        """The address of a version, for whoever loads it."""
        return f"models:/{self.model}/{version}"

    @_clearly
    def champion(self) -> str:
        """The version that the alias points to, or "" before there is one."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self.client.get_model_version_by_alias(self.model, ALIAS).version)
        except MlflowException as error:
            if error.error_code not in NO_SUCH:
                raise
            return ""

    @_clearly
    def versions(self) -> dict[str, Mapping[str, str]]:
        """Every version of the model with its tags, oldest first."""
        found = self.client.search_model_versions(f"name = '{self.model}'")
        return {str(v.version): dict(v.tags) for v in sorted(found, key=lambda v: int(v.version))}

    @_clearly
    def folder_of(self, run_id: str) -> Path:
        """The folder of the online run that an MLflow run shows."""
        return Path(self.client.get_run(run_id).data.tags["folder"])

    @_clearly
    def finish(self, run_id: str, summary: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Log the summary's numbers, as of the first file's time, and the files; close the MLflow run."""
        numbers = {f"summary/{key}": float(value) for key, value in summary.items() if isinstance(value, int | float)}
        self.log(run_id, [numbers], first_step=0, time_ms=int(files[0].stat().st_mtime * 1000))
        for path in files:
            self.client.log_artifact(run_id, str(path))
        self.client.set_terminated(run_id)

    @_clearly
    def _connect(self, root: Path, server: str) -> tuple[MlflowClient, str]:
        """MLflow's client, and the experiment that all online runs are shown in."""
        from mlflow import MlflowClient

        if not server:
            make_store(root)
        client = MlflowClient(tracking_uri=self.address, registry_uri=self.address)
        found = client.get_experiment_by_name(EXPERIMENT)
        if found:
            return client, str(found.experiment_id)
        artifacts = None if server else artifact_folder(root).as_uri()
        return client, str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))

    def _version(self, run_id: str, round_name: str) -> str:
        for found in self.client.search_model_versions(f"name = '{self.model}'"):
            if found.tags.get("online_run_id") == run_id and found.tags.get("round") == round_name:
                return str(found.version)
        return ""

    def _store(
        self, run_id: str, round_name: str, policy: Path, evidence: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        logged = self._begun(run_id, round_name)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            write_model(folder, policy, evidence)
            self.client.log_model_artifacts(logged.model_id, str(folder))
        self.client.finalize_logged_model(logged.model_id, "READY")
        self._demand_model()
        made = self.client.create_model_version(
            self.model, source=logged.artifact_location, run_id=run_id, tags=dict(tags), model_id=logged.model_id
        )
        return str(made.version)

    def _begun(self, run_id: str, round_name: str) -> Any:
        """The logged model of a round: the one that a killed process began, or a new one."""
        name = f"policy-{round_name}"
        for found in self.client.search_logged_models([self.experiment], filter_string=f"name = '{name}'"):
            if found.source_run_id == run_id:
                return found
        return self.client.create_logged_model(self.experiment, name=name, source_run_id=run_id)

    def _demand_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_registered_model(self.model)
        except MlflowException:
            self.client.create_registered_model(self.model)


def kept_head(root: Path, server: str, run: str, folder: Path) -> Head | None:
    """The head that MLflow keeps of a run's journal, or None; nothing is made or changed there.

    Raises:
        ServerError: an http address at which nobody answers.
    """
    if not server and not (root / "mlflow.db").is_file():
        return None
    address = store_address(root, server)
    demand_server(address, what="MLflow")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=address, registry_uri=address)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = _found(client, str(experiment.experiment_id), run, folder) if experiment else None
    return None if found is None else _head_of(found)


def _found(client: Any, experiment: str, run: str, folder: Path) -> Any:
    wanted = f"tags.`online_run` = '{run}' and tags.`folder` = '{folder.resolve()}'"
    return next(iter(client.search_runs([experiment], filter_string=wanted, max_results=1)), None)


def _head_of(run: Any) -> Head | None:
    tags = run.data.tags
    return Head(sha256=str(tags[HEAD]), records=int(tags[RECORDS])) if {HEAD, RECORDS} <= set(tags) else None
