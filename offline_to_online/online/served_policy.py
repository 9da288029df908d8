"""The code that MLflow stores beside a policy's weights and runs to serve it: no pickle anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from offline_to_online.dataset.spec import Array
from offline_to_online.learning.policy import Policy


class ServedPolicy(PythonModel):
    """A policy behind MLflow's ``predict``: observations (N, O) in, greedy actions (N, A) out."""

    def load_context(self, context: Any) -> None:
        """Read the weights that lie beside this code."""
        self.policy = Policy.load(Path(context.artifacts["policy"]))

    # MLflow reads this hint at run time, and understands the bare array only.
    def predict(
        self,
        context: Any,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> Array:
        """Greedy actions, float32 (N, A), as ``Policy.act`` gives them."""
        return self.policy.act(np.asarray(model_input, dtype=np.float32))


set_model(ServedPolicy())
