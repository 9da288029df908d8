"""Servers that go away: MLflow for a minute in the middle of a run, and Prefect that is restarted."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.crash.comparing import differences
from benchmarks.crash.killing import ended, forked
from benchmarks.crash.kills import last_words
from benchmarks.crash.small import ROOT, RUN, RUNS, play, workplace

PATIENCE_S = 240.0
MIDDLE = RUNS / RUN / "rounds/001/collect.json"


def mlflow_away(folder: Path, handoff: Path, *, away_s: float) -> dict[str, Any]:
    """A run whose MLflow server is killed in its first round and comes back so much later."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    places = [workplace(folder / name, handoff, mlflow=address) for name in ("reference", "away")]
    with mlflow_server(folder / "reference-store", port):
        status = ended(forked(lambda: play(places[0]), said=places[0] / "said.txt"))
    if status:
        return {"kind": "MLflow away", "differences": [f"with a server: {last_words(places[0])}"]}
    with mlflow_server(folder / "away-store", port):
        process = forked(lambda: play(places[1]), said=places[1] / "said.txt")
        wait_for((places[1] / MIDDLE).exists)
    time.sleep(away_s)
    with mlflow_server(folder / "away-store", port):
        status = ended(process)
        said = (places[1] / "said.txt").read_text(encoding="utf-8")
        wrong = differences(places[1], places[0], mlflow=address)
    waited = [line for line in said.splitlines() if "waiting" in line]
    return {
        "kind": f"MLflow away for {away_s:.0f} s",
        "said": waited[0] if waited else last_words(places[1]),
        "differences": wrong + ([f"ended with {status}: {last_words(places[1])}"] if status else []),
    }


def prefect_restarted(folder: Path, handoff: Path, *, away_s: float) -> dict[str, Any]:
    """A real flow whose Prefect server is killed in its first round and started again."""
    port = free_port()
    place = workplace(folder / "flow", handoff, prefect=f"http://127.0.0.1:{port}/api")
    with prefect_server(folder / "home", port):
        flow = started_flow(place)
        wait_for(lambda: (place / MIDDLE).exists() or flow.poll() is not None)
    # Away until the end of the round has something to show in its UI.
    wait_for(lambda: (place / RUNS / RUN / "rounds/001/decision.json").exists() or flow.poll() is not None)
    time.sleep(away_s)
    with prefect_server(folder / "home", port):
        lines = flow.communicate()[1].strip().splitlines()
        status, starts = flow.returncode, 1
        if status:
            again = started_flow(place)
            said = again.communicate()[1].strip().splitlines()
            status, starts = again.returncode, 2
            lines += said
    reference = workplace(folder / "reference", handoff, prefect=f"http://127.0.0.1:{port}/api")
    alone = ended(forked(lambda: play(reference), said=reference / "said.txt"))
    wrong = [f"the reference ended with {alone}: {last_words(reference)}"] if alone else differences(place, reference)
    return {
        "kind": f"Prefect restarted {away_s:.0f} s after the round",
        "starts": starts,
        "said": next((line for line in lines if "Prefect" in line), "went on" if starts == 1 else ""),
        "clear": not any("Traceback" in line for line in lines),
        "differences": wrong + ([f"ended with {status}: {lines[-1:]}"] if status else []),
    }


def started_flow(place: Path) -> subprocess.Popen[str]:
    """``python -m flows.finetune`` in a workplace, as a person starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.finetune"],
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def killed(process: subprocess.Popen[str]) -> None:
    """SIGKILL a process and all that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def environment(**more: str) -> dict[str, str]:
    """As a person's shell: this checkout on the path, and nothing of Prefect set."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return {**clean, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


@contextmanager
def mlflow_server(store: Path, port: int) -> Iterator[None]:
    """A real MLflow server over a store, killed when the block ends."""
    store.mkdir(parents=True, exist_ok=True)
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{store / 'mlflow.db'}",
        "--artifacts-destination",
        str(store / "files"),
    ]
    with _server(command, port, "/health", environment(MLFLOW_DISABLE_TELEMETRY="true")):
        yield


@contextmanager
def prefect_server(home: Path, port: int) -> Iterator[None]:
    """A real Prefect server with its database in a folder, killed when the block ends."""
    home.mkdir(parents=True, exist_ok=True)
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    more = {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with _server(command, port, "/api/health", environment(**more)):
        yield


@contextmanager
def _server(command: list[str], port: int, page: str, surroundings: dict[str, str]) -> Iterator[None]:
    program = str(Path(sys.executable).with_name(command[0]))
    process = subprocess.Popen(
        [program, *command[1:]],
        env=surroundings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: _answers(port, page))
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(port: int, page: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request("GET", page)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(ask: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not ask():
        if time.monotonic() > until:
            raise SystemExit("waited in vain")
        time.sleep(0.05)
