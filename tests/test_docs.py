"""What README and docs name exists: files, make targets, modules, stages."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
from pathlib import Path

import pytest
import yaml

from benchmarks import support_tables
from benchmarks.demo_seeds import markdown
from benchmarks.offline_to_online.settings import SETTINGS
from benchmarks.offline_to_online.summary import FETCH, table
from offline_to_online.plugins import available, module_for

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"python -m ([\w.]+)")
TARGET = re.compile(r"\bmake ([a-z]+)\b")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
FENCE = re.compile(r"```[a-z]*\n(.*?)```", re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
FOUND_IN_A_HEADER = re.compile(r'check="(\w+)",\s*severity="(\w+)"')
CONTRADICTION = re.compile(r'\b_contradiction\("(\w+)"')


def code(page: Path) -> str:
    """All code of a page, fenced and inline."""
    text = page.read_text(encoding="utf-8")
    return "\n".join(FENCE.findall(text) + CODE.findall(FENCE.sub("", text)))


def described(head: str) -> dict[str, str]:
    """The first two columns of the table in docs/data.md that begins with this head."""
    lines = (ROOT / "docs/data.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {head} |")) + 2
    table = list(itertools.takewhile(lambda line: line.startswith("|"), lines[start:]))
    rows = [[cell.strip() for cell in line.split("|")] for line in table]
    assert len({row[1] for row in rows}) == len(rows), f"the table of {head} describes something twice"
    return {row[1].strip("`"): row[2] for row in rows}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_module_named_exists(page: Path) -> None:
    """Each `python -m MODULE` in the docs can be found."""
    for name in COMMAND.findall(code(page)):
        if name.split(".")[0] not in ("pip", "pytest", "venv"):
            assert importlib.util.find_spec(name.rstrip(".")) is not None, f"{page.name} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_make_target_named_exists(page: Path) -> None:
    """Each `make TARGET` in the docs is a target."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in TARGET.findall(code(page)):
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), f"{page.name} names make {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_resolves(page: Path) -> None:
    """Each relative link leads to a file."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links {target}"


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_the_table_of_seeds_is_the_one_that_was_measured(page: str) -> None:
    """Each row of five seeds stands as `python -m benchmarks.demo_seeds` left it."""
    result = json.loads((ROOT / "benchmarks/results/demo_seeds.json").read_text(encoding="utf-8"))
    text = (ROOT / page).read_text(encoding="utf-8").splitlines()
    assert len(result["rows"]) == 5
    assert [row for row in markdown(result["rows"]) if row not in text] == []


@pytest.mark.parametrize(("page", "settings"), [("README.md", FETCH), ("docs/learning.md", tuple(SETTINGS))])
def test_the_table_of_methods_is_the_one_that_was_measured(page: str, settings: tuple[str, ...]) -> None:
    """Each row stands as `python -m benchmarks.offline_to_online` left it; the README shows Fetch's."""
    result = json.loads((ROOT / "benchmarks/results/offline_to_online.json").read_text(encoding="utf-8"))
    text = (ROOT / page).read_text(encoding="utf-8").splitlines()
    rows = [line for line in table([row for row in result["rows"] if row["setting"] in settings]) if line]
    assert len(rows) >= 12
    assert [row for row in rows if row not in text] == []


def test_every_format_and_every_check_is_described() -> None:
    """Each plug-in of formats/ and each name that a check may give stands in docs/data.md, with its severities."""
    checks = [row for family in available("checks") for row in module_for("checks", family).NAMES.items()]
    assert set(described("name")) == set(available("formats"))
    assert described("check") == {name: ", ".join(severities) for name, severities in checks}


def test_every_finding_of_a_header_is_described() -> None:
    """The findings that the sources of formats/ name, each with the one severity that stands there."""
    sources = [p.read_text(encoding="utf-8") for p in (ROOT / "offline_to_online/dataset/formats").glob("*.py")]
    written = [pair for source in sources for pair in FOUND_IN_A_HEADER.findall(source)]
    written += [(name, "error") for source in sources for name in CONTRADICTION.findall(source)]
    named = {name for source in sources for name in re.findall(r'check="(\w+)"', source)}
    assert len(written) > 10
    assert named <= {name for name, _ in written}
    assert described("header") == dict(written)


def test_every_parameter_is_explained() -> None:
    """Every line of params.yaml that sets a value says what it means, or stands under a line that does."""
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    silent = [line for line in lines if line.strip() and "#" not in line and not line.rstrip().endswith(":")]
    named = {"batch_size", "registered_model", "updates", "learning_rate", "metric", "name", "algorithm", "format"}
    assert [line for line in silent if line.split(":")[0].strip() not in named] == []


def test_every_stage_file_is_a_stage() -> None:
    """Each file in stages/ is run by the stage of its name, and the other way round."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    files = {p.stem for p in (ROOT / "stages").glob("*.py") if p.stem != "__init__"}
    assert files == set(stages)


def test_the_lock_is_what_is_installed() -> None:
    """Every line of requirements.lock is installed in that version, and torch is the one pyproject pins."""
    from importlib.metadata import version

    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        name, _, wanted = line.partition("==")
        assert version(name) == wanted, f"{name}: the lock says {wanted}; run `make install`"
    assert version("torch").split("+")[0] == "2.13.0"


@pytest.mark.parametrize("name", support_tables.BENCHMARKS)
def test_the_tables_of_the_support_audit_are_the_saved_results(name: str) -> None:
    """docs/support.md says what benchmarks/results holds, failed claims included."""
    assert support_tables.table(name) in (ROOT / "docs/support.md").read_text(encoding="utf-8")
