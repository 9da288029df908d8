"""From a stranger's data to a draft manifest: all that could be measured filled in, the rest left as marked blanks."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from offline_to_online.dataset.blanks import blanks
from offline_to_online.dataset.files import replacing
from offline_to_online.dataset.hashes import source_name, source_sha256
from offline_to_online.dataset.inspection import Inspection, inspect
from offline_to_online.dataset.robot_facts import plug_in
from offline_to_online.errors import DataError, ManifestError
from offline_to_online.plugins import available, module_for

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
FOLDER = Path("data/manifests")
LICENCES = ("licence", "license")
SOURCES = ("source", "url", "dataset_id", "repo_id", "code_permalink")
ENOUGH = 50  # episodes, for a calibration part of its own
ENDS = "ignore where a time limit ended the episodes that are flagged as terminal, believed where the task did"
COPIES = "leave_out keeps the first of the episodes that are there twice, refuse wants the data mended"
MARGIN = 0.1  # of the measured width, beyond what was seen: no bound that is known, only one that was not contradicted


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What ``adopt`` wrote: two files, the blanks that a person fills, and what was found on the way."""

    manifest: Path
    params: Path
    blanks: dict[Path, list[str]]
    inspection: Inspection
    stages: str


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What a person says at once, instead of filling in blanks; empty where nothing is said."""

    operator: str = ""
    licence: str = ""
    source: str = ""
    resets: str = ""
    action_unit: str = ""
    observation_unit: str = ""
    terminals: str = ""
    leave_out: Sequence[int] = ()


def adopt(
    path: Path,
    *,
    name: str,
    root: Path,
    format_name: str | None = None,
    keys: Sequence[str] = (),
    robot_name: str | None = None,
    stated: Stated | None = None,
) -> Draft:
    """Inspect a data set and write ``data/manifests/<name>.yaml`` and ``<name>.params.yaml``, both or neither.

    Args:
        path: the data, read where it lies.
        name: of the data set.
        root: the repository's root, which the two files go below.
        format_name: forced; None looks.
        keys: sensors that make the observation; empty for the format's own choice.
        robot_name: the plug-in of its robot; names, units and bounds are then the robot's, not the data's.
        stated: what a person has said already.

    Raises:
        DataError: the data is broken, or a check found an error in it.
        ManifestError: a file of that name is there already, or the name cannot be one.
    """
    if not PLAIN.fullmatch(name):
        limit = "letters, digits, and _ . - after the first"
        raise ManifestError(f"the name {name!r}", where="--name", limit=limit, remedy="choose another")
    targets = root / FOLDER / f"{name}.yaml", root / FOLDER / f"{name}.params.yaml"
    for target in targets:
        if target.exists():
            limit = "nothing is overwritten"
            raise ManifestError("this file is there already", where=str(target), limit=limit, remedy="choose a name")
    robot = None if robot_name is None else plug_in(robot_name, where="--robot")
    said = stated or Stated()
    found = inspect(
        path,
        format_name=format_name,
        keys=keys,
        robot=robot,
        terminals=said.terminals != "ignore",
        leave_out=said.leave_out,
    )
    if found.errors:
        raise _refused(found)
    manifest = manifest_text(found, name=name, keys=keys, robot=robot, robot_name=robot_name, said=said)
    params = params_text(found, name=name, robot_name=robot_name, format_name=format_name)
    texts = dict(zip(targets, (manifest, params), strict=True))
    left = {target: blank for target, text in texts.items() if (blank := blanks(yaml.safe_load(text)))}
    with replacing(targets[0]) as one, replacing(targets[1]) as other:
        one.write_text(manifest, encoding="utf-8")
        other.write_text(params, encoding="utf-8")
    stages = "dvc repro" if robot is not None else "dvc repro audit" if found.contents.rewards else "dvc repro audit@bc"
    return Draft(manifest=targets[0], params=targets[1], blanks=left, inspection=found, stages=stages)


def manifest_text(
    found: Inspection,
    *,
    name: str,
    keys: Sequence[str],
    robot: ModuleType | None,
    robot_name: str | None,
    said: Stated | None = None,
) -> str:
    """The draft manifest as commented YAML."""
    said = said or Stated()
    contents, measured, warned = found.contents, found.measured, {f.check for f in found.findings}
    spec = None if robot is None else robot.SPEC
    longest = max(measured.lengths)
    rate = spec.control_rate_hz if spec else contents.control_rate_hz or measured.control_rate_hz
    operators = sorted(set(measured.operators) - {"unknown"})
    if not operators or "unknown" in measured.operators:
        operators = [
            *operators,
            said.operator or _state("who acted where nobody is logged: human, script, a policy's name"),
        ]
    fields: list[tuple[str, Any, str]] = [
        ("name", name, ""),
        ("robot", robot_name or _state(_robots(found)), "a file in offline_to_online/robots"),
        ("robot_body", spec.body if spec else contents.facts.get("robot_type") or _state("the robot's body"), ""),
        ("sensors", list(spec.sensors) if spec else [_state("the sensors behind the observation")], ""),
        ("action_schema", _action_schema(found, spec, said.action_unit), ""),
        ("observation_schema", _observation_schema(found, spec, keys, said.observation_unit), ""),
        ("control_rate_hz", _number(rate) if rate else _state("control steps per second"), ""),
        ("operators", operators, ""),
        ("split", *_split(measured.episodes, len(operators) > 1)),
        ("reset_distribution", said.resets or _state("how the start of an episode was drawn"), ""),
        ("episode_horizon", max(longest, spec.horizon if spec else 0), f"the longest episode logged has {longest}"),
        ("reward_source", *_reward_source(found, spec, warned)),
        *([("duplicates", _state(COPIES), "")] if "duplicate_episodes" in warned else []),
        *_terminals(said, warned),
        *([("leave_out", sorted(set(said.leave_out)), "")] if said.leave_out else []),
        ("licence", said.licence or _fact(contents.facts, LICENCES) or _state("the licence of the data"), ""),
        ("source", said.source or _fact(contents.facts, SOURCES) or _state("where the data comes from"), ""),
        ("hashes", {source_name(found.path): source_sha256(found.path)}, ""),
    ]
    head = [
        f"# Drafted by `python -m offline_to_online.dataset adopt` from {measured.episodes:,} episodes of "
        f"{measured.logged_steps:,} steps ({contents.format}).",
        "# What could be measured is filled in; `validate` refuses every <state: ...> until a person has said it.",
        *(f"# {finding.severity}: {finding.check}: {_plain(finding.message)}" for finding in found.findings),
    ]
    return "\n".join(head + [_entry(*row) for row in fields]) + "\n"


def params_text(found: Inspection, *, name: str, robot_name: str | None, format_name: str | None) -> str:
    """The section of params.yaml that names the data set, for ``python -m offline_to_online.params use``."""
    content = {
        "robot": robot_name or _state(_robots(found)),
        "dataset": {"name": name, "path": str(found.path), "format": format_name or "auto"},
        "collect": {"recordings": []},
        "online": {"dynamics": {}, "registered_model": name.replace("_", "-")},
    }
    head = (
        f"# For `python -m offline_to_online.params use {FOLDER / f'{name}.params.yaml'}`: this data set,\n"
        "# read where it lies, and no recording. What is not named keeps its value: look at policies and online too.\n"
    )
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _terminals(said: Stated, warned: set[str]) -> list[tuple[str, Any, str]]:
    if said.terminals:
        return [("terminals", said.terminals, "")]
    return [("terminals", _state(ENDS), "")] if "cut_marked_as_terminal" in warned else []


def _action_schema(found: Inspection, spec: Any, unit: str) -> dict[str, Any]:
    beyond = any(f.check == "out_of_bounds" and f.severity != "notice" for f in found.findings)
    clip = _state("clip where the robot clips such actions, else refuse") if beyond else "refuse"
    schema = {"kind": "vector", "out_of_bounds": clip}
    if spec:
        return {**schema, "dimensions": spec.action.to_json()}
    declared = found.contents.actions
    known = list(zip(declared.low, declared.high, strict=True))
    return {**schema, "dimensions": _dimensions(found, "action", found.layout.action_names, known, unit)}


def _observation_schema(found: Inspection, spec: Any, keys: Sequence[str], unit: str) -> dict[str, Any]:
    names = found.layout.observation_names
    rows = spec.observation.to_json() if spec else _dimensions(found, "observation", names, [], unit)
    return {**({"keys": list(keys)} if keys else {}), "dimensions": rows}


def _dimensions(
    found: Inspection, part: str, names: Sequence[str], known: list[tuple[float, float]], unit: str
) -> list[dict[str, Any]]:
    low, high = found.measured.low[part], found.measured.high[part]
    return [
        {
            "name": name,
            "unit": unit or _state(f"unit of {name}"),
            **_bounds(float(low[i]), float(high[i]), known[i : i + 1]),
        }
        for i, name in enumerate(names)
    ]


def _bounds(low: float, high: float, known: list[tuple[float, float]]) -> dict[str, float]:
    if known and all(abs(bound) < float("inf") for bound in known[0]):
        # Declared bounds to the last digit: a command at a bound that was rounded inward would lie outside it.
        return {"low": float(known[0][0]), "high": float(known[0][1])}
    margin = MARGIN * (high - low) or max(1.0, abs(high)) * MARGIN
    digits = 1 - math.floor(math.log10(margin))  # of the margin, not of the value: clock times are wide and far away
    return {"low": round(low - margin, digits), "high": round(high + margin, digits)}


def _split(episodes: int, several: bool) -> tuple[dict[str, Any], str]:
    stratify = {"stratify": "operator" if several else "none"}
    if episodes == 1:
        return {
            "train": 1.0,
            "calibration": 0.0,
            "heldout": 0.0,
            **stratify,
        }, "a single episode: nothing can be audited"
    if episodes < ENOUGH:
        few = "few episodes: thresholds are cross-conformal"
        return {"train": 0.8, "calibration": 0.0, "heldout": 0.2, **stratify}, few
    return {"train": 0.7, "calibration": 0.2, "heldout": 0.1, **stratify}, ""


def _reward_source(found: Inspection, spec: Any, warned: set[str]) -> tuple[str, str]:
    if not found.contents.rewards:
        return (
            ("robot", "no reward is logged") if spec else ("none", "no reward is logged: only cloning learns from it")
        )
    if spec and "reward_mismatch" in warned:
        return "robot", "the logged reward is not the robot's own"
    return "file", ""


def _robots(found: Inspection) -> str:
    sizes = len(found.layout.observation_names), len(found.layout.action_names)
    specs = {name: getattr(module_for("robots", name), "SPEC", None) for name in available("robots")}
    fitting = [n for n, spec in specs.items() if spec and (spec.observation.size, spec.action.size) == sizes]
    said = f"; {', '.join(fitting)} has these sizes" if fitting else ""
    return f"the robot's plug-in{said}; recorded_only where there is none"


def _fact(facts: Any, names: tuple[str, ...]) -> str | None:
    return next((str(facts[name]) for name in names if str(facts.get(name, "")).strip()), None)


def _state(what: str) -> str:
    return f"<state: {what}>"


def _plain(text: str) -> str:
    """On one line, and without what YAML takes in no comment: messages quote what a stranger's file says."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _number(value: float) -> float:
    return float(f"{value:.6g}")


def _entry(key: str, value: Any, comment: str) -> str:
    if isinstance(value, dict) and "dimensions" in value:
        rows = "".join(f"\n    - {_flow(row)}" for row in value["dimensions"])
        head = "".join(f"\n  {k}: {_flow(v)}" for k, v in value.items() if k != "dimensions")
        return f"{key}:{head}\n  dimensions:{rows}"
    if isinstance(value, list):
        return f"{key}:" + "".join(f"\n  - {_flow(item)}" for item in value)
    return f"{key}: {_flow(value)}" + (f"   # {comment}" if comment else "")


def _flow(value: Any) -> str:
    dumped = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return dumped.removesuffix("\n").removesuffix("\n...")


def _refused(found: Inspection) -> DataError:
    first, *others = found.errors
    also = f"; also {', '.join(f'{f.check} ({f.place})' for f in others)}" if others else ""
    error = first.error(file=str(found.path))
    return DataError(error.what, where=error.where, limit="no check finds an error", remedy=f"{error.remedy}{also}")


__all__ = ["Draft", "adopt", "manifest_text", "params_text"]
