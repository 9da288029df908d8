"""The one saved panel: which tasks a policy is judged on, and which it may only be trained on.

A panel file holds the report block whole and the acceptance and audit blocks by hash. Every block is drawn
from a stream of random numbers of its own (``numpy.random.SeedSequence`` with the block's spawn key), and so is
every collection task: no task of one can be a task of another.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from offline_to_online.dataset.files import json_bytes, read_json, write_json
from offline_to_online.errors import DataError, PanelError, ParameterError
from offline_to_online.plugins import module_for
from offline_to_online.robots import Task

REPORT, ACCEPTANCE, AUDIT, COLLECTION = range(4)
# Part of every spawn key, so that no other stream of the same seed, a recorder's for one, can be one of these.
OWN_STREAMS = int.from_bytes(b"pane")
REPORT_SIZE, BLOCK_SIZE, BLOCKS, AUDIT_SIZE = 100, 400, 64, 200
CHECKED_BLOCKS = 4


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block that is committed by hash: ``size`` tasks from ``seed``, and the SHA-256 of them."""

    seed: int
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The tasks that every policy for one robot is judged on.

    Attributes:
        robot: the robot's plug-in name.
        made_with: the command and the versions that drew it.
        seed: of every stream.
        report: the tasks on which all policies are compared, side by side.
        acceptance: blocks for candidates, each used once.
        audit: rarely touched.
        sha256: of the file's canonical content.
    """

    robot: str
    made_with: Mapping[str, str]
    seed: int
    report: tuple[Task, ...]
    acceptance: tuple[Block, ...]
    audit: Block
    sha256: str


def make_panel(robot: str, seed: int, *, report_size: int = REPORT_SIZE, blocks: int = BLOCKS) -> Panel:
    """Draw a panel: the same one for the same robot and seed.

    Raises:
        ParameterError: no such robot, or a size or seed that is no number of tasks.
        PanelError: two blocks share a task, because the robot draws from too few resets.
    """
    if seed < 0 or report_size < 1 or blocks < 1:
        raise ParameterError(
            f"seed {seed}, {report_size} tasks, {blocks} blocks", limit="a seed from 0 on, sizes from 1 on"
        )
    module = module_for("robots", robot)
    report = _draw(module, seed, (REPORT,), report_size)
    audit = _draw(module, seed, (AUDIT,), AUDIT_SIZE)
    drawn = [_draw(module, seed, (ACCEPTANCE, k), BLOCK_SIZE) for k in range(blocks)]
    _check_disjoint(robot, [report, audit, *drawn[:CHECKED_BLOCKS]])
    content = {
        "robot": robot,
        "made_with": {
            "command": f"python -m offline_to_online.evaluation make-panel --robot {robot} --seed {seed}",
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "seed": seed,
        "report": {"tasks": [task.to_json() for task in report]},
        "acceptance": {"seed": seed, "block_size": BLOCK_SIZE, "blocks": blocks, "sha256": [_sha256(b) for b in drawn]},
        "audit": {"seed": seed, "size": AUDIT_SIZE, "sha256": _sha256(audit)},
    }
    return _from_json({**content, "sha256": _content_sha256(content)})


def write_panel(panel: Panel, path: Path) -> None:
    """Write a new panel file.

    Raises:
        PanelError: the file exists: a panel that results were measured on is not overwritten.
    """
    if path.exists():
        raise PanelError(
            "there is a panel already", where=str(path), remedy="keep it: results on another panel are not comparable"
        )
    write_json(path, _to_json(panel))


def load_panel(path: Path) -> Panel:
    """Read a panel and verify that nothing in it was changed.

    Raises:
        PanelError: missing, no panel, or its content does not have the hash that it names.
    """
    if not path.is_file():
        raise PanelError(
            "no such panel",
            where=str(path),
            remedy=f"python -m offline_to_online.evaluation make-panel --robot NAME --seed N --path {path}",
        )
    try:
        content = read_json(path)
        named, found = str(content["sha256"]), _content_sha256(content)
        panel = _from_json(content)
    except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise PanelError("this is no panel", where=str(path), limit=repr(error), remedy="take it from git") from error
    if named != found:
        raise PanelError(
            "the panel was changed since it was made",
            where=str(path),
            limit=f"sha256 {named[:12]}, found {found[:12]}",
            remedy="take it from git again",
        )
    return panel


def acceptance_block(panel: Panel, k: int) -> list[Task]:
    """The tasks of the k-th acceptance block (from 0), drawn anew and verified.

    Raises:
        PanelError: the panel has no such block, or the robot draws other tasks than when it was made.
    """
    if not 0 <= k < len(panel.acceptance):
        raise PanelError(
            f"acceptance block {k} is asked for",
            where=f"panel of {panel.robot}",
            limit=f"it has {len(panel.acceptance)}, each used once",
            remedy="make a panel with another seed and more --blocks",
        )
    return _regenerate(panel, panel.acceptance[k], (ACCEPTANCE, k), f"acceptance block {k}")


def audit_block(panel: Panel) -> list[Task]:
    """The tasks of the audit block, drawn anew and verified.

    Raises:
        PanelError: the robot draws other tasks than when the panel was made.
    """
    return _regenerate(panel, panel.audit, (AUDIT,), "the audit block")


def collection_task(module: ModuleType, seed: int, index: int) -> Task:
    """The reset of a run's ``index``-th collected episode (from 0), disjoint from every block of every panel.

    Args:
        module: the robot module.
        seed: of the run.
        index: of the episode, so that a resumed run goes on where it was.
    """
    return _draw(module, seed, (COLLECTION, index), 1)[0]


def _regenerate(panel: Panel, block: Block, key: tuple[int, ...], name: str) -> list[Task]:
    tasks = _draw(module_for("robots", panel.robot), block.seed, key, block.size)
    found = _sha256(tasks)
    if found != block.sha256:
        raise PanelError(
            f"{name} is no longer the one that was committed",
            where=f"panel of {panel.robot}",
            limit=f"sha256 {block.sha256[:12]}, found {found[:12]}",
            remedy="restore the robot's draw_task, or make a new panel and evaluate every policy again",
        )
    return tasks


def _draw(module: ModuleType, seed: int, key: tuple[int, ...], size: int) -> list[Task]:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(OWN_STREAMS, *key)))
    # Through JSON's own numbers, so that a task drawn again equals the one that was written.
    return [Task.from_json(module.draw_task(rng).to_json()) for _ in range(size)]


def _check_disjoint(robot: str, blocks: Sequence[Sequence[Task]]) -> None:
    states = [{json_bytes(task.to_json()["state"]) for task in block} for block in blocks]
    tasks = sum(len(block) for block in blocks)
    if len(set().union(*states)) < tasks:
        raise PanelError(
            "a reset stands in the panel twice",
            where=f"draw_task of {robot}",
            limit=f"{tasks} different resets",
            remedy="draw from a continuous reset distribution",
        )


def _sha256(tasks: Sequence[Task]) -> str:
    return hashlib.sha256(json_bytes([task.to_json() for task in tasks])).hexdigest()


def _content_sha256(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json_bytes({k: v for k, v in content.items() if k != "sha256"})).hexdigest()


def _from_json(content: Mapping[str, Any]) -> Panel:
    acceptance, audit = content["acceptance"], content["audit"]
    size, seed = int(acceptance["block_size"]), int(acceptance["seed"])
    hashes = [str(h) for h in acceptance["sha256"]]
    if len(hashes) != acceptance["blocks"]:
        raise ValueError(f"{len(hashes)} hashes for {acceptance['blocks']} blocks")
    return Panel(
        robot=str(content["robot"]),
        made_with=dict(content["made_with"]),
        seed=int(content["seed"]),
        report=tuple(Task.from_json(row) for row in content["report"]["tasks"]),
        acceptance=tuple(Block(seed=seed, size=size, sha256=h) for h in hashes),
        audit=Block(seed=int(audit["seed"]), size=int(audit["size"]), sha256=str(audit["sha256"])),
        sha256=str(content["sha256"]),
    )


def _to_json(panel: Panel) -> dict[str, Any]:
    first = panel.acceptance[0]
    return {
        "robot": panel.robot,
        "made_with": dict(panel.made_with),
        "seed": panel.seed,
        "report": {"tasks": [task.to_json() for task in panel.report]},
        "acceptance": {
            "seed": first.seed,
            "block_size": first.size,
            "blocks": len(panel.acceptance),
            "sha256": [block.sha256 for block in panel.acceptance],
        },
        "audit": {"seed": panel.audit.seed, "size": panel.audit.size, "sha256": panel.audit.sha256},
        "sha256": panel.sha256,
    }
