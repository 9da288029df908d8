"""params.yaml, assembled from the Configs of those who own them; an unknown key is refused by name.

python -m offline_to_online.params show
python -m offline_to_online.params use docs/params/pusht_human.yaml
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from offline_to_online.configs import build
from offline_to_online.dataset.blanks import blanks
from offline_to_online.dataset.files import replacing
from offline_to_online.dataset.manifest import load_manifest
from offline_to_online.errors import ParameterError, one_line
from offline_to_online.evaluation.handoff import HandoffConfig
from offline_to_online.learning.learner import needs_penalty
from offline_to_online.online.config import OnlineConfig
from offline_to_online.plugins import available, module_for, unknown
from offline_to_online.robots import Dynamics
from offline_to_online.support.behaviour import BehaviourConfig
from offline_to_online.support.estimator import SupportConfig

ESTIMATOR = "models/support/estimator"
BEHAVIOUR = "models/support/behaviour"
EPISODES = "data/episodes/split.json"
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # a name that files, folders and DVC stages are called by


@dataclass(frozen=True, kw_only=True)
class DatasetParams:
    """Which logged episodes: the manifest's name, the file (read where it lies), its format (``auto`` looks)."""

    name: str
    path: str
    format: str = "auto"

    @property
    def manifest(self) -> Path:
        """``data/manifests/<name>.yaml``."""
        return Path("data/manifests") / f"{self.name}.yaml"


@dataclass(frozen=True, kw_only=True)
class CollectParams:
    """What the simulator records: names of recordings (none for a user's own files), episodes by operator."""

    recordings: list[str] = field(default_factory=list)
    operators: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CalibrationParams:
    """``alpha``: the share of clean steps, and of clean episodes, that may lie outside the support."""

    alpha: float = 0.05


@dataclass(frozen=True, kw_only=True)
class PolicyParams:
    """One policy to train: its algorithm, what it rests on in the DAG, and the algorithm's own Config."""

    algorithm: str
    rests_on: str
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EvaluationParams:
    """``dynamics``: the change of dynamics that the panel is replayed under, beside the shifted resets."""

    gamma: float = 0.98
    dynamics: Dynamics = field(default_factory=Dynamics)


@dataclass(frozen=True, kw_only=True)
class Params:
    """All of params.yaml."""

    seed: int
    jobs: int
    robot: str
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 1
    dataset: DatasetParams
    collect: CollectParams
    support: SupportConfig
    behaviour: BehaviourConfig
    calibration: CalibrationParams
    policies: dict[str, PolicyParams]
    evaluation: EvaluationParams
    handoff: HandoffConfig
    online: OnlineConfig

    @property
    def panel(self) -> Path:
        """``data/panels/<robot>.json``."""
        return Path("data/panels") / f"{self.robot}.json"

    def algorithm_config(self, policy: str) -> Any:
        """The Config of a policy's algorithm, with the values of params.yaml.

        Raises:
            ParameterError: no such policy.
        """
        if policy not in self.policies:
            raise unknown(policy, sorted(self.policies), what="unknown policy", where="params.yaml policies")
        chosen = self.policies[policy]
        module = module_for("algorithms", chosen.algorithm, where=f"params.yaml policies.{policy}.algorithm")
        return build(module.Config, chosen.config, where=f"params.yaml policies.{policy}.config")


def load_params(path: Path = Path("params.yaml"), *, where: str = "") -> Params:
    """Read and check params.yaml.

    Args:
        path: the file.
        where: how messages call it; its path if not given.

    Raises:
        ParameterError: the file is missing, not YAML, or a key, value, type or plug-in's name is wrong.
    """
    where = where or str(path)
    params: Params = build(Params, read_yaml(path), where=where)
    module_for("robots", params.robot, where=f"{where} robot")
    if params.dataset.format != "auto":
        module_for("formats", params.dataset.format, where=f"{where} dataset.format")
    _check_values(params, where)
    _check_policies(params, where)
    return params


def robot_of(params: Params) -> Any:
    """The robot's module; where it is known from its recordings only, what the data set's manifest tells of it.

    Raises:
        ManifestError: the manifest is needed, and is missing or wrong.
    """
    module: Any = module_for("robots", params.robot)
    return module.described_by(load_manifest(params.dataset.manifest)) if hasattr(module, "described_by") else module


