"""The behaviour's log-density of an action given a state: what would whoever logged the data have done here."""

from __future__ import annotations

import numpy as np

from offline_to_online.dataset.spec import Array

LOG_TWO_PI = float(np.log(2.0 * np.pi))


def local_log_density(actions: Array, local: Array, bandwidth_floor: float) -> Array:
    """log p(a | s) by a Gaussian product kernel over the actions taken in the m states nearest to s.

    The neighbours are a uniform window in state space (k-nearest-neighbour conditional density); the
    bandwidth of each action dimension is Scott's rule on the neighbours' own actions,
    ``h = max(spread * m^(-1/(A+4)), bandwidth_floor)`` (Scott 1992), so that it is narrow where the
    operators agreed; the floor keeps a dimension in which they agreed exactly from a density without bound.

    Args:
        actions: standardised actions (N, A).
        local: the standardised actions of the m nearest states, (N, m, A).
        bandwidth_floor: smallest bandwidth, in standard deviations of the data's actions.

    Returns:
        float32 (N,), natural logarithm; the density is over actions in standard deviations.
    """
    local = local.astype(np.float64)
    count, size = local.shape[1], local.shape[2]
    bandwidth = np.maximum(local.std(axis=1) * count ** (-1.0 / (size + 4)), bandwidth_floor)
    offsets = (actions[:, None, :].astype(np.float64) - local) / bandwidth[:, None, :]
    exponents = -0.5 * np.square(offsets).sum(axis=-1)
    peak = exponents.max(axis=1)
    mass = peak + np.log(np.exp(exponents - peak[:, None]).mean(axis=1))
    density: Array = mass - np.log(bandwidth).sum(axis=1) - 0.5 * size * LOG_TWO_PI
    return density.astype(np.float32)
