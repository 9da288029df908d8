"""What the acceptance gate would have made of released fine-tuning runs: CORL's 140 with an offline score above 10.

    python -m benchmarks.gate_replay            # 5 draws of the episodes of every run
    python -m benchmarks.gate_replay --quick    # 1 draw of every fifth run

Every online evaluation of a run is a candidate, the last offline one its baseline. The curves hold scores, not
episodes, so that episodes are drawn: each succeeds with the chance score / best, where best is the best score that any
run ever had on that task (100 at least), clipped to [0, 1]. For the mazes, whose score is a success rate, that is
what an episode is; for the hands it is the noisiest outcome in [0, 1] with that mean. Candidate, champion and baseline
succeed independently of one another, as if the same task made nothing alike: nothing is gained by pairing. A run's
candidates came out of a training that no gate ever set back (``on_reject: continue``).

The gate is the shipped rule with the limits of params.yaml, ``rounds`` being the number of candidates; other settings
stand beside it. The file is ``../shared/anchors/corl_finetune_curves.json``, or where GATE_ANCHORS says.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gate_error import certify_many
from benchmarks.results_file import claim, commit, save
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError, one_line
from offline_to_online.online.config import ACCEPTANCE
from offline_to_online.online.gates import no_regression
from offline_to_online.online.gating import rules

NAME = "gate_replay"
HERE = Path(__file__).resolve().parents[1]
FILE = "corl_finetune_curves.json"
LEAST_OFFLINE, POINTS_BELOW, DRAWS = 10.0, 5.0, 5
KEPT = 0.97
UNGATED = {"ReBRAC": 0.17, "AWAC": 0.58, "IQL": 0.11}
SHIPPED = "as shipped"
# By name, what is changed of the shipped limits, and at most how many candidates a run has (0: every evaluation).
SETTINGS: Mapping[str, tuple[Mapping[str, Any], int]] = {
    SHIPPED: ({}, 0),
    "margin 2 points": ({"margin": 0.02}, 0),
    "must be better": ({"improvement": 0.0}, 0),
    "at most 100 pairs": ({"max_pairs": 100}, 0),
    "20 candidates": ({}, 20),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One released run: where it started, the score of each online evaluation, and the best that its task allows."""

    algorithm: str
    start: float
    scores: tuple[float, ...]
    best_of_task: float

    @property
    def best(self) -> float:
        """Its best checkpoint, the first included."""
        return max(self.start, *self.scores)

    def candidates(self, most: int) -> list[float]:
        """All its evaluations, or at most so many, evenly spaced, the last among them."""
        if not most or len(self.scores) <= most:
            return list(self.scores)
        return [self.scores[i] for i in np.linspace(0, len(self.scores) - 1, most).round().astype(int)]


def load() -> list[Run]:
    """The released runs whose offline score is above 10.

    Raises:
        DataError: the file is not there.
    """
    path = Path(os.environ.get("GATE_ANCHORS", str(HERE.parent / "shared" / "anchors"))) / FILE
    if not path.is_file():
        raise DataError("no such curves", where=str(path), remedy=f"set GATE_ANCHORS to the folder that holds {FILE}")
    return released(json.loads(path.read_text(encoding="utf-8")))


