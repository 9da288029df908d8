"""What the command line makes of a case, and whether that is right.

Right is, for broken data: exit code 2 and one line on stderr that begins ``error: `` and says where; or a finding of
the right name at the right place. And nothing is left behind, except what an accepted ``adopt`` is to write.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.bad_inputs.case import Case
from benchmarks.fresh_clone import ROOT, environment
from offline_to_online.dataset.validation import WRITTEN

LIMIT_S = 30.0
NAME = "case"
MANIFEST = f"data/manifests/{NAME}.yaml"
DRAFTED = {MANIFEST, f"data/manifests/{NAME}.params.yaml"}
STORED = {"data/episodes", *(f"data/episodes/{name}" for name in WRITTEN)}
FINDING = re.compile(r"^\s*(error|warning|notice)\s*:?\s*(\w+)(?: \((.*?)\))?: (?:(\w+): )?")
LED = re.compile(r"(\w+): (?:(\w+): )?")
"""What a line begins with: a check's name, and under it the name of what a single episode suffers."""

ALSO = re.compile(r"(\w+) \(([^()]*)\)")


@dataclass(frozen=True, kw_only=True)
class Said:
    """One call of the command line. ``left`` names what lies there that did not before, or is not as it was."""

    command: str
    code: int
    stdout: str
    stderr: str
    seconds: float
    left: frozenset[str]

    def findings(self, *, notices: bool = False) -> list[tuple[str, str]]:
        """Name and place of every error and warning that was said, be it in the report or in the line of the error."""
        found = [match.groups() for match in map(FINDING.match, self.stdout.splitlines()) if match]
        listed = [
            (name, place or "")
            for severity, check, place, inner in found
            for name in (check, inner)
            if name and (notices or severity != "notice")
        ]
        line = self.stderr.removeprefix("error: ")
        led = LED.match(line)
        return listed + [(name, line) for name in (led.groups() if led else ()) if name] + ALSO.findall(line)


@dataclass(frozen=True, kw_only=True)
class Result:
    """A case, whether it passed, and if not, why; with the last line that was said."""

    case: Case
    passed: bool
    why: str
    said: str
    seconds: float


def judge(case: Case) -> Result:
    """Make the data set in an empty folder, run the command line over it there, and look at what was said and left."""
    with tempfile.TemporaryDirectory(prefix="bad-input-") as folder:
        root = Path(folder)
        (root / "data/manifests").mkdir(parents=True)
        (root / "raw").mkdir()
        path = case.make(root / "raw").relative_to(root)
        started = time.monotonic()
        said = _session(case, root, str(path))
        seconds = round(time.monotonic() - started, 1)
    why = wrong_with(case, said, path.name)
    return Result(case=case, passed=not why, why=why, said=_last_line(said[-1]), seconds=seconds)


def _session(case: Case, root: Path, path: str) -> list[Said]:
    """``inspect`` (clean data only), ``adopt`` and ``validate``, up to the first that says enough."""
    said = [_call(root, "inspect", path, *case.options)] if case.group == "clean" else []
    said.append(_call(root, "adopt", path, "--name", NAME, *case.options))
    if said[-1].code == 0 and _named(case, said):
        return said
    if said[-1].code == 0:
        fill(root / MANIFEST, case)
        if case.spoil is not None:
            case.spoil(root / path)
        said.append(_call(root, "validate", path, "--manifest", MANIFEST, "--to", "data/episodes"))
    elif case.checks and not _named(case, said):
        # adopt's one line has no room for warnings beside an error; the report has them all.
        said.append(_call(root, "inspect", path, *case.options))
    return said


