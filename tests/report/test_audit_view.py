"""What the page says of one audit."""

from __future__ import annotations

import pandas as pd
import pytest

from offline_to_online.dataset.files import write_json
from offline_to_online.report.audit_view import (
    LEADING,
    episode_names,
    exposure_rows,
    map_figure,
    support_figures,
    worst_figure,
    worst_rows,
)
from offline_to_online.robots import pusht

CALIBRATION = {"step_threshold": 1.0, "episode_threshold": 2.0}


@pytest.fixture(scope="module")
def tables(offline):
    """(actions, worst) of the audit of bc."""
    folder = offline[1].audits["bc"]
    return pd.read_parquet(folder / "actions.parquet"), pd.read_parquet(folder / "worst.parquet")


def exposure(name: str, status: str, excess: float = 0.0) -> dict:
    """A region as far as the order of the page looks at it."""
    return {"name": name, "status": status, "greedy": {"excess": -0.1}, "exploring": {"excess": excess}}


def test_what_stands_out_leads(tmp_path):
    """Gaps, thin regions, and those outside more often than elsewhere in either mode; the others can be opened."""
    rows = [exposure("a", "gap"), exposure("b", "thin"), exposure("c", "supported", 0.1), exposure("d", "supported")]
    rows += [exposure("e", "not proposed", 0.1)]
    write_json(tmp_path / "exposures.json", {"rule": "order", "gaps": ["a"], "exposures": rows})
    found = exposure_rows(tmp_path / "exposures.json")
    assert [row["name"] for row in found["leading"]] == ["a", "b", "c"]
    assert [row["name"] for row in found["others"]] == ["d", "e"]
    assert (found["gaps"], found["rule"]) == (["a"], "order")


def test_a_page_can_be_read_in_a_minute(tmp_path):
    """However many gaps there are, the first few stand open, and none is lost."""
    rows = [exposure(str(i), "gap") for i in range(30)]
    write_json(tmp_path / "exposures.json", {"rule": "order", "gaps": [], "exposures": rows})
    found = exposure_rows(tmp_path / "exposures.json")
    assert len(found["leading"]) == LEADING
    assert found["leading"] + found["others"] == rows


def test_without_exposures_there_are_none(tmp_path):
    """An audit of an earlier version."""
    assert exposure_rows(tmp_path / "exposures.json") == {"rule": "", "gaps": [], "leading": [], "others": []}


def test_episodes_are_called_as_the_checks_count_them(offline, tables):
    """By their index in the data set; every episode that the audit names has one."""
    called = episode_names(offline[1].episodes)
    assert sorted(called.values()) == sorted(f"episode {i}" for i in range(30))
    assert set(tables[1]["episode"]) <= set(called)


def test_the_worst_proposals_stand_beside_the_nearest_recorded(offline, tables):
    """Of each mode in order of rank, with the distance and the log-probability of the proposal itself."""
    actions, worst = tables
    rows = worst_rows(worst, actions, episode_names(offline[1].episodes))
    assert list(rows) == ["greedy", "exploring"]
    assert [row["rank"] for row in rows["greedy"]] == list(range(1, 11))
    top, greedy = rows["greedy"][0], actions[actions["mode"] == "greedy"]
    said = greedy.loc[greedy["score"].idxmax()]
    assert (top["identity"], top["step"]) == (said["episode"], said["step"])
    assert (top["distance"], top["log_prob"]) == (pytest.approx(said["distance"]), pytest.approx(said["log_prob"]))
    assert top["regions"] == said["region"].split(";")
    distances = [one["distance"] for one in top["nearest"]]
    assert len(distances) == 3
    assert distances == sorted(distances)


def test_an_episode_of_other_data_is_called_by_its_hash(tables):
    """The page is still whole."""
    rows = worst_rows(tables[1], tables[0], {})
    assert rows["greedy"][0]["episode"] == f"episode {rows['greedy'][0]['identity'][:8]}"
    assert worst_rows(pd.DataFrame(), tables[0], {}) == {}


def test_the_thresholds_are_drawn_on_what_they_were_set_on(tables):
    """The score; in audits of an earlier version, the distance."""
    now = support_figures("bc", tables[0], CALIBRATION)
    earlier = support_figures("bc", tables[0].drop(columns="score"), CALIBRATION)
    assert ["step threshold" in figure for figure, _ in now] == [True, False, False]
    assert ["step threshold" in figure for figure, _ in earlier] == [True, False]


def test_who_does_not_see_the_map_is_told_where_data_lack():
    """Cells to which the greedy policy goes and in which nothing was recorded, by name."""
    names = {"row": "contact/held", "column": "pose/left", "data_share": 0.0, "proposal_share": 0.5, "outside": 1}
    table = pd.DataFrame(
        [
            names | {"mode": m, "data_steps": 0, "proposals": n, "outside_share": 1.0}
            for m, n in (("greedy", 4), ("exploring", 5))
        ]
    )
    drawn, width = map_figure("bc", table)
    assert "nothing was recorded: contact/held with pose/left, 4 proposals" in drawn
    assert "#010203" not in drawn
    assert width > 0


def test_the_worst_are_drawn_under_the_names_of_their_episodes(offline, tables):
    """The same as in the table above."""
    called = episode_names(offline[1].episodes)
    drawn, _ = worst_figure("bc", tables[1], pusht.SPEC.action, called)
    first = tables[1].iloc[0]
    assert f"1.  {called[first['episode']]}, step {first['step']}" in drawn
