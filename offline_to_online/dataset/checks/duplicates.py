"""Episodes that are there twice, exactly or nearly, and copies that a split puts into different parts.

A near-duplicate is found by content, not by place in time: every row of observation and action is projected onto
four random directions, rounded to cells and hashed, and an episode keeps the rows with the smallest hashes. Copies
that were trimmed, rounded or noised keep most of them (min-wise hashing: Broder, "On the resemblance and
containment of documents", 1997); two runs from one reset share few.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from offline_to_online.dataset.checks import Check, Seen, Subject
from offline_to_online.dataset.finding import Finding, Severity
from offline_to_online.dataset.spec import Array
from offline_to_online.dataset.split import PARTS, Split

NAMES: Mapping[str, tuple[Severity, ...]] = {
    "duplicate_episodes": ("error", "warning"),
    "near_duplicate_episodes": ("warning",),
    "split_leak": ("error", "warning"),
}

SEED = 20_240_229
DIRECTIONS = 4
CELL = 0.2  # standard deviations of a projection
KEPT = 24  # rows an episode
SCALE_ROWS = 8192  # from which the scale of every dimension is taken
SHARED, FEWEST = 0.5, 6  # of the kept rows that two episodes share: a share, and a number
ALIGNED, LAG = 0.6, 2  # of these, how many lie the same number of steps apart, give or take
NEAR, COPY = 0.02, 2e-4  # median distance of these in standard deviations: near, and a copy but for rounding
CROWD = 30  # episodes that share a row: beyond, only neighbours in this crowd are compared


def checks(subject: Subject) -> list[Check]:
    """Always apply. A copy is an error where the manifest refuses it, and a warning where nobody has decided yet."""
    refused = subject.manifest is not None and subject.manifest.duplicates == "refuse"
    return [DuplicateEpisodes(refused=refused), NearDuplicates(len(subject.observation) + len(subject.action))]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two episodes of nearly the same content, by index; ``copy`` where nothing but rounding or trimming differs."""

    first: int
    second: int
    share: float
    apart: float

    @property
    def copy(self) -> bool:
        """Whether it is beyond doubt that one was made from the other."""
        return self.apart <= COPY


class DuplicateEpisodes:
    """Remembers 16 bytes of the identity under which every episode would be stored."""

    def __init__(self, *, refused: bool) -> None:
        self.refused = refused
        self.first: dict[bytes, int] = {}
        self.found: list[tuple[int, int]] = []

    def see(self, seen: Seen) -> None:
        """Look the episode up."""
        key = bytes.fromhex(seen.identity or seen.episode.identity)[:16]
        earlier = self.first.setdefault(key, seen.index)
        if earlier != seen.index:
            self.found.append((earlier, seen.index))

    def findings(self) -> Iterable[Finding]:
        """One finding, at the first copy."""
        if self.found:
            original, copy = self.found[0]
            yield Finding(
                check="duplicate_episodes",
                severity="error" if self.refused else "warning",
                message=f"has the same content as episode {original}; {len(self.found)} such episode(s)",
                remedy=f"remove {_listed([copy for _, copy in self.found])}, or say duplicates: leave_out",
                episode=copy,
                count=len(self.found),
            )


@dataclass(frozen=True)
class _Sketch:
    """The kept rows of one episode: hashes ascending (K,), steps (K,), projections (K, 4)."""

    hashes: Array
    steps: Array
    values: Array


