"""The switch: how learning goes over from the logs to the robot.

A pair is a value at the switch and one at the end of the budget of online episodes; in between it is linear in the
share of that budget which has been collected. So nothing but the number of collected episodes says where a schedule
stands, and a run that was killed goes on with the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from offline_to_online.errors import ParameterError
from offline_to_online.learning.learner import Learner
from offline_to_online.learning.replay import Mixture, Sampler

POLICY, VALUES, DATA = "policy", "values", "data"
Pair = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Switch:
    """What goes online, and how fast reliance shifts. The section ``online.switch`` of params.yaml.

    Attributes:
        keep: what of the offline phase goes on, of ``policy``, ``values`` and ``data``. All three is offline RL that is
            fine-tuned; policy and data, the values being learned anew, is BC initialisation with data reuse; policy and
            values without data is no retention (Zhou et al. 2024); nothing at all is learning from scratch.
        warmup_episodes: first episodes, collected with frozen weights (episodes).
        value_updates: first updates after the switch, in which the values alone learn (count).
        updates_per_step: gradient steps for each control step collected.
        online_share: pair; share of online transitions in a batch.
        actor_learning_rate: pair; of the policy, in multiples of the offline one.
        critic_learning_rate: pair; of the values, in multiples of the offline one.
        behaviour: pair; weight of the behaviour regularisation, in multiples of the offline one.
        reset_critic_optimizer: whether the moments of the values' optimiser are forgotten at the switch (Mark et al.
            2024): they were gathered on other data.
    """

    keep: tuple[str, ...] = (POLICY, VALUES, DATA)
    warmup_episodes: int = 0
    value_updates: int = 0
    updates_per_step: float = 1.0
    online_share: Pair = (0.5, 0.5)
    actor_learning_rate: Pair = (1.0, 1.0)
    critic_learning_rate: Pair = (1.0, 1.0)
    behaviour: Pair = (1.0, 1.0)
    reset_critic_optimizer: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "keep", tuple(self.keep))  # YAML gives lists
        if set(self.keep) - {POLICY, VALUES, DATA} or (VALUES in self.keep and POLICY not in self.keep):
            raise _refusal("keep", self.keep, "policy, values, data; values only with the policy they are of")
        for name, most in PAIRS.items():
            pair = tuple(getattr(self, name)) if isinstance(getattr(self, name), list | tuple) else ()
            if len(pair) != 2 or not all(_is_number(x) and 0.0 <= x <= most for x in pair):
                raise _refusal(name, getattr(self, name), f"a pair of numbers in [0, {most:g}]")
            object.__setattr__(self, name, (float(pair[0]), float(pair[1])))
        for name in ("warmup_episodes", "value_updates"):
            count = getattr(self, name)
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise _refusal(name, count, "a whole number, at least 0")
        if not (_is_number(self.updates_per_step) and self.updates_per_step > 0):
            raise _refusal("updates_per_step", self.updates_per_step, "above 0")

    def begin(self, make: Callable[[], Learner], state: Mapping[str, Tensor], policy: Path) -> Learner:
        """The learner that goes online.

        Args:
            make: makes a learner with new weights.
            state: the offline learner's.
            policy: its exported policy, or another one of the same size (a clone's).

        Raises:
            PolicyError: state or policy does not fit the learner.
        """
        learner = make()
        if VALUES in self.keep:
            learner.restore(state)
        elif POLICY in self.keep:
            learner.adopt(policy)
        if self.reset_critic_optimizer:
            learner.reset_critic_optimizer()
        return learner

    def schedule(self, learner: Learner, progress: float, *, values_alone: bool = False) -> None:
        """Set the learner's rates and behaviour weight to where the schedule stands.

        Args:
            learner: set in place.
            progress: share of the budget of online episodes that has been collected, in [0, 1].
            values_alone: whether these are among the first ``value_updates``.
        """
        actor = 0.0 if values_alone else at(self.actor_learning_rate, progress)
        learner.scale_learning_rates(actor=actor, critic=at(self.critic_learning_rate, progress))
        learner.scale_behaviour(at(self.behaviour, progress))

    def sampler(self, offline: Sampler, online: Sampler, progress: float) -> Sampler:
        """What batches are drawn from."""
        if DATA not in self.keep:
            return online
        return Mixture(offline=offline, online=online, online_share=at(self.online_share, progress))


def at(pair: Pair, progress: float) -> float:
    """Where a schedule stands after a share of the budget; beyond it, its last value."""
    first, last = pair
    return first + (last - first) * min(max(progress, 0.0), 1.0)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refusal(name: str, value: object, limit: str) -> ParameterError:
    return ParameterError(f"{name} {value!r}", where=f"online.switch.{name}", limit=limit, remedy="mend params.yaml")


PAIRS: Mapping[str, float] = {
    "online_share": 1.0,
    "actor_learning_rate": 1e3,
    "critic_learning_rate": 1e3,
    "behaviour": 1e3,
}
