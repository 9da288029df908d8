"""Does `verify` find every change to a run's folder, one byte at a time?

    python -m benchmarks.tamper            # over 1,000 flips, and every tail, drop and swap of the journal
    python -m benchmarks.tamper --quick    # about 60

A small real run is played to its end; its head lies in MLflow. Then, in a copy: one bit of one byte is flipped
somewhere in each kind of file; records of the journal are dropped, swapped, and cut off from the end, as they are, and
with every hash in the journal mended by somebody who knows how; files are deleted and added. `verify` looks, and the
copy is mended. For a few of them the command line is asked as well, in a folder that MLflow knows.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.results_file import claim, commit, save, tell
from benchmarks.small_handoff import build_handoff, small_config
from offline_to_online.online.__main__ import main as command_line
from offline_to_online.online.finding import Finding
from offline_to_online.online.journal import Chain, Record
from offline_to_online.online.registry import Head
from offline_to_online.online.verify import head_of, verify
from offline_to_online.online.verify_files import OPERATIONAL
from tests.online.small_run import play_to_the_end

NAME, SEED = "tamper", 7
FLIPS = {"journal": 300, "episodes": 150, "learner": 100, "policy": 100, "panel": 100, "handoff": 150, "other": 200}
JOURNAL = "journal.jsonl"
ASKED_TWICE = 8


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change to a run: its kind, what it is, and the new content of the file, or None where that is deleted."""

    kind: str
    what: str
    name: str
    content: bytes | None


def kind_of(name: str) -> str:
    """What a file of a run is, as the rows call it."""
    if name == JOURNAL:
        return "journal"
    if name.startswith("episodes/"):
        return "episodes"
    if name.endswith(("learner.safetensors", "policy.safetensors")):
        return name.rpartition("/")[2].removesuffix(".safetensors")
    if name == "handoff/panel.json":
        return "panel"
    return "handoff" if name.startswith("handoff/") else "other"


def flips(files: Mapping[str, bytes], counts: Mapping[str, int], rng: Random) -> Iterator[Change]:
    """One bit of one byte, at random: so many in each kind of file, every file of it in turn."""
    for kind, count in counts.items():
        names = sorted(name for name in files if kind_of(name) == kind)
        for i in range(count):
            name = names[i % len(names)]
            content = bytearray(files[name])
            place = rng.randrange(len(content))
            content[place] ^= 1 << rng.randrange(8)
            yield Change(kind=f"a flipped bit: {kind}", what=f"byte {place}", name=name, content=bytes(content))


def broken_journals(content: bytes) -> Iterator[Change]:
    """The journal with a tail cut off, a record dropped, and two swapped; as they are, and with the hashes mended."""
    lines = content.splitlines()
    for i in range(len(lines)):
        yield _journal("a deleted tail", i, lines[:i])
        for kind, left in (("dropped", [*lines[:i], *lines[i + 1 :]]), ("swapped", _swapped(lines, i))):
            if left != lines:
                yield _journal(f"a {kind} record", i, left)
                yield _journal(f"a {kind} record, hashes mended", i, mended(left))


def _swapped(lines: list[bytes], i: int) -> list[bytes]:
    return [*lines[:i], *reversed(lines[i : i + 2]), *lines[i + 2 :]]


def _journal(kind: str, i: int, lines: list[bytes]) -> Change:
    return Change(kind=kind, what=f"record {i + 1}", name=JOURNAL, content=b"".join(line + b"\n" for line in lines))


def mended(lines: list[bytes]) -> list[bytes]:
    """Records numbered and chained anew."""
    chain, written = Chain(), list[bytes]()
    for line in lines:
        row = json.loads(line)
        record = Record(sequence=len(written) + 1, previous=chain.head, kind=row["kind"], data=row["data"])
        written.append(record.line())
        chain.add(record, written[-1])
    return written


def lost_and_added(files: Mapping[str, bytes], rng: Random, count: int) -> Iterator[Change]:
    """Files that are deleted, and copies of files under another name."""
    for name in rng.sample(sorted(files), count):
        yield Change(kind="a deleted file", what="", name=name, content=None)
        folder, _, last = name.rpartition("/")
        twin = f"{folder}/copy-of-{last}" if folder else f"copy-of-{last}"
        yield Change(kind="an added file", what="", name=twin, content=files[name])


