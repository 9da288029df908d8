"""Failures are counted by the robot's own taxonomy."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from toy_robot import line

from offline_to_online.errors import RobotError
from offline_to_online.evaluation.failures import classify, tally


def test_tally_counts_kinds_by_name():
    """Every kind that occurred, sorted; successes are not counted."""
    assert list(tally(["short", "", "missed", "short"]).items()) == [("missed", 1), ("short", 2)]


def test_a_kind_outside_the_taxonomy_is_refused():
    """A robot that names a failure it does not declare is told so."""
    module = line()
    module.failure = lambda episode: "exploded"
    with pytest.raises(RobotError, match=r"'exploded'.*one of short"):
        classify(module, SimpleNamespace(success=False))
