"""How support is measured: the section ``support:`` of params.yaml."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from offline_to_online.errors import ParameterError
from offline_to_online.support.index import IndexConfig


@dataclass(frozen=True, kw_only=True)
class SupportConfig:
    """Settings of the estimator, the same for every robot. ``benchmarks.support_detection --choose`` shows the choice.

    Attributes:
        score: what the thresholds are set on: ``action``, how surprising the action is given the state (sees most
            faults), or ``distance``, how far state and action lie from anything logged (lets a policy explore).
        k: the distance is that to the k-th nearest logged transition (count).
        action_weight: in it the whole action counts so many times the whole observation, however many
            dimensions either has (factor).
        least_radius: a logged transition's radius is at least that of this share of all others (quantile, [0, 1]):
            where samples repeat each other, their own spacing says nothing.
        neighbourhoods: nearest states whose actions make the behaviour density, mixed over these sizes (counts).
        anywhere: share of that density that does not ask for the state, since a state may be misread, in (0, 1).
        bandwidth_floor: narrowest kernel of the density, in deviations of an action, or of its residual.
        index: how neighbours are looked up.
    """

    score: Literal["action", "distance"] = "action"
    k: int = 5
    action_weight: float = 3.0
    least_radius: float = 0.3
    neighbourhoods: tuple[int, ...] = (10, 50)
    anywhere: float = 0.03
    bandwidth_floor: float = 0.03
    index: IndexConfig = field(default_factory=IndexConfig)

    def __post_init__(self) -> None:
        if self.score not in ("action", "distance"):
            raise ParameterError(f"score = {self.score!r}", where="support.score", limit="action or distance")
        for name, low, high in (
            ("k", 1, math.inf),
            ("action_weight", 0, math.inf),
            ("least_radius", 0, 1),
            ("anywhere", 1e-9, 1 - 1e-9),
            ("bandwidth_floor", 1e-6, math.inf),
        ):
            value = getattr(self, name)
            if not low <= value <= high or not math.isfinite(value):
                raise ParameterError(f"{name} = {value!r}", where=f"support.{name}", limit=f"{low:g} to {high:g}")
        if not self.neighbourhoods or min(self.neighbourhoods) < 1:
            raise ParameterError(
                f"neighbourhoods = {list(self.neighbourhoods)}", where="support.neighbourhoods", limit="counts from 1"
            )
