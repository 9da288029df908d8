"""The online page's section on the switch: the dip and what was forgotten, whatever of it is there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.report.forgetting_view import forgetting_rows
from offline_to_online.report.online_page import write_online_report
from offline_to_online.report.online_run import read_run
from offline_to_online.report.page import interval, number
from offline_to_online.report.switch import read_switch


def forget(folder, round_number, error, *, worst=("contact_mode/free",)):
    """What an audit writes of a candidate."""
    write_json(
        folder / "rounds" / f"{round_number:03d}" / "audit" / "forgetting.json",
        {
            "imitation_error": {"candidate": error, "baseline": 0.05, "bc": 0.04},
            "forgotten": {
                "baseline": {"difference": error - 0.05, "ratio": error / 0.05},
                "bc": {"difference": error - 0.04, "ratio": error / 0.04},
            },
            "moved": 0.123,
            "regions": {"contact_mode/free": {"moved": 0.3456, "steps": 77}},
            "worst_regions": list(worst), "steps": 144, "better_steps": 72, "held_out": True,
        },
    )  # fmt: skip


def certified(folder, round_number, **rates):
    """Other rates of a round's certification."""
    path = folder / "rounds" / f"{round_number:03d}" / "certify.json"
    said = read_json(path)
    write_json(path, said | {"certified_success_rate": said["certified_success_rate"] | rates})


def by_score(folder):
    """The run, as if its gate compared scores."""
    facts = read_json(folder / "run.json")
    facts["config"]["gates"]["acceptance"] = {"no_regression": {"outcome": "score"}}
    write_json(folder / "run.json", facts)


def text_of(parse, folder):
    """The page's text, spaces between its parts."""
    return " ".join(parse(write_online_report(folder)).text)


def test_the_value_before_the_switch_is_on_the_robot_that_is_tuned_on(online):
    """Of the handoff's evaluations the condition with the run's dynamics, behaviour cloning first."""
    folder = online()
    switch = read_switch(folder, read_run(folder))
    assert [one.name for one in switch.before] == ["bc", "iql"]
    rows = [
        read_json(folder / "handoff" / "evaluation" / n / "metrics.json")["perturbed"]["dynamics"]
        for n in ("bc", "iql")
    ]
    assert [one.value for one in switch.before] == [row["success_rate"] for row in rows]
    assert list(switch.before[-1].bounds) == rows[-1]["success_interval"]
    assert all(one.comparable for one in switch.before)
    assert switch.before[-1].outcomes.mean() == pytest.approx(rows[-1]["success_rate"])


def test_the_dip_is_stated_in_numbers(online, parse):
    """Before, lowest, after how many episodes, the difference, and what chance would show."""
    folder = online()
    run = read_run(folder)
    switch = read_switch(folder, run)
    means = [np.mean([e.success for e in run.evidence[end - 20 : end]]) for end in range(20, 41)]
    dip = switch.collected.dip
    assert (dip.lowest, dip.at) == (pytest.approx(min(means)), 20 + int(np.argmin(means)))
    said = text_of(parse, folder)
    before = switch.before[-1]
    assert f"iql had a success of {number(before.value)} {interval(before.bounds)} on the panel" in said
    assert f"was {number(min(means))}, after {dip.at} episodes" in said
    assert f"{min(means) - before.value:+.2f}." in said
    assert "a policy that did not change at all would show a lowest mean of" in said
    assert "for the first 20 episodes it was the handed-off policy itself that collected" in said


@pytest.mark.parametrize(("rate", "verdict"), [(0.2, "cannot be told from chance"), (1.0, "chance alone hardly")])
def test_a_dip_is_held_against_chance(online, parse, rate, verdict):
    """Twenty successes in a hundred may well fall to none in some window; a hundred of a hundred may not."""
    folder = online(finished=False)
    for round_number in (1, 2):
        path = folder / "rounds" / f"{round_number:03d}" / "collect.json"
        said = read_json(path)
        rows = [row | {"success": i % 10 == 0} for i, row in enumerate(said["evidence"])]
        write_json(path, said | {"evidence": rows})
    place = folder / "handoff" / "evaluation" / "iql"
    table = pd.read_parquet(place / "outcomes.parquet")
    here = table["condition"] == "dynamics"
    table.loc[here, "success"] = np.arange(here.sum()) < rate * here.sum()
    table.to_parquet(place / "outcomes.parquet", index=False)
    metrics = read_json(place / "metrics.json")
    metrics["perturbed"]["dynamics"] |= {"success_rate": rate, "success_interval": [rate, rate]}
    write_json(place / "metrics.json", metrics)
    assert verdict in text_of(parse, folder)


def test_a_baseline_never_played_on_the_tuned_robot_is_said_so(online, parse):
    """The nominal condition then stands in, and is not held against chance."""
    folder = online(finished=False)
    facts = read_json(folder / "run.json")
    facts["dynamics"]["action_gain"] = 0.7
    write_json(folder / "run.json", facts)
    switch = read_switch(folder, read_run(folder))
    assert not switch.before[-1].comparable
    said = text_of(parse, folder)
    assert "on the robot as it was logged, so that part of any difference is the robot's" in said
    assert "did not change at all" not in said


