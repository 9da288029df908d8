"""An examination: every check sees every episode, and what keeps data out is one line that names the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from offline_to_online.dataset import examination
from offline_to_online.dataset.checks import Seen, Subject
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.examination import SAID, Examination, refusal
from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.logged import Contents, LoggedEpisode, Vector
from offline_to_online.errors import DataError
from offline_to_online.plugins import available


def finding(check: str, severity: str = "warning", **changes: Any) -> Finding:
    """One of a kind."""
    return Finding(check=check, severity=severity, message="seen", **changes)  # type: ignore[arg-type]


@pytest.fixture
def subject() -> Subject:
    """Headers that tell one thing themselves."""
    contents = Contents(
        format="made_up",
        sensors=(Vector(name="encoder", width=2, dtype="float32"),),
        observation=("encoder",),
        actions=Vector(name="actions", width=1, dtype="float32"),
        rewards=True,
        ends=True,
        times=False,
        final_observation=True,
        findings=(finding("told_by_the_headers", "notice"),),
    )
    return Subject(contents=contents, observation=("place", "speed"), action=("push",))


class Counting:
    """A check that counts what it sees."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def see(self, seen: Seen) -> None:
        """Note the index."""
        self.seen.append(seen.index)

    def findings(self) -> Iterable[Finding]:
        """An error that says how many; asked again, it would say none."""
        seen, self.seen = self.seen, []
        return [finding("counted", "error", count=len(seen))]


def test_every_check_sees_every_episode(subject: Subject, log: list[Episode], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that apply to the subject, in every file of ``checks``; the headers' own findings are among the rest."""
    asked = []

    def family(kind: str, name: str) -> ModuleType:
        asked.append((kind, name))
        module = ModuleType(name)
        module.checks = lambda subject: [Counting()]  # type: ignore[attr-defined]
        return module

    monkeypatch.setattr(examination, "module_for", family)
    looked = Examination(subject)
    assert asked == [("checks", name) for name in available("checks")]
    for index, episode in enumerate(log[:3]):
        logged = LoggedEpisode(where="", sensors={"encoder": episode.observations}, actions=episode.actions)
        looked.see(Seen(index=index, episode=episode, logged=logged))
    found = looked.findings
    assert [f.count for f in found if f.check == "counted"] == [3] * len(asked)
    assert found[-1].check == "told_by_the_headers"
    assert looked.findings == found


def test_a_sound_data_set_is_not_refused() -> None:
    """Warnings and notices alone keep nothing out."""
    assert refusal([], None, where="log.hdf5") is None
    assert refusal([finding("a"), finding("b", "notice")], None, where="log.hdf5") is None


def test_an_error_of_a_check_keeps_the_data_out() -> None:
    """By its name and place, in the file that was read."""
    error = refusal([finding("swapped", "error", episode=1, remedy="swap back")], None, where="log.hdf5")
    assert str(error) == "swapped: seen (log.hdf5, episode 1): swap back"


def test_what_the_schema_refused_comes_first_and_names_its_likely_cause() -> None:
    """A value out of bounds is a symptom; errors, then warnings, are named beside it, and no notice."""
    first = DataError("push is 57", where="log.hdf5, episode 0", limit="[-1, 1]", remedy="mend it")
    found = [finding("degrees", "error", dimension="action.push"), finding("jump", episode=4), finding("x", "notice")]
    said = str(refusal(found, first, where="log.hdf5"))
    assert said.startswith("push is 57 (log.hdf5, episode 0): [-1, 1]; mend it; also found: degrees (action.push)")
    assert said.endswith("jump (episode 4)")


def test_one_line_stays_short() -> None:
    """More than a few others are counted."""
    found = [finding(name, "error") for name in "abcdefg"]
    said = str(refusal(found, None, where="log.hdf5"))
    assert said.startswith("a: seen (log.hdf5)")
    assert said.endswith(f"d (the whole data set) and {len(found) - 1 - SAID} more")


def test_no_check_finds_an_error_in_sound_data(subject: Subject, log: list[Episode]) -> None:
    """Uniform noise inside its bounds is dull, and no reason to keep anybody's data out."""
    bounds = {"action_low": np.array([-1.0]), "action_high": np.array([1.0])}
    looked = Examination(dataclasses.replace(subject, **bounds))
    for index, episode in enumerate(log):
        logged = LoggedEpisode(where="", sensors={"encoder": episode.observations}, actions=episode.actions)
        looked.see(Seen(index=index, episode=episode, logged=logged))
    assert [f.check for f in looked.findings if f.severity == "error"] == []
