"""The offline page: self-contained, well formed, and saying what the files say."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.dataset.finding import Finding
from offline_to_online.errors import DataError
from offline_to_online.evaluation.handoff import HandoffConfig, write_handoff
from offline_to_online.report.offline_page import (
    changes,
    failure_table,
    panel_results,
    region_table,
    write_offline_report,
)
from offline_to_online.report.page import interval, number, words
from offline_to_online.robots import pusht
from offline_to_online.support.estimator import SupportEstimator
from offline_to_online.support.region_map import region_map, write_map

GAP = "contact_mode/free"


@pytest.fixture(scope="module")
def sources(offline, tmp_path_factory):
    """The made-up sources, their audits with a map as the stage writes it, and that of iql with a gap."""
    made = offline[1]
    audits = {name: tmp_path_factory.mktemp("audit") / name for name in made.audits}
    estimator = SupportEstimator.load(made.estimator)
    logged = pusht.regions(estimator.observations, estimator.actions)
    for name, folder in audits.items():
        shutil.copytree(made.audits[name], folder)
        found = read_json(folder / "exposures.json")
        if name == "iql":
            found["exposures"].sort(key=lambda row: row["name"] != GAP)
            found["exposures"][0]["status"], found["gaps"] = "gap", [GAP]
            write_json(folder / "exposures.json", found)
        actions = pd.read_parquet(folder / "actions.parquet")
        write_map(region_map(actions, logged, [row["name"] for row in found["exposures"]]), folder, title=name)
    return type(made)(**{**vars(made), "audits": audits})


@pytest.fixture(scope="module")
def page(offline, sources):
    """The page of those sources, written once."""
    path = offline[0] / "report" / "index.html"
    write_offline_report(path, sources=sources, handoff=offline[2], coverage=offline[0] / "coverage.json")
    return path


@pytest.fixture(scope="module")
def earlier(offline, tmp_path_factory):
    """The made-up sources with audits of an earlier version, which have fewer pictures."""
    made = offline[1]
    audits = {name: tmp_path_factory.mktemp("earlier") / name for name in made.audits}
    for name, folder in audits.items():
        folder.mkdir()
        pd.read_parquet(made.audits[name] / "actions.parquet").drop(columns="score").to_parquet(
            folder / "actions.parquet"
        )
        metrics = {k: v for k, v in read_json(made.audits[name] / "metrics.json").items() if k not in ("gaps", "score")}
        for mode in ("greedy", "exploring", "data"):
            metrics[mode].pop("score")
        write_json(folder / "metrics.json", metrics)
    return type(made)(**{**vars(made), "audits": audits})


def test_nothing_is_fetched_from_anywhere(page, parse):
    """Every reference stays inside the page, and there is no script."""
    text, parsed = page.read_text(encoding="utf-8"), parse(page)
    assert parsed.references
    assert all(reference.startswith("#") for reference in parsed.references)
    assert "<script" not in text
    assert "@import" not in text
    assert "url(http" not in text


def test_the_page_is_well_formed(page, parse):
    """Every tag is closed, every id stands once, every link inside the page leads somewhere."""
    parsed = parse(page)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {r[1:] for r in parsed.references} <= set(parsed.ids)


def test_a_reader_without_eyes_finds_its_way(page, parse):
    """A language, a title, a scope on every heading cell, and a title in every figure."""
    tags = parse(page).tags
    assert ("html", {"lang": "en"}) in tags
    assert all("scope" in attributes for tag, attributes in tags if tag == "th")
    drawn = [attributes for tag, attributes in tags if tag == "svg"]
    assert len(drawn) == 1 + 2 * 5
    assert all(a["role"] == "img" and a["aria-labelledby"] for a in drawn)


def test_what_the_checks_found_is_listed(offline, earlier, tmp_path, parse):
    """Each finding with its place, severity and count, and what was left out of the episodes."""
    record = offline[2]
    found = Finding(
        check="jumps", severity="warning", message="0.7 m in one step", episode=3, step=17, dimension="action.push"
    )
    write_json(
        earlier.episodes / "validation.json",
        {"findings": [found.to_json()], "left_out": [{"name": "camera", "kind": "video", "detail": ""}]},
    )
    try:
        write_offline_report(tmp_path / "index.html", sources=earlier, handoff=record)
    finally:
        (earlier.episodes / "validation.json").unlink()
    text = parse(tmp_path / "index.html").text
    assert {"jumps", "warning", "episode 3, step 17, action.push", "0.7 m in one step"} <= set(text)
    assert any("camera (video)" in line for line in text)


@pytest.mark.parametrize("name", ["bc", "iql"])
def test_the_numbers_shown_are_those_of_the_evaluation(page, offline, parse, name):
    """Success, interval, score and returns, nominal and perturbed, as they stand in metrics.json."""
    cells = parse(page).text
    metrics = read_json(offline[1].evaluations[name] / "metrics.json")
    for condition in (metrics, *metrics["perturbed"].values()):
        assert number(condition["success_rate"]) in cells
        assert interval(condition["success_interval"]) in cells
        assert number(condition["score"], 3) in cells
        assert interval(condition["score_interval"], 3) in cells
        assert number(condition["return_plain"]) in cells


@pytest.mark.parametrize("name", ["bc", "iql"])
def test_the_numbers_shown_are_those_of_the_audit(page, offline, parse, name):
    """Greedy, exploring and the data's own."""
    cells = parse(page).text
    metrics = read_json(offline[1].audits[name] / "metrics.json")
    for mode in ("greedy", "exploring", "data"):
        assert number(metrics[mode]["outside_support_rate"], 3) in cells
        assert number(metrics[mode]["score"]["p95"], 3) in cells
        assert number(metrics[mode]["distance"]["p95"], 3) in cells
        assert number(metrics[mode]["log_prob"]["median"]) in cells


