"""Rollback by a person: refused for a reason, done once, ended after a kill, and followed by the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.small_handoff import ROBOT, small_config
from offline_to_online.dataset.files import file_sha256
from offline_to_online.errors import ParameterError, PipelineError, RobotError, RunError
from offline_to_online.online import people
from offline_to_online.online.beginning import begin
from offline_to_online.online.certify import audit_candidate, certify
from offline_to_online.online.collect import collect, safety_gate
from offline_to_online.online.decide import accept_or_reject, keep_head, open_registry
from offline_to_online.online.finding import Finding
from offline_to_online.online.registry import Registry
from offline_to_online.online.robot_lock import robot_held
from offline_to_online.online.rollback import roll_back
from offline_to_online.online.run import OnlineRun
from offline_to_online.online.screen import screen
from offline_to_online.online.update import update
from offline_to_online.online.verify import head_of, verify
from tests.online.small_run import play_round

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class KilledError(BaseException):
    """As SIGKILL: nothing of ours catches it."""


@pytest.fixture(scope="module")
def folder(handoff: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is not over: two rounds decided, two versions. Each test goes back from where the last one left it."""
    root = tmp_path_factory.mktemp("rollback")
    folder = begin(root, "run-001", handoff, small_config(rounds=4), seed=1, jobs=1).folder
    for number in (1, 2):
        play_round(folder, number)
    return folder


@pytest.fixture
def registry(folder: Path) -> Iterator[Registry]:
    """The registry as the command opens it; whatever a test did, the run verifies."""
    yield Registry(folder.parent, model="small")
    said = verify(folder, head=lambda: head_of(folder))
    assert not isinstance(said, Finding), said.line()


def go_back(folder: Path, registry: Registry, to: str, reason: str = "it stutters") -> str:
    return roll_back(registry, folder.parent / ".locks", to=to, name="Ada", reason=reason)


def rollbacks(folder: Path) -> int:
    return len(OnlineRun(folder).journal.of(people.KIND, subject=people.ROLLBACK))


def test_what_cannot_be_gone_back_to_is_refused(folder: Path, registry: Registry, handoff: Path) -> None:
    """An unknown version lists those there are; no reason, a held robot, a changed policy: one line each."""
    before, champion = rollbacks(folder), registry.champion()
    with pytest.raises(RunError, match=r"no version '9' \(small\): 1 \(run-001, round 001\), 2 \(run-001, round 002\)"):
        go_back(folder, registry, "9")
    with pytest.raises(ParameterError, match="no reason"):
        go_back(folder, registry, "1", reason=" ")
    with robot_held(folder.parent / ".locks", ROBOT, "run-007"), pytest.raises(RobotError, match="run 'run-007'"):
        go_back(folder, registry, "1")
    policy = folder / "rounds/001/candidate/policy.safetensors"
    content = policy.read_bytes()
    policy.write_bytes(content[:-1] + b"x")
    with pytest.raises(PipelineError, match="version 1 is not the policy that was accepted"):
        go_back(folder, registry, "1")
    policy.write_bytes(content)
    (folder / "summary.json").write_text("{}")
    with pytest.raises(RunError, match="let it end"):
        go_back(folder, registry, "1")
    (folder / "summary.json").unlink()
    assert (rollbacks(folder), registry.champion()) == (before, champion)


def test_an_earlier_version_is_the_champion_again(folder: Path, registry: Registry) -> None:
    """The alias moves, the run's champion and learner are that version's, and saying it twice changes nothing."""
    said = go_back(folder, registry, "1")
    assert "version 1 of small, run run-001" in said
    assert "rolled back by Ada: it stutters" in said
    made = folder / "rounds/001/candidate"
    standing = OnlineRun(folder).standing()
    assert (standing.version, standing.policy, standing.learner) == (
        "1",
        made / "policy.safetensors",
        made / "learner.safetensors",
    )
    assert standing.learner_since == OnlineRun(folder).collected(before=2)
    assert registry.champion() == "1"
    count, journal = rollbacks(folder), (folder / "journal.jsonl").read_bytes()
    go_back(folder, registry, "1")
    assert (rollbacks(folder), (folder / "journal.jsonl").read_bytes()) == (count, journal)
    row = OnlineRun(folder).journal.of(people.KIND)[-1].data
    assert (row["subject"], row["answer"], row["version"], row["name"]) == ("rollback", "rollback", "1", "Ada")


@pytest.mark.parametrize("again", ["the command", "the next start"])
def test_killed_between_journal_and_alias_it_is_ended_later(
    folder: Path, registry: Registry, again: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal counts: the same command again, or the run's next start, moves the alias; decided once."""
    go_back(folder, registry, "1", reason="first")
    count = rollbacks(folder)

    def killed(self: Registry, version: str) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "move_alias", killed)
        with pytest.raises(KilledError):
            go_back(folder, registry, "2", reason=again)
    assert registry.champion() == "1"
    if again == "the command":
        go_back(folder, registry, "2", reason=again)
    else:
        open_registry(OnlineRun(folder))
    assert registry.champion() == OnlineRun(folder).standing().version == "2"
    assert rollbacks(folder) == count + 1


def test_the_baseline_is_the_champion_again_and_the_run_goes_on_from_it(folder: Path, registry: Registry) -> None:
    """Whoever loads the alias finds the handed-off policy; it is a version once; the next update starts from it."""
    go_back(folder, registry, "baseline")
    run = OnlineRun(folder)
    assert (run.standing().version, run.standing().policy) == ("", run.baseline)
    stored = registry.champion()
    assert registry.versions()[stored]["round"] == "baseline"
    go_back(folder, registry, "2")
    go_back(folder, registry, "baseline")
    assert [tags["round"] for tags in registry.versions().values()].count("baseline") == 1
    number = run.next_round()
    assert number is not None
    collect(run, number)
    safety_gate(run, number)
    updated = update(OnlineRun(folder), number)
    assert updated["started_from_sha256"] == file_sha256(run.handoff_folder / "learner.safetensors")


@pytest.mark.parametrize("certifying", [False, True])
def test_a_candidate_of_a_champion_that_was_rolled_back_is_dropped(
    folder: Path, registry: Registry, certifying: bool
) -> None:
    """Rolled back after the update: the candidate is not played any more, unless that had begun, and not accepted."""
    number = OnlineRun(folder).next_round()
    assert number is not None
    collect(OnlineRun(folder), number)
    safety_gate(OnlineRun(folder), number)
    assert update(OnlineRun(folder), number)["candidate"]
    champion = OnlineRun(folder).standing().policy
    if certifying:
        screen(OnlineRun(folder), number)
        audit_candidate(OnlineRun(folder), number)
        certify(OnlineRun(folder), number)
    to = "1" if OnlineRun(folder).standing().version != "1" else "2"
    go_back(folder, registry, to)
    assert OnlineRun(folder).standing(before=number).policy == (
        champion if certifying else OnlineRun(folder).standing().policy
    )
    if not certifying:
        assert not screen(OnlineRun(folder), number)["passed"]
    decision = accept_or_reject(OnlineRun(folder), number)
    assert (decision["accepted"], decision["vetoed"]) == (False, not certifying)
    assert "it comes from a champion that was rolled back by Ada" in decision["reason"]
    assert OnlineRun(folder).standing().version == registry.champion() == to
    keep_head(OnlineRun(folder))
