"""Support Guard: a critic on Bellman targets, a penalty on unlikely actions, a policy toward high pessimistic value.

The pessimistic value of a candidate action a in a state s takes off what the data does not support,

    G(s, a) = Q(s, a) - beta c P(s, a),     P(s, a) = max(0, floor - log p(a | s)),

where P is given (nats) and c is the difference between the best and the worst reward seen, so that beta has no unit.

Q     (y - Q_i(s, a))^2 for each critic i, y = r + gamma G_min(s', pi(s')) with the smaller of two target critics (each
      pair in its turn; REDQ, Chen et al. 2021, draws them), and y inside what the rewards seen could ever add up to
pi    -G(s, pi(s)) / spread of Q + w (a - pi(s))^2, each tried a weighted by exp(t (V(s, a) - G(s, pi(s))) / c),
      clipped, where V(s, a) = max(Q(s, a), R) and R is what its episode earned from there: toward pessimistic value
      (on a scale of its own, as TD3+BC, Fujimoto and Gu 2021), and toward tried actions, above all those that are worth
      more (as AWAC, Nair et al. 2020) or turned out better (self-imitation, Oh et al. 2018). What went well to its end
      is known at once, whereas values must first travel back through the bootstraps

At first the policy only imitates, so that the penalty finds it near the data. A time-out is bootstrapped, a terminal
is not. w may fall online, where what the policy does is tried and not only guessed.

Both losses are descended in one step, each seeing the networks as they were before it. Several seeds, or several
settings of the weights, learn in one batch: every tensor has a first dimension of runs (R), which never mix.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from offline_to_online.dataset.spec import ActionSchema, Array, ObservationSchema
from offline_to_online.errors import ParameterError, TrainingError
from offline_to_online.learning.algorithms._ensemble import ActorCritic
from offline_to_online.learning.flat_adam import LARGEST_GRADIENT
from offline_to_online.learning.learner import Normaliser, Penalty, check_batch, check_ranges, check_rate_factors
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
        n_step: rewards that a target adds up before it bootstraps (steps).
        tau: share by which the target critics follow the critics at each update. What a failure at the end of an
            episode costs must travel back through dozens of bootstraps within one short round.
        actor_every: the policy moves at every so many updates of the critics (count).
        cloning_updates: first updates in which the policy only imitates, while the critics learn what that is worth
            (count). A policy that has not seen the data yet is driven by the penalty into whatever is likely somewhere,
            and its tanh does not come back from a bound.
        penalty_weight: beta: one nat of penalty costs so many times the difference between the best and the worst
            reward of a step; 0 trusts the critics everywhere.
        behaviour_weight: of the pull toward tried actions, logged and online; the switch may lower it online.
        temperature: how strongly that pull prefers what is worth more than the policy's own, or turned out better than
            that; 0 is cloning.
        max_weight: the largest weight that one transition may get in it, at least 1, which is the smallest.
        exploration_std: standard deviation of exploring actions, as a share of half of each action's range.
    """

    updates: int = 5000
    batch_size: int = 256
    actor_learning_rate: float = 1e-3
    critic_learning_rate: float = 1e-3
    average_decay: float = 0.999
    hidden_units: tuple[int, ...] = (256, 256)
    critics: int = 4
    gamma: float = 0.98
    n_step: int = 1
    tau: float = 0.05
    actor_every: int = 2
    cloning_updates: int = 1500
    penalty_weight: float = 0.1
    behaviour_weight: float = 3.0
    temperature: float = 3.0
    max_weight: float = 10.0
    exploration_std: float = 0.1

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
            n_step=(1, 1000),
            tau=(1e-6, 1.0),
            actor_every=count,
            cloning_updates=(0, 10**9),
            penalty_weight=weight,
            behaviour_weight=weight,
            temperature=(0.0, 1e3),
            max_weight=(1.0, 1e6),
            exploration_std=(0.0, 1.0),
        )


