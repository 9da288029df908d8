"""From a file that claims to be a data set to episodes that were checked: all of them, or none.

Streams the episodes through shapes, operators, horizon, Pandera and the robot's own labels into the
store, splits them, has Great Expectations accept the table of episodes, and only then puts
``transitions.parquet``, ``episodes.parquet``, ``split.json``, ``validation.json`` and ``acceptance.json``
in place in one step.
"""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import pandas as pd

from offline_to_online.dataset import summary
from offline_to_online.dataset.acceptance import accept
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import read_json, require_readable, write_json
from offline_to_online.dataset.hashes import verify_hashes
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.schema import (
    check_final,
    check_transitions,
    final_frame,
    require_shapes,
    transition_frame,
)
from offline_to_online.dataset.spec import Array
from offline_to_online.dataset.split import Split, make_split
from offline_to_online.dataset.store import BLOCK_STEPS, EPISODES, SPLIT, TRANSITIONS, EpisodeWriter, writing
from offline_to_online.errors import DataError, ManifestError, SplitError
from offline_to_online.plugins import available, module_for

VALIDATION, ACCEPTANCE = "validation.json", "acceptance.json"
WRITTEN = frozenset({TRANSITIONS, EPISODES, SPLIT, VALIDATION, ACCEPTANCE})


class LabelsLike(Protocol):
    """A robot's judgement of logged steps: rewards (T,), cost (T,), success and score in [0, 1]."""

    @property
    def rewards(self) -> Array:
        """Reward of each step."""

    @property
    def cost(self) -> Array:
        """Constraint cost of each step."""

    @property
    def success(self) -> bool:
        """Whether the episode counts as a success."""

    @property
    def score(self) -> float:
        """How far it got."""


Label = Callable[[Array, Array], LabelsLike]


