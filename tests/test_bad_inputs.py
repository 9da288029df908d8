"""The benchmark of broken data: its cases are what they say, and its judge can find one wanting."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.bad_inputs import __main__ as bad_inputs
from benchmarks.bad_inputs import clean, hashed, judging, semantic, semantic_cases, structural
from benchmarks.bad_inputs.case import WRITERS, Case
from benchmarks.bad_inputs.judging import Said, judge
from benchmarks.bad_inputs.logs import Log, Recording, slides
from offline_to_online.dataset.assembly import assemble, implied_layout
from offline_to_online.dataset.detection import format_of
from offline_to_online.plugins import available, module_for

WHOLE = ("d4rl_hdf5", "minari (HDF5)", "minari (Arrow)", "rlds", "parquet_store")
"""Formats that keep the observation after the last step, the rewards and the kind of ending."""


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Every case."""
    return bad_inputs.all_cases()


def case(**changes: Any) -> Case:
    """A broken data set that must be named ``jumps`` in episode 3."""
    made = Case(
        group="semantic", kind="k", name="n", format="d4rl_hdf5", make=Path, checks=("jumps",), place=r"episode 3\b"
    )
    return replace(made, **changes)


def said(code: int = 0, stdout: str = "", stderr: str = "", left: frozenset[str] = frozenset()) -> Said:
    """One call of adopt."""
    return Said(command="adopt x", code=code, stdout=stdout, stderr=stderr, seconds=1.0, left=left)


def test_there_are_enough_cases_of_every_kind_in_every_format(cases: list[Case]) -> None:
    """At least 200 broken ones, each with a name of its own, and clean ones of every format beside them."""
    assert sum(c.group != "clean" for c in cases) >= bad_inputs.LEAST
    assert max(Counter(c.name for c in cases).values()) == 1
    for group in (structural, hashed, semantic_cases, clean):
        assert {c.format for c in group.cases()} == set(WRITERS)


def test_a_fault_is_asked_of_a_check_that_there_is(cases: list[Case]) -> None:
    """A check that is renamed must be renamed here: else its cases would wait for a name that nobody says."""
    names = {name for check in available("checks") for name in module_for("checks", check).NAMES}
    wanted = {name for c in cases for name in c.checks}
    assert wanted <= names | {"end_before_the_last_step"}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_is_written_as_its_reader_reads_it(name: str, tmp_path: Path) -> None:
    """The same episodes in every format that can hold all of them, and as many in the others."""
    log = replace(slides(), recordings=slides().recordings[:6])
    path = WRITERS[name](log, tmp_path)
    reader = format_of(path)
    contents = reader.describe(path)
    layout = implied_layout(contents)
    episodes = [assemble(logged, layout) for logged in reader.read(path)]
    assert len(episodes) == 6
    if name in WHOLE:
        for episode, recording in zip(episodes, log.recordings, strict=True):
            assert np.array_equal(episode.observations, recording.observations)
            assert np.array_equal(episode.actions, recording.actions)
            assert np.array_equal(episode.rewards, recording.rewards)
            assert episode.terminated == recording.terminals[-1]


def test_damage_is_the_same_on_every_run(tmp_path: Path) -> None:
    """Seeds are of the case's name: no order of cases and no other case changes it."""
    chosen = [c for c in hashed.cases() if c.format == "d4rl_hdf5"]
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for each in chosen:
            path = each.make(tmp_path / name)
            assert each.spoil is not None
            each.spoil(path)
            found.append(path.read_bytes())
    assert found[: len(chosen)] == found[len(chosen) :]
    assert len(set(found)) == len(chosen)


def test_changes_of_meaning_leave_the_log_that_they_are_made_from() -> None:
    """Every case begins with the same sound log."""
    before = slides().recordings[3].actions.copy()
    changed = semantic.acted(semantic.scaled([0], -1), (3,))(slides())
    assert np.array_equal(changed.recordings[3].actions[:, 0], -before[:, 0])
    assert np.array_equal(slides().recordings[3].actions, before)
    assert changed.recordings[4] is slides().recordings[4]


@pytest.mark.parametrize("change", [semantic.merged(3), semantic.split_at(20, 3), semantic.with_copy(3)])
def test_episodes_that_are_joined_cut_or_copied_still_fit_together(change: Any) -> None:
    """T+1 observations and times around T of all else."""

    def shape(recording: Recording) -> bool:
        columns = (recording.rewards, recording.terminals, recording.timeouts, recording.successes)
        around = len(recording.observations) == len(recording.times) == len(recording) + 1
        return around and all(len(column) == len(recording) for column in columns)

    changed: Log = change(slides())
    assert len(changed.recordings) != len(slides().recordings)
    assert all(shape(recording) for recording in changed.recordings)


JUMP = "warning jumps (episode 3, step 20, observation.x): moves by 3"


