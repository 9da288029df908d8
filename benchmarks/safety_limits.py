"""Do the safety limits let a sound policy work, and stop a reckless one? Over what `dvc repro` left.

    python -m benchmarks.safety_limits            # 10 replays of as many episodes as an online run collects
    python -m benchmarks.safety_limits --quick    # 2 replays

Plays the handed-off policy, exploring as the online run lets it, and uniformly random actions, on the robot of the
online run, under the guard, and asks the safety gate of params.yaml after every episode, as the run does. Prints how
many replays halt, after which episode, and how much of each limit was used at the worst moment.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results_file import claim, commit, save
from offline_to_online.evaluation.panel import collection_task
from offline_to_online.evaluation.play import PolicySource, play
from offline_to_online.online.collect import evidence_of
from offline_to_online.online.evidence import Evidence, RolloutEvidence
from offline_to_online.online.gating import Rule, broken, judge, rules
from offline_to_online.params import Params, load_params
from offline_to_online.plugins import module_for

HANDOFF = Path("models/handoff")
NAME = "safety_limits"


def replay(params: Params, policy: PolicySource, episodes: int, seed: int, scale: float) -> list[RolloutEvidence]:
    """So many episodes of one policy that nothing updates, on tasks and with noise of a replay's own."""
    module = module_for("robots", params.robot)
    rollouts = play(
        policy,
        params.robot,
        [collection_task(module, seed, index) for index in range(episodes)],
        dynamics=params.online.dynamics,
        support_folder=HANDOFF,
        jobs=params.jobs,
        explore_seed=seed,
        exploration_scale=scale,
    )
    return [evidence_of(rollout) for rollout in rollouts]


def judged(gate: Sequence[Rule], seen: Sequence[RolloutEvidence]) -> tuple[int, dict[str, float]]:
    """After how many episodes the gate halts (0: never), and the largest share of each limit used until then."""
    used: dict[str, float] = {}
    for count in range(1, len(seen) + 1):
        verdicts = judge(gate, Evidence(rollouts=tuple(seen[:count])))
        for verdict in verdicts:
            used[verdict.rule] = max(used.get(verdict.rule, 0.0), verdict.measured / max(verdict.limit, 1e-9))
        if broken(verdicts):
            return count, used
    return 0, used


def measure(params: Params, name: str, policy: PolicySource, replays: int, episodes: int) -> dict[str, Any]:
    """One row: a policy's replays under the safety gate."""
    gate = rules(params.online.gates.safety)
    scale = params.online.exploration_scale
    found = [judged(gate, replay(params, policy, episodes, params.seed + 1000 + k, scale)) for k in range(replays)]
    return {
        "robot": params.robot,
        "policy": name,
        "replays": replays,
        "episodes": episodes,
        "halted_after": sorted(after for after, _ in found if after),
        "share_of_limit_used": {rule: max(used[rule] for _, used in found) for rule in found[0][1]},
    }


def report(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print the table; the claims made of it."""
    for row in rows:
        halts, used = row["halted_after"], row["share_of_limit_used"]
        when = f" (after {np.median(halts):g} in the median)" if halts else ""
        print(f"{row['policy']}: {len(halts)} of {row['replays']} replays of {row['episodes']} episodes halt{when}")
        print("    of each limit used: " + ", ".join(f"{rule} {share:.0%}" for rule, share in used.items()))
    sound, reckless = (len(row["halted_after"]) for row in rows)
    replays = rows[1]["replays"]
    return [
        claim("replays of the unchanged policy that halt", sound, 0, sound == 0),
        claim("replays of random actions that halt", reckless, replays, reckless == replays),
    ]


def main() -> None:
    """Replay both policies, print the table, write benchmarks/results/safety_limits.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 replays")
    quick = parser.parse_args().quick
    replays = 2 if quick else 10
    params, at = load_params(), commit()
    episodes = params.online.rounds * params.online.episodes_per_round
    rows = [
        measure(params, "handed-off policy, exploring", HANDOFF / "policy.safetensors", replays, episodes),
        measure(params, "random actions", "random", replays, 10),
    ]
    claims = report(rows)
    print(save(NAME + ("_quick" if quick else ""), seeds=[params.seed], rows=rows, claims=claims, at=at))


if __name__ == "__main__":
    main()
