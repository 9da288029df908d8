"""The online page: of a run that is finished, halted or still going on."""

from __future__ import annotations

import numpy as np
import pytest

from offline_to_online.dataset.files import folder_sha256, read_json, write_json
from offline_to_online.errors import DataError, RunError
from offline_to_online.report.online_page import RATCHET, write_online_report
from offline_to_online.report.online_run import aligned_rows, budgets, read_run, round_rows, spent, verdict_rows
from offline_to_online.report.page import interval, number


def test_the_page_is_self_contained_and_well_formed(online, parse):
    """Nothing is fetched, every tag is closed, every id stands once."""
    path = write_online_report(online())
    parsed = parse(path)
    assert path.name == "report.html"
    assert all(reference.startswith("#") for reference in parsed.references)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {r[1:] for r in parsed.references} <= set(parsed.ids)


def test_the_numbers_shown_are_those_of_the_summary(online, parse):
    """Success of baseline and champion with intervals, the difference, the version."""
    folder = online()
    text = " ".join(parse(write_online_report(folder)).text)
    summary = read_json(folder / "summary.json")
    for side in ("baseline", "champion"):
        assert f"{side} {number(summary[f'{side}_success'])} {interval(summary[f'{side}_interval'])}" in text
    assert "difference +0.55 [0.38, 0.69]" in text
    assert "Version 1 is the champion." in text


def test_every_verdict_is_shown(online, parse):
    """Rule, measured, limit, unit, passed and reason of both gates, as text."""
    folder = online()
    cells = parse(write_online_report(folder)).text
    said = read_json(folder / "rounds" / "002" / "safety.json")["verdicts"]
    for verdict in said:
        assert {verdict["rule"].replace("_", " "), verdict["reason"], verdict["unit"]} <= set(cells)
    assert {"no regression", "40.5", "32.9", "difference <b>+0.3</b>"} <= set(cells)


def test_the_champion_stands_in_the_aligned_table(online):
    """Below the offline rows, in the same columns, with the numbers of its evaluation."""
    run = read_run(online())
    rows = aligned_rows(run)
    assert [(r["kind"], r["name"]) for r in rows[-2:]] == [("baseline", "iql"), ("champion", "version 1")]
    assert rows[:-2] == run.handoff["table"]
    assert len({tuple(sorted(row)) for row in rows}) == 1
    assert rows[-1]["success_rate"] == run.final["champion"]["success_rate"]


def test_rounds_are_told_with_their_outcome(online):
    """The first was accepted and registered, the second rejected."""
    run = read_run(online())
    rows = round_rows(run)
    assert [(r["round"], r["outcome"], r["version"]) for r in rows] == [(1, "accepted", "1"), (2, "rejected", None)]
    assert rows[0]["candidate"] == pytest.approx(0.71)
    assert [(v["round"], v["gate"]) for v in verdict_rows(run)][3:5] == [(1, "acceptance"), (2, "safety")]


def test_what_was_spent_adds_up(online):
    """Collected, certification and the final evaluation of both sides under three conditions."""
    folder = online()
    run = read_run(folder)
    found = spent(run)
    assert (found["collected"], found["certification"], found["evaluation"]) == (40, 300, 240)
    assert found["executed"] == 580
    assert found["interventions"] == sum(e.interventions for e in run.evidence)


def test_budgets_are_what_the_gate_saw(online):
    """The last verdict over episodes is the one that the last round's gate wrote down."""
    folder = online()
    history = budgets(read_run(folder))
    written = {v["rule"]: v for v in read_json(folder / "rounds" / "002" / "safety.json")["verdicts"]}
    assert set(history) == set(written)
    assert {rule: verdicts[-1].to_json() for rule, verdicts in history.items()} == written
    assert all(len(verdicts) == 40 for verdicts in history.values())


def test_an_unfinished_run_has_a_page(online, parse):
    """Episodes of a round that is not closed yet count, and nothing is claimed of the champion."""
    folder = online(finished=False, rounds=1, left=3)
    parsed = parse(write_online_report(folder))
    assert "Not finished." in parsed.text
    assert "Not evaluated yet: that is the last step of a run." in parsed.text
    assert len(read_run(folder).evidence) == 23
    assert parsed.open == []


