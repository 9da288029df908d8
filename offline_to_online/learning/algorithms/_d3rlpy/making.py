"""How an algorithm file that chooses its parts gets the ``make`` of the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from offline_to_online.dataset.spec import ActionSchema, ObservationSchema
from offline_to_online.learning.algorithms._d3rlpy.learner import D3rlpyLearner
from offline_to_online.learning.algorithms._d3rlpy.parts import Parts
from offline_to_online.learning.learner import Learner, Normaliser


class Make(Protocol):
    """An algorithm's ``make``, as ``learning/learner.py`` asks for it."""

    def __call__(
        self,
        config: Any,
        *,
        observation: ObservationSchema,
        action: ActionSchema,
        normaliser: Normaliser,
        seed: int,
        device: str = "cpu",
    ) -> Learner:
        """A learner with weights drawn from the seed; the global random state stays as it is."""


def learner_of(parts: Callable[[Any], Parts]) -> Make:
    """The ``make`` of an algorithm file, from how it chooses its parts by its Config."""

    def make(
        config: Any,
        *,
        observation: ObservationSchema,
        action: ActionSchema,
        normaliser: Normaliser,
        seed: int,
        device: str = "cpu",
    ) -> Learner:
        """A learner with weights drawn from the seed; the global random state stays as it is."""
        return D3rlpyLearner(
            parts(config), observation=observation, action=action, normaliser=normaliser, seed=seed, device=device
        )

    return make
