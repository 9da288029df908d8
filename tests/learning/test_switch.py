"""The switch to online: what is kept, where schedules stand, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from small_learning import batches, episode, learner, observations, replay
from torch import Tensor

from offline_to_online.errors import ParameterError, PolicyError
from offline_to_online.learning.learner import Learner
from offline_to_online.learning.policy import Policy
from offline_to_online.learning.replay import Mixture, Replay
from offline_to_online.learning.switch import Switch, at


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Learner, Path]:
    """An IQL that has learned a little, and its exported policy."""
    trained = learner("iql", seed=1)
    for batch in batches(5):
        trained.update(batch)
    path = tmp_path_factory.mktemp("offline") / "policy.safetensors"
    trained.export(path)
    return trained, path


def begun(offline: tuple[Learner, Path], **settings: Any) -> Learner:
    """What goes online, made of a learner with other first weights."""
    return Switch(**settings).begin(lambda: learner("iql", seed=2), offline[0].state(), offline[1])


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor], part: str = "") -> bool:
    """Whether the tensors whose names hold a word are alike to the last bit."""
    names = [name for name in first if part in name]
    assert names
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in names)


def moments(state: Mapping[str, Tensor], role: str) -> list[Tensor]:
    """Running means of an optimiser's gradients and of their squares."""
    names = [name for name in state if name.startswith(f"optimiser.{role}.") and state[name].numel() > 1]
    assert names
    return [state[name] for name in names]


def test_offline_rl_that_is_fine_tuned_goes_on_bit_for_bit(offline: tuple[Learner, Path]) -> None:
    """All is kept: the state as it was, and the next update the one that it would have made offline."""
    online = begun(offline)
    assert same(online.state(), offline[0].state())
    alone = learner("iql", seed=3)
    alone.restore(offline[0].state())
    batch = batches(1, seed=9)[0]
    assert online.update(batch) == alone.update(batch)
    assert same(online.state(), alone.state())


def test_bc_initialisation_acts_as_the_policy_and_values_anew(offline: tuple[Learner, Path]) -> None:
    """Policy and data are kept: actions are the exported ones, the critics those of the new weights."""
    online, fresh = begun(offline, keep=("policy", "data")), learner("iql", seed=2)
    policy = Policy.load(offline[1])
    torch.testing.assert_close(
        torch.from_numpy(online.act(observations())), torch.from_numpy(policy.act(observations())), rtol=0, atol=1e-5
    )
    assert same(online.state(), fresh.state(), "network.q_funcs")
    assert not same(online.state(), offline[0].state(), "network.q_funcs")
    assert same(online.state(), fresh.state(), "optimiser.")


@pytest.mark.parametrize("keep", [(), ("data",)])
def test_learning_from_scratch_keeps_neither_policy_nor_values(offline: tuple[Learner, Path], keep: tuple[str]) -> None:
    """The learner is the one that the seed makes."""
    assert same(begun(offline, keep=keep).state(), learner("iql", seed=2).state())


def test_what_batches_are_drawn_from_follows_what_is_kept() -> None:
    """With the logs, a share that the schedule says; without them, what was collected alone."""
    logs, collected = replay(3), Replay(3, 2)
    collected.append(episode(10, offset=1000.0))
    mixed = Switch(online_share=(0.2, 0.8)).sampler(logs, collected, 0.5)
    assert isinstance(mixed, Mixture)
    assert mixed.online_share == pytest.approx(0.5)
    drawn = mixed.sample(100, torch.Generator().manual_seed(0))
    assert int((drawn.observations[:, 0] > 900).sum()) == 50
    for keep in (("policy", "values"), ("policy",), ()):
        assert Switch(keep=keep).sampler(logs, collected, 0.5) is collected


class Scheduled:
    """Writes down what a schedule sets."""

    def __init__(self) -> None:
        self.set: dict[str, float] = {}

    def scale_learning_rates(self, *, actor: float = 1.0, critic: float = 1.0) -> None:
        self.set |= {"actor": actor, "critic": critic}

    def scale_behaviour(self, factor: float) -> None:
        self.set["behaviour"] = factor


