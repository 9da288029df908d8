"""What a stranger's data set is: contents, counts, ranges, and every finding. Nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from offline_to_online.dataset.assembly import Layout, assemble, implied_layout, layout_of
from offline_to_online.dataset.checks import RobotFacts, Seen, Subject
from offline_to_online.dataset.detection import format_of, name_of
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.examination import Examination
from offline_to_online.dataset.finding import Finding, ordered
from offline_to_online.dataset.logged import Contents, LoggedEpisode
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.robot_facts import robot_facts
from offline_to_online.dataset.spec import Array
from offline_to_online.dataset.validation import subject_of
from offline_to_online.errors import DataError


@dataclass(kw_only=True)
class Measured:
    """Counts and ranges over all episodes: ``low`` and ``high`` of observation (O,), action (A,) and reward."""

    episodes: int = 0
    logged_steps: int = 0
    steps: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=Counter)
    terminated: int = 0
    low: dict[str, Array] = field(default_factory=dict)
    high: dict[str, Array] = field(default_factory=dict)
    step_s: list[float] = field(default_factory=list)

    def add(self, logged: LoggedEpisode, episode: Episode) -> None:
        """Count one episode."""
        self.episodes += 1
        self.logged_steps += len(logged)
        self.steps += len(episode)
        self.lengths[len(logged)] += 1
        self.operators[episode.operator] += 1
        self.terminated += episode.terminated
        parts = {"observation": episode.observations, "action": episode.actions, "reward": episode.rewards[:, None]}
        for name, values in parts.items():
            self.low[name] = np.minimum(self.low.get(name, np.inf), values.min(axis=0))
            self.high[name] = np.maximum(self.high.get(name, -np.inf), values.max(axis=0))
        if logged.times is not None and len(logged.times) > 1 and len(self.step_s) < 1000:
            self.step_s.append(float(np.median(np.diff(logged.times))))

    @property
    def control_rate_hz(self) -> float | None:
        """Steps a second by the logged time stamps; None where there are none."""
        step_s = float(np.median(self.step_s)) if self.step_s else 0.0
        return 1.0 / step_s if step_s > 0 else None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """All that reading a data set once tells."""

    path: Path
    contents: Contents
    layout: Layout
    measured: Measured
    findings: list[Finding]

    @property
    def errors(self) -> list[Finding]:
        """The findings that keep the data out."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def to_json(self) -> dict[str, Any]:
        """Everything that ``page`` shows."""
        measured = self.measured
        return {
            "format": self.contents.format,
            "episodes": measured.episodes,
            "steps": measured.logged_steps,
            "steps_kept": measured.steps,
            "lengths": {"shortest": min(measured.lengths), "longest": max(measured.lengths)},
            "terminated": measured.terminated,
            "operators": dict(sorted(measured.operators.items())),
            "control_rate_hz": self.contents.control_rate_hz or measured.control_rate_hz,
            "sensors": [asdict(sensor) for sensor in self.contents.sensors],
            "left_out": [asdict(item) for item in self.contents.left_out],
            "facts": dict(self.contents.facts),
            "observation": self._ranges("observation", self.layout.observation_names),
            "action": self._ranges("action", self.layout.action_names),
            "reward": [float(measured.low["reward"][0]), float(measured.high["reward"][0])],
            "findings": [finding.to_json() for finding in self.findings],
        }

    def _ranges(self, part: str, names: Sequence[str]) -> dict[str, list[float]]:
        low, high = self.measured.low[part], self.measured.high[part]
        return {name: [float(low[i]), float(high[i])] for i, name in enumerate(names)}


def inspect(
    path: Path,
    *,
    format_name: str | None = None,
    keys: Sequence[str] = (),
    manifest: Manifest | None = None,
    robot: ModuleType | None = None,
    terminals: bool = True,
    leave_out: Sequence[int] = (),
) -> Inspection:
    """Read a data set once, from its first episode to its last, and look at everything.

    Args:
        path: a file or a folder in any format of ``dataset/formats``.
        format_name: the format, forced; None looks.
        keys: sensors that make the observation, each whole or sliced; empty for the format's own choice.
        manifest: what the data claims to be; None for a stranger's data.
        robot: the plug-in of the robot that it is of; names, bounds and rewards are then held against the robot's.
        terminals: whether the data's terminals are taken; if not, every end counts as a cut.
        leave_out: indices of episodes that are passed over; those of the manifest are too.

    An episode that cannot be assembled is a finding, and the others are looked at.

    Raises:
        DataError: the data cannot be read, no episode is whole, or its dimensions are not the robot's.
        ManifestError: ``keys`` or the manifest select what is not there.
    """
    reader = format_of(path, format_name)
    contents: Contents = reader.describe(path)
    facts = None if robot is None else robot_facts(robot)
    if manifest is not None:
        layout = layout_of(manifest, contents, where=f"manifest {manifest.name}")
        subject = subject_of(manifest, contents, facts)
    else:
        layout = implied_layout(contents, keys, terminals=terminals)
        if robot is not None:
            layout = _named_after(robot, layout, where=str(path))
        subject = _subject(contents, layout, robot, facts)
    examination, measured = Examination(subject), Measured()
    broken: list[tuple[int, DataError]] = []
    passed_over = {*leave_out, *(manifest.leave_out if manifest else ())}
    for index, logged in enumerate(reader.read(path, extra=True)):
        if index in passed_over:
            continue
        try:
            episode = assemble(logged, layout)
        except DataError as error:
            broken.append((index, error))
            continue
        measured.add(logged, episode)
        examination.see(Seen(index=index, episode=episode, logged=logged))
    if measured.episodes == 0 and broken:
        raise broken[0][1]
    if measured.episodes == 0:
        raise DataError("no episodes", where=str(path), limit="at least 1", remedy=f"check the {name_of(reader)} data")
    findings = [*examination.findings, *_broken(broken)]
    return Inspection(path=path, contents=contents, layout=layout, measured=measured, findings=ordered(findings))


