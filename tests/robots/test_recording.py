"""Recording a log: reproducible whatever the order and the processes."""

from __future__ import annotations

import numpy as np
import pytest

from offline_to_online.errors import ParameterError
from offline_to_online.robots import Dynamics
from offline_to_online.robots import fetch_pick_and_place as fetch
from offline_to_online.robots._recording import record_log


def identities(counts: dict[str, int], **options: object) -> dict[str, list[str]]:
    episodes = record_log(fetch, counts, 7, **options)
    return {name: [e.identity for e in episodes if e.operator == name] for name in counts}


def test_an_episode_depends_on_its_own_number_alone() -> None:
    """Other operators and their counts, or the order they are named in, change no episode."""
    both = identities({"recovery": 1, "expert": 2})
    assert both["expert"] == identities({"expert": 3})["expert"][:2]
    assert len({*both["expert"], *both["recovery"]}) == 3


def test_processes_change_nothing() -> None:
    """Two processes record the very episodes that one does, and report all of them."""
    seen = list[tuple[int, int]]()
    parallel = identities({"expert": 3}, jobs=2, progress=lambda done, total: seen.append((done, total)))
    assert parallel == identities({"expert": 3})
    assert seen[-1] == (3, 3)


def test_a_recorded_episode_is_whole() -> None:
    """T+1 observations around T float32 actions inside the bounds, the operator's name, the task's seed."""
    (episode,) = record_log(fetch, {"expert": 1}, 0)
    assert episode.observations.shape == (51, 28)
    assert episode.actions.shape == (50, 4)
    assert episode.actions.dtype == episode.observations.dtype == episode.rewards.dtype == np.float32
    assert np.abs(episode.actions).max() <= 1
    assert not episode.intervened.any()
    assert episode.truncated
    assert not episode.terminated
    assert episode.operator == "expert"
    assert episode.seed >= 0
    assert episode.success == (episode.rewards[-1] == 0)


def test_another_seed_or_robot_is_another_log() -> None:
    """The seed of the log, and the dynamics it is recorded on, show in it."""
    one = record_log(fetch, {"expert": 1}, 0)[0].identity
    assert one != record_log(fetch, {"expert": 1}, 1)[0].identity
    assert one != record_log(fetch, {"expert": 1}, 0, dynamics=Dynamics(action_gain=0.5))[0].identity


def test_nothing_asked_is_nothing_recorded() -> None:
    """A count of 0 starts no simulator."""
    assert record_log(fetch, {"expert": 0}, 0) == []


@pytest.mark.parametrize(
    ("counts", "seed", "said"),
    [({"expret": 1}, 0, "expert"), ({"expert": -1}, 0, "at least 0"), ({"expert": 1}, -1, "seed")],
)
def test_what_cannot_be_recorded_is_refused(counts: dict[str, int], seed: int, said: str) -> None:
    """An unknown operator (with the nearest name), a negative count, a negative seed."""
    with pytest.raises(ParameterError, match=said):
        record_log(fetch, counts, seed)
