"""The split: by content, stratified, written once, and no episode in two parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.dataset.manifest import SplitRule
from offline_to_online.dataset.split import PARTS, load_split, make_split
from offline_to_online.errors import SplitError

RULE = SplitRule(train=0.6, calibration=0.2, heldout=0.2)


@dataclass(frozen=True)
class Row:
    """As much of an episode as the split looks at."""

    identity: str
    operator: str


def rows(*counts: int) -> list[Row]:
    """So many episodes of each operator."""
    return [Row(f"{operator}-{i}", str(operator)) for operator, count in enumerate(counts) for i in range(count)]


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(3, 30), min_size=1, max_size=4), seed=st.integers(0, 2**31), data=st.data())
def test_every_episode_is_in_exactly_one_part(counts: list[int], seed: int, data: st.DataObject) -> None:
    """A partition, the same for any order of the episodes, to which every operator contributes everywhere."""
    episodes = rows(*counts)
    split = make_split(episodes, RULE, seed)
    together = [i for part in PARTS for i in split.part(part)]
    assert sorted(together) == sorted(e.identity for e in episodes)
    assert make_split(data.draw(st.permutations(episodes)), RULE, seed) == split
    for part in PARTS:
        assert {i.split("-")[0] for i in split.part(part)} == {e.operator for e in episodes}


def test_shares_are_kept_within_each_stratum() -> None:
    """Of 100 by one operator and 10 by another, each is divided 6:2:2."""
    split = make_split(rows(100, 10), RULE, 0)
    assert [sum(i.startswith("1-") for i in split.part(part)) for part in PARTS] == [6, 2, 2]
    assert split.sizes == {"train": 66, "calibration": 22, "heldout": 22}


def test_another_seed_is_another_split() -> None:
    """The seed decides who goes where."""
    assert make_split(rows(50), RULE, 0).train != make_split(rows(50), RULE, 1).train


def test_a_part_without_a_share_stays_empty() -> None:
    """Small data may go without a calibration part."""
    split = make_split(rows(25), SplitRule(train=0.8, calibration=0.0, heldout=0.2), 0)
    assert split.sizes == {"train": 20, "calibration": 0, "heldout": 5}


def test_too_few_episodes_are_refused() -> None:
    """Two episodes cannot fill three parts."""
    with pytest.raises(SplitError, match="2 episodes are too few"):
        make_split(rows(2), RULE, 0)


def test_a_copy_is_refused(make_episode: Callable[..., Episode]) -> None:
    """Two episodes of the same content would leak, whoever is named as their operator."""
    with pytest.raises(SplitError, match="stands twice"):
        make_split([make_episode(1), make_episode(2), make_episode(1, operator="novice")], RULE, 0)


def test_a_split_comes_back(tmp_path: Path) -> None:
    """Written and read, it is the same, hash and all."""
    episodes = rows(20)
    split = make_split(episodes, RULE, 7)
    write_json(tmp_path / "split.json", split.to_json())
    again = load_split(tmp_path / "split.json", [e.identity for e in episodes])
    assert (again, again.sha256) == (split, split.sha256)


def test_a_leak_is_refused(tmp_path: Path) -> None:
    """An episode that also stands in the held-out part is named."""
    content = make_split(rows(20), RULE, 7).to_json()
    content["heldout"].append(content["train"][0])
    write_json(tmp_path / "split.json", content)
    with pytest.raises(SplitError, match=f"{content['train'][0]} stands twice"):
        load_split(tmp_path / "split.json")


def test_a_changed_split_is_refused(tmp_path: Path) -> None:
    """Moving an episode to another part breaks the hash."""
    content = make_split(rows(20), RULE, 7).to_json()
    content["heldout"].append(content["train"].pop())
    write_json(tmp_path / "split.json", content)
    with pytest.raises(SplitError, match="changed after it was written"):
        load_split(tmp_path / "split.json")


def test_it_must_divide_exactly_the_episodes_there_are(tmp_path: Path) -> None:
    """An episode in no part, and a part's episode that does not exist, are named."""
    identities = [e.identity for e in rows(20)]
    write_json(tmp_path / "split.json", make_split(rows(20), RULE, 7).to_json())
    with pytest.raises(SplitError, match="new is in no part"):
        load_split(tmp_path / "split.json", [*identities, "new"])
    with pytest.raises(SplitError, match="0-0 is not among the episodes"):
        load_split(tmp_path / "split.json", identities[1:])


@pytest.mark.parametrize("missing", ["train", "rule", "seed", "sha256"])
def test_half_a_split_is_refused(tmp_path: Path, missing: str) -> None:
    """A file that lacks a field is no split."""
    content = make_split(rows(20), RULE, 7).to_json()
    del content[missing]
    write_json(tmp_path / "split.json", content)
    with pytest.raises(SplitError, match=missing):
        load_split(tmp_path / "split.json")
    assert missing not in read_json(tmp_path / "split.json")
