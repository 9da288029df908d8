"""An accepted policy as MLflow stores it: code, safetensors and JSON, no pickle anywhere."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import numpy as np

from offline_to_online.dataset.files import write_json
from offline_to_online.learning.policy import Policy

PACKAGE = Path(__file__).resolve().parents[1]
SERVED = Path(__file__).with_name("served_policy.py")
REQUIREMENTS = ("torch", "numpy", "safetensors", "mlflow")


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
