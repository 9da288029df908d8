"""How often does the acceptance gate err over a whole run, and how many pairs does it need?

    python -m benchmarks.gate_error            # 2,000 simulated runs of 20 candidates a line
    python -m benchmarks.gate_error --quick    # 100

Every line is a run of 20 candidates through the shipped rule: its levels (``certify.alpha_share``), its looks after
every batch, its giving up. First, candidates that are all worse than the champion by exactly the margin, while the
champion is the baseline, so that one bet alone stands between them and a wrong acceptance; then runs in which good
candidates hand their levels on to bad ones; then what a good candidate needs. Beside it, on the same pairs: a paired
test of a fixed size (planned for a gain of 10 points with power 0.95, Bonferroni over the 20 candidates), and the gate
that asks whether the mean of 100 pairs is higher. The simulation is vectorised over runs; a sample of each line goes
through ``rules()``, ``wants_pairs`` and ``check``, episode by episode, and must come out the same. Last, what the
bound in a verdict's words comes to after so many pairs, for a candidate that is equal to the champion.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.results_file import claim, commit, save
from offline_to_online.dataset.spec import Array
from offline_to_online.evaluation.statistics import fallback_share, least_certain
from offline_to_online.online.certify import alpha_share
from offline_to_online.online.evidence import Evidence, RolloutEvidence
from offline_to_online.online.gates import no_regression
from offline_to_online.online.gating import rules

NAME = "gate_error"
CANDIDATES, RUNS, QUICK_RUNS, SAMPLE = 20, 2000, 100, 2
ALPHA, PAIRS, NAIVE_PAIRS = 0.05, 400, 100
MARGINS, DISCORDANCES = (0.05, 0.02), (0.1, 0.2, 0.4)
GAIN, GAIN_DISCORDANCE = 0.1, 0.2
POWER = 0.95
# The share of tasks that a candidate finishes; beside a given discordance it decides how two others go together.
RATE = 0.6
BOUND_PAIRS, BOUND_LEVELS, BOUND_RUNS, BOUND_SEED = (20, 50, 100, 200, 400), (0.05, 0.01), 150, 100


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Candidates of one kind: how their paired differences are distributed.

    ``discordance`` is the share of pairs that differ; in ``bounded`` scores those differ by Beta(2, 1), in binary
    outcomes by 1. ``sides`` is 2 where champion and baseline are two policies, and the candidate's to both is alike.
    """

    mean: float
    discordance: float
    bounded: bool = False
    sides: int = 1

    @property
    def size(self) -> float:
        """Mean of what a pair that differs differs by."""
        return 2 / 3 if self.bounded else 1.0

    def draw(self, rng: np.random.Generator, runs: int) -> dict[str, Array]:
        """Differences by side, each (runs, 400); binary ones of two sides are of one candidate on the same tasks."""
        up = (self.discordance + self.mean / self.size) / 2
        won = rng.random((runs, PAIRS)) < RATE if self.sides > 1 else None
        names = no_regression.SIDES[: self.sides]
        return {name: self._side(rng, (runs, PAIRS), up, won) for name in names}

    def _side(self, rng: np.random.Generator, shape: tuple[int, int], up: float, won: Array | None) -> Array:
        if won is not None:
            other = np.where(won, rng.random(shape) >= up / RATE, rng.random(shape) < self._down(up) / (1 - RATE))
            return won.astype(np.float64) - other
        drawn = rng.random(shape)
        signs = np.where(drawn < up, 1.0, np.where(drawn < self.discordance, -1.0, 0.0))
        return signs * rng.beta(2, 1, shape) if self.bounded else signs

    def _down(self, up: float) -> float:
        return self.discordance - up


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line: the kinds of a run's candidates, in order, and which of them must not be accepted."""

    part: str
    name: str
    margin: float
    kinds: tuple[Kind, ...]
    null: tuple[bool, ...]

    def config(self) -> Any:
        """The shipped rule's."""
        return self.gate()[0].config

    def gate(self) -> Any:
        """The shipped rule, with the limits of params.yaml but for the margin, and scores where scores are compared."""
        outcome = "score" if self.kinds[0].bounded else "success"
        limits = {"margin": self.margin, "alpha": ALPHA, "max_pairs": PAIRS, "outcome": outcome}
        return rules({no_regression.RULE: limits})


