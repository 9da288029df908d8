"""MLflow's embedded database, made whole or not at all: one whose making was killed half-way could never be opened."""

from __future__ import annotations

from pathlib import Path

from offline_to_online.dataset.files import replacing


def make_store(root: Path) -> None:
    """Make ``mlflow.db`` in the folder of online runs, unless it is there."""
    database = root / "mlflow.db"
    if database.is_file():
        return
    from filelock import FileLock
    from mlflow import MlflowClient

    locks = root / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / "mlflow.lock"):
        if database.is_file():
            return
        for left in root.glob(f".{database.name}.*"):
            left.unlink(missing_ok=True)
        with replacing(database) as partial:
            address = f"sqlite:///{partial.resolve()}"
            MlflowClient(tracking_uri=address, registry_uri=address).search_experiments(max_results=1)
