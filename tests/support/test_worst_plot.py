"""The worst proposals beside what was recorded nearest to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from offline_to_online.dataset.spec import ActionSchema, Dimension
from offline_to_online.support.worst_plot import worst_size, write_worst


def schema(size: int) -> ActionSchema:
    """Joints from -2 to 2."""
    joints = tuple(Dimension(name=f"joint_{i:02d}", unit="1", low=-2.0, high=2.0) for i in range(size))
    return ActionSchema(dimensions=joints)


def worst(size: int, neighbours: int = 3, far: int = 0) -> pd.DataFrame:
    """Two proposals of each mode with recorded ones at 0; the proposals at 0.1, and at 2 in the ``far`` last joints."""
    rows = []
    for mode in ("greedy", "exploring"):
        for rank in (1, 2):
            for neighbour in range(neighbours + 1):
                action = np.full(size, 0.0 if neighbour else 0.1)
                action[size - far :] = 0.0 if neighbour else 2.0
                named = {f"action/joint_{i:02d}": value for i, value in enumerate(action)}
                place = {"episode": "0123456789abcdef", "step": rank, "score": 7.0 / rank}
                rows.append({"mode": mode, "rank": rank, "neighbour": neighbour, **place, **named})
    return pd.DataFrame(rows)


def test_the_same_table_gives_the_same_bytes(tmp_path):
    """A row for each proposal, with its episode, step and score."""
    for name in ("a", "b"):
        write_worst(worst(2), schema(2), tmp_path / name, title="bc")
    picture = (tmp_path / "a" / "worst.svg").read_text()
    assert picture == (tmp_path / "b" / "worst.svg").read_text()
    for said in ("1.  01234567, step 1, score 7", "2.  01234567, step 2, score 3.5"):
        assert picture.count(f">{said}<") == 2
    assert ">joint_00<" in picture
    assert "dimensions" not in picture


def test_of_many_dimensions_those_are_drawn_that_are_farthest_off(tmp_path):
    """A hand has twenty-eight joints: twelve can be read, and the picture says so."""
    write_worst(worst(28, far=12), schema(28), tmp_path, title="bc")
    picture = (tmp_path / "worst.svg").read_text()
    assert [i for i in range(28) if f">joint_{i:02d}<" in picture] == list(range(16, 28))
    assert "12 of 28 dimensions" in picture
    assert worst_size(worst(28), schema(28)) == worst_size(worst(12), schema(12))


@pytest.mark.parametrize("table", [worst(2, neighbours=1), worst(2).assign(score=np.inf)])
def test_odd_tables_are_drawn_too(table, tmp_path):
    """One recorded transition alone, or a score without end."""
    write_worst(table, schema(2), tmp_path, title="bc")
    assert (tmp_path / "worst.svg").stat().st_size > 0
