"""The Prefect server: is one configured, does it answer, and what happens while it is away for a moment."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from offline_to_online.errors import ServerError
from offline_to_online.online.servers import demand_server

Result = TypeVar("Result")

# A server that is restarted is back within this; the run's truth is on disk, so that it may also be told later.
PATIENCE_S = 120.0
PAUSE_S = 1.0


def address() -> str:
    """The configured Prefect API, or "": an ephemeral server, which has no UI and ends with the run."""
    return os.environ.get("PREFECT_API_URL", "").rstrip("/")


def ui_address(flow_run: str) -> str:
    """Where a person sees a flow run."""
    return f"{address().removesuffix('/api')}/runs/flow-run/{flow_run}"


def demand_prefect() -> None:
    """Refuse a configured Prefect API at which nobody answers.

    Raises:
        ServerError: nobody answers there.
    """
    demand_server(address(), what="Prefect")


def patiently(call: Callable[[], Result], *, patience_s: float = PATIENCE_S) -> Result:
    """What a call to the server returns, asked again while nobody answers there.

    Raises:
        ServerError: it stayed away for longer than ``patience_s``.
    """
    until = time.monotonic() + patience_s
    said = False
    while True:
        try:
            return call()
        except httpx.TransportError as error:
            if time.monotonic() > until:
                raise went_away(str(error)) from error
            if not said:
                print(f"no Prefect server at {address()}: waiting {patience_s:.0f} s for it", file=sys.stderr)
            said = True
            time.sleep(PAUSE_S)


def went_away(reason: str) -> ServerError:
    """The error for a server that stayed away."""
    return ServerError(
        f"the Prefect server at {address() or 'this process'} went away",
        where="online.servers.prefect",
        limit=reason,
        remedy="start it, and start this again: the run goes on where it stood",
    )
