"""Two runs of the same thing, one of them killed and gone on with: what is not the same, lost, doubled or left over."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.crash.small import RUN, RUNS
from offline_to_online.dataset.files import file_sha256
from offline_to_online.online.finding import Finding
from offline_to_online.online.verify import head_of, verify
from offline_to_online.online.verify_files import OPERATIONAL


def differences(place: Path, reference: Path, *, mlflow: str = "") -> list[str]:
    """What is not as in the reference: bytes of the run's files, what MLflow knows of it, what lies around."""
    folder, expected = place / RUNS / RUN, reference / RUNS / RUN
    found = _files(folder, expected)
    found += _left_over(place / RUNS)
    said = verify(folder.resolve(), head=lambda: head_of(folder.resolve()))
    found += [said.line()] if isinstance(said, Finding) else []
    one, other = told(place / RUNS, mlflow), told(reference / RUNS, mlflow) if not mlflow else None
    if other is not None:
        found += [f"MLflow: {key} {_apart(one[key], other[key])}" for key in one if one[key] != other[key]]
    return found


def _apart(one: Any, other: Any) -> str:
    """What is in one and not, or not so, in the other."""
    if isinstance(one, dict):
        keys = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
        one, other = {keys[0]: one.get(keys[0])}, {keys[0]: other.get(keys[0])}
    return f"{one} instead of {other}"


def _files(folder: Path, expected: Path) -> list[str]:
    ours, theirs = _hashes(folder), _hashes(expected)
    lost = [f"{name} is lost" for name in sorted(set(theirs) - set(ours))]
    more = [f"{name} is left over" for name in sorted(set(ours) - set(theirs))]
    return lost + more + [f"{n} differs" for n in sorted(set(ours) & set(theirs)) if ours[n] != theirs[n]]


def _hashes(folder: Path) -> dict[str, str]:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return {name: file_sha256(folder / name) for name in names if name not in OPERATIONAL}


def _left_over(runs: Path) -> list[str]:
    """Anything beside the run that is neither the registry's, nor Prefect's, nor a lock."""
    known = {RUN, "mlflow.db", "mlartifacts", "prefect", ".locks"}
    return [f"{path.name} is left over" for path in runs.iterdir() if path.name not in known]


def told(runs: Path, server: str) -> dict[str, Any]:
    """What MLflow knows: runs, versions with their round and policy, logged models, where the alias is, metrics."""
    from mlflow import MlflowClient

    address = server or f"sqlite:///{(runs / 'mlflow.db').resolve()}"
    client = MlflowClient(tracking_uri=address, registry_uri=address)
    experiments = [e.experiment_id for e in client.search_experiments()]
    shown = client.search_runs(experiments)
    versions = client.search_model_versions("name = 'small'")
    metrics = Counter[str]()
    for run in shown:
        for name in run.data.metrics:
            metrics[name] = len(client.get_metric_history(run.info.run_id, name))
    return {
        "runs": [(run.info.run_name, run.info.status) for run in shown],
        "head": [(run.data.tags.get("journal_head"), run.data.tags.get("journal_records")) for run in shown],
        "parameters": [dict(run.data.params) for run in shown],
        "versions": sorted((int(v.version), v.tags["round"]) for v in versions),
        "models": sorted((m.name, str(m.status)) for m in client.search_logged_models(experiments)),
        "alias": str(client.get_model_version_by_alias("small", "champion").version),
        "metrics": dict(metrics),
    }
