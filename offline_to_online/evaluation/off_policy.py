"""What a policy is worth by the log alone: fitted Q evaluation, with an interval, of several policies at once.

Le, Voloshin and Yue (ICML 2019) regress Q(s, a) on r + gamma Q(s', pi(s')) over logged transitions, again and again.
Hao et al. (ICML 2021) do that on bootstrap samples of whole episodes, since steps of one episode are no independent
evidence; the spread of the values is that of the estimate. Here every bootstrap sample is a weight of each episode in
the loss of one member of an ensemble, and all members of all policies are one batch of small networks. The policies
share batches, weights and first networks, so that a member's difference between two policies is a paired one.

Each member begins as the value of whoever recorded the log (a regression on returns): what has not been propagated yet
then says that the policies do not differ. Targets stay inside what the rewards could ever add up to. A time-out is
bootstrapped, a terminal is not.

This is no certificate. On data that a policy was trained on the estimate is optimistic, where the data is silent the
networks extrapolate, and data of other dynamics speaks of another robot. All policies suffer it alike, not equally.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import ParameterError, TrainingError
from offline_to_online.evaluation.q_ensemble import QEnsemble
from offline_to_online.learning.learner import CONSTANT_STD, SMALLEST_STD
from offline_to_online.learning.replay import Batch, Replay
from offline_to_online.learning.training import computing_on

# The first part of the updates, in which a member learns what whoever recorded the log was worth.
RETURNS_SHARE = 0.25
ROWS_AT_ONCE = 16_384
Tell = Callable[[int, int], None]
RANGES: Mapping[str, tuple[float, float]] = {
    "margin": (0.0, 1e12),
    "alpha": (1e-6, 0.999),
    "members": (2, 1000),
    "updates": (1, 10**7),
    "batch_size": (1, 10**6),
    "hidden_units": (1, 10**5),
    "learning_rate": (1e-8, 1.0),
}


@dataclass(frozen=True, kw_only=True)
class ScreenConfig:
    """Off-policy evaluation before a candidate may touch the robot. The section ``online.screen`` of params.yaml.

    Attributes:
        enabled: whether candidates are screened at all.
        margin: a candidate is vetoed if it is certainly worse than the champion by more than this (discounted return).
        alpha: error of the interval, both sides together, in (0, 1).
        members: bootstrap samples of the episodes, with a network each (count).
        updates: gradient steps (count).
        batch_size: transitions of one step (count).
        hidden_units: width of each hidden layer (ReLU).
        learning_rate: of Adam, falling to 0 over the updates.
    """

    enabled: bool = True
    margin: float = 0.0
    alpha: float = 0.05
    members: int = 10
    updates: int = 1500
    batch_size: int = 256
    hidden_units: tuple[int, ...] = (64, 64)
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden_units", tuple(self.hidden_units))  # YAML and JSON give lists
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not all(low <= number <= high for number in (value if isinstance(value, tuple) else (value,))):
                limit = f"{low:g} to {high:g}"
                where = f"online.screen.{name}"
                raise ParameterError(f"{name} {value!r}", where=where, limit=limit, remedy="mend params.yaml")


class Acts(Protocol):
    """Whatever can be evaluated: an exported ``Policy``, say."""

    def act(self, observations: Array) -> Array:
        """Greedy actions, float32 (N, A), for observations (N, O), both in robot units."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over initial states of the discounted return, and the interval that it lies in."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class OffPolicyValues:
    """What each member of the ensemble thinks that each policy is worth.

    Attributes:
        members: by the policy's name, float64 (B,): discounted returns, one of each bootstrap sample.
        alpha: error of the intervals, both sides together.
    """

    members: Mapping[str, Array]
    alpha: float

    def value(self, name: str) -> Estimate:
        """What a policy is worth."""
        return _estimate(self.members[name], self.alpha)

    def difference(self, name: str, other: str) -> Estimate:
        """What a policy is worth more than another, member by member."""
        return _estimate(self.members[name] - self.members[other], self.alpha)


