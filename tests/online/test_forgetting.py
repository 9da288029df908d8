"""Forgetting on the data's own states: how much, since when, and where."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.small_handoff import small_config
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.dataset.manifest import SplitRule
from offline_to_online.dataset.spec import ActionSchema, Array, Dimension
from offline_to_online.dataset.split import Split
from offline_to_online.dataset.store import load_episodes
from offline_to_online.online.beginning import begin
from offline_to_online.online.decide import evidence_of_round, open_registry
from offline_to_online.online.forgetting import (
    Forgetting,
    Greedy,
    LoggedSteps,
    better_half,
    forgetting,
    forgetting_of,
    metrics,
    own_episodes,
    sample_steps,
)
from offline_to_online.online.run import OnlineRun

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
# A half range of 2 in every dimension.
ACTION = ActionSchema(dimensions=tuple(Dimension(name=n, unit="m", low=-1.0, high=3.0) for n in "xy"))


class Shifted:
    """Acts as its first two observations say, plus ``by`` wherever the third is positive."""

    def __init__(self, by: float = 0.0, *, everywhere: bool = False) -> None:
        self._by, self._everywhere = by, everywhere

    def act(self, observations: Array) -> Array:
        """Actions (N, 2)."""
        there = (observations[:, 2:] > 0) | self._everywhere
        shifted: Array = observations[:, :2] + self._by * there
        return shifted


def logged(count: int = 400, *, error: float = 0.0) -> LoggedSteps:
    """Logged states, and actions that ``Shifted()`` misses by ``error`` in the first dimension."""
    observations = np.random.default_rng(0).uniform(-0.5, 0.5, (count, 3)).astype(np.float32)
    return LoggedSteps(observations=observations, actions=observations[:, :2] + np.float32([error, 0.0]))


def compare(candidate: Greedy, *, bc: Greedy | None = None, error: float = 0.2, tiny: int = 0) -> Forgetting:
    """The candidate against ``Shifted()``, with regions ``side/left`` and ``side/right``, and a ``tiny`` one."""
    steps = logged(error=error)
    right = steps.observations[:, 2] > 0
    masks = {"side/left": ~right, "side/right": right, "a/nowhere": np.zeros(400, dtype=bool)}
    first = np.flatnonzero(right)[:tiny]
    masks |= {"a/tiny": np.isin(np.arange(400), first)} if tiny else {}
    return forgetting(candidate, Shifted(), bc or Shifted(), better=steps, everywhere=steps, masks=masks, action=ACTION)


def test_an_identical_policy_forgets_nothing() -> None:
    """No difference to either, a ratio of 1, no movement anywhere, no region to name."""
    found = compare(Shifted())
    assert (found.forgotten("baseline"), found.forgotten("bc")) == (0.0, 0.0)
    assert (found.ratio("baseline"), found.moved.distance, found.worst_regions) == (1.0, 0.0, ())
    assert found.imitation_error["candidate"] == pytest.approx((0.2 / 2) ** 2 / 2)


def test_a_policy_that_differs_in_one_region_is_named_there() -> None:
    """Distances are in half ranges; where it acts as before it has not moved; regions without a step are left out."""
    found = compare(Shifted(1.0))
    assert found.worst_regions == ("side/right",)
    assert set(found.regions) == {"side/left", "side/right"}
    assert found.regions["side/left"].distance == 0.0
    assert found.regions["side/right"].distance == pytest.approx(0.5)
    share = found.regions["side/right"].steps / found.moved.steps
    assert found.moved.distance == pytest.approx(0.5 * share)


def test_what_is_forgotten_is_the_rise_of_the_imitation_error() -> None:
    """Against the handed-off policy's own error, and against behaviour cloning's."""
    found = compare(Shifted(1.0, everywhere=True), bc=Shifted(0.5, everywhere=True), error=0.0)
    assert found.imitation_error == pytest.approx({"candidate": 0.25, "baseline": 0.0, "bc": 0.0625})
    assert found.forgotten("bc") == pytest.approx(0.1875)
    assert found.ratio("bc") == pytest.approx(4.0)
    assert found.ratio("baseline") is None


def test_a_policy_may_also_imitate_better_than_before() -> None:
    """Then the difference is below 0 and the ratio below 1."""
    found = forgetting(
        Shifted(), Shifted(1.0, everywhere=True), Shifted(), better=logged(), everywhere=logged(), masks={},
        action=ACTION,
    )  # fmt: skip
    assert found.forgotten("baseline") == pytest.approx(-0.25)
    assert found.ratio("baseline") == 0.0


@pytest.mark.parametrize(("steps", "named"), [(3, False), (4, True)])
def test_a_region_of_hardly_a_step_is_not_named(steps: int, named: bool) -> None:
    """Less than a hundredth of the steps says too little."""
    assert ("a/tiny" in compare(Shifted(1.0), tiny=steps).worst_regions) == named


def test_it_is_written_whole() -> None:
    """Errors, differences, ratios, regions with their steps, as JSON and as numbers for a server."""
    said = compare(Shifted(1.0)).to_json()
    assert said["worst_regions"] == ["side/right"]
    assert said["regions"]["side/right"]["moved"] == pytest.approx(0.5)
    assert said["steps"] == said["better_steps"] == 400
    told = metrics(said)
    assert told["forgetting/forgotten_since_handoff"] == said["forgotten"]["baseline"]["difference"]
    assert told["forgetting/moved"] == said["moved"] > 0


def episode(value: float, *, score: float = 0.0, steps: int = 4) -> Episode:
    """A made-up episode of a return and a score, its observations counting up from the return."""
    return Episode(
        observations=np.full((steps + 1, 3), value, dtype=np.float32) + np.arange(steps + 1, dtype=np.float32)[:, None],
        actions=np.full((steps, 2), value, dtype=np.float32),
        rewards=np.full(steps, value / steps, dtype=np.float32),
        cost=np.zeros(steps, dtype=np.float32),
        intervened=np.zeros(steps, dtype=bool),
        terminated=False,
        truncated=True,
        operator="human",
        seed=0,
        success=False,
        score=score,
    )


def test_the_better_half_is_by_return_then_by_score() -> None:
    """Rounded up, and whatever order the episodes come in."""
    low, high, tie, better_tie = episode(0), episode(3), episode(1), replace(episode(1), score=0.5)
    better_tie = replace(better_tie, seed=1, observations=better_tie.observations + 0.5)
    for order in ([low, high, tie, better_tie], [better_tie, tie, low, high]):
        assert [(e.rewards.sum(), e.score) for e in better_half(order)] == [(3.0, 0.0), (1.0, 0.5)]
    assert len(better_half([low, high, tie])) == 2
    assert better_half([low]) == [low]


def test_the_sample_is_bounded_and_drawn_by_its_generator() -> None:
    """All steps where there are few; else so many different ones, actions with their observations, by the seed."""
    few = [episode(1), episode(2)]
    assert len(sample_steps(few, np.random.default_rng(0)).actions) == 8
    many = [episode(float(i)) for i in range(50)]
    drawn, again, other = (sample_steps(many, np.random.default_rng(s), most=150) for s in (0, 0, 1))
    assert drawn.observations.shape == (150, 3)
    assert len(np.unique(drawn.observations[:, 0] * 1000 + drawn.actions[:, 0])) == 150
    offset = drawn.observations[:, 0] - drawn.actions[:, 0]
    assert set(offset.tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert np.array_equal(drawn.observations, again.observations)
    assert not np.array_equal(drawn.observations, other.observations)


def test_held_back_episodes_are_asked_where_there_are_any(handoff: Path, tmp_path: Path) -> None:
    """Those of no policy's training; where the split gave all of them to training, those, and it is said."""
    folder = handoff / "episodes"
    apart, held_out = own_episodes(folder)
    train = {e.identity for e in load_episodes(folder, "train")}
    assert held_out
    assert not train & {e.identity for e in apart}
    assert len(apart) == 30 - len(train)
    shutil.copytree(folder, tmp_path / "episodes")
    everyone = tuple(sorted(e.identity for e in load_episodes(folder)))
    rule = SplitRule(train=1.0, calibration=0.0, heldout=0.0)
    whole = Split(train=everyone, calibration=(), heldout=(), rule=rule, seed=0)
    write_json(tmp_path / "episodes" / "split.json", whole.to_json())
    learned_from, held_out = own_episodes(tmp_path / "episodes")
    assert not held_out
    assert len(learned_from) == 30


