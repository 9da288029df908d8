"""Where MLflow keeps things, and whether a server answers: refused at once before a run, waited for within one."""

from __future__ import annotations

import http.client
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from offline_to_online.errors import ServerError

ANSWER_WITHIN_S = 10.0
PAUSE_S = 1.0
# /health of either server; behind a login it is the server's own client that signs in.
ANSWERS = (200, 401, 403)


def store_address(root: Path, server: str) -> str:
    """Where MLflow keeps things: the configured address, or a SQLite file in ``root``."""
    return server or f"sqlite:///{root.resolve() / 'mlflow.db'}"


def artifact_folder(root: Path) -> Path:
    """Where the embedded store keeps artifacts."""
    return root.resolve() / "mlartifacts"


def demand_server(address: str, *, what: str) -> None:
    """Refuse an http address at which nobody answers, or somebody else, within a few seconds.

    Raises:
        ServerError: no such server there.
    """
    if urlsplit(address).scheme not in ("http", "https"):
        return
    try:
        status = _health(address)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _no_server(address, what, str(error)) from error
    if status not in ANSWERS:
        raise _no_server(address, what, f"what answers there says {status} to /health")


def await_server(address: str, *, what: str, patience_s: float) -> None:
    """Wait until a server answers that did so before, and say that we wait.

    Raises:
        ServerError: it stayed away for longer than ``patience_s``.
    """
    until, said = time.monotonic() + patience_s, False
    while True:
        try:
            return demand_server(address, what=what)
        except ServerError:
            if time.monotonic() >= until:
                raise
        if not said:
            print(f"no {what} server at {address}: waiting {patience_s:.0f} s for it", file=sys.stderr)
        said = True
        time.sleep(PAUSE_S)


def _health(address: str) -> int:
    """The status with which a server answers ``GET <address>/health``; both kinds of server have that page."""
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/health")
        return connection.getresponse().status
    finally:
        connection.close()


def _no_server(address: str, what: str, reason: str) -> ServerError:
    return ServerError(
        f"no {what} server at {address}",
        where=f"online.servers.{what.lower()}",
        limit=reason,
        remedy="start it, or empty the address in params.yaml for the embedded one",
    )