def released(content: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> list[Run]:
    """The runs in the file's content: ``{algorithm: {task: [{offline_evals, online_evals}]}}``."""
    best: dict[str, float] = {}
    for tasks in content.values():
        for task, seeds in tasks.items():
            best[task] = max(best.get(task, 100.0), *(max(*s["offline_evals"], *s["online_evals"]) for s in seeds))
    return [
        Run(
            algorithm=algorithm,
            start=seed["offline_evals"][-1],
            scores=tuple(seed["online_evals"]),
            best_of_task=best[task],
        )
        for algorithm, tasks in content.items()
        for task, seeds in tasks.items()
        for seed in seeds
        if seed["offline_evals"][-1] > LEAST_OFFLINE
    ]


def gated(runs: Sequence[Run], limits: Mapping[str, Any], most: int, seed: int) -> tuple[Array, Array, Array]:
    """The champion's score at the end of each run, its acceptances, and the pairs it played: each (runs,)."""
    rng, config = np.random.default_rng(seed), rules({no_regression.RULE: limits})[0].config
    streams = [run.candidates(most) for run in runs]
    rounds = np.array([len(stream) for stream in streams])
    start, best = np.array([r.start for r in runs]), np.array([r.best_of_task for r in runs])
    champion, since = start.copy(), np.ones(len(runs), dtype=int)
    accepted, pairs = np.zeros(len(runs), dtype=int), np.zeros(len(runs), dtype=int)
    for number in range(int(rounds.max())):
        left = np.flatnonzero(rounds > number)
        candidate = np.array([streams[i][number] for i in left])
        sides = [np.clip(score / best[left], 0, 1) for score in (candidate, champion[left], start[left])]
        drawn = _differences(rng, sides, unchanged=champion[left] == start[left], pairs=config.max_pairs)
        passed, played = certify_many(config, since[left] / rounds[left], drawn)
        champion[left] = np.where(passed, candidate, champion[left])
        since[left] = np.where(passed, since[left] + 1, 1)
        accepted[left] += passed
        pairs[left] += played
    return champion, accepted, pairs


def _differences(
    rng: np.random.Generator, chances: Sequence[Array], *, unchanged: Array, pairs: int
) -> dict[str, Array]:
    """Candidate minus champion and minus baseline; while the champion is the baseline, it plays once for both."""
    candidate, champion, baseline = (
        (rng.random((len(chance), pairs)) < chance[:, None]).astype(np.float64) for chance in chances
    )
    baseline[unchanged] = champion[unchanged]
    return {"champion": candidate - champion, "baseline": candidate - baseline}


def row(name: str, algorithm: str, runs: Sequence[Run], ends: Array, **more: float) -> dict[str, Any]:
    """How runs end that may stand several times, once a draw."""
    start, best = np.array([r.start for r in runs]), np.array([r.best for r in runs])
    below = float((ends < start - POINTS_BELOW).mean())
    kept = float((np.maximum(ends, 0) / best).mean())
    return {"gate": name, "algorithm": algorithm, "runs": len(runs), "below": below, "kept": kept, **more}


def measure(runs: Sequence[Run], draws: int) -> list[dict[str, Any]]:
    """Rows by gate and algorithm, ``all`` the last."""
    many = [run for run in runs for _ in range(draws)]
    made = _by_algorithm("none", many, np.array([run.scores[-1] for run in many]))
    for seed, (name, (changes, most)) in enumerate(SETTINGS.items()):
        limits = {**ACCEPTANCE[no_regression.RULE], **changes}
        ends, accepted, pairs = gated(many, limits, most, seed)
        candidates = np.array([len(run.candidates(most)) for run in many])
        made += _by_algorithm(name, many, ends, accepted=accepted, pairs=pairs / candidates)
    return made


def _by_algorithm(name: str, runs: Sequence[Run], ends: Array, **more: Array) -> list[dict[str, Any]]:
    which = np.array([run.algorithm for run in runs])
    masks = {a: which == a for a in dict.fromkeys(which.tolist())} | {"all": np.ones(len(runs), dtype=bool)}
    return [
        row(
            name,
            a,
            [runs[i] for i in np.flatnonzero(m).tolist()],
            ends[m],
            **{k: float(v[m].mean()) for k, v in more.items()},
        )
        for a, m in masks.items()
    ]


def claims(rows: Sequence[Mapping[str, Any]], *, whole: bool = True) -> list[dict[str, Any]]:
    """The runs are the published ones (all of them); gated, none ends below; what is kept of the best checkpoint."""
    found = {(r["gate"], r["algorithm"]): r for r in rows}
    made = []
    for algorithm, share in UNGATED.items() if whole else ():
        measured = found["none", algorithm]["below"]
        text = f"{algorithm}, ungated: runs that end more than 5 points below their start, as published"
        made.append(claim(text, measured, share, round(measured, 2) == share))
    for (gate, algorithm), one in found.items():
        if gate == SHIPPED and algorithm != "all":
            text = f"{algorithm}, gated: runs that end more than 5 points below their start"
            made.append(claim(text, one["below"], 0.0, one["below"] == 0))
    kept = found[SHIPPED, "all"]["kept"]
    return [*made, claim("share of the best checkpoint's value that is kept, on average", kept, KEPT, kept >= KEPT)]


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table."""
    measured = f"{'end > 5 below':>14} {'of best kept':>13} {'accepted':>9} {'pairs':>6}"
    print(f"{'gate':20} {'algorithm':10} {'runs':>5} {measured}")
    for one in rows:
        said = f"{one['gate']:20} {one['algorithm']:10} {one['runs']:5d} {one['below']:14.3f} {one['kept']:13.3f}"
        print(said + (f" {one['accepted']:9.1f} {one['pairs']:6.0f}" if "pairs" in one else ""))


@one_line
def main(arguments: Sequence[str] | None = None) -> None:
    """Replay, print the table, write benchmarks/results/gate_replay.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 draw of every fifth run")
    quick, at = parser.parse_args(arguments).quick, commit()
    runs = load()[:: 5 if quick else 1]
    rows = measure(runs, 1 if quick else DRAWS)
    show(rows)
    made = claims(rows, whole=not quick)
    for one in made:
        if not one["holds"]:
            print(f"MISSED {one['claim']}: {one['measured']} against {one['limit']}")
    seeds = list(range(len(SETTINGS)))
    print(save(NAME + ("_quick" if quick else ""), seeds=seeds, rows=rows, claims=made, at=at))


if __name__ == "__main__":
    main()
