"""What is compared: robots with their logs, and methods, each an algorithm with its settings and its switch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from offline_to_online.learning.switch import DATA, POLICY, Switch
from offline_to_online.robots import Dynamics
from offline_to_online.support.config import SupportConfig

ALPHA = 0.05
SUPPORT = SupportConfig(score="distance", least_radius=1.0)
"""The guard's, as params.yaml ships it."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A log, and the robot that is tuned on.

    Attributes:
        data: the log: ``fetch`` is recorded anew for each seed (``fetch_small`` a tenth of it), ``pusht`` and ``door``
            are human and split anew.
        robot: plug-in.
        dynamics: how the robot in front of us differs from the logged one.
        outcome: what an episode counts: ``success`` or ``score``.
        episodes: the online budget.
        per_round: episodes between two updates.
        tasks: of the panel's report block, for each evaluation.
        gamma: discount a step, for everybody.
        updates_per_step: online gradient steps for each control step.
        exploration_scale: of the learners' own noise.
    """

    data: str
    robot: str
    dynamics: Dynamics = field(default_factory=Dynamics)
    outcome: str = "success"
    episodes: int = 150
    per_round: int = 5
    tasks: int = 60
    gamma: float = 0.98
    updates_per_step: float = 1.0
    exploration_scale: float = 1.0


SETTINGS: Mapping[str, Setting] = {
    "fetch": Setting(data="fetch", robot="fetch_pick_and_place"),
    "fetch_weak": Setting(data="fetch", robot="fetch_pick_and_place", dynamics=Dynamics(action_gain=0.5)),
    "pusht": Setting(
        data="pusht", robot="pusht", outcome="score", episodes=100, gamma=0.99,
        updates_per_step=0.25, exploration_scale=0.3,
    ),
    "door": Setting(
        data="door", robot="adroit_door", outcome="score", episodes=100, gamma=0.99, updates_per_step=0.5,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Method:
    """An algorithm with its settings.

    Attributes:
        algorithm: plug-in.
        label: for a table.
        config: settings of it that are not its defaults.
        online_config: what is changed in them when it goes online.
        switch: how it goes online; None: it does not, and is evaluated as it was trained.
        clone: the policy that it starts from is behaviour cloning's.
    """

    algorithm: str
    label: str
    config: Mapping[str, Any] = field(default_factory=dict)
    online_config: Mapping[str, Any] = field(default_factory=dict)
    switch: Switch | None = None
    clone: bool = False


GUARD_ONLINE = Switch(warmup_episodes=10, behaviour=(0.5, 0.3), actor_learning_rate=(1.0, 0.5))
METHODS: Mapping[str, Method] = {
    "bc": Method(algorithm="bc", label="BC"),
    "iql": Method(algorithm="iql", label="IQL", switch=Switch()),
    # d3rlpy's batch of 1,024 and weight of 0.001 do not get off the ground on this log.
    "rebrac": Method(
        algorithm="rebrac", label="ReBRAC", config={"batch_size": 256, "actor_beta": 1.0},
        switch=Switch(behaviour=(1.0, 0.5)),
    ),
    "support_guard": Method(algorithm="support_guard", label="Support Guard", switch=GUARD_ONLINE),
    "scratch": Method(
        algorithm="support_guard", label="online from scratch", switch=Switch(keep=(), behaviour=(0.0, 0.0)),
        online_config={"penalty_weight": 0.0, "cloning_updates": 0},
    ),
    "bc_reuse": Method(
        algorithm="support_guard", label="BC init, data reuse", clone=True,
        switch=dataclasses.replace(GUARD_ONLINE, keep=(POLICY, DATA), value_updates=1500),
        online_config={"penalty_weight": 0.0, "cloning_updates": 0},
    ),
}  # fmt: skip
"""Those that are compared; the claims are about these."""
MORE: Mapping[str, Method] = {
    name: Method(algorithm=name, label=label, config=config, switch=Switch())
    for name, label, config in (
        ("td3_bc", "TD3+BC", {}),
        ("awac", "AWAC", {"batch_size": 256}),
        ("cql", "CQL", {}),
        ("cal_ql", "Cal-QL", {}),
    )
}
"""Those that are run where they are named: the last two take half an hour a cell."""
ALL: Mapping[str, Method] = {**METHODS, **MORE}
CHECKPOINTS = (0.1, 0.25, 0.5, 1.0)
