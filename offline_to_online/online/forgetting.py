"""How much of the offline ability a candidate has forgotten, told on the data's own states without moving the robot.

Two questions to its greedy actions at logged states. Does it still do what the better logged episodes did: its
imitation error there, against the error that the handed-off policy and behaviour cloning have themselves? And how far
have its actions moved away from the handed-off policy's, region by region, so that one sees where?

Neither is a verdict. Networks that learn on lose what they are no longer shown (McCloskey and Cohen, The Psychology of
Learning and Motivation 24, 1989), and an error that rises shows that; but where the robot differs from the one that was
logged, better actions differ from the logged ones too. Certification says what a candidate is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import read_json
from offline_to_online.dataset.spec import ActionSchema, Array
from offline_to_online.dataset.store import load_episodes
from offline_to_online.learning.policy import Policy
from offline_to_online.online.run import AUDIT, OnlineRun

FILE = "forgetting.json"
MOST_STEPS = 2000
WORST_REGIONS = 3
# As the support audit counts: a region with a smaller share of the steps says too little to be named the worst.
MINIMUM_SHARE = 0.01
# No policy learned from these; the train part is looked at where the split gives them nothing.
HELD_BACK = ("heldout", "calibration")


class Greedy(Protocol):
    """What is asked of a policy."""

    def act(self, observations: Array) -> Array:
        """Greedy actions (N, A) at observations (N, O)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoggedSteps:
    """Logged states (N, O) and what was executed there (N, A)."""

    observations: Array
    actions: Array


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Mean distance between two policies' greedy actions in some region, and over how many steps.

    The distance at a step is the root mean square over the dimensions, in half ranges: 2 is from bound to bound.
    """

    distance: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """What became of the offline ability.

    Attributes:
        imitation_error: of ``candidate``, ``baseline`` (the handed-off policy) and ``bc``: mean squared error on the
            actions of the better logged episodes, in squared half ranges of a dimension, mean over the dimensions.
        better_steps: over so many steps.
        moved: candidate against baseline, on steps of all those episodes.
        regions: the same by region of the robot, of the states with their logged actions; empty regions are left out.
        held_out: whether no policy learned from these episodes.
    """

    imitation_error: Mapping[str, float]
    better_steps: int
    moved: Moved
    regions: Mapping[str, Moved]
    held_out: bool = True

    def forgotten(self, against: str) -> float:
        """By how much the candidate's imitation error exceeds that of ``baseline`` or ``bc``; below 0: it fell."""
        return self.imitation_error["candidate"] - self.imitation_error[against]

    def ratio(self, against: str) -> float | None:
        """The candidate's imitation error over that of ``baseline`` or ``bc``; None where only theirs is 0."""
        new, old = self.imitation_error["candidate"], self.imitation_error[against]
        return new / old if old else None if new else 1.0

    @property
    def worst_regions(self) -> tuple[str, ...]:
        """Where the actions moved most, worst first; only where they moved, and where there are enough steps."""
        least = MINIMUM_SHARE * self.moved.steps
        enough = {name: m.distance for name, m in self.regions.items() if m.distance > 0 and m.steps >= least}
        return tuple(sorted(enough, key=lambda name: (-enough[name], name))[:WORST_REGIONS])

    def to_json(self) -> dict[str, Any]:
        """All of it by name, the differences and ratios too."""
        return {
            "imitation_error": dict(self.imitation_error),
            "forgotten": {n: {"difference": self.forgotten(n), "ratio": self.ratio(n)} for n in ("baseline", "bc")},
            "moved": self.moved.distance,
            "regions": {n: {"moved": m.distance, "steps": m.steps} for n, m in sorted(self.regions.items())},
            "worst_regions": list(self.worst_regions),
            "steps": self.moved.steps,
            "better_steps": self.better_steps,
            "held_out": self.held_out,
        }


