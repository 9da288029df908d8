"""What can be set about an online run. The section ``online:`` of params.yaml, with units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from offline_to_online.configs import build
from offline_to_online.errors import ParameterError
from offline_to_online.evaluation.off_policy import ScreenConfig
from offline_to_online.learning.switch import Switch
from offline_to_online.online.audit_rule import AuditConfig
from offline_to_online.online.gating import rules
from offline_to_online.robots import Dynamics

SAFETY: dict[str, dict[str, Any]] = {
    "interventions": {"limit": 100, "window": 10, "run_limit": 600},
    "support_drift": {"limit": 0.4, "window": 10, "statistic": "mean", "burst": 0.78, "burst_window": 2},
    "constraint_cost": {"per_episode": 25.0, "total": 100.0, "window": 10, "run_total": 300.0},
}
ACCEPTANCE: dict[str, dict[str, Any]] = {
    "no_regression": {"margin": 0.05, "alpha": 0.05, "max_pairs": 400, "batch": 25},
    "interventions": {"limit": 100, "window": 10},
    "support_drift": {"limit": 0.4, "window": 10, "statistic": "mean", "burst": 0.78, "burst_window": 2},
    "constraint_cost": {"per_episode": 40.0, "total": 100.0, "window": 10},
}
WEB, STORES = ("http", "https"), ("sqlite", "postgresql", "mysql", "mssql")


@dataclass(frozen=True, kw_only=True)
class GatesConfig:
    """Rules by name with their limits: ``safety`` judges what the champion collects, ``acceptance`` the candidate.

    ``audit`` holds the last champion against the baseline, when the rounds are over.
    """

    safety: dict[str, dict[str, Any]] = field(default_factory=lambda: SAFETY)
    acceptance: dict[str, dict[str, Any]] = field(default_factory=lambda: ACCEPTANCE)
    audit: AuditConfig = field(default_factory=AuditConfig)

    def __post_init__(self) -> None:
        for name in ("safety", "acceptance"):
            if not getattr(self, name):
                raise ParameterError("no rules", where=f"online.gates.{name}", limit="at least 1", remedy="name one")
            gate = rules(getattr(self, name), where=f"online.gates.{name}")
            if (name == "acceptance") != any(rule.compares for rule in gate):
                raise ParameterError(
                    f"rules {', '.join(rule.name for rule in gate)}",
                    where=f"online.gates.{name}",
                    limit="acceptance compares the candidate on paired tasks, safety has nothing to compare it with",
                    remedy="name no_regression under acceptance, and only there",
                )


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Addresses. Empty ``mlflow``: a SQLite file in ``data/online``; empty ``prefect``: an ephemeral server."""

    mlflow: str = ""
    prefect: str = ""

    def __post_init__(self) -> None:
        for name, schemes in (("mlflow", (*WEB, *STORES)), ("prefect", WEB)):
            address = getattr(self, name)
            if address and not address.startswith(tuple(f"{scheme}://" for scheme in schemes)):
                raise ParameterError(
                    f"address {address!r}",
                    where=f"online.servers.{name}",
                    limit=f"one that begins with {', '.join(schemes)} and ://, or an empty one",
                    remedy="mend params.yaml",
                )


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """When the served deployment starts a run: a ``cron`` line, or every ``interval_s`` seconds; neither: by hand."""

    cron: str = ""
    interval_s: float = 0.0

    def __post_init__(self) -> None:
        if self.cron and self.interval_s:
            raise ParameterError(
                "both cron and interval_s", where="online.schedule", limit="one of them", remedy="empty the other"
            )


@dataclass(frozen=True, kw_only=True)
class PeopleConfig:
    """Who is asked, and for how long.

    Attributes:
        patience_s: seconds that a question waits in the Prefect UI for a person; silence means no. 0: nobody is asked.
        approve_acceptance: every candidate that the gate passed waits for a person too, before it is registered.
    """

    patience_s: int = 3600
    approve_acceptance: bool = False

    def __post_init__(self) -> None:
        if self.patience_s < 0:
            raise ParameterError(
                f"patience_s {self.patience_s!r}",
                where="online.people.patience_s",
                limit="at least 0 seconds; 0 asks nobody",
                remedy="mend params.yaml",
            )
        if self.approve_acceptance and not self.patience_s:
            raise ParameterError(
                "approve_acceptance with a patience of 0 s",
                where="online.people",
                limit="a candidate that waits for a person waits for some time",
                remedy="raise patience_s, or set approve_acceptance: false",
            )


@dataclass(frozen=True, kw_only=True)
class OnlineConfig:
    """One online run.

    Attributes:
        dynamics: how the robot that is tuned on differs from the one that was logged.
        rounds: at most so many rounds, each ending with at most one candidate.
        episodes_per_round: episodes the champion collects in a round.
        interaction_budget_episodes: episodes the robot may execute in the whole run: collection, certification and the
            final evaluation, which is reserved from the start.
        switch: how learning goes over from the logs to the robot.
        screen: off-policy evaluation of a candidate, before it may be played.
        exploration_scale: scale of the champion's exploration noise; 0 is greedy.
        on_reject: the next update starts from the ``champion``'s learner, or goes on (``continue``) from the rejected.
        registered_model: name of the model in MLflow.
    """

    dynamics: Dynamics = field(default_factory=Dynamics)
    rounds: int = 5
    episodes_per_round: int = 30
    interaction_budget_episodes: int = 7200
    switch: Switch = field(default_factory=Switch)
    screen: ScreenConfig = field(default_factory=ScreenConfig)
    exploration_scale: float = 1.0
    on_reject: str = "champion"
    registered_model: str = "offline-to-online"
    gates: GatesConfig = field(default_factory=GatesConfig)
    servers: Servers = field(default_factory=Servers)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    people: PeopleConfig = field(default_factory=PeopleConfig)

    def __post_init__(self) -> None:
        for name, (fits, limit) in LIMITS.items():
            value = getattr(self, name)
            if not fits(value):
                raise ParameterError(
                    f"{name} {value!r}", where=f"online.{name}", limit=limit, remedy="mend params.yaml"
                )

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> OnlineConfig:
        """The inverse of ``dataclasses.asdict``.

        Raises:
            ParameterError: a key that this version does not know: the run was begun with another one.
        """
        config: OnlineConfig = build(cls, row, where="run.json config")
        return config

    def progress(self, collected_episodes: int) -> float:
        """Share of the planned collection that is done: where the schedules of ``switch`` stand."""
        return collected_episodes / (self.rounds * self.episodes_per_round)


LIMITS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "rounds": (lambda x: x >= 1, "at least 1"),
    "episodes_per_round": (lambda x: x >= 1, "at least 1"),
    "interaction_budget_episodes": (lambda x: x >= 1, "at least 1"),
    "exploration_scale": (lambda x: x >= 0, "at least 0"),
    "on_reject": (lambda x: x in ("champion", "continue"), "champion or continue"),
    "registered_model": (lambda x: bool(x) and not set(x) & set("/:"), "a name without / and :"),
}
