"""The saved panel: drawn once, verified ever after."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_to_online.errors import PanelError, ParameterError
from offline_to_online.evaluation.__main__ import main
from offline_to_online.evaluation.panel import (
    acceptance_block,
    audit_block,
    collection_task,
    load_panel,
    make_panel,
    write_panel,
)
from offline_to_online.plugins import available, module_for
from offline_to_online.robots import Task, fetch_pick_and_place, pusht
from offline_to_online.robots._recording import record_log

# recorded_only is no robot that plays: it stands for one that nobody has written a plug-in for.
PLAYED = [name for name in available("robots") if name != "recorded_only"]


def small(seed=1, blocks=3):
    return make_panel("pusht", seed, report_size=10, blocks=blocks)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "pusht.json"
    write_panel(small(), path)
    return path


def state(task):
    return json.dumps(task.to_json()["state"])


def test_a_panel_read_is_the_panel_written(written):
    """Every number survives the disk exactly."""
    assert load_panel(written) == small()


def test_the_same_seed_gives_the_same_bytes(tmp_path, written):
    """A panel is a function of robot and seed, and another seed is another panel."""
    again, other = tmp_path / "again.json", tmp_path / "other.json"
    write_panel(small(), again)
    write_panel(small(seed=2), other)
    assert again.read_bytes() == written.read_bytes()
    assert load_panel(other).sha256 != load_panel(written).sha256


def test_a_panel_is_never_overwritten(written):
    """Results rest on it."""
    before = written.read_bytes()
    with pytest.raises(PanelError, match="there is a panel already"):
        write_panel(small(seed=2), written)
    assert written.read_bytes() == before


@pytest.mark.parametrize(
    "path", [("report", "tasks", 0, "state", "agent_xy", 0), ("seed",), ("acceptance", "sha256", 1), ("audit", "size")]
)
def test_a_changed_panel_is_refused(written, path):
    """One changed number, anywhere, is noticed."""
    content = json.loads(written.read_text())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = 7 if not isinstance(place[path[-1]], str) else "0" * 64
    written.write_text(json.dumps(content))
    with pytest.raises(PanelError, match="changed since it was made"):
        load_panel(written)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sha256": 1}', '{"sha256": "x", "acceptance": {}}'])
def test_what_is_no_panel_is_refused(tmp_path, content):
    """A broken file is one clear line."""
    path = tmp_path / "panel.json"
    path.write_text(content)
    with pytest.raises(PanelError, match="this is no panel"):
        load_panel(path)


def test_a_missing_panel_says_how_to_make_one(tmp_path):
    """The remedy is the command."""
    with pytest.raises(PanelError, match="make-panel"):
        load_panel(tmp_path / "none.json")


def test_blocks_are_disjoint_from_each_other_and_from_collection():
    """No reset stands in two blocks, nor in what a run collects with the panel's own seed."""
    panel = small()
    blocks = [list(panel.report), audit_block(panel), *(acceptance_block(panel, k) for k in range(3))]
    collected = [collection_task(pusht, panel.seed, i) for i in range(200)]
    states = [state(task) for block in [*blocks, collected] for task in block]
    assert len(states) == 10 + 200 + 3 * 400 + 200
    assert len(set(states)) == len(states)


def test_a_log_recorded_with_the_panels_seed_shares_no_reset_with_it():
    """The recorder draws from streams of its own, too: seed 8 here and seed 8 there are different tasks."""
    panel = make_panel("fetch_pick_and_place", 8, blocks=1)
    blocks = [*panel.report, *acceptance_block(panel, 0), *audit_block(panel)]
    logged = record_log(fetch_pick_and_place, {"biased": 2, "expert": 1}, seed=8)
    assert not {episode.seed for episode in logged} & {task.seed for task in blocks}


def test_an_acceptance_block_is_the_one_committed():
    """Drawn again, in any order, a block has its size and the same tasks."""
    panel = small()
    second = acceptance_block(panel, 1)
    assert len(second) == 400
    assert acceptance_block(panel, 0) != second
    assert acceptance_block(panel, 1) == second