def fitted_q(
    replays: Sequence[Replay],
    policies: Mapping[str, Acts],
    config: ScreenConfig,
    *,
    gamma: float,
    generator: torch.Generator,
    progress: Tell | None = None,
) -> OffPolicyValues:
    """Evaluate policies on logged transitions, from the initial states of the logged episodes.

    Beside what the updates draw, its cost is one look at every episode and its first step.

    Args:
        replays: the logged steps, each transition over a single step; rewards as they were.
        policies: by name, at least one.
        config: of which ``enabled`` and ``margin`` do not matter here.
        gamma: discount per step, in [0, 1).
        generator: draws weights, bootstrap samples and batches; the same state gives the same numbers.
        progress: called with (updates done, updates in all).

    Raises:
        ParameterError: a discount outside [0, 1), no policy, or a replay of another discount or of several steps.
        TrainingError: there is no transition, or a value is not finite.
    """
    if not 0.0 <= gamma < 1.0 or not policies:
        what = f"discount {gamma:g}, {len(policies)} policies"
        raise ParameterError(what, where="off-policy evaluation", limit="in [0, 1), at least 1", remedy="mend it")
    if any(replay.gamma != gamma or replay.n_step != 1 for replay in replays):
        what = "a replay whose returns are of another discount, or of several steps"
        raise ParameterError(what, where="off-policy evaluation", limit=f"single steps, {gamma:g}", remedy="mend it")
    if not sum(map(len, replays)):
        raise TrainingError("no transitions to evaluate on", limit="at least 1", remedy="append an episode first")
    with computing_on(1):
        log = _Log(replays, list(policies.values()), config, generator)
        values = _Evaluation(log, config, gamma, generator).run(progress or (lambda done, total: None))
    if not np.isfinite(values).all():
        raise TrainingError("a value is not finite", where="off-policy evaluation", remedy="check rewards for outliers")
    return OffPolicyValues(members=dict(zip(policies, values, strict=True)), alpha=config.alpha)


class _Log:
    """What the updates will draw, gathered once, with what each of P policies would do there.

    Attributes:
        draws: int64 (updates, batch), which of the distinct transitions each batch consists of.
        steps: the D distinct transitions.
        episode: int64 (D,), the episode that each is of.
        initial: (M, O), the first observation of each of M episodes.
        following, beginning: (P, D, A) and (P, M, A), what the policies would do next, and at first.
    """

    def __init__(
        self, replays: Sequence[Replay], policies: Sequence[Acts], config: ScreenConfig, generator: torch.Generator
    ) -> None:
        total = sum(map(len, replays))
        drawn = torch.randint(total, (config.updates, config.batch_size), generator=generator)
        distinct, self.draws = torch.unique(drawn, return_inverse=True)
        self.steps = _gather(replays, distinct)
        starts = _starts(replays)
        self.episode = torch.searchsorted(starts, distinct, right=True) - 1
        self.initial = _gather(replays, starts).observations
        self.following = torch.stack([_actions(policy, self.steps.next_observations) for policy in policies])
        self.beginning = torch.stack([_actions(policy, self.initial) for policy in policies])


