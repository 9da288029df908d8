"""Which policy goes online, the table beside it, and the folder that says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_sources import logged_episode, make_sources, outcomes, sources_in

from offline_to_online.dataset.files import file_sha256, folder_sha256, read_json, write_json
from offline_to_online.errors import HandoffError, PipelineError
from offline_to_online.evaluation.handoff import FIVE, REQUIRED, HandoffConfig, load_handoff, write_handoff
from offline_to_online.evaluation.handoff_choice import choose, holm, sign_flip_p
from offline_to_online.evaluation.handoff_table import operator_rows, policy_row

BUDGETS = {"interaction_episodes": 7000}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Sources with a policy that clearly beats behaviour cloning."""
    root = tmp_path_factory.mktemp("made")
    make_sources(root, success={"bc": 0.4, "iql": 0.8})
    return root


@pytest.fixture
def root(made, tmp_path) -> Path:
    """A copy of the sources, to break."""
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def written(made):
    """The handoff's folder and record."""
    record = write_handoff(made / "handoff", sources_in(made, ("bc", "iql")), config=HandoffConfig(), budgets=BUDGETS)
    return made / "handoff", record


def hand_off(root: Path, names=("bc", "iql"), **config):
    return write_handoff(root / "out", sources_in(root, names), config=HandoffConfig(**config), budgets=BUDGETS)


def test_an_offline_policy_that_wins_its_pairs_is_chosen():
    """Sixteen pairs won and none lost is enough."""
    choice = choose(outcomes(0.4), {"iql": outcomes(0.8)}, HandoffConfig())
    assert choice.name == "iql"
    assert choice.comparison["difference"] == pytest.approx(0.4)
    assert choice.comparison["p_value"] == pytest.approx(0.5**16)
    assert (choice.comparison["all"][0]["better"], choice.comparison["all"][0]["worse"]) == (16, 0)


@pytest.mark.parametrize("rate", [0.4, 0.3, 0.475])
def test_bc_stays_unless_it_is_beaten(rate):
    """A draw, a loss and a win by three tasks all leave behaviour cloning."""
    choice = choose(outcomes(0.4), {"iql": outcomes(rate)}, HandoffConfig())
    assert choice.name == "bc"
    assert choice.comparison["policy"] == "iql"
    assert "does not beat" in choice.comparison["reason"]


def test_bc_alone_is_handed_off():
    """Without an offline policy there is nothing to compare, and that is said."""
    choice = choose(outcomes(0.4), {}, HandoffConfig())
    assert (choice.name, choice.comparison["p_value"], choice.comparison["all"]) == ("bc", None, [])


def test_only_the_nominal_condition_is_compared():
    """A policy that is better under perturbation alone is not chosen."""
    better = outcomes(0.4)
    better.loc[better["condition"] != "nominal", "success"] = True
    assert choose(outcomes(0.4), {"iql": better}, HandoffConfig()).name == "bc"


def test_pairs_are_matched_by_task_not_by_row():
    """Outcomes in another order give the same comparison."""
    shuffled = outcomes(0.8).sample(frac=1, random_state=0)
    assert choose(outcomes(0.4), {"iql": shuffled}, HandoffConfig()) == choose(
        outcomes(0.4), {"iql": outcomes(0.8)}, HandoffConfig()
    )


def test_the_winner_of_several_has_the_largest_difference():
    """Of two policies that beat behaviour cloning the better one goes online."""
    choice = choose(outcomes(0.2), {"a": outcomes(0.6), "b": outcomes(0.9)}, HandoffConfig())
    assert choice.name == "b"
    assert [row["policy"] for row in choice.comparison["all"]] == ["a", "b"]


def test_many_tries_are_paid_for():
    """Five pairs to none win alone (p 0.031), but not as one of four tries."""
    five, none = outcomes(0.525), outcomes(0.4)
    assert choose(none, {"a": five}, HandoffConfig()).name == "a"
    assert choose(none, {"a": five, "b": none, "c": none, "d": none}, HandoffConfig()).name == "bc"


