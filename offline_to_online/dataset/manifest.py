"""The manifest: what a data set claims to be. Everything that is read is held against it."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from offline_to_online.dataset.blanks import read_manifest_yaml, require_no_blanks
from offline_to_online.dataset.fields import choice, indices, names, nearest, positive, require_keys, rows, text, whole
from offline_to_online.dataset.files import json_bytes
from offline_to_online.dataset.spec import ActionSchema, ObservationSchema, VectorSchema, dimensions_from
from offline_to_online.errors import DataError, ManifestError

FIELDS = (
    "name",
    "robot",
    "robot_body",
    "sensors",
    "action_schema",
    "observation_schema",
    "control_rate_hz",
    "operators",
    "split",
    "reset_distribution",
    "episode_horizon",
    "reward_source",
    "licence",
    "source",
    "hashes",
)
OPTIONAL = ("terminals", "duplicates", "leave_out")
RECORDED = "recorded"


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """Shares of the episodes per part, summing to 1, drawn within each stratum.

    ``calibration`` may be 0 where data is too small for a part of its own, and ``heldout`` where there is a single
    episode (then nothing can be audited); ``stratify`` is ``operator`` or ``none``.
    """

    train: float
    calibration: float
    heldout: float
    stratify: str = "operator"

    @property
    def shares(self) -> dict[str, float]:
        """Part to share, in the order in which parts are filled."""
        return {"train": self.train, "calibration": self.calibration, "heldout": self.heldout}

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return {**self.shares, "stratify": self.stratify}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a data set claims to be.

    Attributes:
        robot: the name of the robot's plug-in.
        control_rate_hz: control steps per second.
        operators: who may have acted; an operator in the data that is not named here is refused.
        episode_horizon: the most steps an episode may have.
        reward_source: ``file`` keeps the logged rewards, ``robot`` computes them anew, ``none`` says that nobody
            gives any: they are 0, and only cloning learns from such data.
        hashes: file (or folder) name to SHA-256; empty where the collect stage records the data itself.
        observation_keys: the sensors that make the observation, in order, each whole or sliced
            (``observations[0:28]``); empty for the format's own choice.
        terminals: ``logged`` takes the data's terminals once they pass the checks, ``believed`` whatever those say;
            ``ignore`` takes every end of an episode for a cut.
        duplicates: ``refuse`` makes an episode that is there twice an error, ``leave_out`` keeps the first of each.
        leave_out: indices (from 0) of episodes that a person leaves out.
    """

    name: str
    robot: str
    robot_body: str
    sensors: tuple[str, ...]
    action: ActionSchema
    observation: ObservationSchema
    control_rate_hz: float
    operators: tuple[str, ...]
    split: SplitRule
    reset_distribution: str
    episode_horizon: int
    reward_source: Literal["file", "robot", "none"]
    licence: str
    source: str
    hashes: Mapping[str, str]
    observation_keys: tuple[str, ...] = ()
    terminals: Literal["logged", "ignore", "believed"] = "logged"
    duplicates: Literal["refuse", "leave_out"] = "refuse"
    leave_out: tuple[int, ...] = ()

    @property
    def recorded(self) -> bool:
        """Whether the collect stage writes this data, so that its hash is not known beforehand."""
        return not self.hashes

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical content, whatever the layout of the YAML file."""
        return hashlib.sha256(json_bytes(self.to_json())).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The same fields and names as in the YAML file; what is optional and not set is left out."""
        keys = {"keys": list(self.observation_keys)} if self.observation_keys else {}
        return {
            "name": self.name,
            "robot": self.robot,
            "robot_body": self.robot_body,
            "sensors": list(self.sensors),
            "action_schema": {
                "kind": self.action.kind,
                "out_of_bounds": self.action.out_of_bounds,
                "dimensions": self.action.to_json(),
            },
            "observation_schema": {**keys, "dimensions": self.observation.to_json()},
            "control_rate_hz": self.control_rate_hz,
            "operators": list(self.operators),
            "split": self.split.to_json(),
            "reset_distribution": self.reset_distribution,
            "episode_horizon": self.episode_horizon,
            "reward_source": self.reward_source,
            "licence": self.licence,
            "source": self.source,
            "hashes": dict(self.hashes) or RECORDED,
            **({} if self.terminals == "logged" else {"terminals": self.terminals}),
            **({} if self.duplicates == "refuse" else {"duplicates": self.duplicates}),
            **({"leave_out": list(self.leave_out)} if self.leave_out else {}),
        }

    def require_length(self, steps: int, *, where: str) -> None:
        """Refuse an empty episode and one longer than the horizon.

        Raises:
            DataError: the length does not lie in [1, episode_horizon].
        """
        if steps < 1:
            raise DataError("an empty episode", where=where, limit="at least 1 step", remedy="remove it from the data")
        if steps > self.episode_horizon:
            raise DataError(
                f"an episode of {steps} steps",
                where=where,
                limit=f"the horizon is {self.episode_horizon} steps",
                remedy="mend the boundary of the episode, or episode_horizon in the manifest",
            )

    def require_operator(self, name: str, *, where: str) -> None:
        """Refuse an operator that the manifest does not name.

        Raises:
            DataError: with the names that there are and the nearest of them.
        """
        if name not in self.operators:
            raise DataError(
                f"operator {name!r} is not in the manifest",
                where=where,
                limit=f"the manifest names {', '.join(self.operators)}",
                remedy=nearest(name, self.operators) or "name it under operators, or mend the data",
            )

    def require_robot(
        self, name: str, *, action: VectorSchema, observation: VectorSchema, control_rate_hz: float
    ) -> None:
        """Refuse a manifest of another robot, or whose names, units, bounds or rate are not those of its robot.

        Args:
            name: the robot's plug-in, as params.yaml names it.
            action: what it is commanded.
            observation: what it gives.
            control_rate_hz: its control steps per second.

        Raises:
            ManifestError: with the first thing that differs.
        """
        if self.robot != name:
            raise ManifestError(
                f"robot is {self.robot!r}",
                where=f"manifest {self.name}",
                limit=f"params.yaml says {name!r}",
                remedy=nearest(self.robot, (name,)) or "mend whichever is wrong",
            )
        pairs = (("action_schema", self.action, action), ("observation_schema", self.observation, observation))
        for field, mine, robots in pairs:
            _require_same(mine, robots, where=f"manifest {self.name}, {field}", robot=self.robot)
        if not math.isclose(self.control_rate_hz, control_rate_hz):
            raise ManifestError(
                f"control_rate_hz is {self.control_rate_hz:g}",
                where=f"manifest {self.name}",
                limit=f"robot {self.robot} runs at {control_rate_hz:g}",
                remedy="mend control_rate_hz or robot",
            )


