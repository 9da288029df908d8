"""Emergency stop: by signal, by file, by the robot; at once, on record, and nothing moves until somebody says so."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.small_handoff import small_config
from offline_to_online.dataset.files import read_json
from offline_to_online.errors import EmergencyStopError
from offline_to_online.evaluation.panel import acceptance_block
from offline_to_online.evaluation.play import play
from offline_to_online.evaluation.rollout import read_rollout
from offline_to_online.online import emergency
from offline_to_online.online.beginning import begin
from offline_to_online.online.collect import collect
from offline_to_online.online.emergency import demand_no_stop, leave, listening, reason_in, stop_file, stoppable
from offline_to_online.online.journal import Journal
from offline_to_online.online.run import OnlineRun
from offline_to_online.online.trial import CHAMPION, Trial
from offline_to_online.robots import Dynamics
from tests.online.held_robot import hold

STOPPED_AT = 7


def begun(root: Path, handoff: Path, **changes: object) -> OnlineRun:
    """A run that has not moved yet."""
    return begin(root, "a", handoff, small_config(**changes), seed=1, jobs=1)


def at(step: int, act: Callable[[], None], *, episode: int = 0) -> Callable[[int, int], None]:
    """Somebody acts in one step of one episode."""
    return lambda e, s: act() if (e, s) == (episode, step) else None


def stops_of(run: OnlineRun) -> list[dict[str, object]]:
    """The stops in a run's journal."""
    return [dict(record.data) for record in Journal(run.folder / "journal.jsonl").of("emergency_stop")]


def ways(root: Path) -> dict[str, tuple[dict[str, object], str]]:
    """Who stops it in step ``STOPPED_AT - 1``: how the robot is held, and the reason that is journaled."""
    last = STOPPED_AT - 1
    return {
        "signal": ({"happens": at(last, lambda: os.kill(os.getpid(), signal.SIGUSR1))}, "signal SIGUSR1"),
        "file": ({"happens": at(last, (root / "STOP").touch)}, "the STOP file"),
        "note": ({"happens": at(last, lambda: leave(root / "STOP", "Ada saw a hand"))}, "Ada saw a hand"),
        "robot": ({"button": last}, "the red button"),
    }


