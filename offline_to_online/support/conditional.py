"""The behaviour's density of an action given a state, from the actions that were logged in the states nearest to it.

Actions are first freed of what follows linearly from the state (an absolute target moves with the robot, a joint
command with the joint): what is left, whitened, is nearly the same in neighbouring states, so that few neighbours
tell much. Sizes of neighbourhood are mixed, since a log is dense here and thin there (Mack & Rosenblatt 1979 for
nearest-neighbour kernel densities; Hyndman et al. 1996 for conditional ones), and a share of "anywhere in the log",
because a sensor that misreads a state must not make an ordinary action impossible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.spec import Array

LOG_TWO_PI = float(np.log(2.0 * np.pi))
RIDGE = 1e-3  # of the rows' own variance: keeps a sensor that repeats another from being weighed without bound
SMALLEST_VARIANCE = 1e-4  # of a whitened residual: a command that follows exactly from the state is not magnified more
# The marginal's kernel against Scott's rule, which is for one bell and blurs the atoms that saturated commands are.
MARGINAL_BANDWIDTH, MARGINAL_FLOOR = 0.3, 0.03


@dataclass(frozen=True, kw_only=True, eq=False)
class Residuals:
    """Standardised actions as what is left after the best linear prediction from the whitened state, whitened.

    Attributes:
        weights: float32 (O + 1, A), the prediction's, the constant last.
        rotation: float32 (A, A), symmetric, brings the residuals to unit covariance (ZCA).
    """

    weights: Array
    rotation: Array

    @classmethod
    def from_rows(cls, states: Array, actions: Array) -> Residuals:
        """Fitted to whitened states (N, O) and standardised actions (N, A)."""
        inputs = _with_constant(states).astype(np.float64)
        gram = inputs.T @ inputs + RIDGE * len(inputs) * np.eye(inputs.shape[1])
        weights = np.linalg.solve(gram, inputs.T @ actions.astype(np.float64))
        covariance = np.atleast_2d(np.cov((actions - inputs @ weights).T))
        variances, axes = np.linalg.eigh(covariance + SMALLEST_VARIANCE * np.eye(len(covariance)))
        rotation = (axes / np.sqrt(variances)) @ axes.T
        return cls(weights=weights.astype(np.float32), rotation=rotation.astype(np.float32))

    def apply(self, states: Array, actions: Array) -> Array:
        """Whitened residuals, float32 (N, A)."""
        left: Array = (actions - _with_constant(states) @ self.weights) @ self.rotation
        return left

    @property
    def log_volume(self) -> float:
        """What a log-density of residuals lacks to be one of standardised actions."""
        return float(np.linalg.slogdet(self.rotation.astype(np.float64))[1])


def local_log_density(residuals: Array, neighbours: Array, sizes: tuple[int, ...], bandwidth_floor: float) -> Array:
    """log p(residual | state) by Gaussian product kernels over nested neighbourhoods, equally weighted.

    The bandwidth of each dimension is Scott's rule on the neighbours' own residuals, at least the floor:
    ``h = max(spread * m^(-1/(A+4)), floor)`` (Scott 1992), narrow where the operators agreed.

    Args:
        residuals: (Q, A).
        neighbours: residuals of the nearest states, (Q, M, A), nearest first.
        sizes: of the neighbourhoods, each at most M.
        bandwidth_floor: in deviations of a residual.

    Returns:
        float32 (Q,), nats.
    """
    squared = np.square(residuals[:, None, :] - neighbours)
    parts = [_kernels(squared[:, :m], neighbours[:, :m].std(axis=1), bandwidth_floor) for m in sizes]
    return logsumexp(np.stack(parts, axis=1)) - np.float32(np.log(len(sizes)))


def each_log_density(
    commands: Array, neighbours: Array, marginal: Marginal, sizes: tuple[int, ...], floor: float, anywhere: float
) -> Array:
    """Sum over dimensions of log p(command | state), each dimension for itself, float32 (Q,), nats.

    What the joint density smooths over: a command that stands at one value nearly always, as saturated ones do, and
    now stands beside it. Bandwidths are Silverman's, ``min(deviation, IQR / 1.34) m^(-1/5)`` (1986), which the few
    values away from such an atom do not widen.

    Args:
        commands: standardised, (Q, A).
        neighbours: those of the nearest states, (Q, M, A), nearest first.
        marginal: of the whole log.
        sizes: of the neighbourhoods, equally weighted.
        floor: narrowest bandwidth, in deviations of a command.
        anywhere: weight of the whole log.
    """
    local = [_each(commands, part, _bandwidth_each(part, floor)) for part in (neighbours[:, :m] for m in sizes)]
    near = logsumexp(np.stack(local, axis=-1)) - np.float32(np.log(len(sizes)))
    far = _each(commands, marginal.sample[None], marginal.each)
    both = np.stack([near + np.log1p(-anywhere), far + np.log(anywhere)], axis=-1)
    total: Array = logsumexp(both).sum(axis=1).astype(np.float32)
    return total


@dataclass(frozen=True, kw_only=True, eq=False)
class Marginal:
    """A sample of all logged actions, standardised, float32 (L, A), with its kernels measured once.

    Attributes:
        sample: the actions.
        together: bandwidths (A,) of the joint density.
        each: bandwidths (1, A) of every command for itself.
    """

    sample: Array
    together: Array
    each: Array

    @classmethod
    def of(cls, sample: Array, bandwidth_floor: float) -> Marginal:
        """Of actions (L, A)."""
        size = sample.shape[1]
        spread = MARGINAL_BANDWIDTH * sample.std(axis=0) * len(sample) ** (-1.0 / (size + 4))
        each = _bandwidth_each(sample[None], bandwidth_floor)
        return cls(sample=sample, together=np.maximum(spread, np.float32(MARGINAL_FLOOR)), each=each)

    def log_density(self, actions: Array) -> Array:
        """log p(action) anywhere in the log, float32 (Q,), for standardised actions (Q, A)."""
        scaled, points = actions / self.together, self.sample / self.together
        squared = np.square(scaled).sum(axis=1)[:, None] + np.square(points).sum(axis=1) - 2 * scaled @ points.T
        exponents = -0.5 * np.maximum(squared, 0)
        constant = np.log(len(points)) + np.log(self.together).sum() + 0.5 * points.shape[1] * LOG_TWO_PI
        density: Array = (logsumexp(exponents) - constant).astype(np.float32)
        return density


def mixed(local: Array, marginal: Array, anywhere: float) -> Array:
    """log((1 - anywhere) * exp(local) + anywhere * exp(marginal)), float32 (Q,)."""
    both = np.stack([local + np.log1p(-anywhere), marginal + np.log(anywhere)], axis=1)
    return logsumexp(both).astype(np.float32)


def logsumexp(values: Array) -> Array:
    """log of the sum of exponentials along the last axis of (Q, M), without overflow."""
    peak = values.max(axis=-1)
    total: Array = peak + np.log(np.exp(values - peak[..., None]).sum(axis=-1))
    return total


def _kernels(squared: Array, spread: Array, floor: float) -> Array:
    """Log-density (Q,) of kernels at squared offsets (Q, m, A), with bandwidths from the neighbours' spread (Q, A)."""
    count, size = squared.shape[1:]
    bandwidth = np.maximum(spread * count ** (-1.0 / (size + 4)), np.float32(floor))
    exponents = -0.5 * np.matmul(squared, (1.0 / np.square(bandwidth))[:, :, None])[:, :, 0]
    constant = np.log(count) + np.log(bandwidth).sum(axis=1) + 0.5 * size * LOG_TWO_PI
    density: Array = (logsumexp(exponents) - constant).astype(np.float32)
    return density


def _bandwidth_each(points: Array, floor: float) -> Array:
    """Silverman's bandwidth of each command among points (Q, m, A), float32 (Q, A)."""
    count = points.shape[1]
    ordered = np.sort(points, axis=1)
    quartiles = (ordered[:, (3 * count) // 4] - ordered[:, count // 4]) / np.float32(1.34)
    spread = np.minimum(points.std(axis=1), quartiles)
    bandwidth: Array = np.maximum(spread * np.float32(count**-0.2), np.float32(floor))
    return bandwidth


def _each(commands: Array, points: Array, bandwidth: Array) -> Array:
    """Log-density (Q, A) of each command among the points' own, (Q or 1, m, A)."""
    exponents = -0.5 * np.square((commands[:, None, :] - points) / bandwidth[:, None, :])
    constant = np.log(bandwidth) + np.float32(np.log(points.shape[1]) + 0.5 * LOG_TWO_PI)
    density: Array = logsumexp(np.moveaxis(exponents, 1, -1)) - constant
    return density


def _with_constant(states: Array) -> Array:
    return np.concatenate([states, np.ones((len(states), 1), dtype=states.dtype)], axis=1)