@pytest.mark.parametrize("metric", ["score", "return"])
def test_scores_are_compared_by_flipping_signs(metric):
    """Where no task is finished, a better score counts, and the same draws give the same p-value."""
    old, new = outcomes(0.0, seed=1), outcomes(0.0, seed=1)
    column = "score" if metric == "score" else "return_discounted"
    new[column] = new[column] + np.random.default_rng(0).uniform(-0.02, 0.1, len(new))
    config = HandoffConfig(metric=metric, permutations=2000)
    choice = choose(old, {"iql": new}, config)
    assert (choice.name, choice.comparison["metric"]) == ("iql", metric)
    assert choose(old, {"iql": new}, config) == choice


def test_other_tasks_cannot_be_paired():
    """A policy that was played on fewer tasks is refused."""
    with pytest.raises(HandoffError, match="'iql' was played on 30 tasks, 'bc' on 40"):
        choose(outcomes(0.4), {"iql": outcomes(0.9, tasks=30)}, HandoffConfig())


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_raw_and_the_bonferroni_values(p_values):
    """Adjusting never makes a p-value smaller, keeps the order, and costs at most the number of tries."""
    adjusted = holm(p_values)
    assert all(p <= a <= min(1, p * len(p_values)) + 1e-12 for p, a in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert all(np.diff(np.array(adjusted)[order]) >= 0)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=30), st.integers(0, 99))
def test_a_sign_flip_p_value_is_valid_and_sees_the_sign(differences, seed):
    """It is in (0, 1], and by the same draws a sample and its mirror image cannot both look better."""
    values = np.array(differences)
    up, down = (sign_flip_p(v, 400, np.random.default_rng(seed)) for v in (values, -values))
    assert 0 < up <= 1
    assert up + down >= 1


def test_equal_sides_are_no_evidence():
    """Differences of zero give a p-value of 1."""
    assert sign_flip_p(np.zeros(20), 100, np.random.default_rng(0)) == 1.0


class Estimator:
    """A score of 3 for everyone, and of 2 once an episode was left out."""

    def __init__(self, episodes, far=3.0):
        self.episodes = tuple(e.identity for e in episodes)
        self.far = far
        self.left_out = []

    def score(self, observations, actions):
        return np.full(len(actions), self.far)

    def leaving_out(self, episode):
        self.left_out.append(episode)
        return Estimator([], far=2.0)


def test_an_operator_is_never_measured_against_itself():
    """Held-out episodes where there are any, else every train episode without itself; the row says which."""
    human, novice = [logged_episode(i, "human") for i in range(4)], [logged_episode(9 + i, "novice") for i in range(3)]
    estimator = Estimator([human[2], human[0], *novice])
    rows = operator_rows([*human, *novice], estimator, 2.5, lambda e: "" if e.success else "not_covered", 0.9)
    assert [row["name"] for row in rows] == ["human", "novice"]
    assert [row["support_score"]["median"] for row in rows] == [3.0, 2.0]
    assert [row["share_outside"] for row in rows] == [1.0, 0.0]
    assert [row["support_score_of"] for row in rows] == [
        "2 episodes outside the train split",
        "3 episodes, each left out in turn",
    ]
    assert estimator.left_out == [2, 3, 4]


def test_an_operators_row_counts_all_its_episodes():
    """Success, cost, return and failures are of every episode, whatever the scores are of."""
    episodes = [logged_episode(i, "novice") for i in range(5)]
    row = operator_rows(episodes, Estimator(episodes[:3]), 2.5, lambda e: "not_covered", 0.5)[0]
    assert (row["episodes"], row["success_rate"], row["failures"]) == (5, 0.0, {"not_covered": 5})
    assert row["constraint_cost"] == pytest.approx(np.mean([e.cost.sum() for e in episodes]))
    assert row["return_discounted"] == pytest.approx(np.mean([e.discounted_return(0.5) for e in episodes]))


def test_a_policys_row_is_its_evaluations_numbers(made):
    """Nothing is computed anew, so that the table and metrics.json cannot differ."""
    metrics = read_json(made / "evaluation" / "iql" / "metrics.json")
    row = policy_row("policy", "iql", metrics)
    assert row["episodes"] == metrics["tasks"]
    assert all(row[key] == metrics[key] for key in row if key in metrics)
    assert "support_score" in row


