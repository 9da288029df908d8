"""What a data file holds, before anything is made of it: its contents, and its episodes as they were logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.spec import Array


@dataclass(frozen=True, kw_only=True)
class Vector:
    """A named vector that is logged at every step.

    Attributes:
        name: as the file calls it (``observations``, ``obs/robot0_eef_pos``, ``observation.state``).
        width: numbers a step.
        dtype: as stored, in numpy's words.
        names: of its dimensions, where the file says them; else empty.
        low, high: bounds that the file declares, one a dimension; else empty.
    """

    name: str
    width: int
    dtype: str
    names: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Something in the data that no episode of ours will hold: ``kind`` is image, video, text, empty or other."""

    name: str
    kind: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a data set says of itself, read from its headers: no episode is opened for it that need not be.

    Attributes:
        sensors: every vector that a manifest may select as an observation, in the file's order.
        observation: names of the sensors that are the observation where the manifest selects none, in order.
        actions: the vector of actions.
        rewards, ends, times, final_observation: whether rewards, flags of an episode's end, time stamps and
            the observation after the last step are logged.
        episodes, steps: as the data set declares or its headers count them, rows as they stand in it;
            None where only reading tells.
        left_out: what is recognised and not imported.
        findings: what the headers already tell: missing files, contradictions, flags that are absent.
        facts: what it says of robot body, source, licence, environment ..., as texts.
        operators: who acted, where the headers say.
    """

    format: str
    sensors: tuple[Vector, ...]
    observation: tuple[str, ...]
    actions: Vector
    rewards: bool
    ends: bool
    times: bool
    final_observation: bool
    episodes: int | None = None
    steps: int | None = None
    control_rate_hz: float | None = None
    operators: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    def sensor(self, name: str) -> Vector | None:
        """The sensor of that name, if there is one."""
        return next((s for s in self.sensors if s.name == name), None)


@dataclass(frozen=True, kw_only=True, eq=False)
class LoggedEpisode:
    """One episode as its file holds it: nothing cast, nothing dropped, nothing concatenated.

    T is the number of logged actions. What the file does not log is None, or absent from its mapping.

    Attributes:
        where: file and episode, for messages (``log.hdf5, episode 3``).
        sensors: name to (T, width), before each action, or (T+1, width) with the one after the last.
        following: name to (T, width), the sensors after each action, where the format logs them apart.
        actions: (T, A).
        rewards: (T,), after each action.
        terminals: (T,), the task ended by its own rule after that action.
        timeouts: (T,), the time ran out or the recording was cut after that action.
        times: (T,) or (T+1,), seconds.
        cost, intervened: (T,).
        successes: (T,) or (T+1,), a success flag a step.
        operator, seed, success, score: of the whole episode.
        extra: other numbers a step, by name (T, ...) or (T+1, ...); only where ``read`` was asked for them.
        facts: other numbers of the episode, by name; only where ``read`` was asked for them.
    """

    where: str
    sensors: Mapping[str, Array]
    actions: Array
    following: Mapping[str, Array] = field(default_factory=dict)
    rewards: Array | None = None
    terminals: Array | None = None
    timeouts: Array | None = None
    times: Array | None = None
    cost: Array | None = None
    intervened: Array | None = None
    successes: Array | None = None
    operator: str | None = None
    seed: int | None = None
    success: bool | None = None
    score: float | None = None
    extra: Mapping[str, Array] = field(default_factory=dict)
    facts: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.actions)
