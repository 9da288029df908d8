"""The Prefect UI and the MLflow UI, on loopback, over what the runs left in `data/online`.

    python -m flows.ui

A server that params.yaml configures is already there: only its address is printed. Ctrl-C stops both.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from flows import ONLINE_RUNS
from offline_to_online.errors import ServerError, one_line
from offline_to_online.online.servers import artifact_folder, store_address
from offline_to_online.params import load_params

HOST = "127.0.0.1"
PREFECT_PORT, MLFLOW_PORT = 4200, 5000
PATIENCE_S = 90.0


def demand_free(port: int) -> None:
    """Refuse a port that somebody listens at.

    Raises:
        ServerError: it is taken.
    """
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise ServerError(f"port {port} is taken", where=HOST, remedy="stop what listens there, then try again")


def commands(prefect: str, mlflow: str) -> dict[str, tuple[list[str], int]]:
    """What is to be started: name -> (command, port); nothing for a server that is configured."""
    started: dict[str, tuple[list[str], int]] = {}
    if not prefect:
        started["Prefect"] = (["prefect", "server", "start", "--host", HOST, "--port", str(PREFECT_PORT)], PREFECT_PORT)
    if not mlflow:
        root = Path(ONLINE_RUNS)
        store = ["--backend-store-uri", store_address(root, ""), "--artifacts-destination", str(artifact_folder(root))]
        quiet = ["--workers", "1", "--uvicorn-opts", "--log-level warning"]
        command = ["mlflow", "server", "--host", HOST, "--port", str(MLFLOW_PORT), *store, *quiet]
        started["MLflow"] = (command, MLFLOW_PORT)
    return started


def wait_for(port: int, process: subprocess.Popen[bytes], name: str) -> None:
    """Wait until a server listens.

    Raises:
        ServerError: it ended, or did not listen in time.
    """
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        if process.poll() is not None:
            raise ServerError(f"{name} ended with {process.returncode}", remedy="run its command by hand to see why")
        time.sleep(0.2)
    raise ServerError(f"{name} does not listen at port {port}", limit=f"{PATIENCE_S:.0f} s")


@one_line
def main() -> None:
    """Start what is not configured elsewhere, say where it is, and wait."""
    servers = load_params().online.servers
    started = commands(servers.prefect, servers.mlflow)
    for _, port in started.values():
        demand_free(port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the servers end with this process
    calm = {**os.environ, "PYTHONWARNINGS": "ignore"}  # of the libraries' own deprecations
    processes = {
        name: subprocess.Popen(command, stdout=subprocess.DEVNULL, env=calm) for name, (command, _) in started.items()
    }
    try:
        for name, address in (("Prefect", servers.prefect), ("MLflow", servers.mlflow)):
            if name in processes:
                wait_for(started[name][1], processes[name], name)
            print(f"{name}: {address or f'http://{HOST}:{started[name][1]}'}", flush=True)
        print("Ctrl-C stops both", flush=True)
        for process in processes.values():
            process.wait()
    except KeyboardInterrupt:
        sys.exit(0)
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait()


if __name__ == "__main__":
    main()