def forgetting(
    candidate: Greedy,
    baseline: Greedy,
    bc: Greedy,
    *,
    better: LoggedSteps,
    everywhere: LoggedSteps,
    masks: Mapping[str, Array],
    action: ActionSchema,
    held_out: bool = True,
) -> Forgetting:
    """Compare three policies on logged steps.

    Args:
        candidate: who may have forgotten.
        baseline: the policy that was handed off.
        bc: behaviour cloning of the log.
        better: steps of the better episodes, N at least 1, for the imitation errors.
        everywhere: steps of all episodes, N at least 1, for how far the actions moved.
        masks: region name -> bool (N,) over ``everywhere``.
        action: its bounds scale every dimension.
        held_out: passed on.
    """
    half = (action.high - action.low).astype(np.float64) / 2
    sides = {"candidate": candidate, "baseline": baseline, "bc": bc}
    errors = {
        name: float(np.mean(_distances(policy.act(better.observations), better.actions, half) ** 2))
        for name, policy in sides.items()
    }
    moved = _distances(candidate.act(everywhere.observations), baseline.act(everywhere.observations), half)
    return Forgetting(
        imitation_error=errors,
        better_steps=len(better.actions),
        moved=_moved(moved),
        regions={name: _moved(moved[mask]) for name, mask in masks.items() if mask.any()},
        held_out=held_out,
    )


def better_half(episodes: Sequence[Episode]) -> list[Episode]:
    """The half (rounded up) with the higher return, whatever their order; equal returns go by score, then content."""
    ranked = sorted(episodes, key=lambda e: (-e.discounted_return(1.0), -e.score, e.identity))
    return ranked[: (len(ranked) + 1) // 2]


def sample_steps(episodes: Sequence[Episode], rng: np.random.Generator, most: int = MOST_STEPS) -> LoggedSteps:
    """At most so many of the episodes' steps, each equally likely, in their order."""
    observations = np.concatenate([e.observations[:-1] for e in episodes])
    actions = np.concatenate([e.actions for e in episodes])
    if len(actions) <= most:
        return LoggedSteps(observations=observations, actions=actions)
    drawn = np.sort(rng.choice(len(actions), size=most, replace=False))
    return LoggedSteps(observations=observations[drawn], actions=actions[drawn])


def own_episodes(folder: Path) -> tuple[list[Episode], bool]:
    """The logged episodes that no policy learned from, or, where there are none, those of the train part and False.

    Args:
        folder: of the handoff's episodes and their split.

    Raises:
        DataError: they are broken.
    """
    held_back = [episode for part in HELD_BACK for episode in load_episodes(folder, part)]
    return (held_back, True) if held_back else (load_episodes(folder, "train"), False)


def forgetting_of(run: OnlineRun, policy: Path) -> Forgetting:
    """What an exported policy has forgotten of the run's handoff; every policy of a run is asked at the same steps.

    Raises:
        DataError: the handed-off episodes are broken.
        PolicyError: one of the three policies cannot be read.
    """
    episodes, held_out = own_episodes(run.handoff_folder / "episodes")
    # Of round 0, which has no candidate: the draw must not depend on the round, or two candidates would not compare.
    rng = run.rng(AUDIT, 0, 1)
    everywhere, better = sample_steps(episodes, rng), sample_steps(better_half(episodes), rng)
    return forgetting(
        Policy.load(policy),
        Policy.load(run.baseline),
        Policy.load(run.handoff_folder / str(run.handoff["bc_baseline"]["path"])),
        better=better,
        everywhere=everywhere,
        masks=run.module.regions(everywhere.observations, everywhere.actions),
        action=run.module.SPEC.action,
        held_out=held_out,
    )


def written(run: OnlineRun, number: int) -> dict[str, Any] | None:
    """What a round's finished audit wrote of this, or None: runs of earlier versions did not ask."""
    path = run.round_folder(number) / AUDIT / FILE
    return dict(read_json(path)) if run.result(number, AUDIT) is not None and path.is_file() else None


def metrics(said: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a ``forgetting.json`` that a tracking server is told."""
    return {
        "forgetting/imitation_error": float(said["imitation_error"]["candidate"]),
        "forgetting/forgotten_since_handoff": float(said["forgotten"]["baseline"]["difference"]),
        "forgetting/forgotten_since_bc": float(said["forgotten"]["bc"]["difference"]),
        "forgetting/moved": float(said["moved"]),
    }


def _distances(actions: Array, others: Array, half: Array) -> Array:
    """Root mean square over the dimensions, in half ranges: float64 (N,) of two (N, A)."""
    apart = (actions.astype(np.float64) - others) / half
    return np.asarray(np.sqrt(np.mean(apart**2, axis=1)))


def _moved(distances: Array) -> Moved:
    return Moved(distance=float(distances.mean()), steps=len(distances))
