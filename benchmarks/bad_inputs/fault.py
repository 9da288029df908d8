"""A fault of meaning: what was done to which log, in which formats, and which check must say so, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from benchmarks.bad_inputs.case import WRITERS
from benchmarks.bad_inputs.logs import EPISODES, Log, slides
from benchmarks.bad_inputs.semantic import SOME, Change

D4RL = ("d4rl_hdf5",)
TIMED = ("d4rl_hdf5", "robosuite_raw", "lerobot (v2.1)", "lerobot (v3.0)")
FLAGGED = ("minari (HDF5)", "minari (Arrow)", "robomimic_hdf5", "lerobot (v2.1)")
FEW = ("d4rl_hdf5", "minari (HDF5)", "lerobot (v3.0)", "zarr_replay")
ALL = tuple(WRITERS)

FIRST = rf"episode {SOME[0]}\b"
AMONG = rf"episode (?:{'|'.join(map(str, SOME))})\b"
LAST = rf"episode {EPISODES}\b"
X, Y, TURN = (rf"action\.(?:{name}|a{i})\b" for i, name in enumerate(("push_x", "push_y", "turn")))
SPEED_X = r"(?:speed_x|o3|robot0_eef_pos\.3)\b"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        what: in words.
        change: what is done to the log.
        checks: names of which one must be said; empty where an error at the place is right.
        place: a regular expression for where.
        log: what is changed.
        formats: in which it is written.
        states: what the manifest says instead.
        notice: whether a notice is enough.
    """

    what: str
    change: Change
    checks: tuple[str, ...]
    place: str = ""
    log: Callable[[], Log] = slides
    formats: tuple[str, ...] = D4RL
    states: Mapping[str, object] = field(default_factory=dict)
    notice: bool = False


def slider() -> Log:
    """The slider with its robot."""
    return slides(robot=True)


def unfollowed(log: Log) -> Log:
    """No next observations, by which an end would be told."""
    return replace(log, follows=False)


def untabled(log: Log) -> Log:
    """No next observations, and no table of episodes, which would be too short for one more."""
    return replace(log, tabled=False, follows=False)


def chain(*changes: Change) -> Change:
    """One after the other."""

    def change(log: Log) -> Log:
        for each in changes:
            log = each(log)
        return log

    return change
