"""A run without Prefect: the same steps in the same order as the flow's."""

from __future__ import annotations

from pathlib import Path

from offline_to_online.online.beginning import begin
from offline_to_online.online.certify import audit_candidate, certify
from offline_to_online.online.collect import collect, safety_gate
from offline_to_online.online.config import OnlineConfig
from offline_to_online.online.decide import accept_or_reject, log_round
from offline_to_online.online.finish import close, finish
from offline_to_online.online.run import OnlineRun
from offline_to_online.online.screen import screen
from offline_to_online.online.update import update


def play_round(folder: Path, number: int) -> None:
    """One round, each step on a run opened anew."""
    collect(OnlineRun(folder), number)
    safety_gate(OnlineRun(folder), number)
    safe = OnlineRun(folder).halt() is None
    made = safe and update(OnlineRun(folder), number)["candidate"]
    if made and screen(OnlineRun(folder), number)["passed"]:
        audit_candidate(OnlineRun(folder), number)
        certify(OnlineRun(folder), number)
    if safe:
        accept_or_reject(OnlineRun(folder), number)
    log_round(OnlineRun(folder), number)


def play_to_the_end(root: Path, name: str, handoff: Path, config: OnlineConfig) -> Path:
    """Begin or go on with a run, and end it; its folder."""
    folder = begin(root, name, handoff, config, seed=1, jobs=1).folder
    while (number := OnlineRun(folder).next_round()) is not None:
        play_round(folder, number)
    finish(OnlineRun(folder))
    close(OnlineRun(folder))
    return folder
