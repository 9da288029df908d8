"""The benchmark of offline and online learning: what its cells say together, and how it goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import offline_to_online as benchmark
from benchmarks import results_file
from benchmarks.offline_to_online import __main__ as program
from benchmarks.offline_to_online import kept, preparing, summary
from benchmarks.offline_to_online.settings import ALL, METHODS, SETTINGS
from offline_to_online.errors import ParameterError


def cell(seed: int, curve: list[float], *, episodes: tuple[int, ...] = (0, 15, 150)) -> dict[str, Any]:
    """A cell whose evaluations reach these success rates on a hundred tasks."""
    evaluations = [
        {"episodes": n, "success": [int(i < round(100 * rate)) for i in range(100)], "score": [0.0] * 100}
        for n, rate in zip(episodes, curve, strict=False)
    ]
    collected = {"cost": [1.0, 2.0], "interventions": [0, 3]} if len(curve) > 1 else {}
    return {"seed": seed, "commit": "c", "evaluations": evaluations, "collected": collected}


def made_up(ours: list[list[float]], **others: list[list[float]]) -> summary.Results:
    """Results on the weaker arm: five seeds of each method, flat at 0.5 where nothing else is said."""
    curves = {name: others.get(name, [[0.5, 0.5, 0.5]] * 5) for name in METHODS} | {"support_guard": ours}
    curves["bc"] = [[0.3]] * 5
    cells = {("fetch_weak", name): [cell(i, curve) for i, curve in enumerate(found)] for name, found in curves.items()}
    return summary.Results(cells)


def holds(results: summary.Results) -> list[bool]:
    return [one["holds"] for one in summary.claims(results)]


def test_the_best_one_without_a_dip_holds_every_claim() -> None:
    """Best at the end, no dip, above the limit."""
    assert holds(made_up([[0.5, 0.6, 0.95]] * 5, iql=[[0.5, 0.3, 0.8]] * 5)) == [True, True, True]


def test_a_worse_end_a_deeper_dip_and_too_little_fail() -> None:
    """Each claim by itself."""
    rival = [[0.5, 0.5, 0.95]] * 5
    assert holds(made_up([[0.5, 0.4, 0.7]] * 5, iql=rival)) == [False, False, False]
    assert holds(made_up([[0.5, 0.5, 0.92]] * 5, iql=rival)) == [False, True, True]


def test_a_tie_counts_only_above_behaviour_cloning() -> None:
    """Paired differences around zero are a tie; both below cloning's interval are nothing to be proud of."""
    ours = [[0.5, 0.5, 0.90 + 0.02 * i] for i in range(5)]
    rival = [[0.5, 0.5, 0.99 - 0.02 * i] for i in range(5)]
    assert holds(made_up(ours, iql=rival))[0]
    low = made_up([[0.1, 0.1, 0.20 + 0.02 * i] for i in range(5)], iql=[[0.1, 0.1, 0.29 - 0.02 * i] for i in range(5)])
    cells = {key: [cell(i, [0.1]) if len(c["evaluations"]) == 1 else c for i, c in enumerate(found)]
             for key, found in low.cells.items()}  # fmt: skip
    for name in ("rebrac", "scratch", "bc_reuse"):
        cells["fetch_weak", name] = [cell(i, [0.1, 0.1, 0.1]) for i in range(5)]
    assert summary.claims(summary.Results(cells))[0]["holds"]
    cells["fetch_weak", "bc"] = [cell(i, [0.6]) for i in range(5)]
    assert not summary.claims(summary.Results(cells))[0]["holds"]


def test_a_dip_in_one_run_of_five_is_a_tie_with_none() -> None:
    """Where both end above cloning's interval; where all of them dip it is none."""
    rival = [[0.5, 0.5, 0.9]] * 5
    assert holds(made_up([[0.5, 0.44, 0.95], *[[0.5, 0.5, 0.95]] * 4], iql=rival))[1]
    assert not holds(made_up([[0.5, 0.40 + 0.01 * i, 0.95] for i in range(5)], iql=rival))[1]
    cells = dict(made_up([[0.5, 0.44, 0.95], *[[0.5, 0.5, 0.95]] * 4], iql=rival).cells)
    cells["fetch_weak", "bc"] = [cell(i, [0.99]) for i in range(5)]
    assert not summary.claims(summary.Results(cells))[1]["holds"]


