"""What was spent is carried on from round to round, and is what reading everything again would give."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.small_handoff import small_config
from offline_to_online.dataset.files import write_json
from offline_to_online.online.beginning import begin
from offline_to_online.online.evidence import RolloutEvidence, Totals
from offline_to_online.online.gating import judge, rules
from offline_to_online.online.run import OnlineRun
from offline_to_online.online.spending import safety_evidence, spending_before

GATE = rules(
    {
        "interventions": {"limit": 9, "window": 4, "run_limit": 60},
        "support_drift": {"limit": 0.3, "window": 3, "run_limit": 0.5},
        "constraint_cost": {"per_episode": 9.0, "total": 15.0, "window": 2, "run_total": 40.0},
    }
)
ROUNDS = (3, 1, 4, 2)


def episode(index: int) -> RolloutEvidence:
    """One episode, unlike the others."""
    return RolloutEvidence(success=True, interventions=index % 5, support_drift=index / 20, cost=1.1 * index)


@pytest.mark.parametrize("carried", [True, False])
@pytest.mark.parametrize("acknowledged", [0, 3, 5, 9, 10])
def test_a_round_begins_with_what_all_before_it_spent(
    carried: bool, acknowledged: int, handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every round, with windows that reach over several; of runs that did not carry sums on, too."""
    run = begin(tmp_path, "a", handoff, small_config(rounds=len(ROUNDS)), seed=1, jobs=1)
    monkeypatch.setattr(OnlineRun, "acknowledged", lambda _: acknowledged)
    seen = list[RolloutEvidence]()
    for number, size in enumerate(ROUNDS, start=1):
        new = [episode(len(seen) + k) for k in range(size)]
        row = {"first": len(seen), "episodes": size, "steps": 1, "evidence": [one.to_json() for one in new]}
        seen += new
        row |= {"totals": Totals.of(seen).to_json()} if carried else {}
        write_json(run.round_folder(number) / "collect.json", row)
        found = spending_before(run, GATE, number + 1).evidence()
        assert judge(GATE, found) == judge(GATE, safety_evidence(seen, acknowledged))
        assert found.run == Totals.of(seen)


def test_only_as_many_rounds_are_read_as_the_windows_need(
    handoff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four episodes of a window are in the last two rounds; what came before is in their sums."""
    run = begin(tmp_path, "a", handoff, small_config(rounds=4), seed=1, jobs=1)
    totals = Totals()
    for number in range(1, 5):
        totals = totals.plus(episode(1)).plus(episode(2))
        rows = [episode(k).to_json() for k in (1, 2)]
        row = {"first": 2 * number - 2, "episodes": 2, "steps": 1, "evidence": rows, "totals": totals.to_json()}
        write_json(run.round_folder(number) / "collect.json", row)
    read, result = list[int](), OnlineRun.result

    def counted(run: OnlineRun, number: int, name: str) -> dict[str, object] | None:
        read.append(number)
        return result(run, number, name)

    monkeypatch.setattr(OnlineRun, "result", counted)
    spending_before(run, GATE, 5)
    assert read == [4, 3]
