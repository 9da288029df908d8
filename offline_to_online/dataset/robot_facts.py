"""What a robot's plug-in knows that logged data can be held against, whichever robot it is."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from offline_to_online.dataset.checks import RobotFacts
from offline_to_online.dataset.spec import Array
from offline_to_online.plugins import module_for

OUTSIDE = "reset_state/outside_recorded_range"


def plug_in(name: str, *, where: str) -> ModuleType | None:
    """A robot's module; None for one that is known from recordings only, and so tells nothing about them.

    Raises:
        ParameterError: no such plug-in.
    """
    module = module_for("robots", name, where=where)
    return module if hasattr(module, "SPEC") else None


def robot_facts(robot: Any) -> RobotFacts | None:
    """The facts of a module that keeps the contract of ``robots/__init__.py``; None where it judges no data."""
    if not hasattr(robot, "label"):
        return None
    spec = robot.SPEC

    def resets_outside(first: Array) -> Array:
        actions = np.zeros((len(first), spec.action.size), dtype=np.float32)
        return np.asarray(robot.regions(first, actions)[OUTSIDE])

    declares = any(f"{kind}/{name}" == OUTSIDE for kind, names in spec.regions.items() for name in names)
    return RobotFacts(
        name=spec.name,
        label=robot.label,
        drives=dict(spec.drives),
        horizon=spec.horizon,
        ends_on_success=spec.ends_on_success,
        resets_outside=resets_outside if declares else None,
    )
