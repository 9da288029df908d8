"""Rollback by a person: an earlier version, or the handed-off baseline, is the champion again.

python -m flows.finetune rollback --to VERSION --name WHO --reason WHY
"""

from __future__ import annotations

import argparse

from flows import ONLINE_RUNS
from offline_to_online.errors import ParameterError
from offline_to_online.online.registry import Registry
from offline_to_online.online.rollback import roll_back
from offline_to_online.online.servers import demand_server, store_address
from offline_to_online.params import load_params

LOCKS = ONLINE_RUNS / ".locks"
COMMAND = "rollback"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--to", required=True, metavar="VERSION", help="a model version, or baseline")
    parser.add_argument("--name", required=True, metavar="WHO", help="who decides; it is journaled")
    parser.add_argument("--reason", required=True, metavar="WHY", help="why; it is journaled")


def rollback(chosen: argparse.Namespace) -> None:
    """Go back, and say what was done.

    Raises:
        PipelineError: as ``online.rollback.roll_back``; nothing was changed then.
    """
    online = load_params().online
    demand_server(online.servers.mlflow, what="MLflow")
    if not online.servers.mlflow and not (ONLINE_RUNS / "mlflow.db").is_file():
        raise ParameterError(
            "no registry yet", where=store_address(ONLINE_RUNS, ""), limit="one that a run made", remedy="run one first"
        )
    registry = Registry(ONLINE_RUNS, server=online.servers.mlflow, model=online.registered_model)
    print(roll_back(registry, LOCKS, to=chosen.to, name=chosen.name, reason=chosen.reason))
