"""Every fault of meaning, in every format that it is asked of."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.bad_inputs import faulty_episodes, faulty_signals
from benchmarks.bad_inputs.case import WRITERS, Case, options_for
from benchmarks.bad_inputs.fault import Fault


def cases() -> list[Case]:
    """All of them."""
    faults = {**faulty_signals.FAULTS, **faulty_episodes.FAULTS}
    return [_case(kind, fault, name) for kind, rows in faults.items() for fault in rows for name in fault.formats]


def _case(kind: str, fault: Fault, format_name: str) -> Case:
    log = fault.log()
    return Case(
        group="semantic",
        kind=kind,
        name=f"{format_name}: {kind}, {fault.what}",
        format=format_name,
        make=partial(_made, fault, format_name),
        options=options_for(format_name, log),
        units=log.units,
        states=fault.states,
        checks=fault.checks,
        place=fault.place,
        notice=fault.notice,
    )


def _made(fault: Fault, format_name: str, folder: Path) -> Path:
    return WRITERS[format_name](fault.change(fault.log()), folder)
