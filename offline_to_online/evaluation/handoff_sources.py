"""What a handoff rests on: where it lies, whether all of it is there, and whether its parts belong together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_to_online.dataset.files import file_sha256, read_json
from offline_to_online.errors import HandoffError

MODEL_FILES = ("policy.safetensors", "learner.safetensors", "card.json")
AUDIT_FILES = ("metrics.json", "actions.parquet")
PENALTY_FILES = ("behaviour.safetensors", "behaviour.json")
EVALUATION_FILES = ("metrics.json", "outcomes.parquet")
EPISODE_FILES = ("transitions.parquet", "episodes.parquet", "split.json")
REMEDY = "run `dvc repro handoff`"


@dataclass(frozen=True, kw_only=True)
class HandoffSources:
    """Every path that a handoff is made from.

    Attributes:
        robot: plug-in name of the robot.
        manifest: the data set's manifest.
        episodes: folder with ``transitions.parquet``, ``episodes.parquet`` and ``split.json``.
        panel: the saved panel.
        estimator: folder of the support estimator.
        calibration: its two thresholds.
        behaviour: folder of the support penalty; needed where a policy learned with it.
        models, audits, evaluations: by policy (``bc`` among them), the folders that training, audit and
            evaluation wrote.
    """

    robot: str
    manifest: Path
    episodes: Path
    panel: Path
    estimator: Path
    calibration: Path
    models: Mapping[str, Path]
    audits: Mapping[str, Path]
    evaluations: Mapping[str, Path]
    behaviour: Path | None = None


def learned_with_penalty(sources: HandoffSources, name: str) -> bool:
    """Whether a policy's card says that it learned with the support penalty, and so goes on learning with it."""
    return bool(read_json(sources.models[name] / "card.json").get("behaviour_sha256"))


def demand_complete(sources: HandoffSources) -> None:
    """Refuse sources that lack a part, naming it.

    Raises:
        HandoffError: behaviour cloning, an audit, an evaluation or any file of theirs is missing.
    """
    if "bc" not in sources.models:
        raise HandoffError("no behaviour-cloning baseline", limit="'bc' is always among the policies", remedy=REMEDY)
    for name in sources.models:
        _demand_folder(f"model of {name!r}", sources.models.get(name), MODEL_FILES)
        _demand_folder(f"audit of {name!r}", sources.audits.get(name), AUDIT_FILES)
        _demand_folder(f"evaluation of {name!r}", sources.evaluations.get(name), EVALUATION_FILES)
        if learned_with_penalty(sources, name):
            _demand_folder(f"support penalty of {name!r}", sources.behaviour, PENALTY_FILES)
    _demand_folder("set of episodes", sources.episodes, EPISODE_FILES)
    files = {"manifest": sources.manifest, "panel": sources.panel, "calibration": sources.calibration}
    for what, path in files.items():
        if not path.is_file():
            raise HandoffError(f"no {what}", where=str(path), remedy=REMEDY)
    if not sources.estimator.is_dir() or not any(sources.estimator.iterdir()):
        raise HandoffError("no support estimator", where=str(sources.estimator), remedy=REMEDY)


def _demand_folder(what: str, folder: Path | None, files: tuple[str, ...]) -> None:
    if folder is None:
        raise HandoffError(f"no {what}", limit="every policy has a model, an audit and an evaluation", remedy=REMEDY)
    for name in files:
        if not (folder / name).is_file():
            raise HandoffError(f"no {what}", where=str(folder / name), remedy=REMEDY)


def demand_agreement(sources: HandoffSources, hashes: Mapping[str, str], policies: Mapping[str, str]) -> None:
    """Refuse sources whose parts were not made for each other.

    Args:
        sources: complete sources.
        hashes: what is there now: ``panel_sha256``, ``estimator_sha256``, ``calibration_sha256``, ``episodes_sha256``,
            and ``behaviour_sha256`` where there is a support penalty.
        policies: hash of each policy as it is now.

    Raises:
        HandoffError: a hash that a part recorded is not the hash of what is there now.
    """
    _agree(read_json(sources.calibration), hashes, "calibration", ("estimator",))
    for name in sources.models:
        now = {**hashes, "policy_sha256": policies[name]}
        evaluation, audit = (read_json(f[name] / "metrics.json") for f in (sources.evaluations, sources.audits))
        _agree(evaluation, now, f"evaluation of {name!r}", ("policy", "panel"))
        _agree(audit, now, f"audit of {name!r}", ("policy", "estimator"))
        _agree(read_json(sources.models[name] / "card.json"), now, f"card of {name!r}", ())


def _agree(record: Mapping[str, Any], now: Mapping[str, str], what: str, required: tuple[str, ...]) -> None:
    for key in (f"{part}_sha256" for part in required):
        if not record.get(key):
            raise HandoffError(f"the {what} does not say {key}", limit="what it was made from", remedy=REMEDY)
    for key, found in now.items():
        recorded = record.get(key)
        if recorded and recorded != found:
            raise HandoffError(
                f"the {what} was made with another {key.removesuffix('_sha256')}",
                where=key,
                limit=f"recorded {recorded[:12]}, found {found[:12]}",
                remedy=REMEDY,
            )


def copies(sources: HandoffSources, chosen: str) -> dict[str, Path]:
    """Relative path in the handoff -> the file it is a copy of, sorted by path."""
    plan = {name: sources.models[chosen] / name for name in MODEL_FILES}
    plan |= {f"bc/{name}": sources.models["bc"] / name for name in ("policy.safetensors", "card.json")}
    plan |= {f"episodes/{name}": sources.episodes / name for name in EPISODE_FILES}
    plan |= {"calibration.json": sources.calibration, "panel.json": sources.panel, "manifest.yaml": sources.manifest}
    for path in sorted(p for p in sources.estimator.rglob("*") if p.is_file()):
        plan[f"estimator/{path.relative_to(sources.estimator).as_posix()}"] = path
    if sources.behaviour and learned_with_penalty(sources, chosen):
        plan |= {f"behaviour/{name}": sources.behaviour / name for name in PENALTY_FILES}
    for policy in sources.models:
        plan |= {f"audit/{policy}/{name}": sources.audits[policy] / name for name in AUDIT_FILES}
        plan |= {f"evaluation/{policy}/{name}": sources.evaluations[policy] / name for name in EVALUATION_FILES}
    return dict(sorted(plan.items()))


def files_sha256(folder: Path, *names: str) -> str:
    """SHA-256 over the names and contents of some files of a folder."""
    lines = [f"{name}\0{file_sha256(folder / name)}\n" for name in sorted(names)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
