"""One small handoff for all tests of online runs, and one run of it from beginning to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.small_handoff import shared_handoff, small_config
from tests.online.small_run import play_to_the_end


@pytest.fixture(scope="session")
def handoff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small handoff, made once."""
    return shared_handoff(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def finished(handoff: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nobody interrupted: two rounds, two accepted candidates."""
    root = tmp_path_factory.mktemp("online")
    return play_to_the_end(root, "run-001", handoff, small_config())