def validate(
    *, path: Path, format_name: str | None, manifest: Manifest, label: Label | None, seed: int, folder: Path
) -> dict[str, Any]:
    """Check a data set and put its episodes into ``folder``, whole or not at all.

    Args:
        path: the raw data, read where it lies and never changed.
        format_name: a plug-in of ``dataset/formats``; None asks each whether it recognises the data.
        manifest: what the data claims to be.
        label: the robot's own judgement of observations (T+1, O) and actions (T, A); None keeps the file's.
        seed: of the split.
        folder: where the episodes go; it may hold what an earlier call wrote, and nothing else.

    Returns:
        The summary that is also written to ``validation.json``: counts, operators, clipping, dropped
        steps, ranges, split and hashes.

    Raises:
        DataError: the data is broken, contradicts the manifest, or was not accepted.
        ManifestError: a hash does not hold, or the manifest wants a robot's rewards and there is no label.
        SplitError: too few episodes, or ``folder`` holds another split.
    """
    require_readable(path)
    if manifest.reward_source == "robot" and label is None:
        limit = "reward_source: robot needs the robot's label"
        raise ManifestError(
            "nothing gives the rewards", where=f"manifest {manifest.name}", limit=limit, remedy="name a robot"
        )
    _require_own(folder)
    reader = _reader(path, format_name)
    hashes = _source_hashes(path, reader, manifest)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        result = _write(partial, path=path, reader=reader, manifest=manifest, label=label, seed=seed, hashes=hashes)
        _require_same_split(partial / SPLIT, folder / SPLIT)
        _move(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return result


def _write(
    partial: Path,
    *,
    path: Path,
    reader: ModuleType,
    manifest: Manifest,
    label: Label | None,
    seed: int,
    hashes: dict[str, str],
) -> dict[str, Any]:
    tally = summary.Tally(manifest)
    keep_cost = bool(getattr(reader, "logs_cost", lambda _: False)(path))
    with writing(partial) as writer:
        for block in _blocks(reader.read(path, manifest)):
            _admit(block, writer, tally, manifest=manifest, label=label, keep_cost=keep_cost, where=str(path))
    tally.require_plausible(where=str(path))
    frame = tally.frame
    acceptance = _accepted(frame, manifest, where=str(path))
    split = make_split(
        [_Row(*row) for row in zip(frame["identity"], frame["operator"], strict=True)], manifest.split, seed
    )
    declared = int(reader.steps(path)) if hasattr(reader, "steps") else int(frame["length"].sum())
    result = summary.summarise(tally, split, partial, declared_steps=declared)
    result |= {"format": reader.__name__.rpartition(".")[2], "sources": hashes}
    write_json(partial / SPLIT, split.to_json())
    write_json(partial / ACCEPTANCE, acceptance)
    write_json(partial / VALIDATION, result)
    return result


def _blocks(episodes: Iterable[Episode]) -> Iterator[list[tuple[int, Episode]]]:
    """Episodes with their index, in blocks of some thousand steps: Pandera is fast by the block, not by the row."""
    block: list[tuple[int, Episode]] = []
    for index, episode in enumerate(episodes):
        block.append((index, episode))
        if sum(len(e) for _, e in block) >= BLOCK_STEPS:
            yield block
            block = []
    if block:
        yield block


def _admit(
    block: list[tuple[int, Episode]],
    writer: EpisodeWriter,
    tally: summary.Tally,
    *,
    manifest: Manifest,
    label: Label | None,
    keep_cost: bool,
    where: str,
) -> None:
    for index, episode in block:
        place = f"{where}, episode {index}"
        manifest.require_length(len(episode), where=place)
        manifest.require_operator(episode.operator, where=place)
        require_shapes(episode, manifest, where=place)
    check_transitions(transition_frame(block, manifest), manifest, where=where)
    check_final(final_frame(block, manifest), manifest, where=where)
    for index, logged in block:
        clipped = manifest.action.clip(logged.actions)
        executed = dataclasses.replace(logged, actions=clipped)
        episode = executed if label is None else _labelled(executed, label, manifest, keep_cost=keep_cost)
        tally.add(episode, clipped=clipped != logged.actions, where=f"{where}, episode {index}")
        writer.append(episode)


def _labelled(episode: Episode, label: Label, manifest: Manifest, *, keep_cost: bool) -> Episode:
    labels = label(episode.observations, episode.actions)
    rewards = labels.rewards if manifest.reward_source == "robot" else episode.rewards
    cost = episode.cost if keep_cost else labels.cost
    return dataclasses.replace(
        episode,
        rewards=np.asarray(rewards, dtype=np.float32),
        cost=np.asarray(cost, dtype=np.float32),
        success=bool(labels.success),
        score=float(labels.score),
    )


def _accepted(frame: pd.DataFrame, manifest: Manifest, *, where: str) -> dict[str, Any]:
    acceptance = accept(frame, manifest)
    failed = [row for row in acceptance["expectations"] if not row["passed"]]
    if failed:
        said = ", ".join(
            f"{row['name']!r} ({row['unexpected']} do not: {', '.join(row['examples']) or '-'})" for row in failed
        )
        raise DataError(
            f"the data set is not accepted, {len(failed)} expectation(s) fail: {said}",
            where=where,
            limit=f"every expectation of manifest {manifest.name} holds",
            remedy="mend the data or the manifest",
        )
    return acceptance


@dataclasses.dataclass(frozen=True)
class _Row:
    identity: str
    operator: str


def _reader(path: Path, format_name: str | None) -> ModuleType:
    if format_name is not None:
        return module_for("formats", format_name)
    names = available("formats")
    for name in names:
        module = module_for("formats", name)
        if module.recognises(path):
            return module
    raise DataError(
        "no format recognises this data",
        where=str(path),
        limit=f"there is {', '.join(names)}",
        remedy="convert it, name its format, or write a plug-in in dataset/formats",
    )


def _source_hashes(path: Path, reader: ModuleType, manifest: Manifest) -> dict[str, str]:
    if manifest.recorded and not getattr(reader, "is_ours", lambda _: False)(path) and path.is_file():
        raise ManifestError(
            "the manifest says hashes: recorded, and this file was not recorded by collect",
            where=str(path),
            limit=f"manifest {manifest.name} names no hash of it",
            remedy="give the file's SHA-256 under hashes, or check the file",
        )
    return verify_hashes(path, manifest)


def _require_own(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise DataError(
            "a file lies where the episodes go", where=str(folder), limit="a folder", remedy="move it elsewhere"
        )
    foreign = sorted(p.name for p in folder.iterdir() if p.name not in WRITTEN) if folder.is_dir() else []
    # DVC puts a .gitignore beside its outputs, never into them: whatever else lies here is somebody's.
    if foreign:
        raise DataError(
            f"{', '.join(foreign[:3])} was not written here ({len(foreign)} such)",
            where=str(folder),
            limit="validate replaces only what it wrote",
            remedy="move it elsewhere",
        )


def _require_same_split(new: Path, old: Path) -> None:
    if not old.exists():
        return
    before, after = read_json(old), read_json(new)
    if before != after:
        raise SplitError(
            f"another split is written there already ({_named(before)}; now {_named(after)})",
            where=str(old),
            limit="a split is written once",
            remedy="keep data, manifest and seed, or remove the folder deliberately",
        )


def _named(content: Any) -> str:
    return str(content.get("sha256", "without a hash"))[:12] if isinstance(content, dict) else "no split"


def _move(partial: Path, folder: Path) -> None:
    """Swap the folders: the old one is aside until the new one stands."""
    aside = partial.with_suffix(".replaced")
    if folder.exists():
        folder.replace(aside)
    partial.replace(folder)
    for name in WRITTEN if aside.exists() else ():
        (aside / name).unlink(missing_ok=True)
    if aside.exists():
        aside.rmdir()


__all__ = ["LabelsLike", "Split", "validate"]
