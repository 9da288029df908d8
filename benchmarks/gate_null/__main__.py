"""Does the shipped gate let a sound policy work, stop a reckless one at once, and refuse one that slowly worsens?

    python -m benchmarks.gate_null            # 200 replayed runs of 150 episodes
    python -m benchmarks.gate_null --quick    # a small handoff, 20 runs of 30
    python -m benchmarks.gate_null --seed 7   # by another seed: another log, support model, policy and pools

Plays pools of real episodes on Fetch under the guard: the handed-off policy exploring as the online run lets it, on the
robot of the online run and on the one that was logged; uniformly random actions; and the same tasks with more and more
noise. Runs are then drawn from the pools, and put through the rules of params.yaml as collection and certification do.
How limits were set from such pools, of another seed, is told in docs/safety.md.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.gate_null.pools import Pool, Pools, Size, pools
from benchmarks.gate_null.replays import Watched, certified, drawn, truly, watched
from benchmarks.results_file import claim, commit, save
from offline_to_online.online.gating import Rule, rules
from offline_to_online.params import Params, load_params

NAME = "gate_null"
# Log, split, policy and pools all come from it; the limits of params.yaml were set by those of seeds 7 and 11.
SEED = 23
NOISE = (1.0, 1.25, 1.5, 2.0, 3.0)
QUICK = Size(
    operators={"expert": 20, "recovery": 30, "biased": 50},
    updates=200,
    exploring=20,
    unchanged=10,
    random=10,
    paired=10,
    noise=(4.0, 8.0),
)
HALTS, SOON, STOPS = 0.05, 2, 0.99
BLOCK = 400


def full(params: Params) -> Size:
    """What the benchmark plays: the demo's log and policy, and pools of hundreds of episodes."""
    return Size(
        operators=dict(params.collect.operators),
        updates=int(params.policies["iql"].config["updates"]),
        exploring=400,
        unchanged=200,
        random=100,
        paired=200,
        noise=NOISE,
    )


def safety_row(gate: Sequence[Rule], name: str, pool: Pool, runs: int, episodes: int, seed: int) -> dict[str, Any]:
    """One pool's replayed runs under the safety gate."""
    rng = np.random.default_rng([seed, len(name)])
    found = [watched(gate, drawn(pool, episodes, rng)) for _ in range(runs)]
    return {
        "gate": "safety",
        "policy": name,
        "pool": len(pool),
        "runs": runs,
        "episodes": episodes,
        "halted": sum(bool(w.halted_after) for w in found) / runs,
        "halted_soon": sum(0 < w.halted_after <= SOON for w in found) / runs,
        "halted_after": _median([w.halted_after for w in found if w.halted_after]),
        "by": dict(Counter(w.rule for w in found if w.rule)),
        "used": {rule: round(float(np.quantile(_used(found, rule), 0.99)), 3) for rule in found[0].used},
        "certified": round(float(np.mean([e.certified for e in pool])), 3),
    }


def _used(found: Sequence[Watched], rule: str) -> list[float]:
    return [w.used[rule] for w in found]


def _median(values: Sequence[int]) -> float | None:
    return float(np.median(values)) if values else None


def acceptance_row(gate: Sequence[Rule], played: Pools, runs: int, seed: int) -> dict[str, Any]:
    """Runs whose candidates are worse and worse; whether any that is truly worse by the margin was ever accepted."""
    rule = next(rule for rule in gate if rule.compares)
    rng, outcome, margin = np.random.default_rng([seed, 1]), str(rule.config.outcome), float(rule.config.margin)
    truth = [truly(pool, played.baseline, outcome) for pool in played.worse]
    found = [certified(gate, played.baseline, played.worse, rng, tasks=BLOCK) for _ in range(runs)]
    worse = [difference <= -margin for difference in truth]
    wrong = [any(a and w for a, w in zip(one.accepted, worse, strict=True)) for one in found]
    return {
        "gate": "acceptance",
        "policy": "worse and worse",
        "pool": len(played.baseline),
        "runs": runs,
        "difference": [round(difference, 3) for difference in truth],
        "accepted": [round(float(np.mean([one.accepted[k] for one in found])), 3) for k in range(len(truth))],
        "pairs": [round(float(np.mean([one.pairs[k] for one in found])), 1) for k in range(len(truth))],
        "worse_by_the_margin": sum(worse),
        "wrongly_accepted": float(np.mean(wrong)),
        "alpha": float(rule.config.alpha),
    }


