"""The last look before an alias moves: what was stored is loaded in a process of its own, and must act identically."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import RunError
from offline_to_online.learning.policy import Policy

SCRIPT = Path(__file__).with_name("served_actions.py")
PATIENCE_S = 300.0
PROBES = 64


class FreshProcess:
    """A process that knows nothing of this one; begun before it is needed, since its imports take seconds.

    Args:
        address: of the MLflow store.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> FreshProcess:
        self._place = tempfile.TemporaryDirectory()
        # Not this checkout's code, but the code that was stored with the policy.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        # As many threads as here: another order of adding up gives other last digits.
        environment["OMP_NUM_THREADS"] = str(torch.get_num_threads())
        # Nothing is written beside what was stored.
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT), self._address],
            cwd=self._place.name,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        self._place.cleanup()

    def demand_same_actions(self, uri: str, policy: Path) -> None:
        """Refuse a stored policy that is not the given one, or does not act as it does. To be asked once.

        Raises:
            RunError: it differs, or the process died.
        """
        expected = Policy.load(policy)
        observations = probe(expected.observation_size)
        said = self._ask(uri, observations)
        if said["policy_sha256"] != expected.sha256:
            limit = f"recorded {expected.sha256[:12]}, stored {str(said['policy_sha256'])[:12]}"
            raise _refused("another policy is stored", uri, limit)
        actions = np.array(said["actions"], dtype=np.float32)
        if not np.array_equal(actions, expected.act(observations)):
            raise _refused("the stored policy acts differently", uri, "identical actions")

    def _ask(self, uri: str, observations: Array) -> Mapping[str, Any]:
        question = json.dumps({"model": uri, "observations": observations.tolist()})
        try:
            out, err = self._process.communicate(question, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise _refused("the stored policy gave no answer", uri, f"one within {PATIENCE_S:.0f} s") from error
        try:
            said: Mapping[str, Any] = json.loads(out.splitlines()[-1])
        except (IndexError, ValueError) as error:
            last = (err.strip() or out.strip() or f"exit status {self._process.returncode}").splitlines()[-1]
            raise _refused("the stored policy does not load in a fresh process", uri, last) from error
        return said


def probe(observation_size: int) -> Array:
    """Fixed observations, float32 (64, O), on which two policies are compared."""
    return np.random.default_rng(0).standard_normal((PROBES, observation_size)).astype(np.float32)


def _refused(what: str, uri: str, limit: str) -> RunError:
    return RunError(what, where=uri, limit=limit, remedy="the alias stays where it is")
