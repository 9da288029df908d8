"""How a run comes to be: its name, its copy of the handoff, and what it writes down before the first episode."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from offline_to_online.dataset.files import file_sha256, read_json, write_json
from offline_to_online.errors import HandoffError, PanelError, ParameterError, RunError
from offline_to_online.evaluation.handoff import load_handoff
from offline_to_online.evaluation.panel import Panel, load_panel
from offline_to_online.learning.training import require_device
from offline_to_online.online.attempts import sweep
from offline_to_online.online.config import OnlineConfig
from offline_to_online.online.recorded import settle, settled_files
from offline_to_online.online.run import (
    CERTIFY,
    CLOSING,
    DECISION,
    EVALUATED_CONDITIONS,
    OVER,
    REJECTED,
    UPDATE,
    OnlineRun,
    was_rejected,
)

PACKAGE = Path(__file__).resolve().parents[1]


def run_names(root: Path) -> list[str]:
    """Names of the runs in ``data/online``, sorted."""
    return sorted(path.parent.name for path in root.glob("*/run.json") if not path.parent.name.startswith("."))


def is_over(root: Path, name: str) -> bool:
    """Whether a run's journal holds its end, and MLflow was told; only a person's rollback may follow."""
    path = root / name / "journal.jsonl"
    if (root / name / CLOSING).exists():
        return False
    # No words of a person's look like this: quotation marks within them stand behind a backslash.
    return path.is_file() and f'"kind":"{OVER}"'.encode() in path.read_bytes()


def choose_name(root: Path, *, name: str = "", new: bool = False) -> str:
    """The run to start or to go on with.

    Args:
        root: the folder of online runs.
        name: as the person said, or "".
        new: start another run even if one is unfinished.

    Returns:
        The name said; or else the last unfinished run; or else the next free one, ``run-001`` on.

    Raises:
        RunError: the run that was named is over, or exists although a new one was asked for.
    """
    names = run_names(root)
    if name:
        if Path(name).name != name or name.startswith("."):
            raise RunError(f"run name {name!r}", limit="a plain folder name", remedy="choose another")
        if name in names and (new or is_over(root, name)):
            state = "is over" if is_over(root, name) else "exists already"
            raise RunError(f"run {name!r} {state}", where=str(root / name), remedy="give --run another name")
        return name
    unfinished = [n for n in names if not is_over(root, n)]
    if unfinished and not new:
        return unfinished[-1]
    taken = {path.name for path in root.iterdir()} if root.is_dir() else set()
    return next(n for n in (f"run-{i:03d}" for i in range(1, len(taken) + 2)) if n not in taken)


def robot_of(root: Path, name: str, handoff: Path, expected: str) -> str:
    """The robot that a run moves: its own where it exists, else the handoff's, which must be the expected one.

    Raises:
        HandoffError: the handoff is for another robot than the parameters name.
    """
    facts = root / name / "run.json"
    if facts.is_file():
        return str(read_json(facts)["robot"])
    robot = str(load_handoff(handoff)["robot"])
    if robot != expected:
        raise HandoffError(
            f"the handoff is for {robot!r}",
            where=str(handoff),
            limit=f"params.yaml says {expected!r}",
            remedy="run `dvc repro`",
        )
    return robot


def begin(
    root: Path,
    name: str,
    handoff: Path,
    config: OnlineConfig,
    *,
    seed: int,
    jobs: int,
    threads: int = 1,
    device: str = "cpu",
) -> OnlineRun:
    """Make a run's folder, whole or not at all, or open it where it exists already (with the parameters it has).

    Args:
        root: the folder of online runs.
        name: the run's name.
        handoff: the folder that the handoff stage wrote; copied.
        config: the section ``online:``.
        seed: all of the run's randomness derives from it.
        jobs: processes that play panel episodes side by side; the result does not depend on it.
        threads: cores that one update of the learner is computed on.
        device: where the learner trains, cpu or cuda.

    Raises:
        HandoffError: the handoff is incomplete, or what it rests on was changed.
        ParameterError: the interaction budget does not cover the final evaluation and one round, or there is no such
            device.
    """
    folder = root / name
    if not (folder / "run.json").is_file():
        load_handoff(handoff)
        require_device(device, where="params.yaml")
        fresh = root / f".{name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        copy_tree(handoff, fresh / "handoff")
        facts = _facts(root, name, fresh / "handoff", config, seed=seed)
        write_json(fresh / "run.json", facts | {"jobs": jobs, "threads": threads, "device": device})
        settled_files(fresh, fresh)
        os.replace(fresh, folder)
        settle(root)
    sweep(folder)
    return OnlineRun(folder)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder.

    Raises:
        OSError: the first file that could not be copied: the disk is full, say.
    """
    try:
        shutil.copytree(source, target)
    except shutil.Error as error:
        _, where, why = error.args[0][0]
        raise OSError(0, str(why), str(where)) from error


