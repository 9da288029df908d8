"""The summary on the terminal, and the command that prints it."""

from __future__ import annotations

import os
import shutil

import pytest

from offline_to_online.errors import HandoffError, RunError
from offline_to_online.report import __main__ as command
from offline_to_online.report.results import columns, print_results, results


def test_the_summary_says_what_came_out(offline, online, tmp_path):
    """Policies with intervals, baseline against champion, the version, and where the reports are."""
    folder = online()
    lines = results(offline[0] / "handoff", folder.parent, tmp_path / "index.html")
    text = "\n".join(lines)
    assert "policy bc              40     0.40   [0.26, 0.55]" in text
    assert "policy iql             40     0.80   [0.65, 0.90]" in text
    assert "champion        40     0.85   [0.71, 0.93]" in text
    assert "champion minus baseline +0.55 [0.38, 0.69], paired" in text
    assert "registered: offline-to-online version 1, alias champion" in text
    assert "support drift: mean 0." in text
    assert "against the data handed off (D_0); mean 0." in text
    assert text.index("(D_0)") < text.index("against what was collected before too (D_k)")
    assert lines[-2:] == [f"  {tmp_path / 'index.html'}", f"  {folder / 'report.html'}"]


def test_without_a_run_there_are_the_policies(offline, tmp_path):
    """The offline stages alone have a summary too."""
    lines = results(offline[0] / "handoff", tmp_path / "none", tmp_path / "index.html")
    assert any(line.startswith("handed off: iql") for line in lines)
    assert not any("online run" in line for line in lines)


def test_an_unfinished_run_registers_nothing(offline, online, tmp_path):
    """What is not there yet is not claimed."""
    text = "\n".join(results(offline[0] / "handoff", online(finished=False).parent, tmp_path / "index.html"))
    assert "online run run-001, not finished" in text
    assert "registered: nothing" in text


def test_the_run_that_was_started_last_is_shown(offline, online, tmp_path):
    """Or the one that is named; an unknown one is refused."""
    first = online()
    second = first.with_name("another")
    shutil.copytree(first, second)
    os.utime(first / "run.json", (1, 1))
    run = "\n".join(results(offline[0] / "handoff", first.parent, tmp_path / "i.html"))
    assert "online run another" in run
    assert "online run run-001" in "\n".join(results(offline[0] / "handoff", first.parent, tmp_path, run="run-001"))
    with pytest.raises(RunError, match="no run 'nobody'"):
        results(offline[0] / "handoff", first.parent, tmp_path, run="nobody")


def test_without_a_handoff_there_is_one_line(tmp_path):
    """What to run first."""
    with pytest.raises(HandoffError, match="dvc repro handoff"):
        results(tmp_path, tmp_path, tmp_path)


def test_columns_align():
    """The first to the left, the others to the right."""
    assert columns([("a", "1"), ("bbb", "22")]) == ["  a     1", "  bbb  22"]


def test_nothing_is_coloured_in_a_file(capsys):
    """Plain text where there is no terminal."""
    print_results(["head", "  row", "", "next"])
    assert capsys.readouterr().out == "head\n  row\n\nnext\n"


def test_the_command_prints_the_summary(offline, online, monkeypatch, capsys):
    """``python -m offline_to_online.report summary``, from the repository's root."""
    monkeypatch.setattr(command, "HANDOFF", offline[0] / "handoff")
    monkeypatch.setattr(command, "RUNS", online().parent)
    command.main(["summary"])
    assert "policy iql" in capsys.readouterr().out


def test_the_command_writes_a_runs_page_anew(online, monkeypatch, capsys):
    """``python -m offline_to_online.report online RUN``."""
    folder = online()
    monkeypatch.setattr(command, "RUNS", folder.parent)
    command.main(["online", "run-001"])
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert (folder / "report.html").is_file()


def test_the_commands_errors_are_one_line(tmp_path, monkeypatch, capsys):
    """Exit code 2, no traceback."""
    monkeypatch.setattr(command, "RUNS", tmp_path)
    with pytest.raises(SystemExit) as caught:
        command.main(["online", "nobody"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: no such run")
