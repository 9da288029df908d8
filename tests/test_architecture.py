"""The house's import arrows point left, and every vendor enters through its own door."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "offline_to_online"
RANK = {"dataset": 0, "robots": 1, "support": 1, "learning": 1, "evaluation": 2, "online": 3, "report": 4}
SIDEWAYS = {("learning", "support")}
DOORS = {
    "pandera": {"dataset/schema.py"},
    "great_expectations": {"dataset/acceptance.py"},
    "mlflow": {
        f"online/{name}.py"
        for name in ("embedded_store", "registry", "served_actions", "served_model", "served_policy")
    },
    "d3rlpy": {"learning/algorithms/_d3rlpy/library.py"},
    "prefect": set(),
    "dvc": set(),
}


def imports(path: Path) -> list[str]:
    """Every module name that a file imports, at any depth of nesting."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_left(path: Path) -> None:
    """No room imports a room to its right or beside it."""
    room = path.relative_to(PACKAGE).parts[0]
    for name in imports(path):
        parts = name.split(".")
        other = parts[1] if parts[0] == "offline_to_online" and len(parts) > 1 else ""
        if room not in RANK or other not in RANK or other == room or (room, other) in SIDEWAYS:
            continue
        assert RANK[other] < RANK[room], f"{path.relative_to(ROOT)}: {room} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_one_door_per_vendor(path: Path) -> None:
    """A vendor's library is imported by its door only."""
    here = str(path.relative_to(PACKAGE))
    for name in imports(path):
        vendor = name.split(".")[0]
        assert vendor not in DOORS or here in DOORS[vendor], f"{here} imports {vendor}"


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("*.py")), ids=lambda p: p.name)
def test_a_stage_holds_no_logic(path: Path) -> None:
    """A stage file stays about forty lines: load, one call, write, print a summary."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 80


def test_no_pickles_in_the_package() -> None:
    """Nothing of ours imports pickle, or loads with torch.load or joblib.load."""
    for path in [*FILES, *(ROOT / "stages").glob("*.py"), *(ROOT / "flows").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert "pickle" not in {name.split(".")[0] for name in imports(path)}, path
        plain = text.replace("safetensors.torch.load(", "")
        assert "torch.load(" not in plain, path
        assert "joblib.load(" not in plain, path