def test_the_verdict_and_the_five_names_are_said(page, offline):
    """The comparison's sentence, what answers the five questions, and the hashes."""
    text, record = page.read_text(encoding="utf-8"), offline[2]
    for said in (
        "iql goes online",
        record["comparison"]["reason"],
        record["pessimism_mechanism"],
        record["behaviour_policy"]["description"],
        record["support_estimator"]["sha256"],
        record["bc_baseline"]["sha256"],
        record["evaluation_artifact"]["sha256"],
        record["handoff_sha256"],
    ):
        assert said in text


def test_the_experiment_card_names_everything(page, parse):
    """Environment, observation schema, action interface, metric and perturbation."""
    cells = " ".join(parse(page).text)
    for said in ("Environment", "Observation schema", "block_angle", "Action interface", "target_x", "Metric"):
        assert said in cells
    assert "of dynamics: action gain 0.5" in cells


def test_unsupported_regions_are_named(page, offline):
    """By name, not hidden in one value."""
    missing = read_json(offline[0] / "coverage.json")["unsupported"]
    assert missing
    text = page.read_text(encoding="utf-8")
    assert all(f"<code>{name}</code>" in text for name in missing)


def test_where_a_policy_leaves_the_data_is_said_by_name(page, sources, parse):
    """The gap in a sentence, and as the first row, with how often the policy goes there and is outside."""
    cells = parse(page).text
    own = cells[cells.index("iql: where it leaves the data") :]
    assert own[own.index("1 gap in the data") + 2] == words(GAP)
    row = own[own.index("gap") :]
    assert own[own.index("gap") - 3 : own.index("gap")].count(words(GAP)) == 1
    first = read_json(sources.audits["iql"] / "exposures.json")["exposures"][0]
    for use in (first["greedy"], first["exploring"]):
        assert {number(use["share"], 3), number(use["outside"], 3)} <= set(row[:30])


def test_a_policy_that_goes_into_no_gap_is_said_to(page, parse):
    """That there is none is a finding too."""
    cells = parse(page).text
    own = cells[cells.index("bc: where it leaves the data") : cells.index("iql: where it leaves the data")]
    assert any("No gap in the data where it goes." in text for text in own)


def test_each_threshold_stands_beside_its_guarantee(page, offline, parse):
    """And the hash of what it was calibrated on."""
    cells, calibration = parse(page).text, offline[2]["calibration"]
    for what in ("step", "episode"):
        at = cells.index(f"{what.capitalize()} threshold")
        assert cells[at + 1] == number(calibration[f"{what}_threshold"], 3)
        assert calibration["guarantee"][what] in cells[at : at + 6]
    assert calibration["data_sha256"] in cells


