"""What cannot be saved: the matrix products of one update, counted from an algorithm's Config, and multiplied alone.

Counted is what an update needs at least, with the batch and layers that it uses: no bias, activation, normalisation,
loss, optimiser, target average, check or batch. A product stands once where the algorithm can do with once, even if it
is computed twice. Going backward a layer needs two: the gradient of its weights (inputs transposed by gradient) and
that of its inputs (gradient by weights transposed); the first layer's inputs need none, but for the actions through
which a critic moves a policy. Of a frozen critic only the second kind is counted.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from offline_to_online.support.behaviour import BehaviourConfig
from offline_to_online.support.behaviour_network import layer_shapes

TARGETS = 2  # critics whose smaller value is a target of Support Guard's
TRIALS = 3


@dataclass(frozen=True)
class Product:
    """(rows, inner) by (inner, columns), for each of so many members, at every so many updates."""

    rows: int
    inner: int
    columns: int
    members: int = 1
    every: int = 1

    @property
    def operations(self) -> float:
        """Multiplications and additions of an update, on average."""
        return 2.0 * self.members * self.rows * self.inner * self.columns / self.every


@dataclass(frozen=True)
class Network:
    """A perceptron's widths from inputs to outputs, for each of so many members."""

    widths: tuple[int, ...]
    members: int = 1

    def forward(self, rows: int) -> list[Product]:
        """From inputs to outputs."""
        return [Product(rows, i, o, self.members) for i, o in itertools.pairwise(self.widths)]

    def weights(self, rows: int) -> list[Product]:
        """The gradients of all weights, those of the layers' outputs being there."""
        return [Product(i, rows, o, self.members) for i, o in itertools.pairwise(self.widths)]

    def inputs(self, rows: int, first: int = 0) -> list[Product]:
        """The gradients of every hidden layer's inputs, and of so many of the first one's."""
        widths = (first, *self.widths[1:])
        return [Product(rows, o, i, self.members) for i, o in itertools.pairwise(widths) if i]

    def learning(self, rows: int) -> list[Product]:
        """Forward and backward to the weights."""
        return self.forward(rows) + self.weights(rows) + self.inputs(rows)


def at_every(count: int, products: Sequence[Product]) -> list[Product]:
    """The same, at every so many updates alone."""
    return [replace(each, every=count) for each in products]


def bc(config: Any, observations: int, actions: int) -> list[Product]:
    """The policy learns."""
    return _actor(config, observations, actions).learning(config.batch_size)


def iql(config: Any, observations: int, actions: int) -> list[Product]:
    """Critics, value and policy learn; the value is asked of the next state, and again for the policy's weights."""
    n, critics = config.batch_size, _critics(config, observations, actions)
    value = Network((observations, *config.hidden_units, 1))
    values = value.forward(n) + critics.forward(n) + critics.learning(n) + value.learning(n)
    return values + value.forward(n) + _actor(config, observations, actions).learning(n)


def awac(config: Any, observations: int, actions: int) -> list[Product]:
    """Critics learn; then they are asked of logged and of the policy's actions, which learns by cloning."""
    n, critics, actor = (
        config.batch_size,
        _critics(config, observations, actions),
        _actor(config, observations, actions),
    )
    drawn = n * config.action_samples
    targets = actor.forward(n) + critics.forward(n)
    return targets + critics.learning(n) + critics.forward(n) + critics.forward(drawn) + actor.learning(n)


def td3_bc(config: Any, observations: int, actions: int) -> list[Product]:
    """Critics learn; at every so many updates the policy does, through the first critic."""
    return _td3(config, observations, actions, through=1)


def rebrac(config: Any, observations: int, actions: int) -> list[Product]:
    """As TD3+BC, but through the smallest critic."""
    return _td3(config, observations, actions, through=config.critics)


def cql(config: Any, observations: int, actions: int) -> list[Product]:
    """Critics learn from logged actions and from those drawn here, in the next state and at random; then the policy."""
    n, critics = config.batch_size, _critics(config, observations, actions)
    drawn = n * config.action_samples
    # Mean and deviation of the policy both come from the state.
    actor = Network((observations, *config.hidden_units, 2 * actions))
    targets = actor.forward(n) + critics.forward(n)
    learning = critics.learning(n) + 3 * critics.learning(drawn)
    return targets + learning + actor.learning(n) + critics.forward(n) + critics.inputs(n, actions)


