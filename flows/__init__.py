"""The flows, and where Prefect keeps its things. This is set before Prefect is imported, which reads it only then."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

ONLINE_RUNS = Path("data/online")


def prefect_address(params: Path = Path("params.yaml")) -> str:
    """The Prefect API that params.yaml configures, or ""; what is wrong in that file is said when it is loaded."""
    try:
        section = yaml.safe_load(params.read_text(encoding="utf-8"))["online"]["servers"]
        return str(section.get("prefect") or "")
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return ""


def surround() -> None:
    """Keep Prefect's database beside the runs, its telemetry off and its console quiet, unless told otherwise."""
    address = prefect_address()
    if address:
        os.environ.setdefault("PREFECT_API_URL", address)
    elif "PREFECT_API_URL" not in os.environ:
        os.environ.setdefault("PREFECT_HOME", str((ONLINE_RUNS / "prefect").resolve()))
        # Prefect makes the last folder only, and warns where those above it are missing.
        Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Errors are said once, by us; the flow's and the tasks' logs are in the UI.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")


surround()