def test_an_audit_of_an_earlier_version_is_shown_as_far_as_it_goes(offline, earlier, tmp_path, parse):
    """Without a score, exposures, a map or worst proposals: distances with the thresholds, and log-probabilities."""
    write_offline_report(tmp_path / "index.html", sources=earlier, handoff=offline[2])
    parsed = parse(tmp_path / "index.html")
    assert len([tag for tag, _ in parsed.tags if tag == "svg"]) == 1 + 2 * 2
    assert parsed.open == []
    assert not any("in the data" in text and "gap" in text for text in parsed.text)
    assert parsed.text.count("step threshold") == 2


def test_the_same_sources_give_the_same_bytes(page, offline, sources, tmp_path):
    """Plots too."""
    root, _, record = offline
    write_offline_report(tmp_path / "again.html", sources=sources, handoff=record, coverage=root / "coverage.json")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_bc_alone_has_a_page(offline, tmp_path, parse):
    """Without an offline policy the page says so, and needs no coverage."""
    _, sources, _ = offline
    alone = type(sources)(
        **{
            **vars(sources),
            **{part: {"bc": getattr(sources, part)["bc"]} for part in ("models", "audits", "evaluations")},
        }
    )
    record = write_handoff(tmp_path / "handoff", alone, config=HandoffConfig(), budgets={})
    write_offline_report(tmp_path / "index.html", sources=alone, handoff=record)
    parsed = parse(tmp_path / "index.html")
    assert "No offline policy was trained." in parsed.text
    assert parsed.open == []


def test_a_missing_file_leaves_no_page(offline, tmp_path):
    """A page is whole or not there."""
    root, sources, record = offline
    with pytest.raises(DataError, match="no such file"):
        write_offline_report(tmp_path / "index.html", sources=sources, handoff=record, coverage=root / "nowhere.json")
    assert list(tmp_path.iterdir()) == []


def test_what_people_wrote_is_shown_as_text(offline, earlier, tmp_path):
    """A name with markup in it is escaped."""
    record = offline[2]
    changed = record | {"pessimism_mechanism": "<script>alert(1)</script>"}
    write_offline_report(tmp_path / "index.html", sources=earlier, handoff=changed)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_panel_results_keep_condition_and_policy_apart(offline):
    """Three conditions of two policies, policies side by side."""
    evaluations = {n: read_json(p / "metrics.json") for n, p in offline[1].evaluations.items()}
    rows = panel_results(evaluations)
    assert [(r["condition"], r["policy"]) for r in rows][:3] == [
        ("nominal", "bc"),
        ("nominal", "iql"),
        ("shifted", "bc"),
    ]
    assert rows[3]["success_rate"] == evaluations["iql"]["perturbed"]["shifted"]["success_rate"]


def test_failures_stand_by_frequency():
    """Kinds that no column has are no row, those that one has are 0 in the others."""
    assert failure_table([{"failures": {"a": 1, "b": 5}}, {"failures": {"b": 1}}]) == [("b", [5, 1]), ("a", [1, 0])]


def test_a_region_without_data_is_not_supported():
    """Whether the coverage or an audit says so."""
    row = {"data_share": 0.0, "proposal_share": 0.1, "outside_rate": 1.0, "worst_distance": 2.0}
    audits = {"bc": {"regions": {"x/a": row, "x/b": {**row, "data_share": 0.5}}, "unsupported_regions": ["x/a"]}}
    table = region_table(audits, {})
    assert [(r["name"], r["supported"], r["data_share"]) for r in table] == [("x/a", False, 0.0), ("x/b", True, 0.5)]


@pytest.mark.parametrize(
    ("dynamics", "said"),
    [
        ({}, "unchanged"),
        ({"action_gain": 1.0}, "unchanged"),
        ({"action_gain": 0.5, "friction": 2.0}, "action gain 0.5, friction 2"),
    ],
)
def test_changed_dynamics_are_said_in_words(dynamics, said):
    """Only what differs from the logged robot."""
    assert changes(dynamics) == said


def test_what_was_not_measured_is_a_dash(offline, earlier, tmp_path, parse):
    """Without a support no score is known: the page shows that, not a zero."""
    record = offline[2]
    table = [{**row, "share_outside": None, "support_score": {"median": None, "p95": None}} for row in record["table"]]
    write_offline_report(tmp_path / "index.html", sources=earlier, handoff=record | {"table": table})
    assert parse(tmp_path / "index.html").text.count("–") >= 3 * len(table)


def test_json_of_the_table_survives(offline, tmp_path):
    """The record's table is JSON: it can be written and read without loss."""
    write_json(tmp_path / "table.json", offline[2]["table"])
    assert read_json(tmp_path / "table.json") == offline[2]["table"]
