"""What can be set about an online run. The section ``online:`` of params.yaml, with units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from offline_to_online.errors import ParameterError
from offline_to_online.online.gating import rules
from offline_to_online.robots import Dynamics

SAFETY: dict[str, dict[str, Any]] = {
    "interventions": {"limit": 40, "window": 10},
    "support_drift": {"limit": 0.4, "window": 10, "statistic": "mean"},
    "constraint_cost": {"per_episode": 25.0, "total": 100.0, "window": 10},
}
ACCEPTANCE: dict[str, dict[str, Any]] = {
    "no_regression": {"margin": 0.05, "alpha": 0.05, "max_pairs": 400, "batch": 50}
}
WEB, STORES = ("http", "https"), ("sqlite", "postgresql", "mysql", "mssql")


@dataclass(frozen=True, kw_only=True)
class GatesConfig:
    """Rules by name with their limits: ``safety`` judges what the champion collects, ``acceptance`` the candidate."""

    safety: dict[str, dict[str, Any]] = field(default_factory=lambda: SAFETY)
    acceptance: dict[str, dict[str, Any]] = field(default_factory=lambda: ACCEPTANCE)

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
class OnlineConfig:
    """One online run.

    Attributes:
        dynamics: how the robot that is tuned on differs from the one that was logged.
        rounds: at most so many rounds, each ending with at most one candidate.
        episodes_per_round: episodes the champion collects in a round.
        interaction_budget_episodes: episodes the robot may execute in the whole run: collection, certification and the
            final evaluation, which is reserved from the start.
        online_share, online_share_last: share of online transitions in a batch in the first and the last round,
            linear between them: reliance shifts from the static history to current feedback.
        updates_per_step: gradient steps for each control step collected since the learner's last update.
        learning_rate_scale: online learning rates as a share of the offline ones.
        learning_rate_decay: factor on them from one round to the next.
        warmup_episodes: first episodes of the run that are collected with frozen weights and ask for no updates.
        exploration_scale: scale of the champion's exploration noise; 0 is greedy.
        on_reject: the next update starts from the ``champion``'s learner, or goes on (``continue``) from the rejected.
        registered_model: name of the model in MLflow.
    """

    dynamics: Dynamics = field(default_factory=Dynamics)
    rounds: int = 5
    episodes_per_round: int = 30
    interaction_budget_episodes: int = 7000
    online_share: float = 0.5
    online_share_last: float = 0.5
    updates_per_step: float = 1.0
    learning_rate_scale: float = 1.0
    learning_rate_decay: float = 1.0
    warmup_episodes: int = 0
    exploration_scale: float = 1.0
    on_reject: str = "champion"
    registered_model: str = "offline-to-online"
    gates: GatesConfig = field(default_factory=GatesConfig)
    servers: Servers = field(default_factory=Servers)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        for name, (fits, limit) in LIMITS.items():
            value = getattr(self, name)
            if not fits(value):
                raise ParameterError(
                    f"{name} {value!r}", where=f"online.{name}", limit=limit, remedy="mend params.yaml"
                )

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> OnlineConfig:
        """The inverse of ``dataclasses.asdict``."""
        parts = {"dynamics": Dynamics, "gates": GatesConfig, "servers": Servers, "schedule": ScheduleConfig}
        return cls(**{key: parts[key](**value) if key in parts else value for key, value in row.items()})

    def share(self, number: int) -> float:
        """Share of online transitions in a batch of round ``number`` (from 1)."""
        progress = (number - 1) / (self.rounds - 1) if self.rounds > 1 else 0.0
        return self.online_share + (self.online_share_last - self.online_share) * progress

    def learning_rate(self, number: int) -> float:
        """Scale of the learning rates in round ``number`` (from 1)."""
        return self.learning_rate_scale * self.learning_rate_decay ** (number - 1)


LIMITS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "rounds": (lambda x: x >= 1, "at least 1"),
    "episodes_per_round": (lambda x: x >= 1, "at least 1"),
    "interaction_budget_episodes": (lambda x: x >= 1, "at least 1"),
    "online_share": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "online_share_last": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "updates_per_step": (lambda x: x > 0, "above 0"),
    "learning_rate_scale": (lambda x: x > 0, "above 0"),
    "learning_rate_decay": (lambda x: 0 < x <= 1, "in (0, 1]"),
    "warmup_episodes": (lambda x: x >= 0, "at least 0"),
    "exploration_scale": (lambda x: x >= 0, "at least 0"),
    "on_reject": (lambda x: x in ("champion", "continue"), "champion or continue"),
    "registered_model": (lambda x: bool(x) and not set(x) & set("/:"), "a name without / and :"),
}