@pytest.mark.parametrize(
    ("changes", "calls", "why"),
    [
        ({}, [said(stdout=f"findings\n  {JUMP}")], ""),
        ({}, [said(stdout=f"  {JUMP.replace('warning', 'notice ')}")], "jumps not said"),
        ({"notice": True}, [said(stdout=f"  {JUMP.replace('warning', 'notice ')}")], ""),
        ({}, [said(stdout=f"  {JUMP.replace('3,', '30,')}")], "not at"),
        ({}, [said(2, stderr="error: horizon: too long (x): mend; also found: jumps (episode 3, step 2)")], ""),
        ({"checks": ()}, [said()], "silently accepted"),
        ({"checks": ()}, [said(2, stderr="error: bad (log.hdf5, episode 3)")], ""),
        ({"checks": ()}, [said(2, stderr="error: bad (log.hdf5, episode 4)")], "does not say where"),
        ({"checks": ()}, [said(2, stderr="error: bad (episode 3)\nerror: worse")], "2 lines on stderr"),
        ({"checks": ()}, [said(2, stderr="bad (episode 3)")], "1 lines on stderr"),
        ({"checks": ()}, [said(1, stderr="Traceback (most recent call last):")], "a traceback"),
        ({"checks": ()}, [said(-1, stderr="no answer within 30 s")], "hangs"),
        ({"checks": ()}, [said(-11)], "hangs|exit code -11"),
        (
            {"checks": ()},
            [said(2, stderr="error: x (episode 3)", left=frozenset({"data/manifests/case.yaml"}))],
            "left",
        ),
        ({}, [said(stdout=f"  {JUMP}", left=frozenset({"raw/opened"}))], "left behind: raw/opened"),
        ({"group": "clean", "checks": ()}, [said(), said(2, stderr="error: bad (episode 3)")], "was refused"),
        ({"group": "clean", "checks": ()}, [said(stdout="  error   horizon (episode 3): long")], "refused: horizon"),
        ({"group": "clean", "checks": ()}, [said(stdout=f"  {JUMP}")], ""),
    ],
)
def test_what_is_right_and_what_is_not(changes: dict[str, Any], calls: list[Said], why: str) -> None:
    """A name at its place or one line with a place; no traceback, hang, second line or left-over."""
    found = judging.wrong_with(case(**changes), calls, "log.hdf5")
    if not why:
        assert found == ""
    else:
        assert any(part in found for part in why.split("|"))


def test_the_real_command_line_is_asked_and_its_place_is_held_to(cases: list[Case]) -> None:
    """The same case passes, and fails where another place is wanted."""
    made = next(c for c in cases if c.name == "d4rl_hdf5: NaN in observations")
    assert judge(made).passed
    elsewhere = judge(replace(made, place=r"episode 99\b"))
    assert (elsewhere.passed, elsewhere.why) == (False, r"the line does not say where: episode 99\b")
    assert elsewhere.said.startswith("error: ")


def test_a_person_leaves_no_blank(tmp_path: Path) -> None:
    """Whatever adopt left to state is stated; what it measured is kept."""
    path = tmp_path / "case.yaml"
    dimension = {"name": "turn", "unit": "<state: unit of turn>", "low": -1, "high": 1}
    drafted = {
        "robot": "<state: the robot's plug-in>",
        "sensors": ["<state: the sensors>"],
        "action_schema": {"out_of_bounds": "<state: clip or refuse>", "dimensions": [dimension]},
        "observation_schema": {"dimensions": [{**dimension, "unit": "m"}]},
        "control_rate_hz": 25,
        "operators": ["anna"],
    }
    path.write_text(yaml.safe_dump(drafted), encoding="utf-8")
    judging.fill(path, case(units={"turn": "rad"}, states={"operators": ["ben"]}))
    filled = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert "<state:" not in path.read_text(encoding="utf-8")
    assert filled["action_schema"]["dimensions"][0]["unit"] == "rad"
    assert filled["observation_schema"]["dimensions"][0]["unit"] == "m"
    assert (filled["control_rate_hz"], filled["operators"]) == (25, ["ben"])


def test_a_snapshot_sees_files_folders_and_links(tmp_path: Path) -> None:
    """Also an empty folder, and a link that leads nowhere."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("1", encoding="utf-8")
    (tmp_path / "link").symlink_to("nowhere")
    before = judging.snapshot(tmp_path)
    assert set(before) == {"empty", "file", "link"}
    (tmp_path / "file").write_text("2", encoding="utf-8")
    assert judging.snapshot(tmp_path) != before


def test_quick_takes_some_of_each_group(cases: list[Case]) -> None:
    """The same ones each time, and of many kinds."""
    chosen = bad_inputs.quick(cases)
    assert Counter(c.group for c in chosen) == bad_inputs.QUICK
    assert [c.name for c in chosen] == [c.name for c in bad_inputs.quick(cases)]
    assert len({c.kind for c in chosen}) > len(chosen) / 2


def row(group: str, cases: int, failed: int) -> dict[str, Any]:
    """A row of the table."""
    failures = [{"case": "c", "why": "w", "said": "s"}] * failed
    count = {"cases": cases, "passed": cases - failed, "failed": failed}
    return {"group": group, "kind": "k", "formats": 1, "slowest_s": 1.0, "failures": failures, **count}


@pytest.mark.parametrize(
    ("broken", "sound", "holds"),
    [
        (row("semantic", 200, 0), row("clean", 10, 0), [True, True, True]),
        (row("semantic", 199, 0), row("clean", 10, 0), [False, True, True]),
        (row("semantic", 200, 1), row("clean", 10, 0), [True, False, True]),
        (row("semantic", 200, 0), row("clean", 10, 1), [True, True, False]),
    ],
)
def test_each_claim_can_fail(
    broken: dict[str, Any], sound: dict[str, Any], holds: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    """Too few cases, one that came in, one that was kept out; and the last line counts the broken ones."""
    claims = bad_inputs.report([broken, sound])
    assert [claim["holds"] for claim in claims] == holds
    assert capsys.readouterr().out.splitlines()[-1] == f"{broken['passed']} passed, {broken['failed']} failed"
