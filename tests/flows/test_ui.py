"""`make ui`: on loopback, over what the runs left, and nothing for a server that is configured elsewhere."""

from __future__ import annotations

import socket

import pytest

from flows.ui import HOST, commands, demand_free
from offline_to_online.errors import ServerError


def test_both_servers_listen_on_loopback_over_the_runs() -> None:
    """Prefect and MLflow are started on 127.0.0.1, MLflow over the store in data/online."""
    started = commands("", "")
    assert set(started) == {"Prefect", "MLflow"}
    for command, _ in started.values():
        assert command[command.index("--host") + 1] == "127.0.0.1"
    store = started["MLflow"][0][started["MLflow"][0].index("--backend-store-uri") + 1]
    assert store.startswith("sqlite:////")
    assert store.endswith("data/online/mlflow.db")


def test_a_configured_server_is_not_started_again() -> None:
    """What params.yaml says runs elsewhere is left alone."""
    assert set(commands("http://127.0.0.1:1/api", "")) == {"MLflow"}
    assert commands("http://127.0.0.1:1/api", "http://127.0.0.1:2") == {}


def test_a_taken_port_is_refused() -> None:
    """A port that somebody listens at is one clear error."""
    with socket.create_server((HOST, 0)) as taken, pytest.raises(ServerError, match="is taken"):
        demand_free(taken.getsockname()[1])