def measured(params: Params, size: Size, runs: int, episodes: int) -> list[dict[str, Any]]:
    """One row for each kind of run."""
    played, gates = pools(params, size, params.seed), params.online.gates
    safety = rules(gates.safety)
    # The comparison alone: no budget helps it.
    acceptance = [rule for rule in rules(gates.acceptance) if rule.compares]
    sound = {
        "unchanged baseline, tuned robot": played.exploring,
        "unchanged baseline, logged robot": played.unchanged,
        "random actions": played.random,
    }
    worse = {f"noise x {scale:g}, tuned robot": pool for scale, pool in zip(size.noise, played.worse, strict=True)}
    rows = [safety_row(safety, name, pool, runs, episodes, params.seed) for name, pool in (sound | worse).items()]
    return [*rows, acceptance_row(acceptance, played, runs, params.seed)]


def report(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print the table; the claims made of it."""
    safety, accepted = [row for row in rows if row["gate"] == "safety"], rows[-1]
    print(f"{'policy':34}{'pool':>6}{'halt':>8}{'by 2':>8}{'after':>7}  99 % of runs use at most, of each limit")
    for row in safety:
        used = ", ".join(f"{rule} {share:.0%}" for rule, share in row["used"].items())
        after = "-" if row["halted_after"] is None else f"{row['halted_after']:g}"
        print(
            f"{row['policy']:34}{row['pool']:6}{row['halted']:8.1%}{row['halted_soon']:8.1%}{after:>7}  {used}"
            + (f"  (halted by {row['by']})" if row["by"] else "")
        )
    print(f"worse and worse: true difference {accepted['difference']}, accepted {accepted['accepted']}")
    print(f"    in {accepted['pairs']} pairs; some candidate worse by the margin in {accepted['wrongly_accepted']:.1%}")
    baseline = max(row["halted"] for row in safety if row["policy"].startswith("unchanged baseline"))
    soon = next(row["halted_soon"] for row in safety if row["policy"] == "random actions")
    wrong, real = accepted["wrongly_accepted"], accepted["worse_by_the_margin"] > 0
    return [
        claim("share of runs of the unchanged baseline that halt, worse robot", baseline, HALTS, baseline <= HALTS),
        claim("share of runs of random actions that halt within two episodes", soon, STOPS, soon >= STOPS),
        claim(
            "share of runs that accept a candidate truly worse by the margin",
            wrong,
            accepted["alpha"],
            real and wrong <= accepted["alpha"],
        ),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Play what is not kept, replay, print the table, write benchmarks/results/gate_null.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small handoff, 20 runs of 30 episodes")
    parser.add_argument("--seed", type=int, default=SEED, help="of everything that is made for it")
    chosen = parser.parse_args(arguments)
    quick, seed = bool(chosen.quick), int(chosen.seed)
    params, at, started = replace(load_params(), seed=seed), commit(), time.monotonic()
    rows = measured(params, QUICK, 20, 30) if quick else measured(params, full(params), 200, 150)
    claims = report(rows)
    print(f"{time.monotonic() - started:.0f} s")
    name = NAME + ("_quick" if quick else "") + ("" if seed == SEED else f"_seed_{seed}")
    print(save(name, seeds=[params.seed], rows=rows, claims=claims, at=at))


if __name__ == "__main__":
    main()