def test_every_candidate_is_asked_at_the_same_steps(handoff: Path, tmp_path: Path) -> None:
    """The handed-off policy has forgotten nothing of itself, and the answer is the same each time."""
    run = begin(tmp_path, "a", handoff, small_config(), seed=1, jobs=1)
    found = forgetting_of(run, run.baseline)
    assert (found.forgotten("baseline"), found.moved.distance, found.held_out) == (0.0, 0.0, True)
    assert 0 < found.imitation_error["bc"] < 1
    assert set(found.regions) <= set(run.module.regions(np.zeros((1, 28)), np.zeros((1, 4))))
    assert found.better_steps < found.moved.steps <= 2000
    assert forgetting_of(OnlineRun(run.folder), run.baseline) == found


def test_a_round_writes_it_beside_the_audit_and_tells_it(finished: Path) -> None:
    """A file of its own, evidence of a registered policy, and metrics over the collected episodes."""
    run = OnlineRun(finished)
    said = read_json(run.round_folder(1) / "audit" / "forgetting.json")
    assert said == forgetting_of(run, run.round_folder(1) / "candidate" / "policy.safetensors").to_json()
    assert said["moved"] > 0
    assert "moved" not in read_json(run.round_folder(1) / "audit" / "metrics.json")
    assert evidence_of_round(run, 1, run.result(1, "certify"))["forgetting"] == said
    registry, run_id = open_registry(run)
    told = registry.client.get_metric_history(run_id, "forgetting/imitation_error")
    first = {point.step: point.value for point in told}[2]
    assert first == said["imitation_error"]["candidate"]