def test_a_run_that_has_only_begun_has_a_page(online, parse):
    """No episode, no round, no journal."""
    folder = online(finished=False, rounds=0)
    (folder / "journal.jsonl").unlink()
    text = parse(write_online_report(folder)).text
    assert {"No episode was collected yet.", "No round has begun.", "No gate has spoken yet."} <= set(text)


def test_a_halted_run_says_why(online, parse):
    """The safety gate's reason stands at the top, and in its round."""
    folder = online(finished=False)
    at = folder / "rounds" / "002"
    for phase in ("update", "audit", "certify", "decision"):
        (at / f"{phase}.json").unlink()
    write_json(
        at / "safety.json", read_json(at / "safety.json") | {"passed": False, "reason": "support_drift: too far"}
    )
    run = read_run(folder)
    assert (run.state, round_rows(run)[-1]["outcome"]) == ("halted", "halted")
    text = " ".join(parse(write_online_report(folder)).text)
    assert "Halted. A person must decide." in text
    assert "support_drift: too far" in text


def test_an_unchanged_baseline_has_no_champions_row(online, parse):
    """Where no candidate was accepted, the page says so."""
    folder = online()
    for path in sorted((folder / "final" / "champion").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    summary = read_json(folder / "summary.json")
    write_json(folder / "summary.json", summary | {"champion_version": "", "champion_success": 0.3})
    assert [r["kind"] for r in aligned_rows(read_run(folder))].count("champion") == 0
    assert "The baseline stays: no candidate was accepted." in parse(write_online_report(folder)).text


def test_drift_is_shown_against_both(online, parse):
    """Both curves in one plot, both means of each round, and what D_k alone would hide."""
    folder = online()
    run = read_run(folder)
    means = [np.mean([e.support_drift_k for e in run.evidence[start : start + 20]]) for start in (0, 20)]
    assert [row["drift_k"] for row in round_rows(run)] == pytest.approx(means)
    assert spent(run)["worst_drift_k"] == max(e.support_drift_k for e in run.evidence)
    parsed = parse(write_online_report(folder))
    text = " ".join(parsed.text)
    assert RATCHET in text
    assert {"against D_0", "against D_k"} <= set(parsed.text)
    worst = (number(max(getattr(e, name) for e in run.evidence), 3) for name in ("support_drift", "support_drift_k"))
    assert "{} against D 0 , {} against D k".format(*worst) in text


def test_a_run_of_an_earlier_version_has_a_page(online, parse):
    """What was never measured against D_k is a dash, and no curve."""
    folder = online(finished=False, rounds=1)
    collected = read_json(folder / "rounds" / "001" / "collect.json")
    for row in collected["evidence"]:
        del row["support_drift_k"]
    write_json(folder / "rounds" / "001" / "collect.json", collected)
    parsed = parse(write_online_report(folder))
    assert round_rows(read_run(folder))[0]["drift_k"] is None
    assert "against D_k" not in parsed.text
    assert "against D_0" in parsed.text


def test_reading_a_run_changes_nothing_in_it(online):
    """A torn last line of the journal stays torn, and is not counted."""
    folder = online()
    before = folder_sha256(folder)
    assert read_run(folder).records == 3
    assert folder_sha256(folder) == before


def test_the_same_run_gives_the_same_bytes(online):
    """Plots too."""
    folder = online()
    first = write_online_report(folder).read_bytes()
    assert write_online_report(folder).read_bytes() == first


def test_what_is_no_run_is_refused(tmp_path):
    """One line, with what to do."""
    with pytest.raises(RunError, match="no such run"):
        write_online_report(tmp_path)


def test_a_broken_file_of_a_run_is_named(online):
    """A torn phase is an error, not a missing one; the page that was there stays."""
    folder = online()
    path = write_online_report(folder)
    before = path.read_bytes()
    (folder / "rounds" / "001" / "certify.json").write_text("{")
    with pytest.raises(DataError, match=r"certify\.json"):
        write_online_report(folder)
    assert path.read_bytes() == before