def test_runs_of_which_none_ends_above_its_start_show_no_dip() -> None:
    """The claim says so, and does not hold."""
    found = summary.claims(made_up([[0.99, 0.98, 0.95]] * 5))[1]
    assert not found["holds"]
    assert "none of them ends above" in found["claim"]


def test_a_table_that_is_not_whole_claims_nothing_of_the_others() -> None:
    """A seed or cloning that is missing: rows, but no comparison, and no traceback."""
    whole = made_up([[0.5, 0.6, 0.95]] * 5)
    for left in (("fetch_weak", "iql"), ("fetch_weak", "bc")):
        cells = {key: found for key, found in whole.cells.items() if key != left}
        assert len(summary.claims(summary.Results(cells))) == 1
        assert summary.table(summary.rows(summary.Results(cells)))
    fewer = {**whole.cells, ("fetch_weak", "iql"): whole.cells["fetch_weak", "iql"][:3]}
    assert len(summary.claims(summary.Results(fewer))) == 1


def test_a_method_that_is_run_besides_stands_in_the_table_and_in_no_claim() -> None:
    """One seed of it changes nothing that is claimed of the others."""
    whole = made_up([[0.5, 0.6, 0.95]] * 5)
    more = summary.Results({**whole.cells, ("fetch_weak", "cal_ql"): [cell(0, [0.5, 0.5, 0.99])]})
    assert summary.claims(more) == summary.claims(whole)
    assert "| Cal-QL | 0.50 | 0.50 |" in "\n".join(summary.table(summary.rows(more)))


def test_a_dip_is_of_the_runs_that_end_above_their_start() -> None:
    """The others do not dip, they fall."""
    results = made_up([[0.5, 0.4, 0.6], [0.5, 0.2, 0.5], [0.5, 0.6, 0.7], [0.5, 0.3, 0.9], [0.9, 0.1, 0.2]])
    np.testing.assert_allclose(results.dips("fetch_weak", "support_guard"), [0.1, np.nan, 0.0, 0.2, np.nan])


def test_rows_say_when_cloning_is_passed_and_what_it_cost() -> None:
    """Per seed; never is said as such."""
    results = made_up([[0.2, 0.4, 0.6], [0.1, 0.1, 0.2], [0.5, 0.6, 0.7], [0.3, 0.3, 0.9], [0.9, 0.1, 0.2]])
    row = next(row for row in summary.rows(results) if row["method"] == "support_guard")
    assert row["passes_cloning_after"] == [15, None, 0, 150, 0]
    assert row["cost"] == [3.0, 3.0, 3.0]
    assert row["interventions"][0] == 3.0
    assert [point["episodes"] for point in row["curve"]] == [0, 15, 150]


