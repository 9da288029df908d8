"""The learning curve of an online run, drawn and said: what was reached before the switch, after it, and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from offline_to_online.dataset.spec import Array
from offline_to_online.online.run import COLLECT
from offline_to_online.report.learning_curve import WINDOW, Curve, Dip, draw_learning_curves, lowest_by_chance
from offline_to_online.report.online_run import RunRecord
from offline_to_online.report.page import interval, number
from offline_to_online.report.plots import inline
from offline_to_online.report.switch import Before, Candidate, Switch
from offline_to_online.support.drawing import GREY, HUES, INK, figure_in_style

CHANCE_SEED = 20_250_102
UNLIKELY = 0.05


def learning_figure(switch: Switch, curve: Curve) -> Markup:
    """Panel values before the switch, then collected episodes, candidates and champion."""
    last = int(curve.episodes[-1])
    with figure_in_style(4.6, 3.1) as figure:
        axes = figure.subplots()
        draw_learning_curves(axes, [curve], label="success rate" if switch.metric == "success" else switch.metric)
        _draw_before(axes, switch.before, step=max(2.0, last / 20))
        _draw_candidates(axes, switch.candidates, last=last)
        axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= axes.get_xlim()[1]])
        figure.legend(loc="outside upper center", ncols=2, fontsize=8)
        return inline(figure, "learning", _alt(switch, curve))


def learning_sentences(run: RunRecord, switch: Switch) -> list[str]:
    """The dip at the switch in numbers, what chance alone would show, and what the candidates showed."""
    dip = switch.collected.dip if switch.collected else None
    said = [_dip_sentence(switch, dip)]
    if dip is not None and switch.before[-1].comparable and len(switch.before[-1].outcomes):
        said.append(_chance_sentence(dip, switch.before[-1].outcomes, len(run.evidence)))
    said.append(_who_collects(run))
    return [*said, _candidate_sentence(switch.candidates)] if switch.candidates else said


def _draw_before(axes: Any, before: Sequence[Before], *, step: float) -> None:
    for place, one in enumerate(reversed(before), start=1):
        chosen = place == 1
        errors = [[max(0.0, one.value - one.bounds[0])], [max(0.0, one.bounds[1] - one.value)]]
        axes.errorbar(
            [-place * step],
            [one.value],
            yerr=errors,
            fmt="s",
            markersize=5,
            capsize=3,
            color=INK if chosen else GREY,
            label=f"{one.name}, panel" + (" (handed off)" if chosen else ""),
        )


def _draw_candidates(axes: Any, judged: Sequence[Candidate], *, last: int) -> None:
    for accepted, label in ((True, "candidate, accepted"), (False, "candidate, rejected")):
        own = [one for one in judged if one.accepted == accepted]
        if own:
            errors = np.abs([[one.value - one.bounds[0] for one in own], [one.bounds[1] - one.value for one in own]])
            axes.errorbar(
                [one.episodes for one in own],
                [one.value for one in own],
                yerr=errors,
                fmt="o",
                capsize=3,
                color=HUES[1],
                markerfacecolor=HUES[1] if accepted else "none",
                label=label,
            )
    if judged:
        steps = [(0, judged[0].champion), *((one.episodes, one.value) for one in judged if one.accepted)]
        x, y = zip(*steps, (last, steps[-1][1]), strict=True)
        axes.step(x, y, where="post", color=HUES[2], linewidth=1.3, label="champion, as certified")


def _alt(switch: Switch, curve: Curve) -> str:
    said = [f"{one.name} {one.value:.2f} on the panel" for one in switch.before]
    said.append(f"the last collected episodes {curve.mean[-1]:.2f}")
    if curve.dip is not None:
        said.append(f"lowest {curve.dip.lowest:.2f} after {curve.dip.at} episodes")
    said += [
        f"candidate of round {one.round} {one.value:.2f}, {'accepted' if one.accepted else 'rejected'}"
        for one in switch.candidates
    ]
    return f"Learning curve over the switch: {'; '.join(said)}"


def _dip_sentence(switch: Switch, dip: Dip | None) -> str:
    if not switch.before:
        return "No evaluation of the handed-off policy lies in this run, so that no dip can be stated."
    one = switch.before[-1]
    reached = f"{number(one.value)} {interval(one.bounds)}"
    start = f"Before the switch {one.name} had a {switch.metric} of {reached} on the panel"
    start += "" if one.comparable else ", on the robot as it was logged, so that part of any difference is the robot's"
    if dip is None:
        return f"{start}; with fewer than {WINDOW} collected episodes no dip can be stated."
    where = f"the lowest mean over {WINDOW} collected episodes was {number(dip.lowest)}, after {dip.at} episodes"
    return f"{start}; {where}: {'a dip of' if dip.change < 0 else 'no dip,'} {dip.change:+.2f}."


def _chance_sentence(dip: Dip, outcomes: Array, episodes: int) -> str:
    lowest = lowest_by_chance(outcomes, episodes, np.random.default_rng(CHANCE_SEED))
    share = float(np.mean(lowest <= dip.lowest + 1e-9))
    if share > UNLIKELY:
        verdict = "it cannot be told from chance" if dip.change < 0 else "there is nothing to explain"
    else:
        verdict = "chance alone hardly explains it"
    return (
        f"The lowest of many means lies below the truth: a policy that did not change at all would show a lowest mean "
        f"of {number(float(np.median(lowest)))} in the median over {episodes} episodes, and one as low as this in "
        f"{share:.0%} of runs, so that {verdict}."
    )


def _who_collects(run: RunRecord) -> str:
    ends = {n: p[COLLECT]["first"] + p[COLLECT]["episodes"] for n, p in run.rounds.items() if COLLECT in p}
    until = f"for the first {ends[run.accepted[0]]} episodes" if run.accepted else "throughout"
    return (
        f"Collected episodes explore under the guard, while the panel and the certification are played greedily; and "
        f"{until} it was the handed-off policy itself that collected: what dips there is exploration and chance, "
        f"not learning."
    )


def _candidate_sentence(judged: Sequence[Candidate]) -> str:
    worst = min(judged, key=lambda one: one.value - one.baseline)
    change = worst.value - worst.baseline
    if change >= 0:
        return "No candidate was certified below the baseline on the same tasks."
    fate = "accepted all the same" if worst.accepted else "rejected, so that the robot never collected with it"
    return (
        f"The deepest dip of learning itself was the candidate of round {worst.round}: certified {number(worst.value)} "
        f"against the baseline's {number(worst.baseline)} on the same tasks ({change:+.2f}), and {fate}."
    )
