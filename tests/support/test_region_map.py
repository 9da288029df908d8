"""The map of support over the two leading kinds of region."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from offline_to_online.support.region_map import region_map, write_map

LEFT, RIGHT = "pose/left", "pose/right"
FREE, HELD, PUSHED = "contact/free", "contact/held", "contact/pushed"


def actions(*rows: tuple[str, str, bool]) -> pd.DataFrame:
    """An audit's actions: mode, region, outside."""
    return pd.DataFrame(list(rows), columns=["mode", "region", "outside"])


@pytest.fixture
def logged():
    """Four logged steps: free or held on the left, free on the right, pushed nowhere; and a third kind."""
    masks = {LEFT: [1, 1, 1, 0], RIGHT: [0, 0, 0, 1], FREE: [1, 1, 0, 1], HELD: [0, 0, 1, 0], PUSHED: [0, 0, 0, 0]}
    return {name: np.array(mask, dtype=bool) for name, mask in (masks | {"reset/any": [1, 1, 1, 1]}).items()}


@pytest.fixture
def proposed():
    """Three greedy proposals and one exploring; what the data did is no proposal."""
    return actions(
        ("greedy", f"{FREE};{LEFT};reset/any", False),
        ("greedy", f"{HELD};{RIGHT};reset/any", True),
        ("greedy", f"{HELD};{RIGHT};reset/any", False),
        ("exploring", f"{PUSHED};{RIGHT};reset/any", True),
        ("data", f"{HELD};{RIGHT};reset/any", True),
    )


ORDER = (HELD, RIGHT, PUSHED, FREE, LEFT, "reset/any")


def cell(table: pd.DataFrame, row: str, column: str, mode: str) -> pd.Series:
    """The one row of the table that is meant."""
    found = table[(table["row"] == row) & (table["column"] == column) & (table["mode"] == mode)]
    assert len(found) == 1
    return found.iloc[0]


def test_a_cell_counts_data_and_proposals(proposed, logged):
    """Steps and shares of the log, proposals of the mode, and those of them that are outside."""
    found = cell(region_map(proposed, logged, ORDER), HELD, RIGHT, "greedy")
    assert (found["data_steps"], found["proposals"], found["outside"]) == (0, 2, 1)
    assert (found["proposal_share"], found["outside_share"]) == (pytest.approx(2 / 3), 0.5)
    free = cell(region_map(proposed, logged, ORDER), FREE, LEFT, "exploring")
    assert (free["data_share"], free["proposals"]) == (0.5, 0)
    assert np.isnan(free["outside_share"])


def test_the_two_kinds_that_lead_are_drawn(proposed, logged):
    """Those whose regions come first, what leads in front, the one with fewer regions across."""
    table = region_map(proposed, logged, ORDER)
    assert list(dict.fromkeys(table["row"])) == [HELD, PUSHED, FREE]
    assert list(dict.fromkeys(table["column"])) == [RIGHT, LEFT]
    assert set(region_map(proposed, logged, ("reset/any", *ORDER))["column"]) == {"reset/any"}


def test_what_lies_in_no_region_of_a_kind_is_elsewhere(proposed, logged):
    """Nothing that was logged or proposed is missing from the map."""
    del logged[FREE]
    table = region_map(proposed, logged, [name for name in ORDER if name != FREE])
    assert cell(table, "contact/elsewhere", LEFT, "greedy")["proposals"] == 1
    assert table.loc[table["mode"] == "greedy", "proposals"].sum() == 3
    assert table.loc[table["mode"] == "greedy", "data_steps"].sum() == 4


def test_regions_that_nobody_visits_are_left_out(proposed, logged):
    """Neither data nor proposals: a row that says nothing."""
    table = region_map(proposed[proposed["mode"] != "exploring"], logged, ORDER)
    assert PUSHED not in set(table["row"])


def test_one_kind_has_one_column_and_none_an_empty_map(proposed, logged):
    """A robot of which only the actions are known has saturation alone."""
    table = region_map(proposed, {LEFT: logged[LEFT], RIGHT: logged[RIGHT]}, [RIGHT, LEFT])
    assert set(table["column"]) == {"all/steps"}
    assert cell(table, RIGHT, "all/steps", "greedy")["proposals"] == 2
    assert region_map(proposed, {}, []).empty


@pytest.mark.parametrize("regions", [ORDER, (LEFT, RIGHT), ()])
def test_the_same_map_gives_the_same_bytes(proposed, logged, regions, tmp_path):
    """Picture and numbers, of two kinds, one, or none."""
    table = region_map(proposed, {name: logged[name] for name in regions}, regions)
    for name in ("a", "b"):
        write_map(table, tmp_path / name, title="bc")
    for name in ("map.svg", "map.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert len(pd.read_csv(tmp_path / "a" / "map.csv")) == len(table)


def test_the_picture_says_what_stands_where(proposed, logged, tmp_path):
    """Shares of the data, proposals outside, and a robot without regions as such."""
    write_map(region_map(proposed, logged, ORDER), tmp_path, title="bc")
    picture = (tmp_path / "map.svg").read_text()
    for said in ("held", "right", "no data", "1/2 out", "data 50.0%", "greedy", "exploring"):
        assert f">{said}<" in picture
    write_map(region_map(proposed, {}, ()), tmp_path, title="bc")
    assert "names no regions" in (tmp_path / "map.svg").read_text()


def test_many_columns_are_drawn_one_mode_above_the_other(tmp_path):
    """Beside each other their letters could not be read."""
    masks = {f"{kind}/{i}": np.arange(7) == i for kind in ("pose", "contact") for i in range(7)}
    proposed = actions(*[(mode, f"contact/{i};pose/{i}", False) for mode in ("greedy", "exploring") for i in range(7)])
    write_map(region_map(proposed, masks, sorted(masks)), tmp_path, title="bc")
    first = (tmp_path / "map.svg").read_text().split("viewBox=")[1].split('"')[1].split()
    assert float(first[2]) < 72 * 10