@pytest.mark.parametrize("way", ["signal", "file", "note", "robot"])
def test_it_stops_within_one_step_is_recorded_and_the_run_goes_on(
    way: str, handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further step, one record, a failed episode that is kept; nothing moves before the file is gone."""
    around, reason = ways(tmp_path)[way]
    with monkeypatch.context() as patch:
        robots = hold(patch, **around)
        with pytest.raises(EmergencyStopError, match=f"emergency stop: {reason} .*after {STOPPED_AT} control steps"):
            collect(begun(tmp_path, handoff), 1)
    assert [(robot.steps, robot.stops) for robot in robots] == [(STOPPED_AT, 1)]
    run = OnlineRun(tmp_path / "a")
    rollout = read_rollout(run.episode_path(0))
    assert (len(rollout.episode), rollout.episode.truncated, rollout.episode.success) == (STOPPED_AT, True, False)
    assert rollout.episode.operator == "champion"
    stop = {"round": 1, "phase": "collect", "index": 0, "steps": STOPPED_AT, "reason": reason}
    assert [r.kind for r in run.journal.records[-2:]] == ["episode", "emergency_stop"]
    assert stops_of(run) == [stop]
    with pytest.raises(EmergencyStopError, match=rf"an emergency stop stands: {reason} .*STOP.*removes it"):
        collect(run, 1)
    stop_file(run).unlink()
    found = collect(run, 1)
    assert [row["emergency_stop"] for row in found["evidence"]] == [True, False]
    assert found["evidence"][0]["interventions"] == 1 + int(rollout.guard_stop.sum())
    assert (found["totals"]["episodes"], found["totals"]["emergency_stops"]) == (2, 1)
    assert stops_of(run) == [stop]


def test_killed_between_the_episode_and_its_record_the_stop_is_recorded_once(
    handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The episode's file knows that it was stopped: the next start records it and still does not move."""

    class KilledError(BaseException):
        """As SIGKILL."""

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        robots = hold(patch, button=STOPPED_AT - 1)
        patch.setattr(emergency, "journaled", killed)
        with pytest.raises(KilledError):
            collect(begun(tmp_path, handoff), 1)
        run = OnlineRun(tmp_path / "a")
        assert stops_of(run) == []
        stop_file(run).unlink()
        patch.undo()
        with pytest.raises(EmergencyStopError, match="emergency stop: the red button"):
            collect(run, 1)
    assert len(robots) == 1
    assert [stop["steps"] for stop in stops_of(run)] == [STOPPED_AT]
    collect(OnlineRun(run.folder), 1)
    assert len(stops_of(run)) == 1


def test_a_stop_before_the_first_step_keeps_no_episode(
    handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing moved, so that the episode is still to be played; the stop is on record all the same."""
    run = begun(tmp_path, handoff)
    happens = at(49, lambda: stop_file(run).touch())
    with monkeypatch.context() as patch:
        hold(patch, happens=happens)
        with pytest.raises(EmergencyStopError):
            collect(run, 1)
    assert [(stop["index"], stop["steps"]) for stop in stops_of(run)] == [(1, 0)]
    assert not run.episode_path(1).exists()
    stop_file(run).unlink()
    found = collect(OnlineRun(run.folder), 1)
    assert [row["emergency_stop"] for row in found["evidence"]] == [False, False]


def test_a_stop_between_two_motions_is_on_record(handoff: Path, tmp_path: Path) -> None:
    """Somebody stops it while it learns: the next motion does not begin, which is journaled once."""
    run = begun(tmp_path, handoff)
    leave(stop_file(run), "Ada: not now")
    for expected in ("emergency stop: Ada: not now .*after 0 control steps", "an emergency stop stands: Ada: not now"):
        with pytest.raises(EmergencyStopError, match=expected):
            collect(OnlineRun(run.folder), 1)
    stop = {"round": 1, "phase": "collect", "index": 0, "steps": 0, "reason": "Ada: not now"}
    assert stops_of(run) == [stop]
    assert (run.folder / "episodes").exists() is False


def test_an_episode_that_a_kill_left_without_a_record_is_on_record_before_a_stop(
    handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a person answers then, it was executed, and counts."""

    class KilledError(BaseException):
        """As SIGKILL."""

    once = Journal.once

    def killed(journal: Journal, kind: str, *rest: object) -> None:
        if kind == "episode":
            raise KilledError
        once(journal, kind, *rest)  # type: ignore[arg-type]

    run = begun(tmp_path, handoff)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "once", killed)
        with pytest.raises(KilledError):
            collect(run, 1)
    leave(stop_file(run), "enough")
    with pytest.raises(EmergencyStopError, match=r"emergency stop: enough .*collect 1, after 0 control steps"):
        collect(OnlineRun(run.folder), 1)
    assert [r.kind for r in OnlineRun(run.folder).journal.records] == ["begin", "episode", "emergency_stop"]


def test_a_signal_stops_a_certification_even_where_no_file_can_be_left(
    handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk, say: what plays in this process is told by the signal itself."""
    run = begun(tmp_path, handoff)
    tasks = acceptance_block(run.panel, 0)[:2]
    with monkeypatch.context() as patch:
        patch.setattr(emergency, "leave", lambda *_: None)
        robots = hold(patch, happens=at(STOPPED_AT - 1, lambda: os.kill(os.getpid(), signal.SIGUSR1)))
        with pytest.raises(EmergencyStopError, match="signal SIGUSR1"):
            Trial(run, run.round_folder(1) / "certify", {CHAMPION: run.baseline}, tasks, title="t").play(2)
    assert [(robot.steps, robot.stops) for robot in robots] == [(STOPPED_AT, 1)]


def test_what_is_stopped_while_it_is_played_again_later_is_recorded_by_its_task(
    handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a certification nothing is kept but that the task failed; the repetition is said."""
    run = begun(tmp_path, handoff)
    tasks = acceptance_block(run.panel, 0)[:3]
    folder = run.round_folder(1) / "certify"
    with monkeypatch.context() as patch:
        hold(patch, happens=at(4, lambda: leave(stop_file(run), "enough"), episode=1))
        with pytest.raises(EmergencyStopError, match=r"emergency stop: enough .*certify 1, after 5 control steps"):
            Trial(run, folder, {CHAMPION: run.baseline}, tasks, title="t").play(3)
    assert stops_of(run) == [{"round": 1, "phase": "certify", "index": 1, "steps": 5, "reason": "enough"}]
    assert not (folder / "001.json").exists()
    stop_file(run).unlink()
    Trial(run, folder, {CHAMPION: run.baseline}, tasks, title="t").play(3)
    rows = read_json(folder / "001.json")[CHAMPION]
    assert [row["emergency_stop"] for row in rows] == [False, True, False]
    assert rows[1]["interventions"] >= 1
    assert "was begun once and not finished; the robot repeats it" in capsys.readouterr().err


def test_signals_are_as_they_were_afterwards(tmp_path: Path) -> None:
    """SIGUSR1 leaves the file while it is listened to; what was set before is set again."""
    numbers = (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with listening(tmp_path / "deep" / "STOP") as asks:
        assert asks() == ""
        with listening(tmp_path / "deep" / "STOP"):
            os.kill(os.getpid(), signal.SIGUSR1)
        assert asks() == "signal SIGUSR1"
    assert [signal.getsignal(number) for number in numbers] == before
    assert reason_in(tmp_path / "deep" / "STOP") == "signal SIGUSR1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_process_that_is_ended_stops_its_robot_on_the_way(
    number: int, handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no emergency stop: nothing is recorded, no file is left, and the run goes on at its next start."""
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)
    robots = hold(monkeypatch, happens=at(STOPPED_AT - 1, lambda: os.kill(os.getpid(), number)))
    run = begun(tmp_path, handoff)
    with pytest.raises(SystemExit) as ended:
        collect(run, 1)
    assert ended.value.code == 128 + number
    assert [robot.stops for robot in robots] == [1]
    assert stops_of(run) == []
    assert not stop_file(run).exists()


def test_in_another_thread_the_file_alone_is_asked(tmp_path: Path) -> None:
    """Python sets signals in the main thread only; the one that listens there leaves the file."""
    heard: list[str] = []

    def play() -> None:
        with listening(tmp_path / "STOP") as asks:
            os.kill(os.getpid(), signal.SIGUSR1)
            reached.wait(20)
            heard.append(asks())

    reached = threading.Event()
    with listening(tmp_path / "STOP"):
        player = threading.Thread(target=play)
        player.start()
        while not (tmp_path / "STOP").exists():
            player.join(0.01)
        reached.set()
        player.join()
    assert heard == ["signal SIGUSR1"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "the STOP file"),
        ("Ada: a hand\nsecond line", "Ada: a hand"),
        ("x" * 999, "x" * 200),
        ("\x1b[31mred\x00", "[31mred"),
    ],
)
def test_the_reason_is_one_printable_line(content: str, reason: str, tmp_path: Path) -> None:
    """It goes into the journal and onto a terminal; whatever is written there, the file stops."""
    (tmp_path / "STOP").write_text(content)
    assert reason_in(tmp_path / "STOP") == reason


def test_a_folder_or_a_broken_link_stops_too(tmp_path: Path) -> None:
    """Anything by that name stops; somebody meant it."""
    (tmp_path / "STOP").symlink_to(tmp_path / "nowhere")
    assert reason_in(tmp_path / "STOP") == "the STOP file"
    (tmp_path / "other").mkdir()
    assert reason_in(tmp_path / "other") == "the STOP file"


def test_the_first_reason_stands(tmp_path: Path) -> None:
    """A second stop does not overwrite who asked first; a folder that cannot be written stops nothing from stopping."""
    leave(tmp_path / "STOP", "first")
    leave(tmp_path / "STOP", "second")
    assert reason_in(tmp_path / "STOP") == "first"
    (tmp_path / "file").touch()
    leave(tmp_path / "file" / "STOP", "nowhere to write")
    with pytest.raises(EmergencyStopError, match="first"):
        demand_no_stop(tmp_path / "STOP")


def test_a_stop_in_a_worker_process_says_how_far_the_episode_was(handoff: Path, tmp_path: Path) -> None:
    """The error comes out of another process with what was executed by then; this one plays on afterwards."""
    run = begun(tmp_path, handoff)
    tasks = acceptance_block(run.panel, 0)[:2]

    def side_by_side(robot: str) -> int:
        return len(play(run.baseline, robot, tasks, dynamics=Dynamics(), support_folder=None, jobs=2))

    with pytest.raises(EmergencyStopError, match="after 4 control steps"), stoppable(run, "certify", tasks, 5):
        side_by_side("tests.online.pressed_robot")
    (stop,) = stops_of(run)
    assert (stop["phase"], stop["steps"], stop["reason"]) == ("certify", 4, "the red button")
    assert stop["index"] in (5, 6)
    assert side_by_side(run.robot) == 2