@contextlib.contextmanager
def applied(folder: Path, change: Change) -> Iterator[None]:
    """The change made, and undone again."""
    path = folder / change.name
    before = path.read_bytes() if path.exists() else None
    _put(path, change.content)
    try:
        yield
    finally:
        _put(path, before)


def _put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)


def asked(folder: Path, head: Head) -> str:
    """What ``verify`` finds, or ""."""
    said = verify(folder, head=lambda: head)
    return said.line() if isinstance(said, Finding) else ""


def asked_by_command(folder: Path) -> tuple[int, str]:
    """The status and the line of ``python -m offline_to_online.online verify``."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            command_line(["verify", str(folder)])
        except SystemExit as ended:
            return int(ended.code or 0), out.getvalue().strip()
    return 0, out.getvalue().strip()


def measure(folder: Path, *, quick: bool) -> list[dict[str, Any]]:
    """Play the run, change it, look; a row per kind of change."""
    build_handoff(folder)
    run = play_to_the_end(folder / "online", "run-001", folder / "handoff", small_config()).resolve()
    head = head_of(run)
    if head is None or asked(run, head):
        raise SystemExit(f"the run does not verify before anything was changed: {head and asked(run, head)}")
    rng = Random(SEED)
    names = [path.relative_to(run).as_posix() for path in sorted(run.rglob("*")) if path.is_file()]
    files = {name: (run / name).read_bytes() for name in names if name not in OPERATIONAL}
    counts = {kind: max(4, count // 25) if quick else count for kind, count in FLIPS.items()}
    changes = [*flips(files, counts, rng), *lost_and_added(files, rng, 6 if quick else 25)]
    journals = list(broken_journals(files[JOURNAL]))
    changes += rng.sample(journals, 20) if quick else journals
    return rows_of(run, head, changes, rng)


def rows_of(run: Path, head: Head, changes: Sequence[Change], rng: Random) -> list[dict[str, Any]]:
    """What was found of the changes to a copy, and, of some, by the command in the run's own folder."""
    copy = Path(shutil.copytree(run, run.parents[1] / "copy" / run.name))
    made, found, missed = Counter[str](), Counter[str](), list[str]()
    for change in changes:
        with applied(copy, change):
            line = asked(copy, head)
        made[change.kind] += 1
        found[change.kind] += bool(line)
        if not line:
            missed.append(f"{change.kind}: {change.name} {change.what}")
    rows: list[dict[str, Any]] = [{"change": k, "made": made[k], "found": found[k]} for k in made]
    alike = [_alike(run, copy, head, change) for change in rng.sample(list(changes), ASKED_TWICE)]
    return [*rows, {"change": "missed", "which": missed}, {"change": "the command says the same", "alike": alike}]


def _alike(run: Path, copy: Path, head: Head, change: Change) -> bool:
    with applied(copy, change), applied(run, change):
        return asked_by_command(run) == (1, asked(copy, head))


def report(rows: Sequence[Mapping[str, Any]], *, quick: bool = False) -> list[dict[str, Any]]:
    """Print the table; the claims made of it."""
    counted = [row for row in rows if "made" in row]
    for row in counted:
        print(f"{row['change']:40} {row['found']:5} of {row['made']:5} found")
    total, found = (sum(row[key] for row in counted) for key in ("made", "found"))
    flipped = sum(row["made"] for row in counted if row["change"].startswith("a flipped bit"))
    alike = next(row["alike"] for row in rows if "alike" in row)
    for line in next(row["which"] for row in rows if "which" in row):
        print(f"missed: {line}")
    least = 20 if quick else 1000
    return [
        claim("single-byte flips", flipped, f"at least {least}", flipped >= least),
        claim("changes that verify finds", found, total, found == total),
        claim(
            "of those asked again, the command says the same line and ends with 1", sum(alike), len(alike), all(alike)
        ),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Change, look, write benchmarks/results/tamper.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about 60 changes")
    quick = parser.parse_args(arguments).quick
    at, folder = commit(), Path(tempfile.mkdtemp(prefix="tamper-"))
    try:
        rows = measure(folder, quick=quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    claims = report(rows, quick=quick)
    tell(claims)
    print(save(NAME + ("_quick" if quick else ""), seeds=[SEED], rows=rows, claims=claims, at=at))


if __name__ == "__main__":
    main()
