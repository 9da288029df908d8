"""Support Guard: a critic on Bellman targets, a penalty on unlikely actions, a policy toward high pessimistic value.

The pessimistic value of a candidate action a in a state s takes off what the data does not support,

    G(s, a) = Q(s, a) - beta c P(s, a),     P(s, a) = max(0, floor - log p(a | s)),

where P is given (nats) and c is the difference between the best and the worst reward seen, so that beta has no unit.

Q     (y - Q_i(s, a))^2 for each critic i, y = r + gamma G_min(s', pi(s')) with the smaller of two target critics (each
      pair in its turn; REDQ, Chen et al. 2021, draws them), and y inside what the rewards seen could ever add up to
pi    -G(s, pi(s)) / spread of Q + w (a - pi(s))^2, each logged a weighted by exp(t (Q(s, a) - G(s, pi(s))) / c),
      clipped: toward pessimistic value (on a scale of its own, as TD3+BC, Fujimoto and Gu 2021), and toward logged
      actions, above all those that are worth more (as AWAC, Nair et al. 2020)

At first the policy only imitates, so that the penalty finds it near the data. A time-out is bootstrapped, a terminal
is not. w falls online, where what the policy does is tried and not only guessed.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from offline_to_online.dataset.spec import ActionSchema, Array, ObservationSchema
from offline_to_online.errors import TrainingError
from offline_to_online.learning.algorithms._ensemble import ActorCritic
from offline_to_online.learning.learner import Normaliser, Penalty, check_batch, check_ranges
from offline_to_online.learning.replay import Batch

NEEDS_SUPPORT = True
NEEDS_PENALTY = True
PESSIMISM = (
    "a support penalty: every candidate action's value is lowered by how far its log-probability under the learned "
    "behaviour lies below what the log's own held-out actions have, in the critics' targets and in the policy's "
    "objective; the smaller of two critics counts; models/<policy>/penalty_by_region.json says where it acts"
)

# Of logged values, in differences between the best and the worst reward: below it they are all alike.
SMALLEST_SPREAD = 0.01
Loss = tuple[Tensor, dict[str, Tensor]]
"""What is descended, and what is told of it by name."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of Support Guard.

    Attributes:
        updates: gradient steps of the offline training.
        batch_size: transitions per gradient step.
        actor_learning_rate: of Adam, for the policy.
        critic_learning_rate: of Adam, for the critics.
        average_decay: of the moving average of the policy's weights that acts, per update of the policy, in [0, 1);
            0 is the last weights. It covers no more than about the last tenth of them, whatever the decay.
        hidden_units: width of each hidden layer (ReLU) of every network.
        critics: how many; their mean moves the policy, their spread is the disagreement that the audit shows.
        gamma: discount per step.
        tau: share by which the target critics follow the critics at each update.
        actor_every: the policy moves at every so many updates of the critics (count).
        cloning_updates: first updates in which the policy only imitates, while the critics learn what that is worth
            (count). A policy that has not seen the data yet is driven by the penalty into whatever is likely somewhere,
            and its tanh does not come back from a bound.
        penalty_weight: beta: one nat of penalty costs so many times the difference between the best and the worst
            reward of a step; 0 trusts the critics everywhere.
        behaviour_weight: of the pull toward logged actions, offline.
        behaviour_weight_online: what that weight falls to online.
        behaviour_updates_online: online updates in which it goes about two thirds of that way (count).
        temperature: how strongly that pull prefers logged actions worth more than the policy's own; 0 is cloning.
        max_weight: the largest weight that one transition may get in it, at least 1, which is the smallest.
        exploration_std: standard deviation of exploring actions, as a share of half of each action's range.
        online: whether the behaviour weight falls; an online run sets it.
    """

    updates: int = 5000
    batch_size: int = 256
    actor_learning_rate: float = 1e-3
    critic_learning_rate: float = 1e-3
    average_decay: float = 0.999
    hidden_units: tuple[int, ...] = (256, 256)
    critics: int = 4
    gamma: float = 0.98
    tau: float = 0.01
    actor_every: int = 2
    cloning_updates: int = 1500
    penalty_weight: float = 0.1
    behaviour_weight: float = 3.0
    behaviour_weight_online: float = 1.0
    behaviour_updates_online: int = 2000
    temperature: float = 3.0
    max_weight: float = 10.0
    exploration_std: float = 0.1
    online: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden_units", tuple(self.hidden_units))  # YAML gives a list
        rate, weight, count = (1e-8, 1.0), (0.0, 1e6), (1, 10**6)
        check_ranges(
            self,
            updates=(0, 10**9),
            batch_size=count,
            actor_learning_rate=rate,
            critic_learning_rate=rate,
            average_decay=(0.0, 0.999999),
            hidden_units=(1, 10**5),
            critics=(2, 100),
            gamma=(0.0, 0.999999),
            tau=(1e-6, 1.0),
            actor_every=count,
            cloning_updates=(0, 10**9),
            penalty_weight=weight,
            behaviour_weight=weight,
            behaviour_weight_online=weight,
            behaviour_updates_online=count,
            temperature=(0.0, 1e3),
            max_weight=(1.0, 1e6),
            exploration_std=(0.0, 1.0),
        )

    def for_online(self) -> Config:
        """The same, with a behaviour weight that falls; a state of either fits the other."""
        return dataclasses.replace(self, online=True)


def make(
    config: Config,
    *,
    observation: ObservationSchema,
    action: ActionSchema,
    normaliser: Normaliser,
    seed: int,
    penalty: Penalty | None = None,
) -> SupportGuard:
    """A learner with weights drawn from the seed; the global random state stays as it is.

    Without a penalty it acts and judges, but refuses to learn.
    """
    return SupportGuard(
        config, observation=observation, action=action, normaliser=normaliser, seed=seed, penalty=penalty
    )


def disagreement(
    config: Config, state: Mapping[str, Tensor], *, observation: ObservationSchema, action: ActionSchema
) -> Callable[[Array, Array], Array]:
    """``SupportGuard.disagreement`` of a saved state.

    Raises:
        PolicyError: the state is of another algorithm or size.
    """
    nothing = Normaliser.identity(observation.size)
    learner = make(config, observation=observation, action=action, normaliser=nothing, seed=0)
    learner.restore(state)
    return learner.disagreement


class SupportGuard(ActorCritic):
    """The learner; ``memory`` holds the smallest and largest reward seen, the behaviour weight and the updates done."""

    def __init__(
        self,
        config: Config,
        *,
        observation: ObservationSchema,
        action: ActionSchema,
        normaliser: Normaliser,
        seed: int,
        penalty: Penalty | None,
    ) -> None:
        memory = {
            "rewards": torch.tensor([math.inf, -math.inf]),
            "behaviour_weight": torch.tensor(config.behaviour_weight),
            "updates": torch.tensor(0, dtype=torch.int64),
        }
        super().__init__(
            config, observation=observation, action=action, normaliser=normaliser, seed=seed, memory=memory
        )
        self._config, self._penalty = config, penalty
        self._pairs = list(itertools.combinations(range(config.critics), 2))

    def update(self, batch: Batch) -> dict[str, float]:
        """The critics' step, and the policy's where it is its turn; raises as ``Learner.update`` does."""
        done = int(self.memory["updates"])
        where = f"update {done + 1}"
        check_batch(batch, where=where)
        memory, steps, acts = dict(self.memory), self.adams["critic"].steps, done % self._config.actor_every == 0
        self.memory["rewards"] = _widened(memory["rewards"], batch.rewards)
        try:
            told = self._descend_told("critic", *self.critic_loss(batch))
            if acts:
                with self.frozen_critics():
                    told |= self._descend_told("actor", *self.actor_loss(batch))
        except TrainingError as error:
            self.memory = memory
            self.adams["critic"].undo_after(steps)
            raise TrainingError(error.what, where=where, limit=error.limit, remedy=error.remedy) from error
        self._follow(done, acts)
        return told

    def critic_loss(self, batch: Batch) -> Loss:
        """Squared Bellman error of every critic against the same pessimistic target."""
        target = self.target(batch)
        values = self.critics(self.normalised(batch.observations), self.squashed(batch.actions))
        loss = (values - target).square().mean()
        return loss, {"critic_loss": loss, "value": values.mean()}

    def actor_loss(self, batch: Batch) -> Loss:
        """Toward high pessimistic value, and toward logged actions that are worth more than the policy's own."""
        observations, logged = self.normalised(batch.observations), self.squashed(batch.actions)
        proposed = self.actor(observations)
        penalties = self.penalties(batch.observations, proposed)
        apart = (proposed - logged).square().mean(dim=1)
        if int(self.memory["updates"]) < self._config.cloning_updates:
            loss = behaviour = apart.mean()
        else:
            pessimistic = self.value(observations, proposed) - self._config.penalty_weight * penalties
            worth = self.value(observations, logged).detach()
            weight = (self._config.temperature * (worth - pessimistic.detach())).exp()
            # Never below 1: a policy that overrates itself must not lose its hold on the data.
            behaviour = (weight.clamp(1.0, self._config.max_weight) * apart).mean()
            spread = worth.std(correction=0).clamp(min=SMALLEST_SPREAD)
            loss = self.memory["behaviour_weight"] * behaviour - pessimistic.mean() / spread
        told = {"actor_loss": loss, "behaviour_loss": behaviour, "penalty": penalties.mean()}
        return loss, told | {"share_penalised": (penalties > 0).float().mean()}

    def value(self, observations: Tensor, squashed: Tensor) -> Tensor:
        """The critics' mean (N,), in differences between the best and the worst reward."""
        values: Tensor = self.critics(observations, squashed)
        return values.mean(dim=0) / self._unit()

    @torch.no_grad()
    def target(self, batch: Batch) -> Tensor:
        """Bellman targets (N,): the reward, and the pessimistic value of what the policy would do next."""
        following = self.normalised(batch.next_observations)
        proposed = self.actor(following)
        pair = self._pairs[int(self.memory["updates"]) % len(self._pairs)]
        value = self.targets(following, proposed)[list(pair)].amin(dim=0)
        value -= self._config.penalty_weight * self._unit() * self.penalties(batch.next_observations, proposed)
        target: Tensor = batch.rewards[:, 0] + self._config.gamma * (1 - batch.terminals[:, 0]) * value
        return target.clamp(*self._bounds())

    def penalties(self, observations: Tensor, proposed: Tensor) -> Tensor:
        """Nats (N,) of squashed candidate actions (N, A) at observations (N, O) in robot units.

        Raises:
            TrainingError: the learner was made without a penalty.
        """
        if self._penalty is None:
            raise TrainingError("no support penalty to learn with", remedy="give make() its penalty")
        return self._penalty(observations, self.in_robot_units(proposed))

    def _unit(self) -> Tensor:
        """The difference between the best and the worst reward seen; 1 where all were alike."""
        low, high = self.memory["rewards"]
        return torch.where(high > low, high - low, torch.ones(()))

    def _bounds(self) -> tuple[Tensor, Tensor]:
        """What the rewards seen could at least and at most add up to, for ever or until a terminal."""
        low, high = self.memory["rewards"] / (1 - self._config.gamma)
        return low.clamp(max=0), high.clamp(min=0)

    def _descend_told(self, role: str, loss: Tensor, told: Mapping[str, Tensor]) -> dict[str, float]:
        self.descend(role, loss)
        return {name: value.item() for name, value in told.items()}

    @torch.no_grad()
    def _follow(self, done: int, acts: bool) -> None:
        """What moves after both steps: the targets, the average that acts, and online the behaviour weight."""
        if acts and self.adams["actor"].rate:  # a frozen policy does not catch up with itself either
            self.average.follow(done // self._config.actor_every + 1)
        for target, critic in zip(self.targets.parameters(), self.critics.parameters(), strict=True):
            target.lerp_(critic, self._config.tau)
        if self._config.online:
            way = self._config.behaviour_weight_online - self.memory["behaviour_weight"]
            self.memory["behaviour_weight"] = (
                self.memory["behaviour_weight"] + way / self._config.behaviour_updates_online
            )
        self.memory["updates"] = self.memory["updates"] + 1


def _widened(seen: Tensor, rewards: Tensor) -> Tensor:
    """The smallest and the largest reward (2,), a batch's (N, 1) among them."""
    return torch.stack([torch.minimum(seen[0], rewards.min()), torch.maximum(seen[1], rewards.max())])