def _broken(episodes: list[tuple[int, DataError]]) -> list[Finding]:
    """One finding for all episodes that could not be assembled, with what is wrong with the first."""
    if not episodes:
        return []
    index, first = episodes[0]
    listed = ", ".join(str(i) for i, _ in episodes[:10]) + (" ..." if len(episodes) > 10 else "")
    return [
        Finding(
            check="broken_episode",
            severity="error",
            message=f"{first.what}: {first.limit}",
            remedy=f"{first.remedy}; or leave_out: [{listed}] in the manifest (--leave-out before there is one)",
            file=first.where,
            episode=None if f"episode {index}" in first.where else index,
            count=len(episodes),
        )
    ]


def page(inspection: Inspection) -> str:
    """An inspection as text, for a terminal."""
    content = inspection.to_json()
    rate = content["control_rate_hz"]
    lengths, measured = content["lengths"], inspection.measured
    lines = [
        f"{inspection.path}",
        f"  format        {content['format']}",
        f"  episodes      {measured.episodes:,}, of {lengths['shortest']} to {lengths['longest']} steps; "
        f"{measured.terminated:,} terminal",
        f"  steps         {measured.logged_steps:,} logged, {measured.steps:,} kept{_rows(inspection)}",
        f"  control rate  {'not logged' if rate is None else f'{rate:g} Hz'}",
        f"  operators     {', '.join(f'{name} {count:,}' for name, count in content['operators'].items())}",
        f"  reward        {_range(content['reward']) if inspection.contents.rewards else 'not logged'}",
        f"  sensors       {', '.join(f'{s.name} ({s.width}, {s.dtype})' for s in inspection.contents.sensors)}",
        *(f"  left out      {i['name']}: {i['kind']} {i['detail']}".rstrip() for i in content["left_out"]),
        *(f"  {key + ':':<13} {_short(value)}" for key, value in content["facts"].items()),
        *_table("observation", content["observation"]),
        *_table("action", content["action"]),
        "findings" if inspection.findings else "no findings",
        *(f"  {line}" for finding in inspection.findings for line in _said(finding)),
    ]
    return "\n".join(lines)


def _named_after(robot: ModuleType, layout: Layout, *, where: str) -> Layout:
    spec = robot.SPEC
    pairs = (
        ("observation", len(layout.observation_names), spec.observation.size),
        ("action", len(layout.action_names), spec.action.size),
    )
    for what, found, wanted in pairs:
        if found != wanted:
            raise DataError(
                f"{found} {what} dimensions are logged",
                where=where,
                limit=f"robot {spec.name} has {wanted}",
                remedy="select the robot's with --keys, a slice as in observations[0:28], or name another robot",
            )
    return replace(layout, observation_names=spec.observation.names, action_names=spec.action.names)


def _subject(contents: Contents, layout: Layout, robot: ModuleType | None, facts: RobotFacts | None) -> Subject:
    """The robot's bounds where it is named, else those that the file declares."""
    low, high = contents.actions.low, contents.actions.high
    if robot is not None:
        low, high = robot.SPEC.action.low, robot.SPEC.action.high
    return Subject(
        contents=contents,
        observation=layout.observation_names,
        action=layout.action_names,
        action_low=np.array(low, dtype=np.float32) if len(low) else None,
        action_high=np.array(high, dtype=np.float32) if len(high) else None,
        robot=facts,
    )


def _rows(inspection: Inspection) -> str:
    rows = inspection.contents.steps
    return "" if rows in (None, inspection.measured.logged_steps) else f"; {rows:,} rows as they lie there"


def _table(what: str, ranges: dict[str, list[float]]) -> list[str]:
    width = max(map(len, ranges), default=0)
    rows = [f"  {name:<{width}}  {_range(bounds)}" for name, bounds in ranges.items()]
    return [f"{what}, {len(ranges)} dimension(s)", *rows]


def _range(bounds: Sequence[float]) -> str:
    return f"[{bounds[0]:.4g}, {bounds[1]:.4g}]"


def _said(finding: Finding) -> list[str]:
    place = f" ({finding.place})" if finding.place else ""
    return [f"{finding.severity:<8}{finding.check}{place}: {finding.message}"] + (
        [f"        -> {finding.remedy}"] if finding.remedy else []
    )


def _short(text: str, limit: int = 100) -> str:
    words = " ".join(text.split())
    return words if len(words) <= limit else f"{words[: limit - 4]} ..."