class NearDuplicates:
    """Keeps 24 rows of every episode, about 700 bytes, and compares episodes that share some of them."""

    def __init__(self, width: int) -> None:
        rng = np.random.default_rng(SEED)
        self.directions = rng.normal(size=(width, DIRECTIONS))
        self.offsets = rng.uniform(size=DIRECTIONS)
        self.factors = rng.integers(1, 2**63, size=DIRECTIONS, dtype=np.uint64) | np.uint64(1)
        self.projection: Array | None = None
        self.waiting: list[tuple[int, Array]] = []
        self.rows = 0
        self.sketches: dict[int, _Sketch] = {}
        self.seen_pairs: list[Pair] | None = None

    def see(self, seen: Seen) -> None:
        """Sketch one episode; the first ones wait until the scale of the data is known."""
        episode, steps = seen.episode, len(seen.episode)
        rows = np.concatenate([episode.observations[:steps], episode.actions], axis=1, dtype=np.float32)
        if self.projection is not None:
            self.sketches[seen.index] = self._sketch(rows, self.projection)
            return
        self.waiting.append((seen.index, rows))
        self.rows += steps
        if self.rows >= SCALE_ROWS:
            self._settle()

    @property
    def pairs(self) -> list[Pair]:
        """Near-duplicates among all episodes seen, ascending; exact copies are among them."""
        self._settle()
        if self.seen_pairs is None:
            pairs = (self._compare(first, second) for first, second in self._candidates())
            self.seen_pairs = [pair for pair in pairs if pair is not None]
        return self.seen_pairs

    def findings(self) -> Iterable[Finding]:
        """One warning, at the closest pair."""
        if not self.pairs:
            return
        closest = min(self.pairs, key=lambda pair: (pair.apart, -pair.share))
        copies = sum(pair.copy for pair in self.pairs)
        later = sorted({pair.second for pair in self.pairs})
        yield Finding(
            check="near_duplicate_episodes",
            severity="warning",
            message=f"is nearly episode {closest.first}: {100 * closest.share:.0f} % of the rows compared are the same "
            f"but for {closest.apart:.2g} standard deviations; {len(self.pairs)} such pair(s), {copies} of them the "
            "same but for rounding or trimming",
            remedy=f"one of each pair should go: {_listed(later)}",
            episode=closest.second,
            count=len(self.pairs),
        )

    def _settle(self) -> None:
        """Fix the projection by the scale of the rows that wait, and sketch them."""
        if self.projection is None and self.waiting:
            scale = np.concatenate([rows for _, rows in self.waiting]).std(axis=0, dtype=np.float64)
            varies = scale > 1e-9
            weights = np.zeros_like(self.directions)
            norm = np.sqrt(np.square(self.directions[varies]).sum(axis=0))
            weights[varies] = self.directions[varies] / norm / scale[varies, None]
            self.projection = weights
            self.sketches |= {index: self._sketch(rows, weights) for index, rows in self.waiting}
            self.waiting = []

    def _sketch(self, rows: Array, projection: Array) -> _Sketch:
        values = rows.astype(np.float64) @ projection
        cells = np.floor(values / CELL + self.offsets).astype(np.int64).view(np.uint64)
        hashes = (cells * self.factors).sum(axis=1, dtype=np.uint64)
        hashes = (hashes ^ (hashes >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
        kept, steps = np.unique(hashes, return_index=True)
        steps = steps[:KEPT]
        return _Sketch(kept[:KEPT].copy(), steps.astype(np.int32), values[steps].astype(np.float32))

    def _candidates(self) -> list[tuple[int, int]]:
        """Pairs of episodes that share enough of the rows they kept, ascending.

        Pairs are counted as numbers in arrays: of many episodes there are millions that share a single row.
        """
        if not self.sketches:
            return []
        hashes = np.concatenate([sketch.hashes for sketch in self.sketches.values()])
        owners = np.repeat(list(self.sketches), [len(sketch.hashes) for sketch in self.sketches.values()])
        order = np.lexsort((owners, hashes))
        hashes, owners = hashes[order], owners[order]
        starts = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]])
        sizes = np.diff(np.r_[starts, len(hashes)])
        base = int(owners.max()) + 1
        codes = [np.zeros(0, dtype=np.int64)]
        for size in range(2, CROWD + 1):
            crowds = owners[starts[sizes == size][:, None] + np.arange(size)]
            first, second = np.triu_indices(size, 1)
            codes.append((crowds[:, first] * base + crowds[:, second]).ravel())
        for start, size in zip(starts[sizes > CROWD], sizes[sizes > CROWD], strict=True):
            crowd = owners[start : start + size]
            codes.append(crowd[:-1] * base + crowd[1:])
        pairs, shared = np.unique(np.concatenate(codes), return_counts=True)
        return [divmod(int(code), base) for code in pairs[shared >= FEWEST]]

    def _compare(self, first: int, second: int) -> Pair | None:
        """The pair, if most of what the two keep is the same, in the same order, and close."""
        a, b = self.sketches[first], self.sketches[second]
        lowest = np.union1d(a.hashes, b.hashes)[:KEPT]
        common = np.intersect1d(np.intersect1d(a.hashes, b.hashes), lowest)
        share = len(common) / len(lowest)
        if len(common) < FEWEST or share < SHARED:
            return None
        at, to = np.searchsorted(a.hashes, common), np.searchsorted(b.hashes, common)
        lags = a.steps[at] - b.steps[to]
        if (np.abs(lags - np.median(lags)) <= LAG).mean() < ALIGNED:
            return None
        apart = float(np.median(np.abs(a.values[at] - b.values[to])))
        return Pair(first=first, second=second, share=share, apart=apart) if apart <= NEAR else None


def leaks(pairs: Iterable[Pair], identities: Sequence[str], split: Split) -> list[Finding]:
    """Pairs of near-duplicates that lie in different parts of a split.

    Args:
        pairs: of ``NearDuplicates``.
        identities: of the episodes, by index.
        split: the parts.

    Returns:
        At most two findings ``split_leak``: an error for copies that differ by rounding or trimming only, a warning
        for episodes that are merely near: a deterministic controller repeats itself too.
    """
    part_of = {identity: part for part in PARTS for identity in split.part(part)}
    parts = [part_of.get(identity, "") for identity in identities]
    apart = [
        pair for pair in pairs if parts[pair.first] and parts[pair.second] and parts[pair.first] != parts[pair.second]
    ]
    findings = []
    for copy in (True, False):
        chosen = [pair for pair in apart if pair.copy == copy]
        if chosen:
            pair = chosen[0]
            findings.append(
                Finding(
                    check="split_leak",
                    severity="error" if copy else "warning",
                    message=f"is in part {parts[pair.second]} and "
                    + ("a copy of" if copy else "nearly")
                    + f" episode {pair.first}, in part {parts[pair.first]}; {len(chosen)} such pair(s)",
                    remedy=f"remove one of each pair: {_listed(sorted({p.second for p in chosen}))}",
                    episode=pair.second,
                    count=len(chosen),
                )
            )
    return findings


def _listed(indices: Sequence[int]) -> str:
    more = f" and {len(indices) - 10} more" if len(indices) > 10 else ""
    return f"episode(s) {', '.join(map(str, indices[:10]))}{more}"