def load_manifest(path: Path) -> Manifest:
    """Read a manifest from YAML; every field of ``FIELDS`` is required, ``OPTIONAL`` may stand, no other is known.

    Raises:
        ManifestError: the file is missing or no YAML, a blank is left to fill in, a field is missing, unknown
            (the message gives the nearest name) or has a value that cannot be.
    """
    content = read_manifest_yaml(path, FIELDS)
    where = str(path)
    require_no_blanks(content, where=where)
    require_keys(content, FIELDS, where=where, optional=OPTIONAL)
    action, observation = content["action_schema"], content["observation_schema"]
    require_keys(action, ("kind", "out_of_bounds", "dimensions"), where=f"{where}: action_schema")
    require_keys(observation, ("dimensions",), where=f"{where}: observation_schema", optional=("keys",))
    if action["kind"] != "vector":
        raise ManifestError(
            f"action_schema.kind is {action['kind']!r}",
            where=where,
            limit="only vector is supported yet",
            remedy="describe the action as a vector of bounded numbers",
        )
    return Manifest(
        **{key: text(content, key, where) for key in ("name", "robot", "robot_body", "reset_distribution")},
        **{key: text(content, key, where) for key in ("licence", "source")},
        **{key: names(content, key, where) for key in ("sensors", "operators")},
        action=ActionSchema(
            dimensions=dimensions_from(rows(action, where), where=f"{where}: action_schema"),
            out_of_bounds=choice(action, "out_of_bounds", ("refuse", "clip"), where),
        ),
        observation=ObservationSchema(
            dimensions=dimensions_from(rows(observation, where), where=f"{where}: observation_schema")
        ),
        control_rate_hz=positive(content, "control_rate_hz", where),
        episode_horizon=whole(content, "episode_horizon", where),
        reward_source=choice(content, "reward_source", ("file", "robot", "none"), where),
        split=_split_rule(content["split"], where=f"{where}: split"),
        hashes=_hashes(content["hashes"], where=f"{where}: hashes"),
        observation_keys=names(observation, "keys", where) if "keys" in observation else (),
        terminals=choice(content, "terminals", ("logged", "ignore", "believed"), where)
        if "terminals" in content
        else "logged",
        duplicates=choice(content, "duplicates", ("refuse", "leave_out"), where)
        if "duplicates" in content
        else "refuse",
        leave_out=indices(content, "leave_out", where) if "leave_out" in content else (),
    )


def _split_rule(content: Any, *, where: str) -> SplitRule:
    parts = ("train", "calibration", "heldout")
    require_keys(content, (*parts, "stratify"), where=where)
    for part in parts:
        value = content[part]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ManifestError(f"{part} is {value!r}", where=where, limit="a share in [0, 1]", remedy="mend it")
    rule = SplitRule(
        **{part: float(content[part]) for part in parts},
        stratify=choice(content, "stratify", ("operator", "none"), where),
    )
    total = sum(rule.shares.values())
    if not math.isclose(total, 1.0, abs_tol=1e-6) or rule.train <= 0:
        limit = "train above 0, and all three summing to 1"
        raise ManifestError(f"the shares sum to {total:g}: {rule.shares}", where=where, limit=limit, remedy="mend them")
    return rule


def _hashes(content: Any, *, where: str) -> dict[str, str]:
    if content == RECORDED:
        return {}
    if not isinstance(content, Mapping) or not content:
        limit = f"file name: SHA-256, or the word {RECORDED} for data that collect records"
        raise ManifestError(f"hashes is {content!r}", where=where, limit=limit, remedy="add the hashes")
    for name, value in content.items():
        if not re.fullmatch(r"[0-9a-f]{64}", str(value)):
            raise ManifestError(
                f"the hash of {name} is {value!r}",
                where=where,
                limit="64 hexadecimal digits",
                remedy="run sha256sum on the file",
            )
    return {str(name): str(value) for name, value in content.items()}


def _require_same(mine: VectorSchema, robots: VectorSchema, *, where: str, robot: str) -> None:
    if mine.size != robots.size:
        limit = f"robot {robot} has {robots.size}"
        raise ManifestError(
            f"{mine.size} dimensions", where=where, limit=limit, remedy="mend the manifest or its robot"
        )
    for i, (one, other) in enumerate(zip(mine.dimensions, robots.dimensions, strict=True)):
        if one != other:
            raise ManifestError(
                f"dimension {i} is {one.name} [{one.low:g}, {one.high:g}] {one.unit}",
                where=where,
                limit=f"robot {robot} has {other.name} [{other.low:g}, {other.high:g}] {other.unit}",
                remedy="mend the manifest or its robot",
            )