def _facts(root: Path, name: str, handoff: Path, config: OnlineConfig, *, seed: int) -> dict[str, Any]:
    content, panel = load_handoff(handoff), load_panel(handoff / "panel.json")
    needed = 2 * (EVALUATED_CONDITIONS * len(panel.report) + config.gates.audit.pairs) + config.episodes_per_round
    if config.interaction_budget_episodes < needed:
        raise ParameterError(
            f"interaction budget of {config.interaction_budget_episodes} episodes",
            where="online.interaction_budget_episodes",
            limit=f"at least {needed}: one round's collection, and audit and final evaluation of champion and baseline",
            remedy="raise it",
        )
    first = _first_block(root, panel, config.rounds)
    return {
        "run": name,
        "robot": content["robot"],
        "dynamics": asdict(config.dynamics),
        "config": asdict(config),
        "seed": seed,
        "handoff_sha256": file_sha256(handoff / "handoff.json"),
        "panel_sha256": panel.sha256,
        "first_block": first,
        "acceptance_sha256": [block.sha256 for block in panel.acceptance[first : first + config.rounds]],
        "git_commit": git_commit(),
        REJECTED: _rejected(root),
    }


def _rejected(root: Path) -> dict[str, str]:
    """Policies that runs in this folder have rejected, by hash, and the first that did: no new run tries them again."""
    found: dict[str, str] = {}
    for name in run_names(root):
        for path in sorted((root / name / "rounds").glob(f"*/{CERTIFY}.json")):
            made, decision = path.with_name(f"{UPDATE}.json"), path.with_name(f"{DECISION}.json")
            if was_rejected(read_json(path), read_json(decision) if decision.is_file() else None):
                found.setdefault(str(read_json(made)["policy_sha256"]), f"run {name}, round {int(path.parent.name)}")
        found = read_json(root / name / "run.json").get(REJECTED, {}) | found
    return found


def _first_block(root: Path, panel: Panel, rounds: int) -> int:
    """The first acceptance block that no earlier run has set aside: each is used once, whatever the run.

    Raises:
        PanelError: too few are left for this run's rounds.
    """
    taken = [0]
    for path in sorted(root.glob("*/run.json")):
        facts = read_json(path)
        if facts["panel_sha256"] == panel.sha256:
            taken.append(int(facts["first_block"]) + int(facts["config"]["rounds"]))
    if max(taken) + rounds > len(panel.acceptance):
        raise PanelError(
            f"{max(taken)} of {len(panel.acceptance)} acceptance blocks are used by earlier runs",
            where="panel.acceptance",
            limit=f"{rounds} fresh ones for the rounds of this run",
            remedy="make a new panel with another seed, and hand off again",
        )
    return max(taken)


def git_commit() -> str:
    """The commit of this code (``-dirty`` where files were changed), or "" outside a git checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
    try:
        done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