def test_the_table_has_a_line_a_method_and_a_column_a_checkpoint() -> None:
    """Cloning, which does not go online, has its one figure at both ends."""
    lines = summary.table(summary.rows(made_up([[0.5, 0.6, 0.95]] * 5)))
    assert lines[0].count("|") == lines[2].count("|")
    assert len(lines) == 2 + len(METHODS)
    cloned = next(line for line in lines if line.startswith("| BC |"))
    assert cloned.count("0.30 [0.30, 0.30]") == 2


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    """One panel a setting, the same bytes twice."""
    results = made_up([[0.5, 0.6, 0.95]] * 5)
    for name in ("one.svg", "two.svg"):
        summary.draw(results, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert "Support Guard" in (tmp_path / "one.svg").read_text()


def test_every_method_is_one_of_the_algorithms_and_every_setting_a_robot() -> None:
    """Built as the cells build them, so that a renamed setting is seen here."""
    for setting in SETTINGS.values():
        for method in ALL.values():
            made = kept.made_with(setting, method)
            assert made == json.loads(json.dumps(made))
    assert benchmark.__doc__


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Which cells were run, in order: each takes no time, and lies in an empty folder."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    for name in ("PICTURE", "HUMAN_PICTURE"):
        monkeypatch.setattr(program, name, tmp_path / f"{name}.svg")
    done = list[tuple[str, int]]()

    def told(setting: Any, method: Any, seed: int) -> dict[str, Any]:
        done.append((method.label, seed))
        return {"evaluations": cell(seed, [0.5, 0.5, 0.5])["evaluations"], "collected": [], "seconds": 1.0}

    monkeypatch.setattr(program, "run_cell", told)
    return done


def test_it_goes_on_where_it_was_stopped(ran: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that is there is not run again; one of other settings is refused."""
    wanted = [("fetch", name, 1) for name in ("bc", "iql")]
    program._run_group(wanted[:1], "c", kept.folder())
    program._run_group([one for one in wanted if not kept.there(one, kept.folder())], "c", kept.folder())
    assert ran == [("BC", 1), ("IQL", 1)]
    assert set(kept.results().cells) == {("fetch", "bc"), ("fetch", "iql")}
    changed = {**ALL, "iql": dataclasses.replace(METHODS["iql"], config={"expectile": 0.9})}
    monkeypatch.setattr(kept, "ALL", changed)
    with pytest.raises(ParameterError, match="a cell of other settings"):
        kept.there(("fetch", "iql", 1), kept.folder())


def here(cells: Sequence[kept.Cell], jobs: int, within: Path) -> None:
    """``program.run`` in this process, where what the fixture puts in place is."""
    program._run_group(cells, f"in {within.name}", within)


def test_recorded_and_human_data_are_drawn_apart(ran: list[tuple[str, int]], tmp_path: Path) -> None:
    """The README shows the former; where there is none of the latter there is no picture of it."""
    program._run_group([("fetch", "bc", 1)], "c", kept.folder())
    program.main(["--table"])
    assert [path.name for path in tmp_path.glob("*.svg")] == ["PICTURE.svg"]
    program._run_group([("door", "bc", 1)], "c", kept.folder())
    program.main(["--table"])
    assert "door" in (tmp_path / "HUMAN_PICTURE.svg").read_text()
    assert "door" not in (tmp_path / "PICTURE.svg").read_text()


def test_cells_of_other_code_are_taken_over_if_one_of_them_comes_out_alike(
    ran: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed that is named is run again, and every cell of its method and setting says what confirmed it."""
    monkeypatch.setattr(program, "run", here)
    program._run_group([("fetch", "bc", seed) for seed in (1, 2, 3)], "old", kept.folder())
    monkeypatch.setattr(kept, "sources", lambda algorithm: f"new {algorithm}")
    with pytest.raises(ParameterError, match="a cell of other code"):
        kept.results()
    ran.clear()
    program.main(["--confirm", "2", "--settings", "fetch", "--methods", "bc", "--seeds", "1", "2", "3"])
    assert ran == [("BC", 2)]
    found = kept.results().cells["fetch", "bc"]
    assert [one["commit"] for one in found] == ["old"] * 3
    assert [one["confirmed"][0]["commit"] for one in found] == ["in again"] * 3
    assert [one["confirmed"][0]["seed"] for one in found] == [2] * 3
    assert not list((kept.folder() / "again").iterdir())


def test_a_cell_that_comes_out_differently_confirms_nothing(
    ran: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, and all cells stay as they were."""
    monkeypatch.setattr(program, "run", here)
    program._run_group([("fetch", "bc", seed) for seed in (1, 2)], "old", kept.folder())
    before = {path: path.read_bytes() for path in kept.folder().glob("*.json")}
    monkeypatch.setattr(kept, "sources", lambda algorithm: "new")
    monkeypatch.setattr(
        program, "run_cell", lambda setting, method, seed: cell(seed, [0.5, 0.5, 0.51]) | {"collected": []}
    )
    with pytest.raises(SystemExit):
        program.main(["--confirm", "1", "--settings", "fetch", "--methods", "bc"])
    assert "comes out differently" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in kept.folder().glob("*.json")} == before


def test_the_quick_run_goes_the_whole_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every method offline and online on a small log, with a table at the end and the same figures twice."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(preparing, "SCRATCH", tmp_path / "build")
    program.main(["--quick"])
    left = json.loads((tmp_path / "offline_to_online_quick.json").read_text())
    assert {row["method"] for row in left["rows"]} == set(METHODS)
    assert "Support Guard" in capsys.readouterr().out
    online = [row for row in left["rows"] if row["method"] != "bc"]
    assert all(row["curve"][-1]["episodes"] == 4 for row in online)
