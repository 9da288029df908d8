"""Fine-tune the handed-off policy online: rounds behind a gate, steered and shown by Prefect.

    python -m flows.finetune                 goes on with the last unfinished run, or starts one
    python -m flows.finetune --new           starts another run
    python -m flows.finetune --run NAME      starts or goes on with that run
    python -m flows.finetune rollback ...    makes an earlier version the champion again (docs/runs.md)

The run's truth is on disk (`data/online/<run>/`) and in MLflow; Prefect orders the steps, shows them, and asks people
where a person must decide (docs/people.md). No task is ever retried: tasks move a robot.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import ONLINE_RUNS, rollback
from flows.asking import ask, demand_somebody, somebody
from flows.server import demand_prefect, went_away
from flows.shown import FLOW_RUN_FILE, Progress, close_crashed, close_ended, name_flow_run, show_verdicts
from offline_to_online.errors import EmergencyStopError, one_line
from offline_to_online.online.beginning import begin, choose_name, robot_of
from offline_to_online.online.certify import audit_candidate, certify
from offline_to_online.online.collect import collect, safety_gate
from offline_to_online.online.decide import accept_or_reject, begin_fresh, log_round, open_registry
from offline_to_online.online.emergency import FILE, demand_no_stop, listening
from offline_to_online.online.finish import SUMMARY, close, finish
from offline_to_online.online.fresh import FreshProcess
from offline_to_online.online.robot_lock import demand_free, robot_held
from offline_to_online.online.run import OnlineRun
from offline_to_online.online.screen import screen
from offline_to_online.online.servers import demand_server
from offline_to_online.online.update import update
from offline_to_online.params import load_params
from offline_to_online.report.online_page import write_online_report

HANDOFF = Path("models/handoff")
LOCKS = ONLINE_RUNS / ".locks"
STOP = ONLINE_RUNS / FILE


@task(name="collect", cache_policy=NO_CACHE, retries=0)
def collect_task(folder: Path, number: int) -> int:
    """The champion explores under the guard; how many episodes it collected."""
    return int(collect(OnlineRun(folder), number)["episodes"])


@task(name="safety gate", cache_policy=NO_CACHE, retries=0)
def safety_task(folder: Path, number: int) -> bool:
    """Whether updates may go on: the gate passed, or a person let them."""
    safety_gate(OnlineRun(folder), number)
    return OnlineRun(folder).halt() is None


@task(name="update", cache_policy=NO_CACHE, retries=0)
def update_task(folder: Path, number: int) -> bool:
    """Make a candidate; whether there is one."""
    return bool(update(OnlineRun(folder), number)["candidate"])


@task(name="screen", cache_policy=NO_CACHE, retries=0)
def screen_task(folder: Path, number: int) -> bool:
    """Whether the candidate may touch the robot, by the log alone."""
    return bool(screen(OnlineRun(folder), number)["passed"])


@task(name="certify", cache_policy=NO_CACHE, retries=0)
def certify_task(folder: Path, number: int) -> int:
    """Audit the candidate, and play it against champion and baseline; the pairs played."""
    audit_candidate(OnlineRun(folder), number)
    return int(certify(OnlineRun(folder), number)["pairs"])


@task(name="accept or reject", cache_policy=NO_CACHE, retries=0)
def decide_task(folder: Path, number: int, fresh: FreshProcess | None = None) -> bool:
    """Register the candidate and move the champion's alias, or keep the champion."""
    return bool(accept_or_reject(OnlineRun(folder), number, fresh)["accepted"])


@task(name="finish", cache_policy=NO_CACHE, retries=0)
def finish_task(folder: Path) -> dict[str, Any]:
    """Evaluate champion and baseline (a halted run moves nothing), write the summary and the report."""
    summary = finish(OnlineRun(folder))
    write_online_report(folder)
    close(OnlineRun(folder))
    return summary


@flow(name="finetune", retries=0)
def finetune(run: str = "", new: bool = False) -> dict[str, Any]:
    """One online run, from its start or from where it was interrupted; its summary.

    Args:
        run: its name; "" goes on with the last unfinished run, or takes the next free name.
        new: start another run even if one is unfinished.
    """
    demand_no_stop(STOP)
    params = load_params()
    name = choose_name(ONLINE_RUNS, name=run, new=new)
    with listening(STOP), robot_held(LOCKS, robot_of(ONLINE_RUNS, name, HANDOFF, params.robot), name):
        # Once before there is a folder to note it in: a run may be killed while it is begun.
        close_ended(ONLINE_RUNS, name)
        close_crashed(LOCKS / f"{name}.flow.json")
        name_flow_run(name)
        opened = begin(
            ONLINE_RUNS,
            name,
            HANDOFF,
            params.online,
            seed=params.seed,
            jobs=params.jobs,
            threads=params.threads,
            device=params.device,
        )
        demand_somebody(opened.config.people)
        open_registry(opened)
        close_crashed(opened.folder / FLOW_RUN_FILE)
        return rounds(opened.folder)


