"""params.yaml, assembled from the Configs of those who own them; an unknown key is refused by name.

python -m offline_to_online.params show
python -m offline_to_online.params use docs/params/pusht_human.yaml
"""

from __future__ import annotations

import dataclasses
import os
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from offline_to_online.errors import ParameterError, one_line
from offline_to_online.evaluation.handoff import HandoffConfig
from offline_to_online.online.config import OnlineConfig
from offline_to_online.plugins import available, module_for, unknown
from offline_to_online.robots import Dynamics
from offline_to_online.support.estimator import SupportConfig

ESTIMATOR = "models/support/estimator"
EPISODES = "data/episodes/split.json"


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
    dataset: DatasetParams
    collect: CollectParams
    support: SupportConfig
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
        module = module_for("algorithms", chosen.algorithm)
        return build(module.Config, chosen.config, where=f"params.yaml policies.{policy}.config")


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml.

    Raises:
        ParameterError: the file is missing, not YAML, or a key, type or plug-in's name is wrong.
    """
    params: Params = build(Params, read_yaml(path), where=str(path))
    module_for("robots", params.robot)
    if params.dataset.format != "auto":
        module_for("formats", params.dataset.format)
    if not 0 < params.calibration.alpha < 1:
        raise ParameterError(
            f"alpha {params.calibration.alpha:g}", where=f"{path} calibration.alpha", limit="in (0, 1)"
        )
    for rule in (*params.online.gates.safety, *params.online.gates.acceptance):
        module_for("gates", rule)
    _check_policies(params, path)
    return params


def _check_policies(params: Params, path: Path) -> None:
    if "bc" not in params.policies:
        raise ParameterError(
            "no policy 'bc'",
            where=f"{path} policies",
            limit="behaviour cloning is always trained first",
            remedy="add it",
        )
    for name, policy in params.policies.items():
        module = module_for("algorithms", policy.algorithm)
        params.algorithm_config(name)
        needed = ESTIMATOR if module.NEEDS_SUPPORT else EPISODES
        if policy.rests_on != needed:
            raise ParameterError(
                f"rests_on {policy.rests_on!r}",
                where=f"{path} policies.{name}.rests_on",
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
        raise ParameterError(f"no file {path}", remedy="run from the repository's root") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError("not YAML", where=str(path), limit=str(error), remedy="mend the file") from error
    if not isinstance(content, dict):
        raise ParameterError(f"holds a {type(content).__name__}", where=str(path), limit="a mapping of sections")
    return content


def build(config: type[Any], values: Any, *, where: str) -> Any:
    """A frozen dataclass from a mapping: nested dataclasses too, ints accepted for floats, lists for tuples.

    Raises:
        ParameterError: a key is unknown (with the nearest name) or missing, or a value has the wrong type.
    """
    if not isinstance(values, Mapping):
        raise ParameterError(f"found {values!r}", where=where, limit="a mapping of keys", remedy="mend the section")
    hints = typing.get_type_hints(config)
    fields = {f.name: f for f in dataclasses.fields(config) if f.init}
    for key in values:
        if key not in fields:
            raise unknown(str(key), sorted(fields), what="unknown key", where=where)
    missing = [
        name
        for name, f in fields.items()
        if name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ParameterError(f"missing key {missing[0]!r}", where=where, remedy="add it")
    built = {key: _convert(hints[key], value, where=f"{where} {key}") for key, value in values.items()}
    return config(**built)


def _convert(hint: Any, value: Any, *, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, where=where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (dict, Mapping) or origin is typing.get_origin(Mapping[str, int]):
        return _convert_mapping(arguments, value, where=where)
    if origin in (list, tuple):
        return _convert_sequence(origin, arguments, value, where=where)
    if origin in (typing.Union, types.UnionType):
        return (
            None if value is None else _convert(next(a for a in arguments if a is not type(None)), value, where=where)
        )
    if origin is typing.Literal:
        if value not in arguments:
            raise unknown(str(value), [str(a) for a in arguments], what="unknown value", where=where)
        return value
    return _scalar(hint, value, where=where)


def _convert_mapping(arguments: tuple[Any, ...], value: Any, *, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ParameterError(f"found {value!r}", where=where, limit="a mapping of keys", remedy="mend the section")
    return {str(k): _convert(arguments[1], v, where=f"{where}.{k}") for k, v in value.items()}


def _convert_sequence(origin: Any, arguments: tuple[Any, ...], value: Any, *, where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise ParameterError(f"found {value!r}", where=where, limit="a list")
    return origin(_convert(arguments[0], v, where=f"{where}[{i}]") for i, v in enumerate(value))


def _scalar(hint: Any, value: Any, *, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = hint in (int, float, str, bool)
    if plain and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ParameterError(f"found {value!r}", where=where, limit=f"of type {hint.__name__}", remedy="mend the value")
    return value


def use_overlay(overlay: Path, path: Path = Path("params.yaml")) -> list[str]:
    """Write the values of a small overlay file into params.yaml, keeping its comments; the changed keys.

    The sections ``policies.<name>.config``, ``collect.operators`` and ``collect.recordings`` are replaced whole.

    Raises:
        ParameterError: the merged parameters would not load; params.yaml is then as it was.
    """
    from ruamel.yaml import YAML

    changes = read_yaml(overlay)
    dialect = YAML()
    dialect.preserve_quotes = True
    dialect.width = 120
    merged = dialect.load(path.read_text(encoding="utf-8"))
    changed = _merge(merged, changes, prefix="")
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w", encoding="utf-8") as stream:
        dialect.dump(merged, stream)
    try:
        load_params(temporary)
    except ParameterError:
        temporary.unlink()
        raise
    os.replace(temporary, path)
    return changed


def _merge(target: Any, changes: Mapping[str, Any], *, prefix: str) -> list[str]:
    changed: list[str] = []
    for key, value in changes.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(target.get(key), dict) and name != "collect.operators":
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
            raise ParameterError("usage: params show | params use FILE", limit=f"robots there are: {kinds}")


if __name__ == "__main__":
    main()
