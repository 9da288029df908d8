"""A finding: where it is, how it sorts, and what it says as an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from offline_to_online.dataset.finding import Finding, ordered
from offline_to_online.errors import DataError


def finding(**changes: Any) -> Finding:
    """A warning about a dimension."""
    return Finding(**{"check": "repeated_samples", "severity": "warning", "message": "3 in a row", **changes})


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({}, ""),
        ({"file": "log.hdf5"}, "log.hdf5"),
        ({"episode": 0, "step": 0}, "episode 0, step 0"),
        (
            {"file": "log.hdf5", "episode": 3, "step": 17, "dimension": "action.push"},
            "log.hdf5, episode 3, step 17, action.push",
        ),
        ({"dimension": "reward"}, "reward"),
    ],
)
def test_the_place_is_as_much_as_is_known(changes: dict[str, Any], place: str) -> None:
    """Episode 0 and step 0 are places too."""
    assert finding(**changes).place == place


def test_as_an_error_it_is_one_line() -> None:
    """The check's name first, then what was seen, where, and what to do; the file once."""
    error = finding(episode=2, remedy="cut it out").error(file="log.hdf5")
    assert isinstance(error, DataError)
    assert str(error) == "repeated_samples: 3 in a row (log.hdf5, episode 2): cut it out"
    assert (
        str(finding(file="own.hdf5").error(file="log.hdf5")) == "repeated_samples: 3 in a row (own.hdf5): mend the data"
    )
    assert "\n" not in str(finding(message="two\nlines").error())


def test_errors_stand_first_and_the_rest_by_name_and_place() -> None:
    """Whatever order the checks ran in."""
    rows = [
        finding(severity="notice", check="a"),
        finding(check="b", episode=2),
        finding(check="b", episode=1, step=5),
        finding(check="b", episode=1),
        finding(check="b"),
        finding(severity="error", check="z"),
    ]
    assert ordered(rows) == [rows[5], rows[4], rows[3], rows[2], rows[1], rows[0]]


def test_it_is_plain_json() -> None:
    """And comes back from it, as ``validate`` prints what it stored."""
    one = finding(episode=3, step=1, dimension="action.push", count=4)
    assert Finding(**json.loads(json.dumps(one.to_json()))) == one
