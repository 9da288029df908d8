"""Serve the flow as a deployment: started from the Prefect UI or on the schedule of `online.schedule`.

python -m flows.serve
"""

from __future__ import annotations

import os
from typing import Any

from prefect.client.schemas.schedules import CronSchedule

from flows.finetune import finetune
from flows.server import demand_prefect
from offline_to_online.errors import ParameterError, one_line
from offline_to_online.online.config import ScheduleConfig
from offline_to_online.params import load_params

DEPLOYMENT = "finetune-online"


def schedule_of(config: ScheduleConfig) -> dict[str, Any]:
    """What Prefect's ``serve`` wants for a schedule; nothing where the run is started by hand.

    Raises:
        ParameterError: the cron line is none.
    """
    if config.cron:
        try:
            CronSchedule(cron=config.cron)
        except ValueError as error:
            raise ParameterError(
                f"cron {config.cron!r}",
                where="params.yaml online.schedule.cron",
                limit="five fields: minute, hour, day, month, weekday",
                remedy='mend it, as "0 3 * * *" for three at night',
            ) from error
        return {"cron": config.cron}
    return {"interval": config.interval_s} if config.interval_s else {}


def demand_server_for(schedule: dict[str, Any]) -> None:
    """Refuse a schedule that nobody would keep: Prefect's ephemeral server starts nothing by the clock.

    Raises:
        ParameterError: there is a schedule and no server.
    """
    if schedule and not os.environ.get("PREFECT_API_URL"):
        raise ParameterError(
            "a schedule without a Prefect server",
            where="params.yaml online.schedule",
            limit="a server that runs all the time keeps it",
            remedy="start one (`make ui`), and set PREFECT_API_URL or online.servers.prefect to its /api",
        )


@one_line
def main() -> None:
    """Serve until interrupted. One run at a time: there is one robot."""
    schedule = schedule_of(load_params().online.schedule)
    demand_server_for(schedule)
    demand_prefect()
    finetune.serve(name=DEPLOYMENT, limit=1, global_limit=1, **schedule)


if __name__ == "__main__":
    main()
