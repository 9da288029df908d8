"""d3rlpy itself, imported on first use, without its banner and without its change to everybody's logging."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from typing import Any

import torch

ACTIVATION = "relu"


@functools.cache
def d3rlpy() -> Any:
    """The library, imported quietly and without side effects on the process."""
    with _quiet_import():
        import d3rlpy

    return d3rlpy


@contextlib.contextmanager
def _quiet_import() -> Iterator[None]:
    import structlog
    from gym_notices.notices import notices

    kept, notices_kept, precision = structlog.get_config(), dict(notices), torch.get_float32_matmul_precision()
    was_configured = structlog.is_configured()
    notices.clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        notices.update(notices_kept)
        torch.set_float32_matmul_precision(precision)
        structlog.reset_defaults()
        if was_configured:
            structlog.configure(**kept)


def encoder(hidden_units: tuple[int, ...], *, layer_norm: bool = False) -> Any:
    """d3rlpy's factory of the hidden layers."""
    return d3rlpy().models.VectorEncoderFactory(
        hidden_units=list(hidden_units), activation=ACTIVATION, use_layer_norm=layer_norm
    )


def device_name(device: torch.device) -> str:
    """A device as d3rlpy names it."""
    return f"{device.type}:{device.index or 0}"