@pytest.mark.parametrize(
    ("progress", "actor", "critic", "behaviour"),
    [(0.0, 1.0, 2.0, 1.0), (0.5, 0.5, 3.0, 0.6), (1.0, 0.0, 4.0, 0.2), (1.5, 0.0, 4.0, 0.2)],
)
def test_schedules_are_linear_in_the_budget(progress: float, actor: float, critic: float, behaviour: float) -> None:
    """From the switch to the end of the budget, and beyond it the last value; values alone freeze the policy."""
    switch = Switch(actor_learning_rate=(1, 0), critic_learning_rate=(2, 4), behaviour=(1.0, 0.2))
    seen = Scheduled()
    switch.schedule(seen, progress)  # type: ignore[arg-type]
    assert seen.set == pytest.approx({"actor": actor, "critic": critic, "behaviour": behaviour})
    switch.schedule(seen, progress, values_alone=True)  # type: ignore[arg-type]
    assert seen.set == pytest.approx({"actor": 0.0, "critic": critic, "behaviour": behaviour})


def test_a_schedule_never_leaves_its_pair() -> None:
    """Rounding or a budget that was overdrawn does not carry it beyond."""
    assert [at((0.5, 0.75), progress) for progress in (-1.0, 0.0, 1.0, 2.0)] == [0.5, 0.5, 0.75, 0.75]


def test_values_alone_leave_the_policy_as_it_is(offline: tuple[Learner, Path]) -> None:
    """The critics move, the actions stay; afterwards the policy learns again."""
    online, switch = begun(offline), Switch()
    before, values = online.act(observations()), online.state()
    switch.schedule(online, 0.0, values_alone=True)
    for batch in batches(3, seed=4):
        online.update(batch)
    assert (online.act(observations()) == before).all()
    assert same(online.state(), values, "network.policy")
    assert not same(online.state(), values, "network.q_funcs")
    switch.schedule(online, 0.0)
    for batch in batches(3, seed=4):
        online.update(batch)
    assert not same(online.state(), values, "network.policy")


def test_the_values_optimiser_is_forgotten_where_that_is_asked(offline: tuple[Learner, Path]) -> None:
    """Its moments are zero; weights and the policy's optimiser are as they were."""
    state = begun(offline, reset_critic_optimizer=True).state()
    assert all(not tensor.any() for tensor in moments(state, "critic"))
    assert any(tensor.any() for tensor in moments(offline[0].state(), "critic"))
    assert same(state, offline[0].state(), "network.")
    assert same(state, offline[0].state(), "optimiser.actor")


def test_cloning_goes_through_the_same_switch(tmp_path: Path) -> None:
    """An algorithm without values has nothing to reset, to freeze or to learn anew."""
    cloned = learner("bc", seed=1)
    cloned.export(tmp_path / "policy.safetensors")
    switch = Switch(keep=("policy", "data"), reset_critic_optimizer=True, behaviour=(0.5, 0.5))
    online = switch.begin(lambda: learner("bc", seed=2), cloned.state(), tmp_path / "policy.safetensors")
    assert (online.act(observations()) == cloned.act(observations())).all()
    switch.schedule(online, 0.5, values_alone=True)
    online.update(batches(1)[0])
    assert (online.act(observations()) == cloned.act(observations())).all()


def test_a_policy_of_another_size_is_refused(offline: tuple[Learner, Path]) -> None:
    """Rather than learned on from half of it."""
    with pytest.raises(PolicyError):
        Switch(keep=("policy",)).begin(
            lambda: learner("iql", seed=2, hidden_units=(4,)), offline[0].state(), offline[1]
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keep", ("policy", "date")),
        ("keep", ("values", "data")),
        ("online_share", (0.5, 1.5)),
        ("online_share", 0.5),
        ("online_share", (0.5,)),
        ("actor_learning_rate", (-1.0, 1.0)),
        ("critic_learning_rate", (1.0, float("nan"))),
        ("behaviour", ("a", 1.0)),
        ("warmup_episodes", -1),
        ("warmup_episodes", 1.5),
        ("warmup_episodes", True),
        ("value_updates", -1),
        ("updates_per_step", 0.0),
        ("updates_per_step", float("inf")),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, value: object) -> None:
    """Each by its name in params.yaml."""
    with pytest.raises(ParameterError, match=rf"online\.switch\.{name}"):
        Switch(**{name: value})  # type: ignore[arg-type]


def test_it_survives_json() -> None:
    """Lists become what they were."""
    switch = Switch(keep=("policy", "data"), online_share=(0.25, 1.0))
    assert Switch(**json.loads(json.dumps(asdict(switch)))) == switch