def support_guard(config: Any, observations: int, actions: int) -> list[Product]:
    """Two targets of what the policy does next and its penalty; the critics' step; at its turn the policy's.

    The policy's needs the values and the penalty of its own action, both with their gradients; what the logged action
    is worth is known from the critics' step.
    """
    n, actor = config.batch_size, _actor(config, observations, actions)
    critics = _critics(config, observations, actions)
    targets = replace(critics, members=min(TARGETS, config.critics))
    penalty, leading_back = _penalty(n, observations, actions)
    target = actor.forward(n) + targets.forward(n) + penalty
    moving = actor.learning(n) + critics.forward(n) + critics.inputs(n, actions) + penalty + leading_back
    return target + critics.learning(n) + at_every(config.actor_every, moving)


BOUNDS: dict[str, Callable[[Any, int, int], list[Product]]] = {
    "awac": awac,
    "bc": bc,
    "cal_ql": cql,
    "cql": cql,
    "iql": iql,
    "prdc": td3_bc,  # its neighbour search is no matrix product
    "rebrac": rebrac,
    "support_guard": support_guard,
    "td3_bc": td3_bc,
}
"""Our algorithms by name: the products of one update, from its Config, O and A."""


class Products:
    """The products alone, on numbers of their own, into memory that is there already.

    A product of several members is multiplied as one batch or one after the other, whichever took less time at first:
    so the bound is of the machine, not of one of torch's ways.
    """

    def __init__(self, products: Sequence[Product]) -> None:
        generator, self._done = torch.Generator().manual_seed(0), 0
        self._work = [(each.every, _quickest(each, generator)) for each in products]

    def run(self, updates: int) -> float:
        """Seconds that the products of so many updates take."""
        started = time.perf_counter()
        for update in range(self._done, self._done + updates):
            for every, multiply in self._work:
                if update % every == 0:
                    multiply()
        self._done += updates
        return time.perf_counter() - started


def _td3(config: Any, observations: int, actions: int, *, through: int) -> list[Product]:
    n, critics, actor = (
        config.batch_size,
        _critics(config, observations, actions),
        _actor(config, observations, actions),
    )
    asked = replace(critics, members=through)
    moving = actor.learning(n) + asked.forward(n) + asked.inputs(n, actions)
    targets = actor.forward(n) + critics.forward(n)
    return targets + critics.learning(n) + at_every(config.actor_every, moving)


def _actor(config: Any, observations: int, actions: int) -> Network:
    return Network((observations, *config.hidden_units, actions))


def _critics(config: Any, observations: int, actions: int) -> Network:
    return Network((observations + actions, *config.hidden_units, 1), config.critics)


def _penalty(rows: int, observations: int, actions: int) -> tuple[list[Product], list[Product]]:
    """The behaviour network, and its gradient of the actions alone: the state's share of it needs none."""
    sizes = BehaviourConfig()
    shapes = layer_shapes(observations, actions, sizes.hidden, sizes.components)
    forward = [Product(rows, inner, columns) for columns, inner in shapes.values()]
    (hidden, joint), (parts, _) = shapes["joint"], shapes["parts"]
    shown = joint - sizes.hidden
    backward = [Product(rows, parts, hidden), Product(rows, parts, shown), Product(rows, hidden, shown)]
    return forward, backward


def _quickest(product: Product, generator: torch.Generator) -> Callable[[], Any]:
    left = torch.randn(product.members, product.rows, product.inner, generator=generator)
    right = torch.randn(product.members, product.inner, product.columns, generator=generator)
    out = torch.empty(product.members, product.rows, product.columns)
    each = list(zip(left.unbind(), right.unbind(), out.unbind(), strict=True))

    def one_batch() -> None:
        torch.bmm(left, right, out=out)

    def in_turn() -> None:
        for a, b, c in each:
            torch.mm(a, b, out=c)

    return min((one_batch, in_turn), key=_seconds)


def _seconds(multiply: Callable[[], None]) -> float:
    """The shortest of a few."""
    taken = []
    for _ in range(TRIALS):
        started = time.perf_counter()
        multiply()
        taken.append(time.perf_counter() - started)
    return min(taken)