class _Evaluation:
    """Networks of B bootstrap members for each of P policies, and the updates that make them their values."""

    def __init__(self, log: _Log, config: ScreenConfig, gamma: float, generator: torch.Generator) -> None:
        self._log, self._config, self._gamma = log, config, gamma
        steps, members = log.steps, config.members
        # The spread of what episodes returned is what a value differs by; in it the networks speak.
        self._centre = steps.returns_to_go.mean()
        spread = steps.returns_to_go.std(correction=0)
        self._spread = torch.where(spread > CONSTANT_STD, spread, torch.ones(()))
        low, high = steps.rewards.min() / (1 - gamma), steps.rewards.max() / (1 - gamma)
        self._low, self._high = low.clamp(max=0), high.clamp(min=0)
        inputs = torch.cat([steps.observations, steps.actions], dim=1)
        std = inputs.std(dim=0, correction=0)
        self._mean = inputs.mean(dim=0)
        self._std = torch.where(std < CONSTANT_STD, torch.ones(()), std.clamp(min=SMALLEST_STD))
        self._inputs = inputs.sub_(self._mean).div_(self._std)
        self._following = self._scaled(steps.next_observations, log.following)
        # How often each episode stands in each bootstrap sample: (B, M).
        episodes = len(log.initial)
        samples = torch.randint(episodes, (members, episodes), generator=generator)
        self._weights = torch.zeros(members, episodes).scatter_add_(1, samples, torch.ones(members, episodes))
        self._networks = QEnsemble(members, inputs.shape[1], config.hidden_units, generator)

    def run(self, tell: Tell) -> Array:
        """The value of each policy by each member: float64 (P, B)."""
        policies, updates = len(self._log.following), self._config.updates
        alone = math.ceil(RETURNS_SHARE * updates)
        # Until targets ask what a policy does, all policies' networks are the same: one set is trained for all.
        self._train(self._networks, range(alone), tell, self._returns)
        networks = self._networks.repeated(policies)
        self._train(networks, range(alone, updates), tell, self._bellman)
        return self._initial_values(networks)

    def _train(
        self, networks: QEnsemble, updates: range, tell: Tell, targets: Callable[[QEnsemble, Tensor], Tensor]
    ) -> None:
        repeats = networks.members // self._config.members
        for done in updates:
            drawn = self._log.draws[done]
            weights = self._weights[:, self._log.episode[drawn]].repeat(repeats, 1)
            rate = self._config.learning_rate * (1 - done / self._config.updates)
            networks.descend(self._inputs[drawn], targets(networks, drawn), weights, rate)
            tell(done + 1, self._config.updates)

    def _returns(self, networks: QEnsemble, drawn: Tensor) -> Tensor:
        """What was earned from each of N steps on: (1, N), as the networks speak."""
        return ((self._log.steps.returns_to_go[drawn, 0] - self._centre) / self._spread).expand(1, -1)

    def _bellman(self, networks: QEnsemble, drawn: Tensor) -> Tensor:
        """Targets (P * B, N) for N steps, as the networks speak."""
        steps = self._log.steps
        value = self._bounded(networks.slow_values(self._following[:, drawn]))
        onwards = (1 - steps.terminals[drawn, 0]) * self._gamma ** steps.intervals[drawn, 0]
        target = (steps.rewards[drawn, 0] + onwards * value).clamp(self._low, self._high)
        return (target - self._centre) / self._spread

    def _initial_values(self, networks: QEnsemble) -> Array:
        log, policies = self._log, len(self._log.following)
        inputs = self._scaled(log.initial, log.beginning)
        parts = [self._bounded(networks.slow_values(part)) for part in torch.split(inputs, ROWS_AT_ONCE, dim=1)]
        values = torch.cat(parts, dim=1).view(policies, self._config.members, -1).double()
        weights = self._weights.double()
        mean: Array = ((values * weights).sum(dim=2) / weights.sum(dim=1)).numpy()
        return mean

    def _bounded(self, spoken: Tensor) -> Tensor:
        """Values in units of return, inside what the rewards could add up to."""
        return (spoken * self._spread + self._centre).clamp(self._low, self._high)

    def _scaled(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Inputs (P, N, O + A) of the networks, of observations (N, O) that P policies share and their actions."""
        both = torch.cat([observations.expand(len(actions), -1, -1), actions], dim=2)
        return both.sub_(self._mean).div_(self._std)


def _estimate(values: Array, alpha: float) -> Estimate:
    """Student's interval: the estimate's error is one more draw of what its bootstrap members are draws of.

    Quantiles of as few members as can be afforded would hardly be more than the smallest and the largest one.
    """
    mean, count = float(values.mean()), len(values)
    reach = float(stats.t.ppf(1 - alpha / 2, count - 1)) * float(values.std(ddof=1)) * math.sqrt(1 + 1 / count)
    return Estimate(value=mean, low=mean - reach, high=mean + reach)


def _starts(replays: Sequence[Replay]) -> Tensor:
    """The first step of each episode of all replays, counted on from one to the next."""
    before = np.cumsum([0, *map(len, replays)])
    return torch.cat([replay.starts.cpu() + int(count) for replay, count in zip(replays, before, strict=False)])


def _gather(replays: Sequence[Replay], steps: Tensor) -> Batch:
    """The given steps, ascending, of all replays."""
    parts, first = [], 0
    for replay in replays:
        mine = steps[(steps >= first) & (steps < first + len(replay))] - first
        parts.append(replay.gather(mine.to(replay.device)))
        first += len(replay)
    return Batch(**{f.name: torch.cat([getattr(part, f.name).cpu() for part in parts]) for f in fields(Batch)})


def _actions(policy: Acts, observations: Tensor) -> Tensor:
    """Greedy actions (N, A), a part of the observations at a time."""
    return torch.cat([torch.from_numpy(policy.act(part.numpy())) for part in torch.split(observations, ROWS_AT_ONCE)])