def lines() -> list[Line]:
    """All of them: error, levels handed on, power."""
    found = [_worse(m, d, bounded) for bounded in (False, True) for m in MARGINS for d in DISCORDANCES]
    found += [_worse(m, m, False) for m in MARGINS]
    good, bad = Kind(mean=0.3, discordance=0.4), Kind(mean=-0.05, discordance=0.2)
    turns = tuple((good, bad)[k % 2] for k in range(CANDIDATES))
    halves = tuple(good if k < CANDIDATES // 2 else bad for k in range(CANDIDATES))
    for name, kinds in (("good and bad in turn", turns), ("ten good, then ten bad", halves)):
        found.append(Line(part="levels", name=name, margin=0.05, kinds=kinds, null=tuple(k == bad for k in kinds)))
    return found + [_power(sides, first) for sides in (1, 2) for first in (True, False)]


def _worse(margin: float, discordance: float, bounded: bool) -> Line:
    kind = Kind(mean=-margin, discordance=discordance, bounded=bounded)
    name = f"{'scores' if bounded else 'successes'}, {discordance:.0%} differ"
    name += ", all lost" if discordance == margin else ""
    return Line(part="error", name=name, margin=margin, kinds=(kind,) * CANDIDATES, null=(True,) * CANDIDATES)


def _power(sides: int, first: bool) -> Line:
    good = Kind(mean=GAIN, discordance=GAIN_DISCORDANCE, sides=sides)
    bad = Kind(mean=-0.05, discordance=GAIN_DISCORDANCE)
    kinds = (good,) if first else (bad,) * (CANDIDATES - 1) + (good,)
    name = f"+10 points, candidate {len(kinds)}, {'champion is the baseline' if sides == 1 else 'two sides'}"
    return Line(part="power", name=name, margin=0.05, kinds=kinds, null=tuple(k != good for k in kinds))


def certify_many(config: Any, shares: Array, differences: Mapping[str, Array]) -> tuple[Array, Array]:
    """Certify one candidate in each of many runs, with the level that each may use: accepted (runs,), pairs (runs,)."""
    accepted, pairs = np.zeros(len(shares), dtype=bool), np.full(len(shares), config.max_pairs)
    for share in np.unique(shares):
        tests, open_runs = config.tests(float(share)), np.flatnonzero(shares == share)
        for played in [*range(config.batch, config.max_pairs, config.batch), config.max_pairs]:
            so_far = {side: values[open_runs, :played] for side, values in differences.items()}
            shown = no_regression.shown(tests, so_far)
            over = shown | no_regression.hopeless(tests, so_far, config.max_pairs - played)
            accepted[open_runs[shown]], pairs[open_runs[over]] = True, played
            open_runs = open_runs[~over]
            if not len(open_runs):
                break
    return accepted, pairs


def fixed_size(kind: Kind, margin: float) -> int:
    """Pairs that a paired test of a fixed size plans for a gain of 10 points at this discordance, of at most 400."""
    gain = margin + GAIN
    z = stats.norm.ppf(1 - ALPHA / CANDIDATES) + stats.norm.ppf(POWER)
    square = kind.discordance * (0.5 if kind.bounded else 1.0) - (0.0 if kind.bounded else GAIN**2)
    return min(PAIRS, max(30, math.ceil(float(z) ** 2 * max(square, 0.01) / gain**2)))


def fixed_accepts(kind: Kind, differences: Array, margin: float, size: int) -> Array:
    """Non-inferiority on the first ``size`` pairs, at alpha / 20: bool (runs,).

    Successes by the score test of paired proportions, which with no margin is McNemar's (Tango, Statistics in Medicine
    17, 1998); scores by the paired t-test.
    """
    values = differences[:, :size]
    pairs = values.shape[1]
    if kind.bounded:
        error = values.std(axis=1, ddof=1) / math.sqrt(pairs)
        return np.asarray(values.mean(axis=1) + margin > stats.t.ppf(1 - ALPHA / CANDIDATES, pairs - 1) * error)
    won, lost = (values > 0).sum(axis=1), (values < 0).sum(axis=1)
    # The share lost that is likeliest where the difference is minus the margin.
    linear = won + lost + (2 * pairs - won + lost) * margin
    likeliest = (np.sqrt(linear**2 - 8 * pairs * lost * margin * (1 + margin)) + linear) / (4 * pairs)
    spread = np.sqrt(np.maximum(pairs * (2 * likeliest - margin * (1 + margin)), 1e-12))
    return np.asarray(won - lost + pairs * margin > stats.norm.ppf(1 - ALPHA / CANDIDATES) * spread)


def measure(line: Line, runs: int, seed: int) -> dict[str, Any]:
    """One line's row."""
    rng, config = np.random.default_rng(seed), line.config()
    since, last = np.ones(runs, dtype=int), np.zeros((3, runs), dtype=bool)
    wrong, pairs, same = np.zeros((3, runs), dtype=bool), list[Array](), True
    sampled = _Sample(line, min(SAMPLE, runs))
    for kind, null in zip(line.kinds, line.null, strict=True):
        drawn = kind.draw(rng, runs)
        shares = np.array([fallback_share(int(k), CANDIDATES) for k in since])
        accepted, played = certify_many(config, shares, drawn)
        same &= sampled.certify(drawn, accepted, played)
        since = np.where(accepted, since + 1, 1)
        size = fixed_size(kind, line.margin)
        naive = np.logical_and.reduce([d[:, :NAIVE_PAIRS].mean(axis=1) > 0 for d in drawn.values()])
        fixed = np.logical_and.reduce([fixed_accepts(kind, d, line.margin, size) for d in drawn.values()])
        last = np.stack([accepted, fixed, naive])
        wrong |= null & last
        pairs.append(played)
    counted = wrong if line.part != "power" else last
    judged = [p for p, null in zip(pairs, line.null, strict=True) if null or line.part == "power"]
    return {
        "part": line.part, "line": line.name, "margin": line.margin, "runs": runs, "candidates": len(line.kinds),
        **{name: float(share.mean()) for name, share in zip(("gate", "fixed", "naive"), counted, strict=True)},
        "pairs": float(judged[-1].mean() if line.part == "power" else np.mean(judged)),
        "fixed_pairs": fixed_size(line.kinds[-1], line.margin), "naive_pairs": NAIVE_PAIRS, "same_as_shipped": same,
    }  # fmt: skip


class _Sample:
    """The first few runs of a line once more, episode by episode, as a run does it."""

    def __init__(self, line: Line, runs: int) -> None:
        self._gate = line.gate()
        self._certified: list[list[tuple[int, dict[str, Any]]]] = [[] for _ in range(runs)]

    def certify(self, differences: Mapping[str, Array], accepted: Array, pairs: Array) -> bool:
        """Whether the shipped rule says the same of the next candidate."""
        same = True
        for run, said in enumerate(self._certified):
            number = len(said) + 1
            share = alpha_share(said, number, rounds=CANDIDATES)
            one = {side: values[run] for side, values in differences.items()}
            passed, played = shipped(self._gate[0], share, number, one)
            said.append((number, {"pairs": played, "accepted": passed}))
            same &= (passed, played) == (bool(accepted[run]), int(pairs[run]))
        return same


def shipped(rule: Any, share: float, number: int, differences: Mapping[str, Array]) -> tuple[bool, int]:
    """Certification as ``certify`` does it, on made-up episodes with these differences: accepted, pairs."""
    sides = episodes(differences)
    played = 0
    while True:
        seen = {name: tuple(rows[:played]) for name, rows in sides.items()}
        evidence = Evidence(
            rollouts=seen["rollouts"],
            champion=seen["champion"],
            baseline=seen["baseline"],
            candidate_number=number,
            alpha_share=share,
        )
        wanted = rule.wants_pairs(evidence)
        if not wanted:
            return bool(rule.check(evidence).passed), played
        played += wanted


def episodes(differences: Mapping[str, Array]) -> dict[str, list[RolloutEvidence]]:
    """Episodes of candidate, champion and baseline whose outcomes differ so: as successes, and as scores."""
    highest = np.max([*differences.values(), np.zeros(PAIRS)], axis=0)
    champion = differences["champion"]
    sides = {"rollouts": highest, "champion": highest - champion}
    sides["baseline"] = highest - differences.get("baseline", champion)
    return {name: [_episode(float(value)) for value in values] for name, values in sides.items()}


def _episode(outcome: float) -> RolloutEvidence:
    return RolloutEvidence(success=outcome == 1.0, interventions=0, support_drift=0.0, score=outcome)


def claims(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Error, power, and that the simulation is the shipped rule."""
    made = []
    for row in rows:
        what = f"margin {100 * row['margin']:g}, {row['line']}"
        if row["part"] == "power":
            holds = row["gate"] >= POWER
            made.append(claim(f"accepted within {PAIRS} pairs: {what}", row["gate"], POWER, holds))
        else:
            error = 2 * math.sqrt(ALPHA * (1 - ALPHA) / row["runs"])
            text = f"runs with a wrong acceptance, at most alpha within two standard errors: {what}"
            made.append(claim(text, row["gate"], round(ALPHA + error, 4), row["gate"] <= ALPHA + error))
    same = [bool(row["same_as_shipped"]) for row in rows]
    return [*made, claim("lines that come out as through the shipped rule", sum(same), len(same), all(same))]


def show(rows: Sequence[Mapping[str, Any]], tell: Callable[[str], None] = print) -> None:
    """The table."""
    tell(f"{'':62} share accepted (wrongly, in any of the run's)       pairs a candidate")
    shares = f"{'gate':>8} {'fixed size':>11} {'higher mean':>12}"
    tell(f"{'margin':>6}  {'':52} {shares} {'gate':>8} {'fixed':>6} {'ratio':>6}")
    for row in rows:
        pairs = f"{row['pairs']:8.0f} {row['fixed_pairs']:6d} {row['pairs'] / row['fixed_pairs']:6.2f}"
        shares = f"{row['gate']:8.4f} {row['fixed']:11.4f} {row['naive']:12.4f}"
        tell(f"{100 * row['margin']:6g}  {row['line']:52} {shares} {pairs}")


def bounds(discordance: float, runs: int) -> dict[str, Any]:
    """The largest loss to the champion that is not ruled out after so many pairs, in points: medians over the runs."""
    drawn = Kind(mean=0.0, discordance=discordance).draw(np.random.default_rng(BOUND_SEED), runs)["champion"]
    said = {
        f"{100 * (1 - alpha):g} %": [
            -100 * float(np.median([least_certain(run[:pairs], alpha) for run in drawn])) for pairs in BOUND_PAIRS
        ]
        for alpha in BOUND_LEVELS
    }
    return {"part": "bound", "discordance": discordance, "runs": runs, "pairs": list(BOUND_PAIRS), "points": said}


def show_bounds(rows: Sequence[Mapping[str, Any]], tell: Callable[[str], None] = print) -> None:
    """The table, as docs/gate.md has it."""
    tell(f"bound on the loss, in points, level {' / '.join(rows[0]['points'])}, median of {rows[0]['runs']}")
    tell(f"| differ | {BOUND_PAIRS[0]} pairs | {' | '.join(map(str, BOUND_PAIRS[1:]))} |")
    for row in rows:
        cells = (" / ".join(f"{points:.1f}" for points in cell) for cell in zip(*row["points"].values(), strict=True))
        tell(f"| {row['discordance']:.0%} | {' | '.join(cells)} |")


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, print the table, write benchmarks/results/gate_error.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} runs a line")
    quick, at = parser.parse_args(arguments).quick, commit()
    rows = [measure(line, QUICK_RUNS if quick else RUNS, seed) for seed, line in enumerate(lines())]
    show(rows)
    bound = [bounds(discordance, 5 if quick else BOUND_RUNS) for discordance in (0.0, *DISCORDANCES)]
    show_bounds(bound)
    made = claims(rows)
    for one in made:
        if not one["holds"]:
            print(f"MISSED {one['claim']}: {one['measured']} against {one['limit']}")
    print(
        save(
            NAME + ("_quick" if quick else ""),
            seeds=[*range(len(rows)), BOUND_SEED],
            rows=[*rows, *bound],
            claims=made,
            at=at,
        )
    )


if __name__ == "__main__":
    main()