def make(
    config: Config,
    *,
    observation: ObservationSchema,
    action: ActionSchema,
    normaliser: Normaliser,
    seed: int,
    penalty: Penalty | None = None,
    device: str = "cpu",
) -> SupportGuard:
    """A learner with weights drawn from the seed; the global random state stays as it is.

    Without a penalty it acts and judges, but refuses to learn.
    """
    return SupportGuard(
        [config], observation=observation, action=action, normaliser=normaliser, seeds=[seed], penalty=penalty,
        device=device,
    )  # fmt: skip


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
    """The learner, of one run or of several in one batch.

    Args:
        configs: one for each run; they may differ in ``penalty_weight``, ``behaviour_weight`` and ``temperature``.
        observation: names and sizes for the exported policy.
        action: names and bounds.
        normaliser: of the observations.
        seeds: of each run's first weights.
        penalty: what an unlikely action costs; None refuses to learn.
        device: ``cpu``, or torch's name of an accelerator.

    Its updates can be captured (``learning/captured.py``): ``step`` stays on the device, and whose turn it is rests on
    ``updates``, which the host counts.

    ``memory`` holds the smallest and largest reward of a step seen (R, 2; over several steps, their mean), the factor
    of the behaviour weight, and the updates done, of all and of the policy.
    """

    def __init__(
        self,
        configs: Sequence[Config],
        *,
        observation: ObservationSchema,
        action: ActionSchema,
        normaliser: Normaliser,
        seeds: Sequence[int],
        penalty: Penalty | None,
        device: str = "cpu",
    ) -> None:
        memory = {
            "rewards": torch.tensor([[math.inf, -math.inf]]).repeat(len(seeds), 1),
            "behaviour": torch.tensor(1.0),
            "updates": torch.tensor(0, dtype=torch.int64),
            "policy_updates": torch.tensor(0, dtype=torch.int64),
        }
        config = _alike(configs, len(seeds))
        super().__init__(
            config, observation=observation, action=action, normaliser=normaliser, seeds=seeds, memory=memory,
            device=device,
        )  # fmt: skip
        self._config, self._penalty, self.updates = config, penalty, 0
        self._weights = {
            name: torch.tensor([[getattr(each, name)] for each in configs], device=device) for name in OF_A_RUN
        }
        self._pairs = list(itertools.combinations(range(config.critics), 2))
        self.turns = math.lcm(config.actor_every, len(self._pairs))

    def update(self, batch: Batch) -> dict[str, float]:
        """One step of the critics, and of the policy where it is its turn; raises as ``Learner.update`` does.

        Several runs take a batch of theirs each, stacked (R, N, ...), and tell the means of their losses.
        """
        where = f"update {self.updates + 1}"
        check_batch(batch, where=where)
        told = self.step(batch)
        names, values = list(told), torch.stack(list(told.values())).tolist()
        losses = dict(zip(names, values, strict=True))
        if not losses.pop("sound"):
            self.updates -= 1
            raise TrainingError(
                "the loss or its gradient is not finite, or too large",
                where=where,
                limit=f"a gradient of norm below {LARGEST_GRADIENT:g}; the update was not applied",
                remedy="check rewards and observations for outliers, or lower the learning rate",
            )
        return losses

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """``update`` on the device alone: nothing waits, and what is not sound is told instead of raised.

        Returns:
            The losses by name and ``sound``, scalars: whether the step was taken. If not, all that ``state`` holds is
            as it was; only the turns of the policy and of the target critics go on.

        Raises:
            TrainingError: the learner was made without a penalty.
        """
        if self._penalty is None:
            raise TrainingError("no support penalty to learn with", remedy="give make() its penalty")
        batch = batch if batch.actions.ndim > 2 else _of_one_run(batch)
        seen = self.memory["rewards"].clone()
        self.memory["rewards"].copy_(_widened(seen, batch.rewards / self._steps_summed(batch.intervals)))
        loss, told, worth = self.critic_loss(batch)
        acts = self.updates % self._config.actor_every == 0 and self.adams["actor"].rate > 0
        if acts:
            actor_loss, of_actor = self.actor_loss(batch, worth)
            loss, told = loss + actor_loss, told | of_actor
        sound = self.descend(loss.sum(), ("critic", "actor") if acts else ("critic",))
        self._follow(sound, seen, acts)
        return {name: value.detach().mean() for name, value in told.items()} | {"sound": sound.float()}

    def critic_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Squared Bellman error (R,) of every critic against the same pessimistic target.

        Returns:
            The loss, what is told of it, and the critics' mean value (R, N) of the logged actions, without a gradient.
        """
        values = self.critics(self.normalised(batch.observations), self.squashed(batch.actions))
        loss = (values - self.target(batch).unsqueeze(1)).square().mean(dim=(1, 2))
        worth = values.detach().mean(dim=1)
        return loss, {"critic_loss": loss, "value": worth}, worth

    def actor_loss(self, batch: Batch, worth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Toward high pessimistic value, and toward tried actions that are or earned more than the policy's own; (R,).

        Args:
            batch: of each run.
            worth: the critics' mean value (R, N) of the logged actions.
        """
        observations, logged = self.normalised(batch.observations), self.squashed(batch.actions)
        proposed = self.actor(observations)
        apart = (proposed - logged).square().mean(dim=-1)
        if self.updates < self._config.cloning_updates:
            loss = apart.mean(dim=-1)
            return loss, {"actor_loss": loss, "behaviour_loss": loss}
        penalties = self.penalties(batch.observations, proposed)
        unit = self._unit()
        value = self.critics(observations, proposed, frozen=True).mean(dim=1) / unit
        pessimistic, worth = value - self._weights["penalty_weight"] * penalties, worth / unit
        earned = torch.maximum(worth, batch.returns_to_go[..., 0] / unit)
        better = (self._weights["temperature"] * (earned - pessimistic.detach())).exp()
        # Never below 1: a policy that overrates itself must not lose its hold on the data.
        better = better.clamp(1.0, self._config.max_weight)
        behaviour = (better * apart).mean(dim=-1)
        spread = worth.std(dim=-1, correction=0).clamp(min=SMALLEST_SPREAD)
        weight = self._weights["behaviour_weight"][:, 0] * self.memory["behaviour"]
        loss = weight * behaviour - pessimistic.mean(dim=-1) / spread
        told = {"actor_loss": loss, "behaviour_loss": behaviour, "penalty": penalties}
        return loss, told | {"share_penalised": (penalties > 0).float()}

    @torch.no_grad()
    def target(self, batch: Batch) -> Tensor:
        """Bellman targets (R, N): the rewards, and the pessimistic value of what the policy would do next."""
        following = self.normalised(batch.next_observations)
        proposed = self.actor(following)
        pair = self._pairs[self.updates % len(self._pairs)]
        value = self.targets(following, proposed, members=pair).amin(dim=1)
        penalties = self.penalties(batch.next_observations, proposed)
        value = value - self._weights["penalty_weight"] * self._unit() * penalties
        left = self._config.gamma ** batch.intervals[..., 0] * (1 - batch.terminals[..., 0])
        target: Tensor = batch.rewards[..., 0] + left * value
        low, high = self._bounds()
        return target.clamp(low, high)

    def penalties(self, observations: Tensor, proposed: Tensor) -> Tensor:
        """Nats (R, N) of squashed candidate actions (R, N, A) at observations (R, N, O) in robot units."""
        penalty = cast("Penalty", self._penalty)  # ``step`` refuses to begin without one
        nats = penalty(observations.flatten(0, 1), self.in_robot_units(proposed).flatten(0, 1))
        return nats.view(proposed.shape[:2])

    def scale_behaviour(self, factor: float) -> None:
        """As ``Learner.scale_behaviour``: of the pull toward logged actions.

        Raises:
            TrainingError: a factor that is negative or not finite.
        """
        check_rate_factors(behaviour=factor)
        self.memory["behaviour"].fill_(factor)

    def steady(self) -> int:
        """As ``Capturable.steady``: until the policy no longer only imitates, and from then on for ever."""
        left = self._config.cloning_updates - self.updates
        return left if left > 0 else sys.maxsize

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """As ``Learner.restore``."""
        super().restore(state)
        self.updates = int(self.memory["updates"])

    def _steps_summed(self, intervals: Tensor) -> Tensor:
        """How many undiscounted steps the discounted reward of one each adds up to, over so many steps."""
        gamma = self._config.gamma
        return (1 - gamma**intervals) / (1 - gamma)

    def _unit(self) -> Tensor:
        """The difference between the best and the worst reward seen (R, 1); 1 where all were alike."""
        low, high = self.memory["rewards"].unsqueeze(-1).unbind(dim=1)
        return torch.where(high > low, high - low, torch.ones_like(low))

    def _bounds(self) -> tuple[Tensor, Tensor]:
        """What the rewards seen could at least and at most add up to, for ever or until a terminal; (R, 1) each."""
        low, high = (self.memory["rewards"].unsqueeze(-1) / (1 - self._config.gamma)).unbind(dim=1)
        return low.clamp(max=0), high.clamp(min=0)

    def _follow(self, sound: Tensor, seen: Tensor, acts: bool) -> None:
        """What moves after a step that was taken; the rewards seen go back to what they were after one that was not."""
        moved = self.memory["policy_updates"] + (sound if acts else 0)
        self.follow(sound, moved if acts else None)
        self.memory["policy_updates"].copy_(moved)
        self.memory["rewards"].copy_(torch.where(sound, self.memory["rewards"], seen))
        self.memory["updates"].add_(sound)
        self.updates += 1


OF_A_RUN = ("penalty_weight", "behaviour_weight", "temperature")


def _alike(configs: Sequence[Config], runs: int) -> Config:
    """The settings that all runs share, as the first has them; a setting that must not differ does not."""
    plain = {name: getattr(configs[0], name) for name in OF_A_RUN}
    if len(configs) != runs or any(dataclasses.replace(each, **plain) != configs[0] for each in configs):
        raise ParameterError(
            f"{len(configs)} settings for {runs} runs in one batch",
            where="support_guard",
            limit=f"one each, alike but for {', '.join(OF_A_RUN)}",
            remedy="train them one after another",
        )
    return configs[0]


def _of_one_run(batch: Batch) -> Batch:
    return Batch(**{each.name: getattr(batch, each.name).unsqueeze(0) for each in dataclasses.fields(Batch)})


def _widened(seen: Tensor, rewards: Tensor) -> Tensor:
    """The smallest and the largest reward (R, 2), those of a batch (R, N, 1) among them."""
    low, high = rewards.aminmax(dim=1)
    return torch.cat([torch.minimum(seen[:, :1], low), torch.maximum(seen[:, 1:], high)], dim=1)