def test_all_rows_have_the_same_columns(written):
    """Operators and policies align, operators first, then bc."""
    table = written[1]["table"]
    assert [row["name"] for row in table] == ["human", "novice", "bc", "iql"]
    assert len({tuple(sorted(row)) for row in table}) == 1


def test_the_record_answers_the_five_questions(written):
    """Behaviour policy, support estimator, pessimism, BC baseline and evaluation artifact, each by hash."""
    folder, record = written
    assert record["chosen"] == "iql"
    assert set(record) >= {*FIVE, *REQUIRED}
    assert record["behaviour_policy"]["operators"] == {"human": 20, "novice": 10}
    assert record["support_estimator"]["sha256"] == read_json(folder / "estimator" / "estimator.json")["sha256"]
    assert record["pessimism_mechanism"].startswith("in-sample")
    assert record["bc_baseline"]["sha256"] == file_sha256(folder / record["bc_baseline"]["path"])
    assert record["evaluation_artifact"]["panel_sha256"] == read_json(folder / "panel.json")["sha256"]
    assert record["budgets"] == BUDGETS


def test_the_folder_holds_what_the_record_names(written):
    """Every file is named with its hash, and every named file is there; the online run needs nothing else."""
    folder, record = written
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {"handoff.json"}
    assert there == set(record["files"])
    assert {"policy.safetensors", "learner.safetensors", "bc/policy.safetensors", "episodes/split.json"} <= there
    assert file_sha256(folder / "policy.safetensors") == record["policy_sha256"]


def test_what_was_written_loads_and_is_the_same(written):
    """The record comes back as it was returned."""
    assert load_handoff(written[0]) == json.loads(json.dumps(written[1]))


def test_the_same_sources_give_the_same_bytes(root, written):
    """In another folder, over an earlier handoff."""
    hand_off(root)
    hand_off(root)
    assert folder_sha256(root / "out") == folder_sha256(written[0])


def test_bc_may_be_what_is_handed_off(root):
    """With behaviour cloning alone the handoff is complete."""
    record = hand_off(root, names=("bc",))
    assert (record["chosen"], record["policy_sha256"]) == ("bc", record["bc_baseline"]["sha256"])
    assert load_handoff(root / "out")["chosen"] == "bc"


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("audit/iql/metrics.json", "audit of 'iql'"),
        ("evaluation/bc/outcomes.parquet", "evaluation of 'bc'"),
        ("models/iql/learner.safetensors", "model of 'iql'"),
        ("models/bc/policy.safetensors", "model of 'bc'"),
        ("calibration.json", "no calibration"),
        ("panel.json", "no panel"),
        ("manifest.yaml", "no manifest"),
        ("episodes/split.json", "set of episodes"),
        ("estimator", "no support estimator"),
    ],
)
def test_a_missing_part_is_refused_by_name(root, missing, named):
    """Nothing is written, and the line says which part and where."""
    path = root / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(HandoffError, match=named) as caught:
        hand_off(root)
    assert str(path) in str(caught.value)
    assert not (root / "out").exists()


def test_without_behaviour_cloning_there_is_no_handoff(root):
    """The baseline is not optional."""
    with pytest.raises(HandoffError, match="no behaviour-cloning baseline"):
        hand_off(root, names=("iql",))


