"""What a check of logged data is to this project. One file beside this one is a family; nothing registers it.

A check module gives:

    NAMES: Mapping[str, tuple[Severity, ...]]   every name that its findings may carry, and how severe these may be
    checks(subject) -> list[Check]              those of its checks that apply to this data set

A check sees every episode once, in order, keeps little of each (memory must not grow with the steps), and
says at the end what it found. A check reports one finding for each kind of defect and dimension at most,
with the first or worst place and a count; it never raises for what is in the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.logged import Contents, LoggedEpisode
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.spec import Array


@dataclass(frozen=True, kw_only=True)
class RobotFacts:
    """What a robot's plug-in knows that data can be held against.

    Attributes:
        label: its own judgement of observations (T+1, O) and actions (T, A): ``rewards`` (T,), ``cost`` (T,),
            ``success`` and ``score`` of the episode.
        drives: name of an action dimension to the observation dimension that a positive command moves up.
        horizon: steps of an episode of its environment.
        ends_on_success: whether it ends an episode at the first success.
        resets_outside: bool mask (N,) of first observations (N, O) outside its recorded reset range; None
            where it does not say.
    """

    name: str
    label: Callable[[Array, Array], Any]
    drives: Mapping[str, str] = field(default_factory=dict)
    horizon: int
    ends_on_success: bool
    resets_outside: Callable[[Array], Array] | None = None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is known of a data set before its first episode is seen.

    ``observation`` and ``action`` are the names of the dimensions, the manifest's where there is one.
    ``action_low`` and ``action_high`` (A,) are the bounds that the manifest, the robot or else the file declares; None
    where nobody does. ``manifest`` is None when a stranger's file is inspected.
    """

    contents: Contents
    observation: tuple[str, ...]
    action: tuple[str, ...]
    action_low: Array | None = None
    action_high: Array | None = None
    manifest: Manifest | None = None
    robot: RobotFacts | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """One episode before a check.

    ``episode`` as it was assembled (actions not clipped yet), ``logged`` as it lies in the file, with all its sensors,
    ``extra`` and ``facts``; ``identity`` under which it would be stored, empty for ``episode.identity``.
    """

    index: int
    episode: Episode
    logged: LoggedEpisode
    identity: str = ""


class Check(Protocol):
    """One thing to look for."""

    def see(self, seen: Seen) -> None:
        """Take note of one episode."""

    def findings(self) -> Iterable[Finding]:
        """What was found, after the last episode."""
