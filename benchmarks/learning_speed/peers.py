"""d3rlpy's own ``fit`` with the settings of one of our algorithms, and nothing of ours in it.

It is given data that are normalised already, and has no scaler: ours normalises inside its update, d3rlpy does without.
It writes no file, shows no bar and logs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from offline_to_online.dataset.episode import Episode
from offline_to_online.errors import ParameterError
from offline_to_online.learning.algorithms._d3rlpy import d3rlpy, encoder

PEERS = {
    "awac": "AWAC",
    "bc": "BC",
    "cal_ql": "CalQL",
    "cql": "CQL",
    "iql": "IQL",
    "prdc": "PRDC",
    "rebrac": "ReBRAC",
    "td3_bc": "TD3PlusBC",
}
"""Ours by name, and d3rlpy's class of the same algorithm. Support Guard has none."""
RENAMED = {
    "action_samples": ("n_action_samples",),
    "actor_every": ("update_actor_interval",),
    "critics": ("n_critics",),
    "smoothing_clip": ("target_smoothing_clip",),
    "smoothing_std": ("target_smoothing_sigma",),
    "soft_backup": ("soft_q_backup",),
    "temperature": ("weight_temp", "lam"),
    "temperature_learning_rate": ("temp_learning_rate",),
}
"""Settings that d3rlpy calls otherwise, and how, which may depend on the algorithm."""
# What d3rlpy has no word for: how long, what acts and explores, and batches that are the replay's business.
OURS_ALONE = frozenset({"updates", "average_decay", "exploration_std", "n_step"})
LAYERS = frozenset({"hidden_units", "layer_norm"})
ENCODERS = ("encoder_factory", "actor_encoder_factory", "value_encoder_factory")
WARM_UP = 2  # updates at the start of every fit that are not timed: it builds networks, and fits neighbours


def peer_config(name: str, config: Any) -> Any:
    """d3rlpy's configuration with the settings of ours.

    Args:
        name: of our algorithm, one of ``PEERS``.
        config: its Config.

    Raises:
        ParameterError: a setting of ours that d3rlpy does not have and that is not known to be ours alone.
    """
    theirs = getattr(d3rlpy().algos, f"{PEERS[name]}Config")
    known = {each.name for each in fields(theirs)}
    given = _layers(config, known)
    for each in (one.name for one in fields(config) if one.name not in OURS_ALONE | LAYERS):
        words = [word for word in (each, *RENAMED.get(each, ())) if word in known]
        if not words:
            raise ParameterError(f"d3rlpy has no {each}", where=f"peer of {name}", remedy="name it in peers.py")
        given[words[0]] = getattr(config, each)
    return theirs(**given)


def their_dataset(episodes: Sequence[Episode]) -> Any:
    """d3rlpy's replay buffer of the same episodes."""
    dataset = d3rlpy().dataset
    with silent():
        return dataset.create_infinite_replay_buffer(
            episodes=[
                dataset.Episode(one.observations[:-1], one.actions, one.rewards[:, None], one.terminated)
                for one in episodes
            ]
        )


class Peer:
    """d3rlpy's algorithm, its networks kept from one ``fit`` to the next.

    Args:
        config: from ``peer_config``.
        dataset: from ``their_dataset``.
        device: torch's name of it.
    """

    def __init__(self, config: Any, dataset: Any, device: str = "cpu") -> None:
        self._algo, self._dataset = config.create(device=device), dataset

    def run(self, updates: int) -> float:
        """Seconds of so many updates inside one ``fit``, after its first few."""
        clock, steps = _Clock(first=WARM_UP), WARM_UP + updates
        with silent():
            self._algo.fit(
                self._dataset,
                n_steps=steps,
                n_steps_per_epoch=steps,
                logger_adapter=d3rlpy().logging.NoopAdapterFactory(),
                show_progress=False,
                callback=clock,
            )
        return clock.seconds()


@dataclass
class _Clock:
    """What ``fit`` calls after each update; the losses are numbers by then, so that a GPU has finished too."""

    first: int
    stamps: list[float] = field(default_factory=list)

    def __call__(self, algo: Any, epoch: int, step: int) -> None:
        if step >= self.first:
            self.stamps.append(time.perf_counter())

    def seconds(self) -> float:
        return self.stamps[-1] - self.stamps[0]


@contextmanager
def silent() -> Iterator[None]:
    """Without the lines that d3rlpy prints through structlog."""
    import structlog

    kept = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        yield
    finally:
        structlog.configure(**kept)


def _layers(config: Any, known: Collection[str]) -> dict[str, Any]:
    given = {each: encoder(config.hidden_units) for each in ENCODERS if each in known}
    if "critic_encoder_factory" in known:
        normalised = getattr(config, "layer_norm", False)
        given["critic_encoder_factory"] = encoder(config.hidden_units, layer_norm=normalised)
    return given
