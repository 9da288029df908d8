"""The network of the behaviour's density: its tensors by name, and what it says of an action, in numpy alone.

Three hidden layers: two look at the state alone, the third also at the action; ``parts`` gives each action dimension
its mixture, from dimensions before it only (masked weights are stored as zeros).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from offline_to_online.dataset.spec import Array
from offline_to_online.errors import SupportError
from offline_to_online.support.neighbours import compressed

DEGREES_OF_FREEDOM = 4.0
LOG_NORMALISER = (
    math.lgamma((DEGREES_OF_FREEDOM + 1) / 2)
    - math.lgamma(DEGREES_OF_FREEDOM / 2)
    - 0.5 * math.log(DEGREES_OF_FREEDOM * math.pi)
)
# What the network is shown ends here (states in compressed deviations, earlier dimensions of the action in plain ones):
# beyond it nothing was learned, and a wild state must not give wild weights. The density itself is of the action as is.
FARTHEST_STATE, FARTHEST_ACTION = 8.0, 5.0
# Beyond so many deviations actions are all alike: their squares must stay finite in float32.
FARTHEST = 1e6
# Logarithm of a part's scale, in deviations: from a thousandth of one to four and a half.
LOWEST_LOG_SCALE, HIGHEST_LOG_SCALE = -7.0, 1.5
# Smallest scale of a part, as a share of the blur: no part can be narrower than the noise that it is fitted to.
SCALE_PER_BLUR = 0.5

LAYERS = ("state", "features", "joint", "parts")
SCALERS = ("observation.mean", "observation.scale", "action.mean", "action.scale")
TENSORS = (*(f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")), *SCALERS, "blur")


def shown_states(deviations: Array) -> Array:
    """States in standard deviations (N, O) as the network sees them: compressed, and ended."""
    return np.clip(compressed(deviations), -FARTHEST_STATE, FARTHEST_STATE).astype(np.float32)


def layer_shapes(observation: int, action: int, hidden: int, components: int) -> dict[str, tuple[int, int]]:
    """Rows and columns of each layer's weight; ``joint`` and ``parts`` see features and action side by side."""
    return {
        "state": (hidden, observation),
        "features": (hidden, hidden),
        "joint": (hidden, hidden + action),
        "parts": (3 * components * action, hidden + hidden + action),
    }


def log_density(tensors: Mapping[str, Array], states: Array, deviations: Array) -> Array:
    """The numpy twin of ``behaviour_training.log_density``: states as shown (N, O), actions in deviations (N, A)."""
    size = deviations.shape[1]
    deviations = np.clip(deviations, -FARTHEST, FARTHEST)
    shown = np.clip(deviations, -FARTHEST_ACTION, FARTHEST_ACTION)
    features = _silu(_linear(tensors, "features", _silu(_linear(tensors, "state", states))))
    hidden = _silu(_linear(tensors, "joint", np.concatenate([features, shown], axis=1)))
    parts = _linear(tensors, "parts", np.concatenate([hidden, features, shown], axis=1))
    logits, means, log_scales = parts.reshape(len(parts), 3, size, -1).swapaxes(0, 1)
    floor = np.square(np.float32(SCALE_PER_BLUR) * tensors["blur"])
    variances = floor + np.exp(2 * np.clip(log_scales, LOWEST_LOG_SCALE, HIGHEST_LOG_SCALE))
    squares = np.square(deviations[:, :, None] - means) / (np.float32(DEGREES_OF_FREEDOM) * variances)
    tails = np.float32(0.5 * (DEGREES_OF_FREEDOM + 1)) * np.log1p(squares)
    joint = logits - np.float32(0.5) * np.log(variances) - tails
    logs: Array = (_log_sum_exp(joint) - _log_sum_exp(logits) + np.float32(LOG_NORMALISER)).sum(axis=1)
    return logs


def _linear(tensors: Mapping[str, Array], layer: str, rows: Array) -> Array:
    product: Array = rows @ tensors[f"{layer}.weight"].T + tensors[f"{layer}.bias"]
    return product


def _silu(rows: Array) -> Array:
    # By tanh, which cannot overflow as exp(-x) does.
    activated: Array = rows * (np.float32(0.5) * np.tanh(np.float32(0.5) * rows) + np.float32(0.5))
    return activated


def _log_sum_exp(rows: Array) -> Array:
    peak = rows.max(axis=-1)
    total: Array = peak + np.log(np.exp(rows - peak[..., None]).sum(axis=-1))
    return total


def check_tensors(tensors: Mapping[str, Array]) -> None:
    """Raises SupportError unless the tensors are those of a density: all there, of fitting shapes, finite, float32."""
    missing = sorted(set(TENSORS) - set(tensors))
    if missing:
        raise _broken(f"no tensor {', '.join(missing)}")
    for name in TENSORS:
        if tensors[name].dtype != np.float32 or not np.isfinite(tensors[name]).all():
            raise _broken(f"{name} is {tensors[name].dtype}, or not finite")
    observation, action = tensors["observation.mean"].size, tensors["action.mean"].size
    if not action:
        raise _broken("no action dimension")
    hidden, rest = tensors["state.bias"].size, tensors["parts.bias"].size % (3 * action)
    shapes = layer_shapes(observation, action, hidden, tensors["parts.bias"].size // (3 * action))
    fits = all(tensors[f"{n}.weight"].shape == s and tensors[f"{n}.bias"].shape == s[:1] for n, s in shapes.items())
    pairs = {"observation": (observation,), "action": (action,)}
    scales = all(tensors[f"{n}.{k}"].shape == s for n, s in pairs.items() for k in ("mean", "scale"))
    positive = all((tensors[name] > 0).all() for name in ("observation.scale", "action.scale", "blur"))
    if rest or not (fits and scales and positive and tensors["blur"].shape == (1,)):
        raise _broken("its tensors do not fit each other")


def _broken(why: str) -> SupportError:
    return SupportError(
        f"unreadable behaviour density, {why}",
        where="support estimator",
        limit="finite float32 tensors as written",
        remedy="run the stage support again",
    )
