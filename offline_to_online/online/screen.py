"""The screen: a candidate that is certainly worse by the log alone never touches the robot.

Candidate and champion are evaluated by fitted Q evaluation on everything logged and collected so far
(``evaluation.off_policy``). It vetoes, and never accepts: on data that both were trained on the estimate is optimistic,
and the log may speak of another arm than the one that is tuned. A veto looks at no certification data, so that the
acceptance gate's error over the candidates that it does see is untouched: a vetoed one does not count among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from offline_to_online.dataset.manifest import load_manifest
from offline_to_online.dataset.store import load_episodes, read_episode
from offline_to_online.errors import TrainingError
from offline_to_online.evaluation.off_policy import Estimate, OffPolicyValues, fitted_q
from offline_to_online.learning.policy import Policy
from offline_to_online.learning.replay import Replay
from offline_to_online.online.evidence import Verdict
from offline_to_online.online.going_back import called_off
from offline_to_online.online.memory import Kept
from offline_to_online.online.run import CERTIFY, SCREEN, OnlineRun
from offline_to_online.online.standing import certification_begun
from offline_to_online.online.trial import CANDIDATE, CHAMPION
from offline_to_online.progress import progress

RULE = "off_policy_evaluation"
# A sum that goes on for ever needs a discount; an evaluation over whole episodes may have none.
LARGEST_GAMMA = 0.99


def screen(run: OnlineRun, number: int) -> dict[str, Any]:
    """Whether the round's candidate may be played at all.

    A round whose certification has begun goes on as it began; one whose champion was rolled back before that does not.

    Returns:
        ``passed``, ``reason``, ``verdicts`` (one, or none where nothing was measured), and where it was measured:
        ``gamma``, ``episodes``, ``steps``; ``candidate``, ``champion`` and ``difference``, each ``value``, ``low``,
        ``high`` (discounted return from the logged initial states).
    """
    if (why := called_off(run, number)) and not certification_begun(run, number):
        return {"passed": False, "reason": why, "verdicts": []}
    certifying = (run.round_folder(number) / CERTIFY).exists() or run.result(number, CERTIFY) is not None
    if certifying and run.result(number, SCREEN) is None:
        return _passed("its certification had begun without a screen")
    return run.phase(number, SCREEN, lambda: look(run, number))


def metrics(screened: Mapping[str, Any]) -> dict[str, float]:
    """What MLflow is told of a screen."""
    told = {"screen/passed": float(screened["passed"])}
    if "difference" in screened:
        told |= {f"screen/{side}": float(screened[side]["value"]) for side in (CANDIDATE, CHAMPION)}
        told |= {f"screen/difference_{name}": float(number) for name, number in screened["difference"].items()}
    return told


def look(run: OnlineRun, number: int) -> dict[str, Any]:
    """What ``screen`` writes down, looked at now."""
    if not run.config.screen.enabled:
        return _passed("online.screen.enabled is false")
    if load_manifest(run.handoff_folder / "manifest.yaml").reward_source == "none":
        return _passed("the log holds no rewards to evaluate by")
    replay = KEPT.after(run, run.collected(before=number + 1))
    try:
        values = _evaluate(run, number, replay)
    except TrainingError as error:  # what cannot be measured vetoes nothing: the certificate comes after
        return _passed(str(error))
    difference = values.difference(CANDIDATE, CHAMPION)
    verdict = judge(difference, margin=run.config.screen.margin, alpha=run.config.screen.alpha)
    sides = {name: values.value(name) for name in (CANDIDATE, CHAMPION)} | {"difference": difference}
    return {
        "passed": verdict.passed,
        "reason": f"off-policy evaluation: {verdict.reason}",
        "verdicts": [verdict.to_json()],
        "gamma": replay.gamma,
        "episodes": replay.episodes,
        "steps": len(replay),
        **{name: asdict(estimate) for name, estimate in sides.items()},
    }


def judge(difference: Estimate, *, margin: float, alpha: float) -> Verdict:
    """A veto only where the whole interval of candidate minus champion lies below ``-margin``."""
    passed = difference.high >= -margin
    return Verdict(
        rule=RULE,
        passed=passed,
        measured=difference.high,
        limit=-margin,
        unit="discounted return more than the champion, upper end of the interval (at least)",
        reason=(
            f"difference {difference.value:+.3g} to the champion in discounted return ({100 * (1 - alpha):g} % "
            f"{difference.low:+.3g} to {difference.high:+.3g}); {'not ' if passed else ''}certainly worse by more than "
            f"{margin:g}"
        ),
    )


def _evaluate(run: OnlineRun, number: int, replay: Replay) -> OffPolicyValues:
    policies: dict[str, Path] = {
        CANDIDATE: run.round_folder(number) / "candidate" / "policy.safetensors",
        CHAMPION: run.standing(before=number).policy,
    }
    seed = int(run.seed_sequence(SCREEN, number).generate_state(1)[0])
    with progress(f"round {number}: screening") as tell:
        return fitted_q(
            [replay],
            {name: Policy.load(path) for name, path in policies.items()},
            run.config.screen,
            gamma=replay.gamma,
            generator=torch.Generator().manual_seed(seed),
            progress=tell,
        )


def logged(run: OnlineRun) -> Replay:
    """The train part of the log, a single step a transition: the steps after the first are those of other policies."""
    spec = run.module.SPEC
    replay = Replay(spec.observation.size, spec.action.size, gamma=min(run.gamma, LARGEST_GAMMA))
    replay.extend(load_episodes(run.handoff_folder / "episodes", "train"))
    return replay


def add_file(replay: Replay, path: Path) -> None:
    """Add the collected episode in a file."""
    replay.append(read_episode(path)[0])


KEPT = Kept(logged, add_file)


def _passed(why: str) -> dict[str, Any]:
    return {"passed": True, "reason": f"not screened: {why}", "verdicts": []}
