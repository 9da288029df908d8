"""A handoff and an online run, made once, small, in the layouts that the stages and the flow write."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "evaluation"))

from made_sources import logged_episode, make_sources, outcomes, write_evaluation

from offline_to_online.dataset.files import read_json, write_json
from offline_to_online.evaluation.handoff import HandoffConfig, write_handoff
from offline_to_online.evaluation.rollout import Rollout, write_rollout
from offline_to_online.online.config import OnlineConfig
from offline_to_online.online.evidence import Evidence, RolloutEvidence
from offline_to_online.online.gating import judge, rules
from offline_to_online.robots import Task


class Parsed(HTMLParser):
    """What a page holds: open tags (all must be closed), links and sources, ids, table cells, and its text."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr", "path", "use", "line", "rect", "circle"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.references, self.ids, self.text, self.tags = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.references += [v for k, v in attributes if k in ("src", "href", "xlink:href", "srcset", "action", "data")]
        self.ids += [v for k, v in attributes if k == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data.strip())


@pytest.fixture(scope="session")
def parse():
    """``parse(path)``: the page, parsed."""
    return lambda path: Parsed(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def offline(tmp_path_factory):
    """(folder, sources, record): everything of the offline stages, the handoff in ``handoff``."""
    root = tmp_path_factory.mktemp("offline")
    sources = make_sources(root, success={"bc": 0.4, "iql": 0.8})
    record = write_handoff(root / "handoff", sources, config=HandoffConfig(), budgets={"interaction_episodes": 7000})
    return root, sources, record


def rollouts(count: int, *, seed: int, rate: float) -> list[RolloutEvidence]:
    """Made-up evidence: ``rate`` of the episodes succeed, a few are intervened in."""
    rng = np.random.default_rng(seed)
    return [
        RolloutEvidence(
            success=bool(rng.random() < rate),
            interventions=int(rng.integers(0, 2)),
            support_drift=float(rng.uniform(0, 0.3)),
            support_drift_k=float(rng.uniform(0, 0.1)),
            cost=float(rng.integers(0, 2)),
            score=float(rng.random()),
        )
        for _ in range(count)
    ]


def write_round(folder: Path, number: int, evidence: list[RolloutEvidence], *, first: int, accepted: bool) -> None:
    """The phases of one decided round, as the flow leaves them."""
    at, config = folder / "rounds" / f"{number:03d}", OnlineConfig()
    rows = [e.to_json() for e in evidence[first:]]
    write_json(at / "collect.json", {"first": first, "episodes": len(rows), "steps": 12 * len(rows), "evidence": rows})
    verdicts = [v.to_json() for v in judge(rules(config.gates.safety), Evidence(rollouts=tuple(evidence)))]
    write_json(at / "safety.json", {"passed": True, "reason": "", "verdicts": verdicts})
    write_json(
        at / "update.json", {"candidate": True, "reason": "", "losses": {"actor": 0.5}, "policy_sha256": "c" * 64}
    )
    write_json(at / "audit.json", {"outside_support_rate": 0.125})
    sides = {"candidate": 0.7 + number / 100, "champion": 0.4, "baseline": 0.4}
    verdict = {
        "rule": "no_regression", "passed": accepted, "measured": 40.5, "limit": 32.9, "unit": "wealth",
        "reason": "difference <b>+0.3</b>",
    }  # fmt: skip
    write_json(
        at / "certify.json",
        {
            "candidate_number": number, "block": number - 1, "block_sha256": "b" * 64, "pairs": 50, "executed": 150,
            "accepted": accepted, "reason": "every rule passed" if accepted else "no_regression: not shown",
            "verdicts": [verdict], "certified_success_rate": sides, "success_rate": sides,
        },
    )  # fmt: skip
    decision = {"candidate": True, "accepted": accepted, "reason": "every rule passed" if accepted else "not shown"}
    write_json(at / "decision.json", decision | ({"version": str(number)} if accepted else {}))


def write_final(folder: Path) -> None:
    """Baseline and champion on the report block, and the summary."""
    for side, rate in (("baseline", 0.3), ("champion", 0.85)):
        table = outcomes(rate, seed=len(side))
        write_evaluation(folder / "final" / side, table, policy=side, policy_sha256="c" * 64, panel_sha256="p" * 64)
        audit = folder / "handoff" / "audit" / "iql" / "metrics.json"
        (folder / "final" / side / "audit").mkdir()
        shutil.copyfile(audit, folder / "final" / side / "audit" / "metrics.json")
    sides = {side: read_json(folder / "final" / side / "metrics.json") for side in ("baseline", "champion")}
    write_json(
        folder / "summary.json",
        {
            "run": folder.name, "episodes": 40, "rounds": 2, "accepted": 1, "rejected": 1, "halted": False,
            "halt_reason": "", "baseline_success": sides["baseline"]["success_rate"],
            "champion_success": sides["champion"]["success_rate"],
            "baseline_interval": sides["baseline"]["success_interval"],
            "champion_interval": sides["champion"]["success_interval"], "difference": 0.55,
            "difference_interval": [0.375, 0.6875], "interventions": 20, "constraint_cost": 20.0,
            "worst_support_drift": 0.29, "champion_version": "1", "champion_policy_sha256": "c" * 64,
        },
    )  # fmt: skip


@pytest.fixture
def online(offline, tmp_path):
    """``online(finished=True, left=0)``: the folder of a run of two rounds, the first accepted."""

    def make(*, finished: bool = True, rounds: int = 2, left: int = 0) -> Path:
        folder = tmp_path / "run-001"
        shutil.copytree(offline[0] / "handoff", folder / "handoff")
        config = asdict(OnlineConfig())
        facts = {"run": "run-001", "robot": "pusht", "seed": 1, "config": config, "panel_sha256": "p" * 64}
        write_json(
            folder / "run.json", facts | {"dynamics": {**config["dynamics"], "action_gain": 0.5}, "git_commit": "g"}
        )
        evidence = rollouts(20 * rounds, seed=0, rate=0.5)
        for number in range(1, rounds + 1):
            done = evidence[: 20 * number]
            write_round(folder, number, done, first=20 * (number - 1), accepted=number == 1)
        (folder / "journal.jsonl").write_text("".join(json.dumps({"sequence": i}) + "\n" for i in range(3)) + '{"seq')
        for index in range(20 * rounds, 20 * rounds + left):
            write_rollout(folder / "episodes" / f"{index + 1:06d}.parquet", _rollout(index))
        if finished:
            write_final(folder)
        return folder

    return make


def _rollout(index: int) -> Rollout:
    episode = logged_episode(index, "human")
    flags = np.zeros(len(episode), dtype=bool)
    return Rollout(
        task=Task(seed=index, state={}), episode=episode, proposed=episode.actions, clipped=flags,
        outside_support=flags, guard_stop=flags, takeover=flags,
        support_score=np.zeros(len(episode), dtype=np.float32), failure="",
    )  # fmt: skip