def test_a_block_does_not_depend_on_how_many_there_are():
    """A panel with more blocks begins with the same ones."""
    assert [b.sha256 for b in small(blocks=4).acceptance[:3]] == [b.sha256 for b in small().acceptance]


@pytest.mark.parametrize("k", [-1, 3])
def test_acceptance_blocks_run_out(k):
    """There is no block beyond those committed."""
    with pytest.raises(PanelError, match="it has 3"):
        acceptance_block(small(), k)


def test_a_changed_reset_distribution_is_noticed(monkeypatch):
    """A robot that draws other tasks than when the panel was made is refused, with a remedy."""
    panel, draw = small(), pusht.draw_task

    def drifted(rng):
        task = draw(rng)
        return Task(seed=task.seed + 1, state=task.state)

    monkeypatch.setattr(pusht, "draw_task", drifted)
    for block in (lambda: acceptance_block(panel, 0), lambda: audit_block(panel)):
        with pytest.raises(PanelError, match="restore the robot's draw_task"):
            block()


def test_a_robot_with_too_few_resets_gets_no_panel(monkeypatch):
    """Blocks that would share a reset are refused when the panel is made."""
    monkeypatch.setattr(
        pusht, "draw_task", lambda rng: Task(seed=int(rng.integers(2**31)), state={"x": (float(rng.integers(50)),)})
    )
    with pytest.raises(PanelError, match="twice"):
        small()


@pytest.mark.parametrize("sizes", [{"report_size": 0}, {"blocks": 0}, {"seed": -1}])
def test_impossible_sizes_are_refused(sizes):
    """A panel has tasks, and a seed from 0 on."""
    with pytest.raises(ParameterError):
        make_panel("pusht", **{"seed": 1, **sizes})


@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5),
    seed=st.integers(0, 2**62),
)
def test_tasks_survive_json_exactly(values, seed):
    """Every double is read back to its last bit."""
    task = Task(seed=seed, state={"x": tuple(values)})
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task


def test_collection_goes_on_where_it_was():
    """The n-th reset of a run is a function of its seed and n alone, and other runs have others."""
    first = [collection_task(pusht, 9, i) for i in range(4)]
    assert collection_task(pusht, 9, 3) == first[3]
    assert collection_task(pusht, 10, 3) != first[3]


@pytest.mark.parametrize("robot", PLAYED)
def test_every_robot_draws_plain_and_endless_tasks(robot):
    """Tasks hold plain numbers, so that they can be written, and do not repeat."""
    module, rng = module_for("robots", robot), np.random.default_rng(0)
    tasks = [module.draw_task(rng) for _ in range(300)]
    assert len({state(task) for task in tasks}) == 300
    assert all(type(x) is float for task in tasks for values in task.state.values() for x in values)


def test_the_command_makes_a_panel_and_refuses_to_overwrite(tmp_path, capsys):
    """The command line writes the file, says what it is, and ends with 2 and one line the second time."""
    path = tmp_path / "pusht.json"
    command = [
        "make-panel",
        "--robot",
        "pusht",
        "--seed",
        "1",
        "--path",
        str(path),
        "--blocks",
        "3",
        "--report-size",
        "10",
    ]
    main(command)
    assert load_panel(path) == small()
    assert "10 report tasks, 3 acceptance blocks" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert "there is a panel already" in capsys.readouterr().err


PANELS = sorted((Path(__file__).resolve().parents[2] / "data" / "panels").glob("*.json"))


@pytest.mark.parametrize("path", PANELS, ids=lambda path: path.stem)
def test_the_panels_in_git_are_the_ones_that_were_made(path):
    """Every saved panel is unchanged, has 100 report tasks, and the robot still draws its blocks."""
    panel = load_panel(path)
    assert panel.robot == path.stem
    assert len(panel.report) == 100
    blocks = [*panel.report, *audit_block(panel), *acceptance_block(panel, 0), *acceptance_block(panel, 63)]
    assert len({state(task) for task in blocks}) == 100 + 200 + 2 * 400


def test_every_robot_has_a_saved_panel():
    """A robot without a panel could not be evaluated."""
    assert [path.stem for path in PANELS] == PLAYED
