"""A working folder with params.yaml and a small handoff, in which a flow can really be run."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from benchmarks.small_handoff import AUDIT, GENEROUS, LENIENT, shared_handoff

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S, BUSY_S = 900.0, 60.0


@pytest.fixture
def workplace(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a checkout has it: params.yaml with a small online run, and models/handoff."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["jobs"] = 1
    params["online"] |= {"rounds": 2, "episodes_per_round": 2, "registered_model": "small"}
    params["online"]["switch"]["updates_per_step"] = 0.1
    params["online"]["gates"] = {"safety": GENEROUS, "acceptance": LENIENT, "audit": asdict(AUDIT)}
    params["online"]["screen"] = {"margin": 1e6, "members": 2, "updates": 10, "hidden_units": [8]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    shutil.copytree(shared_handoff(tmp_path_factory.getbasetemp()), tmp_path / "models" / "handoff")
    return tmp_path


def environment() -> dict[str, str]:
    """As a person's shell: this checkout on the path, and nothing of Prefect set."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    return {**clean, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def start(workplace: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start ``python -m`` something in a workplace."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=workplace,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL a started process and all that it started (an ephemeral Prefect server among them)."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def change_online(workplace: Path, **values: object) -> None:
    """Change values of the section ``online``."""
    path = workplace / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["online"] |= values
    path.write_text(yaml.safe_dump(params))


def use_server(workplace: Path, api: httpx.Client) -> None:
    """Let a workplace's runs be steered by a Prefect server."""
    change_online(workplace, servers={"mlflow": "", "prefect": str(api.base_url).rstrip("/")})


def eventually(what: str, ask: Callable[[], Any]) -> Any:
    """What ``ask`` says once it says something; None and a refused connection are asked again."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            if (answer := ask()) is not None:
                return answer
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"waited {PATIENCE_S:.0f} s for {what}")


def end(process: subprocess.Popen[Any]) -> None:
    """Stop a process and all that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


class Api(httpx.Client):
    """A server's API; one that is too busy to answer (503) is asked again, as Prefect's own client does."""

    def request(self, *args: Any, **kwargs: Any) -> httpx.Response:
        """As httpx has it."""
        until = time.monotonic() + BUSY_S
        while (said := super().request(*args, **kwargs)).status_code == 503 and time.monotonic() < until:
            time.sleep(1.0)
        return said


class Server:
    """A Prefect server on a free port, which can be killed and started again over the same database."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._home = home
        self.api = Api(base_url=f"http://127.0.0.1:{self._port}/api", timeout=30.0)
        self.start()

    def start(self) -> None:
        address = ["--host", "127.0.0.1", "--port", str(self._port)]
        self._process = subprocess.Popen(
            [Path(sys.executable).with_name("prefect"), "server", "start", *address],
            env={**environment(), "PREFECT_HOME": str(self._home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        eventually("the server", lambda: self.api.get("/health").is_success or None)

    def kill(self) -> None:
        end(self._process)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Prefect server for all tests."""
    started = Server(tmp_path_factory.mktemp("prefect"))
    try:
        yield started
    finally:
        started.kill()
        started.api.close()


@pytest.fixture
def api(server: Server) -> httpx.Client:
    """The server's API."""
    return server.api