def rounds(folder: Path) -> dict[str, Any]:
    """Round after round, until they are done, people say no to a halted one, or the interaction budget is spent."""
    shown = Progress(OnlineRun(folder))
    while (number := next_round(folder)) is not None:
        try:
            play_round(folder, number)
        except EmergencyStopError:
            # Without a question that somebody can answer, nothing moves the robot before this is started again.
            if OnlineRun(folder).open_question() is None or not somebody(OnlineRun(folder).config.people):
                raise
        log_round(OnlineRun(folder), number)
        show_verdicts(OnlineRun(folder), number)
        shown.advance(number)
    summary = finish_task(folder)
    shown.done()
    return summary


def next_round(folder: Path) -> int | None:
    """The round to begin or go on with; a run that is held up asks a person first."""
    if OnlineRun(folder).over:
        return None
    ask(folder)
    number = OnlineRun(folder).next_round()
    if number is not None:
        # Of a run that had been about to end, and that a person let go on.
        (folder / SUMMARY).unlink(missing_ok=True)
    return number


def play_round(folder: Path, number: int) -> None:
    """One round, up to the gate that halts it; a candidate that needs a person's approval waits for it."""
    collect_task(folder, number)
    if not safety_task(folder, number):
        return
    if not (update_task(folder, number) and screen_task(folder, number)):
        decide_task(folder, number)
        return
    with begin_fresh(OnlineRun(folder)) as fresh:
        certify_task(folder, number)
        ask(folder)
        decide_task(folder, number, fresh)


@one_line
def main(arguments: list[str] | None = None) -> None:
    """Run the flow here, and say in a few lines what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.finetune", description="Fine-tune the handed-off policy online."
    )
    parser.add_argument("--run", default="", metavar="NAME", help="start or go on with this run")
    parser.add_argument("--new", action="store_true", help="start another run even if one is unfinished")
    commands = parser.add_subparsers(dest="command", metavar="")
    back = "an earlier version, or the handed-off baseline, is the champion again"
    rollback.add_arguments(commands.add_parser(rollback.COMMAND, help=back, description=f"Rollback: {back}."))
    chosen = parser.parse_args(arguments)
    if chosen.command == rollback.COMMAND:
        rollback.rollback(chosen)
        return
    demand_no_stop(STOP)
    params = load_params()
    demand_prefect()
    demand_server(params.online.servers.mlflow, what="MLflow")
    name = choose_name(ONLINE_RUNS, name=chosen.run, new=chosen.new)
    demand_free(LOCKS, robot_of(ONLINE_RUNS, name, HANDOFF, params.robot))
    if (ONLINE_RUNS / name / "run.json").is_file():
        print(f"run {name!r} is unfinished: going on with it, with the parameters it was started with", file=sys.stderr)
    else:
        demand_somebody(params.online.people)
    try:
        summary = finetune(run=name, new=False)
    except httpx.TransportError as error:
        raise went_away(str(error)) from error
    print(sentence(summary))


def sentence(summary: dict[str, Any]) -> str:
    """What came of a run, for a person."""
    lines = [
        f"run {summary['run']}: {summary['episodes']} episodes collected, {summary['executed_episodes']} executed, "
        f"{summary['accepted']} candidates accepted, {summary['rejected']} rejected",
        f"halted: {summary['halt_reason']} (nothing moved from then on: the report block was not played)"
        if summary["halted"]
        else compared(summary),
        f"champion version {summary['champion_version'] or 'none: the baseline stays'}; "
        f"report {ONLINE_RUNS / summary['run'] / 'report.html'}",
    ]
    return "\n".join(lines)


def compared(summary: Mapping[str, Any]) -> str:
    """Baseline and champion on the report block, in a line."""
    low, high = summary["difference_interval"]
    return (
        f"success on the report block: baseline {summary['baseline_success']:.2f}, champion "
        f"{summary['champion_success']:.2f} (difference {summary['difference']:+.2f}, 95 % {low:+.2f} to {high:+.2f})"
    )


if __name__ == "__main__":
    main()
