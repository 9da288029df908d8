"""Fetch with a button that somebody presses in the fourth step of its first episode: a robot from outside the project.

Worker processes import it by its dotted name, which nothing patched in this process would reach.
"""

from __future__ import annotations

from typing import Any

from offline_to_online.robots import Dynamics
from offline_to_online.robots import fetch_pick_and_place as fetch
from tests.online.held_robot import HeldRobot

SPEC = fetch.SPEC


def make(dynamics: Dynamics) -> HeldRobot:
    """The simulator, with the button."""
    return HeldRobot(fetch.make(dynamics), button=3)


def __getattr__(name: str) -> Any:
    """Everything else is Fetch's."""
    return getattr(fetch, name)
