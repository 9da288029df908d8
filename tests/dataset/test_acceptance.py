"""The table of episodes: accepted or refused by name, with no telemetry, no folder and no time in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from offline_to_online.dataset.acceptance import accept
from offline_to_online.dataset.manifest import Manifest


@pytest.fixture
def table() -> pd.DataFrame:
    """Four sound episodes."""
    return pd.DataFrame(
        {
            "identity": list("abcd"),
            "operator": ["expert", "expert", "novice", "novice"],
            "seed": [1, 2, -1, -1],
            "length": [5, 20, 1, 7],
            "success": [True, False, True, False],
            "score": [1.0, 0.0, 0.5, 0.25],
            "terminated": [True, False, False, False],
            "truncated": [False, True, True, True],
            "return_": [-1.0, -5.0, 2.0, 0.0],
            "cost": [0.0, 1.0, 0.0, 0.0],
        }
    )


def test_sound_data_is_accepted(
    table: pd.DataFrame, make_manifest: Callable[..., Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judgement is plain JSON, the same each time, and leaves nothing in the working directory."""
    monkeypatch.chdir(tmp_path)
    judgement = accept(table, make_manifest())
    assert judgement["accepted"]
    assert judgement["episodes"] == 4
    assert len(judgement["expectations"]) >= 12
    assert json.dumps(judgement) == json.dumps(accept(table, make_manifest()))
    assert list(tmp_path.iterdir()) == []
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"


@pytest.mark.parametrize(
    ("column", "value", "name"),
    [
        ("identity", "b", "every episode is told apart"),
        ("length", 0, "the length lies within the horizon"),
        ("length", 21, "the length lies within the horizon"),
        ("operator", "stranger", "the operator is one of the manifest's"),
        ("operator", None, "every episode has an operator"),
        ("return_", np.inf, "the return is finite"),
        ("return_", np.nan, "the return is a number"),
        ("score", 1.01, "the score lies in [0, 1]"),
        ("score", np.nan, "the score is a number"),
        ("cost", -1.0, "the constraint cost is finite and not negative"),
        ("cost", np.nan, "the constraint cost is a number"),
        ("seed", -2, "the seed is a seed, or -1 where none was logged"),
        ("terminated", False, "the ending is known"),
    ],
)
def test_a_refusal_names_what_failed(
    table: pd.DataFrame, make_manifest: Callable[..., Manifest], column: str, value: Any, name: str
) -> None:
    """One wrong entry fails exactly the expectation about it."""
    table[column] = table[column].astype(object)
    table.loc[0, column] = value
    if column in ("return_", "score", "cost"):
        table[column] = table[column].astype(float)
    if column in ("terminated", "truncated"):
        table[column] = table[column].astype(bool)
    judgement = accept(table, make_manifest())
    assert not judgement["accepted"]
    assert [row["name"] for row in judgement["expectations"] if not row["passed"]] == [name]


def test_one_episode_cannot_be_split(table: pd.DataFrame, make_manifest: Callable[..., Manifest]) -> None:
    """There must be enough rows."""
    failed = [r["name"] for r in accept(table[:1], make_manifest())["expectations"] if not r["passed"]]
    assert failed == ["there are enough episodes to split"]
