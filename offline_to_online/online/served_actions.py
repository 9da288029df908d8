"""What a stored policy does, asked in a fresh process as any other program would: nothing of this checkout is imported.

python served_actions.py ADDRESS     the model's address and observations (N, O) as JSON on stdin, one line of JSON out
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Load the stored model, and print the greedy actions and the SHA-256 of the policy that it holds."""
    import mlflow.pyfunc
    import numpy as np
    import torch  # noqa: F401  (what every policy needs)

    mlflow.set_tracking_uri(sys.argv[1])
    mlflow.set_registry_uri(sys.argv[1])
    # The heavy imports are done by now, while the candidate was still being certified.
    question = json.loads(sys.stdin.read())
    model = mlflow.pyfunc.load_model(question["model"])
    actions = np.asarray(model.predict(np.array(question["observations"], dtype=np.float32)))
    sha256 = model.unwrap_python_model().policy.sha256
    print(json.dumps({"policy_sha256": sha256, "actions": actions.tolist()}))


if __name__ == "__main__":
    main()
