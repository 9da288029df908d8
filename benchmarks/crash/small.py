"""A small real run in a folder of its own: its params.yaml, a handoff, and the steps of the flow in its order."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path

import yaml

from benchmarks.small_handoff import AUDIT, GENEROUS, LENIENT, build_handoff
from offline_to_online.errors import one_line
from offline_to_online.online.beginning import begin
from offline_to_online.online.decide import open_registry
from offline_to_online.online.finish import close, finish
from offline_to_online.online.run import OnlineRun
from offline_to_online.params import load_params
from tests.online.small_run import play_round

ROOT = Path(__file__).resolve().parents[2]
RUN = "run-001"
RUNS, HANDOFF = Path("data/online"), Path("models/handoff")


def workplace(folder: Path, handoff: Path, *, rounds: int = 2, mlflow: str = "", prefect: str = "") -> Path:
    """A folder as a checkout has it: params.yaml with a small online run, and models/handoff."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params |= {"jobs": 1}
    online = params["online"]
    online |= {"rounds": rounds, "episodes_per_round": 2, "registered_model": "small"}
    online["switch"]["updates_per_step"] = 0.1
    online["gates"] = {"safety": GENEROUS, "acceptance": LENIENT, "audit": asdict(AUDIT)}
    online["screen"] = {"margin": 1e6, "members": 2, "updates": 10, "hidden_units": [8]}
    online["people"] = {"patience_s": 0, "approve_acceptance": False}
    online["servers"] = {"mlflow": mlflow, "prefect": prefect}
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    shutil.copytree(handoff, folder / HANDOFF)
    return folder


def make_handoff(folder: Path) -> None:
    """The small handoff, in ``folder/handoff``."""
    build_handoff(folder)


@one_line
def play(place: Path) -> None:
    """Begin or go on with the run of a workplace, and end it: the flow's steps without Prefect."""
    os.chdir(place)
    params = load_params()
    opened = begin(
        RUNS,
        RUN,
        HANDOFF,
        params.online,
        seed=params.seed,
        jobs=params.jobs,
        threads=params.threads,
        device=params.device,
    )
    open_registry(opened)
    while (number := OnlineRun(opened.folder).next_round()) is not None:
        play_round(opened.folder, number)
    finish(OnlineRun(opened.folder))
    close(OnlineRun(opened.folder))
