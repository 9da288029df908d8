"""The benchmark of offline and online learning: what its cells say together, and how it goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import offline_to_online as benchmark
from benchmarks import results_file
from benchmarks.offline_to_online import __main__ as program
from benchmarks.offline_to_online import preparing, summary
from benchmarks.offline_to_online.settings import METHODS, SETTINGS
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


def test_a_table_that_is_not_whole_claims_nothing_of_the_others() -> None:
    """A seed or cloning that is missing: rows, but no comparison, and no traceback."""
    whole = made_up([[0.5, 0.6, 0.95]] * 5)
    for left in (("fetch_weak", "iql"), ("fetch_weak", "bc")):
        cells = {key: found for key, found in whole.cells.items() if key != left}
        assert len(summary.claims(summary.Results(cells))) == 1
        assert summary.table(summary.rows(summary.Results(cells)))
    fewer = {**whole.cells, ("fetch_weak", "iql"): whole.cells["fetch_weak", "iql"][:3]}
    assert len(summary.claims(summary.Results(fewer))) == 1


def test_a_dip_is_of_the_runs_that_end_above_their_start() -> None:
    """The others do not dip, they fall."""
    results = made_up([[0.5, 0.4, 0.6], [0.5, 0.2, 0.5], [0.5, 0.6, 0.7], [0.5, 0.3, 0.9], [0.9, 0.1, 0.2]])
    np.testing.assert_allclose(results.dips("fetch_weak", "support_guard"), [0.1, 0.0, 0.2])


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
        for method in METHODS.values():
            made = program.made_with(setting, method)
            assert made == json.loads(json.dumps(made))
    assert benchmark.__doc__


def test_it_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that is there is not run again; one of other settings is refused."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    ran = list[str]()

    def told(setting: Any, method: Any, seed: int) -> dict[str, Any]:
        ran.append(method.label)
        return cell(seed, [0.5, 0.5, 0.5]) | {"collected": [], "seconds": 1.0}

    monkeypatch.setattr(program, "run_cell", told)
    wanted = [("fetch", name, 1) for name in ("bc", "iql")]
    program._run_group(wanted[:1], "c")
    program._run_group([one for one in wanted if not program.there(*one)], "c")
    assert ran == ["BC", "IQL"]
    assert set(program.there_are().cells) == {("fetch", "bc"), ("fetch", "iql")}
    changed = {**METHODS, "iql": dataclasses.replace(METHODS["iql"], config={"expectile": 0.9})}
    monkeypatch.setattr(program, "METHODS", changed)
    with pytest.raises(ParameterError, match="a cell of other settings"):
        program.there("fetch", "iql", 1)


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