def fill(path: Path, case: Case) -> None:
    """What a person does with a drafted manifest: state what could not be measured."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for schema in ("action_schema", "observation_schema"):
        for row in content[schema]["dimensions"]:
            row["unit"] = case.units.get(row["name"], "1") if _is_blank(row["unit"]) else row["unit"]
    stated = {
        "robot": "a_robot_of_nobody",
        "reward_source": "file",
        "control_rate_hz": 20,
        "operators": ["script"],
        "sensors": ["all that it has"],
        "duplicates": "leave_out",
    }
    if _is_blank(content["action_schema"]["out_of_bounds"]):
        content["action_schema"]["out_of_bounds"] = "clip"
    for key, value in content.items():
        if "schema" not in key and _is_blank(value):
            content[key] = stated.get(key, "as benchmarks.bad_inputs made it")
    path.write_text(yaml.safe_dump({**content, **case.states}, sort_keys=False), encoding="utf-8")


def _is_blank(value: Any) -> bool:
    return "<state:" in str(value)


def _call(root: Path, *arguments: str) -> Said:
    before, started = snapshot(root), time.monotonic()
    command = [sys.executable, "-m", "offline_to_online.dataset", *arguments]
    variables = {**environment(), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=root, env=variables, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        code, stdout, stderr = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired:
        code, stdout, stderr = -1, "", f"no answer within {LIMIT_S:g} s"
    after = snapshot(root)
    return Said(
        command=" ".join(arguments),
        code=code,
        stdout=stdout,
        stderr=stderr,
        seconds=time.monotonic() - started,
        left=frozenset(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)),
    )


def snapshot(root: Path) -> dict[str, str]:
    """Everything below a folder, by its name: the hash of a file, where a link leads, or that it is a folder."""
    found = dict[str, str]()
    for place, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(place) / name
            if path.is_symlink():
                content = f"link to {path.readlink()}"
            else:
                content = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
            found[path.relative_to(root).as_posix()] = content
    return found


def wrong_with(case: Case, said: list[Said], data: str) -> str:
    """Why the case fails; empty where it does not."""
    for each in said:
        if bad := _misbehaved(each):
            return bad
    refused = any(each.code == 2 for each in said)
    if case.group == "clean":
        errors = [name for each in said for name in _errors(each)]
        return f"clean data was refused: {', '.join(errors) or said[-1].command}" if refused or errors else ""
    if case.checks:
        return _unnamed(case, said)
    if not refused:
        return "silently accepted"
    place = case.place or re.escape(data)
    return "" if re.search(place, said[-1].stderr) else f"the line does not say where: {place}"


def _misbehaved(said: Said) -> str:
    """What no call may do, whatever the data."""
    if said.code == -1:
        return f"hangs: {said.stderr}"
    if "Traceback" in said.stderr:
        return "a traceback"
    if said.code not in (0, 2):
        return f"exit code {said.code}"
    lines = said.stderr.splitlines()
    if said.code == 2 and (len(lines) != 1 or not lines[0].startswith("error: ")):
        return f"{len(lines)} lines on stderr instead of one error"
    if said.code == 0 and lines:
        return "something on stderr of a success"
    verb = said.command.split()[0]
    allowed = {"adopt": DRAFTED, "validate": STORED}.get(verb, set()) if said.code == 0 else set()
    strange = sorted(said.left - allowed)
    return f"left behind: {', '.join(strange)}" if strange else ""


def _errors(said: Said) -> list[str]:
    found = [match for match in map(FINDING.match, said.stdout.splitlines()) if match]
    return [match[2] for match in found if match[1] == "error"]


def _unnamed(case: Case, said: list[Said]) -> str:
    if _named(case, said):
        return ""
    found = [pair for each in said for pair in each.findings()]
    named = sorted({place for name, place in found if name in case.checks})
    if named:
        return f"{' or '.join(case.checks)} said at {'; '.join(named)[:200]!r}, not at {case.place!r}"
    others = ", ".join(sorted({name for name, _ in found})) or "nothing"
    return f"{' or '.join(case.checks)} not said; found was {others}"


def _named(case: Case, said: list[Said]) -> bool:
    found = [pair for each in said for pair in each.findings(notices=case.notice)]
    return any(name in case.checks and re.search(case.place, place) for name, place in found)


def _last_line(said: Said) -> str:
    lines = (said.stderr or said.stdout).strip().splitlines()
    return lines[-1][:400] if lines else ""