def test_the_final_evaluation_stands_in_where_the_handoff_has_none(online):
    """The baseline on the report block, on the tuned robot."""
    folder = online()
    path = folder / "final" / "baseline" / "metrics.json"
    metrics = read_json(path)
    write_json(path, metrics | {"dynamics": {"action_gain": 0.7}})
    facts = read_json(folder / "run.json")
    facts["dynamics"]["action_gain"] = 0.7
    write_json(folder / "run.json", facts)
    before = read_switch(folder, read_run(folder)).before
    assert [(one.name, one.comparable) for one in before] == [("bc", False), ("iql", True)]
    assert before[-1].value == metrics["success_rate"]


def test_candidates_are_drawn_with_their_intervals(online, parse):
    """Accepted and rejected ones by name, the champion's steps, and the lowest candidate in words."""
    folder = online()
    certified(folder, 2, candidate=0.3)
    judged = read_switch(folder, read_run(folder)).candidates
    assert [(c.round, c.episodes, c.accepted) for c in judged] == [(1, 20, True), (2, 40, False)]
    assert [c.value for c in judged] == [0.71, 0.3]
    assert all(c.bounds[0] < c.value < c.bounds[1] for c in judged)
    parsed = parse(write_online_report(folder))
    assert {"candidate, accepted", "candidate, rejected", "champion, as certified"} <= set(parsed.text)
    assert "candidate of round 2: certified 0.30 against the baseline's 0.40 on the same tasks (-0.10)" in " ".join(
        parsed.text
    )


def test_candidates_above_the_baseline_are_no_dip(online, parse):
    """Said in a sentence."""
    assert "No candidate was certified below the baseline on the same tasks." in text_of(parse, online())


def test_a_certification_without_a_task_is_no_candidate(online):
    """Its rate of 0 was never measured."""
    folder = online()
    path = folder / "rounds" / "002" / "certify.json"
    write_json(path, read_json(path) | {"pairs": 0})
    assert [c.round for c in read_switch(folder, read_run(folder)).candidates] == [1]


def test_where_the_gate_compares_scores_the_curve_is_of_scores(online, parse):
    """Panel, collected episodes and, from the certification's own files, the candidates."""
    folder = online()
    by_score(folder)
    run = read_run(folder)
    switch = read_switch(folder, run)
    assert switch.metric == "score"
    assert switch.candidates == ()
    assert switch.collected.mean[-1] == pytest.approx(np.mean([e.score for e in run.evidence[-20:]]))
    row = {"success": False, "interventions": 0, "support_drift": 0.0, "cost": 0.0, "score": 0.5}
    sides = {"candidate": [row, row | {"interventions": 1}], "champion": [row, row]}
    write_json(folder / "rounds" / "001" / "certify" / "001.json", sides)
    [judged] = read_switch(folder, run).candidates
    assert (judged.value, judged.champion, judged.baseline) == (0.25, 0.5, 0.5)
    assert "iql had a score of" in text_of(parse, folder)


def test_what_was_forgotten_is_shown_per_candidate(online, parse):
    """Error, change and ratio against both, how far the actions moved and where, and a sentence of the last one."""
    folder = online()
    forget(folder, 1, 0.06)
    forget(folder, 2, 0.1)
    assert [(r["round"], r["outcome"]) for r in forgetting_rows(folder, read_run(folder))] == [
        (1, "accepted"),
        (2, "rejected"),
    ]
    parsed = parse(write_online_report(folder))
    assert {"0.0600", "+0.0100", "1.20", "0.1000", "+0.0500", "2.00", "+0.0600", "2.50", "0.123"} <= set(parsed.text)
    assert "contact mode/free 0.346 (77 steps)" in parsed.text
    said = " ".join(parsed.text)
    assert "0.1000 against 0.0500 of the handed-off policy (+0.0500: it rose) and 0.0400 of behaviour cloning" in said
    assert "moved by 0.123 half ranges from the handed-off policy's, most in contact mode/free (0.346)." in said
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))


def test_an_unmoved_candidate_names_no_region(online, parse):
    """A dash, and no place in the sentence."""
    folder = online(rounds=1, finished=False)
    forget(folder, 1, 0.05, worst=())
    said = text_of(parse, folder)
    assert "it did not rise" in said
    assert "policy's, most in" not in said


def test_figures_say_what_they_show(online, parse):
    """Alternative texts carry the numbers."""
    folder = online()
    forget(folder, 1, 0.06)
    said = text_of(parse, folder)
    assert "Learning curve over the switch: bc " in said
    assert "candidate of round 1 0.71, accepted" in said
    assert "candidates 0.0600 in round 1 (accepted); handed-off policy 0.0500, behaviour cloning 0.0400" in said


def test_a_run_of_an_earlier_version_says_what_was_not_measured(online, parse):
    """No file of forgetting, no evaluation in the handoff."""
    folder = online(finished=False)
    for name in ("bc", "iql"):
        (folder / "handoff" / "evaluation" / name / "metrics.json").unlink()
    said = text_of(parse, folder)
    assert "Not measured: the version that made this run did not ask." in said
    assert "No evaluation of the handed-off policy lies in this run, so that no dip can be stated." in said


def test_a_run_that_has_only_begun_says_so(online, parse):
    """Nothing collected, no candidate."""
    said = text_of(parse, online(finished=False, rounds=0))
    assert "Nothing was collected after the switch yet." in said
    assert "No candidate was audited yet." in said


def test_a_few_episodes_are_no_dip(online, parse):
    """Fewer than a window."""
    said = text_of(parse, online(finished=False, rounds=0, left=3))
    assert "with fewer than 20 collected episodes no dip can be stated." in said