@pytest.mark.parametrize(
    ("record", "key", "what"),
    [
        ("evaluation/iql/metrics.json", "policy_sha256", "evaluation of 'iql' was made with another policy"),
        ("evaluation/bc/metrics.json", "panel_sha256", "evaluation of 'bc' was made with another panel"),
        ("audit/iql/metrics.json", "policy_sha256", "audit of 'iql' was made with another policy"),
        ("audit/bc/metrics.json", "estimator_sha256", "audit of 'bc' was made with another estimator"),
        ("audit/bc/metrics.json", "calibration_sha256", "audit of 'bc' was made with another calibration"),
        ("models/iql/card.json", "estimator_sha256", "card of 'iql' was made with another estimator"),
        ("calibration.json", "estimator_sha256", "calibration was made with another estimator"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(root, record, key, what):
    """A stale audit, evaluation, card or calibration is found by its hash."""
    write_json(root / record, read_json(root / record) | {key: "0" * 64})
    with pytest.raises(HandoffError, match=what):
        hand_off(root)
    assert not (root / "out").exists()


def test_a_policy_that_was_trained_again_needs_its_audit_again(root):
    """Other weights than those audited and evaluated are refused."""
    shutil.copyfile(root / "models" / "bc" / "policy.safetensors", root / "models" / "iql" / "policy.safetensors")
    with pytest.raises(HandoffError, match="'iql' was made with another policy"):
        hand_off(root)


def test_an_evaluation_that_does_not_say_of_what_is_refused(root):
    """A hash that is not recorded is as good as a wrong one."""
    path = root / "evaluation" / "iql" / "metrics.json"
    write_json(path, {k: v for k, v in read_json(path).items() if k != "policy_sha256"})
    with pytest.raises(HandoffError, match="does not say policy_sha256"):
        hand_off(root)


def test_a_panel_of_another_robot_is_refused(root):
    """The panel names its robot."""
    sources = SimpleNamespace(**{**vars(sources_in(root, ("bc", "iql"))), "robot": "adroit_door"})
    with pytest.raises(HandoffError, match="panel is for 'pusht'"):
        write_handoff(root / "out", sources, config=HandoffConfig(), budgets=BUDGETS)


def test_a_file_that_a_person_put_there_is_not_deleted(root):
    """A handoff replaces its own files only."""
    hand_off(root)
    (root / "out" / "notes.txt").write_text("mine")
    with pytest.raises(HandoffError, match=r"notes\.txt was not written by a handoff"):
        hand_off(root)
    assert (root / "out" / "notes.txt").read_text() == "mine"
    assert (root / "out" / "handoff.json").is_file()


@pytest.mark.parametrize("name", ["policy.safetensors", "episodes/transitions.parquet", "audit/iql/actions.parquet"])
def test_a_changed_file_is_found(root, name):
    """One byte more, and the handoff is refused, naming the file, both hashes and the remedy."""
    hand_off(root)
    with (root / "out" / name).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(HandoffError, match="was changed after the handoff") as caught:
        load_handoff(root / "out")
    line = str(caught.value)
    assert Path(name).name in line
    assert file_sha256(root / "out" / name)[:12] in line
    assert "dvc repro handoff" in line


def test_a_missing_file_is_found(root):
    """A file that is named and not there is refused."""
    hand_off(root)
    (root / "out" / "bc" / "policy.safetensors").unlink()
    with pytest.raises(HandoffError, match=r"bc/policy\.safetensors is missing"):
        load_handoff(root / "out")


def test_a_changed_record_is_found(root):
    """Budgets are changed in params.yaml, not in the handoff."""
    record = hand_off(root)
    write_json(root / "out" / "handoff.json", record | {"budgets": {"interaction_episodes": 9999999}})
    with pytest.raises(HandoffError, match=r"handoff\.json was changed"):
        load_handoff(root / "out")


@pytest.mark.parametrize("key", REQUIRED)
def test_a_record_that_lacks_a_name_is_refused(root, written, key):
    """Each of the five names, and what they rest on, must be there."""
    (root / "out").mkdir()
    write_json(root / "out" / "handoff.json", {k: v for k, v in written[1].items() if k != key})
    with pytest.raises(HandoffError, match=key):
        load_handoff(root / "out")


@pytest.mark.parametrize("content", [None, "", "{", "[]", '"text"'])
def test_what_is_no_handoff_is_refused_in_one_line(tmp_path, content):
    """Nothing there, an empty file, torn JSON, and JSON that is no record."""
    if content is not None:
        (tmp_path / "handoff.json").write_text(content)
    with pytest.raises(PipelineError, match="handoff"):
        load_handoff(tmp_path)
