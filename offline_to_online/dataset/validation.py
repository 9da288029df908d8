"""From a file that claims to be a data set to episodes that were checked: all of them, or none.

Streams the episodes through the format, the assembly, every check, Pandera and the robot's own labels into the
store, splits them, has Great Expectations accept the table of episodes, and only then puts
``transitions.parquet``, ``episodes.parquet``, ``split.json``, ``validation.json`` and ``acceptance.json``
in place in one step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from offline_to_online.dataset import summary
from offline_to_online.dataset.acceptance import accept
from offline_to_online.dataset.assembly import layout_of
from offline_to_online.dataset.checks import RobotFacts, Subject
from offline_to_online.dataset.checks.duplicates import NearDuplicates, leaks
from offline_to_online.dataset.detection import format_of, name_of
from offline_to_online.dataset.examination import Examination, refusal
from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.dataset.finding import Finding, ordered
from offline_to_online.dataset.hashes import verify_hashes
from offline_to_online.dataset.intake import Intake, blocks
from offline_to_online.dataset.logged import Contents
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.split import Split, make_split
from offline_to_online.dataset.store import EPISODES, SPLIT, TRANSITIONS, writing
from offline_to_online.errors import DataError, ManifestError, SplitError

VALIDATION, ACCEPTANCE, SCHEMA = "validation.json", "acceptance.json", "schema.json"
WRITTEN = frozenset({TRANSITIONS, EPISODES, SPLIT, VALIDATION, ACCEPTANCE, SCHEMA})
LATER = ("robot", "robot_body", "sensors", "action_schema", "observation_schema", "control_rate_hz", "episode_horizon")


def validate(
    *, path: Path, format_name: str | None, manifest: Manifest, robot: RobotFacts | None, seed: int, folder: Path
) -> dict[str, Any]:
    """Check a data set and put its episodes into ``folder``, whole or not at all.

    Args:
        path: the raw data, read where it lies and never changed.
        format_name: a plug-in of ``dataset/formats``; None asks each whether it recognises the data.
        manifest: what the data claims to be.
        robot: what the robot knows; it labels cost, success and score, and the rewards where the manifest says so.
            None keeps the file's.
        seed: of the split.
        folder: where the episodes go; it may hold what an earlier call wrote, and nothing else.

    Returns:
        The summary that is also written to ``validation.json``: counts, operators, findings, clipping, dropped
        steps, ranges, split and hashes.

    Raises:
        DataError: the data is broken, contradicts the manifest, a check found an error, or it was not accepted.
        ManifestError: a hash does not hold, or the manifest wants a robot's rewards and there is no robot.
        SplitError: too few episodes, or ``folder`` holds another split.
    """
    if manifest.reward_source == "robot" and robot is None:
        limit = "reward_source: robot needs the robot's label"
        raise ManifestError(
            "nothing gives the rewards", where=f"manifest {manifest.name}", limit=limit, remedy="name a robot"
        )
    folder = _absolute(folder)
    _require_own(folder)
    reader = format_of(path, format_name)
    hashes = _source_hashes(path, reader, manifest)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.partial")
    made = [parent for parent in folder.parents if not parent.exists()]
    try:
        result = _write(partial, path=path, reader=reader, manifest=manifest, robot=robot, seed=seed, hashes=hashes)
        _require_same_split(partial / SPLIT, folder / SPLIT)
        _move(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for parent in made if not folder.exists() else ():
            with contextlib.suppress(OSError):
                parent.rmdir()
    return result


def _write(
    partial: Path,
    *,
    path: Path,
    reader: ModuleType,
    manifest: Manifest,
    robot: RobotFacts | None,
    seed: int,
    hashes: dict[str, str],
) -> dict[str, Any]:
    contents: Contents = reader.describe(path)
    layout = layout_of(manifest, contents, where=f"manifest {manifest.name}")
    examination = Examination(subject_of(manifest, contents, robot))
    tally = summary.Tally(manifest)
    with writing(partial) as writer:
        intake = Intake(writer, tally, examination, manifest=manifest, robot=robot, where=str(path))
        for block in blocks(intake.taken(reader.read(path, extra=True), layout)):
            intake.admit(block)
        intake.require_sound()
    frame = tally.frame
    acceptance = _accepted(frame, manifest, where=str(path))
    split = make_split(
        [_Row(*row) for row in zip(frame["identity"], frame["operator"], strict=True)], manifest.split, seed
    )
    found = [*_said_by_manifest(manifest, intake), *_leaks(examination, intake.identities, split)]
    findings = ordered([*examination.findings, *found])
    if (error := refusal(findings, None, where=str(path))) is not None:
        raise error
    result = summary.summarise(tally, split, partial, dropped_steps=intake.dropped_steps)
    result |= {"format": name_of(reader), "sources": hashes, "findings": [f.to_json() for f in findings]}
    result |= {
        "duplicates_left_out": len(intake.copies),
        "left_out": [dataclasses.asdict(item) for item in contents.left_out],
    }
    write_json(partial / SPLIT, split.to_json())
    write_json(partial / ACCEPTANCE, acceptance)
    write_json(partial / VALIDATION, result)
    write_json(partial / SCHEMA, {key: manifest.to_json()[key] for key in (*LATER, "reward_source")})
    return result


def subject_of(manifest: Manifest, contents: Contents, robot: RobotFacts | None) -> Subject:
    """What is known of data that a manifest describes, before its first episode."""
    return Subject(
        contents=contents,
        observation=manifest.observation.names,
        action=manifest.action.names,
        action_low=manifest.action.low,
        action_high=manifest.action.high,
        manifest=manifest,
        robot=robot,
    )


def _said_by_manifest(manifest: Manifest, intake: Intake) -> list[Finding]:
    """What is left out because the manifest says so."""
    absent = [i for i in manifest.leave_out if i not in intake.read]
    if absent:
        raise ManifestError(
            f"leave_out names episode {absent[0]}",
            where=f"manifest {manifest.name}",
            limit=f"there are {intake.read.stop} episodes, counted from 0",
            remedy="mend the list",
        )
    by_name = (("left_out_by_manifest", list(manifest.leave_out)), ("duplicates_left_out", intake.copies))
    return [
        Finding(
            check=name,
            severity="notice",
            message=f"{len(indices)} episode(s) are left out, as the manifest says: {', '.join(map(str, indices[:10]))}"
            + (" ..." if len(indices) > 10 else ""),
            episode=indices[0],
            count=len(indices),
        )
        for name, indices in by_name
        if indices
    ]


def _leaks(examination: Examination, identities: dict[int, str], split: Split) -> list[Finding]:
    """Near-duplicates that the split puts into different parts."""
    pairs = [pair for check in examination.checks if isinstance(check, NearDuplicates) for pair in check.pairs]
    return leaks(pairs, [identities.get(i, "") for i in range(max(identities) + 1)], split)


def _absolute(folder: Path) -> Path:
    """The folder with a name of its own, which ``.`` and ``..`` are not."""
    whole = Path(os.path.abspath(folder))
    if whole.parent == whole or whole == Path.cwd() or whole in Path.cwd().parents:
        limit = "a folder of its own, below the current one or elsewhere"
        raise DataError("episodes cannot be written here", where=str(folder), limit=limit, remedy="name another")
    return whole


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


def _source_hashes(path: Path, reader: ModuleType, manifest: Manifest) -> dict[str, str]:
    if manifest.recorded and not getattr(reader, "is_ours", lambda _: False)(path):
        raise ManifestError(
            "the manifest says hashes: recorded, and this data was not recorded by collect",
            where=str(path),
            limit=f"manifest {manifest.name} names no hash of it",
            remedy="give its SHA-256 under hashes, or check the file",
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


__all__ = ["Split", "subject_of", "validate"]