def _check_values(params: Params, where: str) -> None:
    alpha, gamma = params.calibration.alpha, params.evaluation.gamma
    for key, value, fits, limit in (
        ("seed", params.seed, params.seed >= 0, "at least 0"),
        ("jobs", params.jobs, params.jobs >= 1, "at least 1"),
        ("threads", params.threads, params.threads >= 1, "at least 1"),
        ("calibration.alpha", alpha, 0 < alpha < 1, "in (0, 1)"),
        ("evaluation.gamma", gamma, 0 < gamma <= 1, "in (0, 1]"),
    ):
        if not fits:
            raise ParameterError(f"{key} is {value:g}", where=f"{where} {key}", limit=limit, remedy="mend the value")
    named = {"dataset.name": [params.dataset.name], "collect.recordings": params.collect.recordings}
    for key, names in {**named, "policies": list(params.policies)}.items():
        for name in names:
            if not PLAIN.fullmatch(name):
                limit = "letters, digits, and _ . - after the first"
                raise ParameterError(f"the name {name!r}", where=f"{where} {key}", limit=limit, remedy="choose another")


def _check_policies(params: Params, where: str) -> None:
    if "bc" not in params.policies:
        raise ParameterError(
            "no policy 'bc'",
            where=f"{where} policies",
            limit="behaviour cloning is always trained first",
            remedy="add it",
        )
    for name, policy in params.policies.items():
        module = module_for("algorithms", policy.algorithm, where=f"{where} policies.{name}.algorithm")
        params.algorithm_config(name)
        needed = BEHAVIOUR if needs_penalty(module) else ESTIMATOR if module.NEEDS_SUPPORT else EPISODES
        if policy.rests_on != needed:
            raise ParameterError(
                f"rests_on {policy.rests_on!r}",
                where=f"{where} policies.{name}.rests_on",
                limit=f"{policy.algorithm} rests on {needed}",
                remedy="write that, so that DVC orders the stages",
            )


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping.

    Raises:
        ParameterError: missing, not readable as YAML, or not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        limit = "a YAML file of settings"
        raise ParameterError(
            "no such file", where=str(path), limit=limit, remedy="run from the repository's root"
        ) from error
    except OSError as error:
        raise ParameterError(f"cannot read it: {error.strerror}", where=str(path), remedy="check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError("not YAML", where=str(path), limit=str(error), remedy="mend the file") from error
    if not isinstance(content, dict):
        raise ParameterError(
            f"it holds a {type(content).__name__}",
            where=str(path),
            limit="a mapping of sections",
            remedy="restore it, or write `key: value` lines",
        )
    return content


REPLACED_WHOLE = ("collect.operators", "evaluation.dynamics", "online.dynamics")


def use_overlay(overlay: Path, path: Path = Path("params.yaml")) -> list[str]:
    """Write the values of a small overlay file into params.yaml, keeping its comments; the changed keys.

    Sections merge key by key, but lists, ``collect.operators`` and both ``dynamics`` are replaced whole.

    Raises:
        ParameterError: a file cannot be read, or the merged parameters would not load; params.yaml is then as it was.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    changes = read_yaml(overlay)
    if left := blanks(changes):
        limit = "what adopt could not measure, a person states"
        raise ParameterError(
            f"blanks are left: {'; '.join(left)}", where=str(overlay), limit=limit, remedy="fill them in"
        )
    read_yaml(path)
    dialect = YAML()
    dialect.preserve_quotes = True
    dialect.width = 120
    try:
        merged = dialect.load(path.read_text(encoding="utf-8"))
    except YAMLError as error:  # a key that stands twice, say, which the other dialect takes for its last value
        raise ParameterError("not YAML", where=str(path), limit=str(error), remedy="mend the file") from error
    changed = _merge(merged, changes, prefix="")
    with replacing(path) as partial:
        with partial.open("w", encoding="utf-8") as stream:
            dialect.dump(merged, stream)
        load_params(partial, where=f"{path.name} with {overlay.name}")
    return changed


def _merge(target: Any, changes: Mapping[str, Any], *, prefix: str) -> list[str]:
    changed: list[str] = []
    for key, value in changes.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(target.get(key), dict) and name not in REPLACED_WHOLE:
            changed += _merge(target[key], value, prefix=f"{name}.")
        elif target.get(key) != value:
            target[key] = value
            changed.append(name)
    return changed


@one_line
def main() -> None:
    """``show`` prints the checked parameters; ``use FILE`` merges an overlay into params.yaml."""
    match sys.argv[1:]:
        case ["show"]:
            print(yaml.safe_dump(dataclasses.asdict(load_params()), sort_keys=False))
        case ["use", overlay]:
            changed = use_overlay(Path(overlay))
            print(f"params.yaml: {', '.join(changed) or 'nothing to change'}")
        case _:
            kinds = ", ".join(available("robots"))
            raise ParameterError(
                f"arguments {' '.join(sys.argv[1:]) or 'missing'}",
                where="python -m offline_to_online.params",
                limit=f"show, or use FILE (robots there are: {kinds})",
                remedy="name one of the two",
            )


if __name__ == "__main__":
    main()
