"""Which episode is for what: decided once from content, written down, and held to ever after."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from offline_to_online.dataset.files import json_bytes, read_json
from offline_to_online.dataset.manifest import SplitRule
from offline_to_online.errors import SplitError

PARTS = ("train", "calibration", "heldout")


class Identified(Protocol):
    """What the split needs to know of an episode."""

    @property
    def identity(self) -> str:
        """Hash of the content."""

    @property
    def operator(self) -> str:
        """Who acted."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Identities of the episodes in each part, sorted, and the rule and seed that chose them."""

    train: tuple[str, ...]
    calibration: tuple[str, ...]
    heldout: tuple[str, ...]
    rule: SplitRule
    seed: int

    def part(self, name: str) -> tuple[str, ...]:
        """Identities of ``train``, ``calibration`` or ``heldout``.

        Raises:
            SplitError: no such part.
        """
        if name not in PARTS:
            raise SplitError(f"no part {name!r}", limit=f"there are {', '.join(PARTS)}", remedy="name one of them")
        return {"train": self.train, "calibration": self.calibration, "heldout": self.heldout}[name]

    @property
    def sizes(self) -> dict[str, int]:
        """Episodes per part."""
        return {name: len(self.part(name)) for name in PARTS}

    @property
    def sha256(self) -> str:
        """SHA-256 of parts, rule and seed."""
        return hashlib.sha256(json_bytes(self._content())).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As it is written to ``split.json``."""
        return {**self._content(), "sha256": self.sha256}

    def _content(self) -> dict[str, Any]:
        return {**{name: list(self.part(name)) for name in PARTS}, "rule": self.rule.to_json(), "seed": self.seed}


def make_split(episodes: Sequence[Identified], rule: SplitRule, seed: int) -> Split:
    """Divide episodes into parts, within each stratum, whatever their order in the file.

    Raises:
        SplitError: two episodes have the same content, so that a copy could leak into another part;
            or there are too few for every part that the rule gives a share.
    """
    _require_distinct([e.identity for e in episodes], where="make_split")
    rng = np.random.default_rng(seed)
    parts: dict[str, list[str]] = {name: [] for name in PARTS}
    for stratum in _strata(episodes, rule):
        order = rng.permutation(len(stratum))
        start = 0
        for name, count in _counts(len(stratum), rule).items():
            parts[name] += [stratum[i] for i in order[start : start + count]]
            start += count
    for name, share in rule.shares.items():
        if share > 0 and not parts[name]:
            raise SplitError(
                f"the {name} part is empty: {len(episodes)} episodes are too few",
                limit=f"{name} has a share of {share:g} of each stratum",
                remedy="log more episodes, or change split in the manifest",
            )
    train, calibration, heldout = (tuple(sorted(parts[name])) for name in PARTS)
    return Split(train=train, calibration=calibration, heldout=heldout, rule=rule, seed=seed)


def load_split(path: Path, identities: Collection[str] | None = None) -> Split:
    """Read a split and hold it against the episodes it divides.

    Args:
        path: ``split.json``.
        identities: the identities of all episodes there are; None checks the split in itself only.

    Raises:
        SplitError: an episode stands in two parts, is unknown or in no part, or the file was changed.
    """
    content = read_json(path)
    try:
        split = Split(
            **{name: tuple(str(i) for i in content[name]) for name in PARTS},
            rule=SplitRule(**content["rule"]),
            seed=int(content["seed"]),
        )
        claimed = content["sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise SplitError(f"not a split: {error!r}", where=str(path), remedy="run validate again") from error
    _require_distinct([i for name in PARTS for i in split.part(name)], where=str(path))
    if claimed != split.sha256:
        limit = f"its hash says {claimed}, its content {split.sha256}"
        raise SplitError(
            "the split was changed after it was written", where=str(path), limit=limit, remedy="restore it"
        )
    if identities is not None:
        _require_complete(split, set(identities), where=str(path))
    return split


def _strata(episodes: Sequence[Identified], rule: SplitRule) -> list[list[str]]:
    strata: dict[str, list[str]] = {}
    for episode in episodes:
        strata.setdefault(episode.operator if rule.stratify == "operator" else "", []).append(episode.identity)
    return [sorted(strata[key]) for key in sorted(strata)]


def _counts(total: int, rule: SplitRule) -> dict[str, int]:
    """Largest remainder; where a stratum is large enough, no part with a share goes without."""
    exact = {name: total * share for name, share in rule.shares.items()}
    counts = {name: int(value + 1e-9) for name, value in exact.items()}
    spare = total - sum(counts.values())
    for name in sorted(exact, key=lambda n: counts[n] - exact[n])[:spare]:
        counts[name] += 1
    wanted = [name for name, share in rule.shares.items() if share > 0]
    for name in wanted:
        if counts[name] == 0 and total >= len(wanted):
            counts[max(counts, key=lambda n: counts[n])] -= 1
            counts[name] = 1
    return counts


def _require_distinct(identities: Sequence[str], *, where: str) -> None:
    seen: set[str] = set()
    for identity in identities:
        if identity in seen:
            raise SplitError(
                f"episode {identity[:12]} stands twice, so that it leaks from one part into another",
                where=where,
                limit="each episode in exactly one part",
                remedy="remove the copy",
            )
        seen.add(identity)


def _require_complete(split: Split, identities: set[str], *, where: str) -> None:
    divided = {i for name in PARTS for i in split.part(name)}
    for what, odd in (("is in no part", identities - divided), ("is not among the episodes", divided - identities)):
        if odd:
            raise SplitError(
                f"episode {min(odd)[:12]} {what} ({len(odd)} such)",
                where=where,
                limit="the split divides exactly the episodes beside it",
                remedy="run validate again",
            )
