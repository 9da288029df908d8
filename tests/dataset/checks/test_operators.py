"""Who acted, and how much of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from offline_to_online.dataset.checks import Seen, operators
from offline_to_online.dataset.manifest import Manifest
from tests.dataset.checks import timed_logs
from tests.dataset.checks.steered_logs import drive, found, log, one, subject, the


def by(*names: str) -> list[Seen]:
    """One episode by each."""
    return [one(index, *drive(index, length=20), operator=name) for index, name in enumerate(names)]


def test_a_fair_share_has_nothing(make_manifest: Callable[..., Manifest]) -> None:
    """Of both who are named."""
    known = subject(manifest=make_manifest(operators=["ann", "ben"]))
    assert found(operators, known, by("ann", "ben", "ann")) == []


def test_one_operator_alone_is_no_imbalance(make_manifest: Callable[..., Manifest]) -> None:
    """There is nobody to balance with."""
    assert found(operators, subject(manifest=make_manifest(operators=["ann"])), by("ann", "ann")) == []


def test_whoever_did_nearly_nothing_is_named(make_manifest: Callable[..., Manifest]) -> None:
    """And whoever did nearly everything, with the first episode of either."""
    known = subject(manifest=make_manifest(operators=["ann", "ben"]))
    findings = found(operators, known, by(*["ann"] * 30, "ben"))
    assert [(f.check, f.severity, f.dimension, f.episode) for f in findings] == [
        ("operator_imbalance", "warning", "operator.ann", 0),
        ("operator_imbalance", "warning", "operator.ben", 30),
    ]


def test_whoever_did_nothing_at_all_is_named(make_manifest: Callable[..., Manifest]) -> None:
    """Named by the manifest, absent from the data."""
    findings = found(operators, subject(manifest=make_manifest(operators=["ann", "ben", "cat"])), by("ann", "ben"))
    assert [(f.dimension, f.episode, f.message) for f in findings] == [
        ("operator.cat", None, "operator cat did nothing")
    ]


def test_an_unlogged_operator_is_a_notice(make_manifest: Callable[..., Manifest]) -> None:
    """Unless the manifest names the only one."""
    finding = the(found(operators, subject(), log(3, operator=None)), "unknown_operator")
    assert (finding.severity, finding.episode, finding.count) == ("notice", 0, 3)
    alone = [replace(s, episode=replace(s.episode, operator="ann")) for s in log(3, operator=None)]
    assert found(operators, subject(manifest=make_manifest(operators=["ann"])), alone) == []


def test_real_logs_do_not_say_who_acted(shared_data: Path) -> None:
    """The door's people are not named."""
    assert the(found(operators, *timed_logs.real(shared_data, "door")), "unknown_operator").count == 25
