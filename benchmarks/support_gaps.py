"""Is a gap in the data found, first and by name; and is none found where there is none?

python -m benchmarks.support_gaps [--quick]

Planted: every step of one region is taken out of the train and calibration episodes of a log (a sensor is taken out by
a constant in place of its readings), the estimator is fitted and calibrated on what is left, and the audit looks at a
policy that goes where the log goes: it repeats what was executed in the held-out episodes, all of which are whole. Of
each kind the largest and the smallest region by steps are planted, among those that a third of the episodes visit.
Blind: the reverse for each sensor, dead in the held-out episodes and alive in the data.
Every region: the same for all regions of the robot, many splits, by the rule that names gaps alone (no estimator).
Clean: nothing is taken out; how many of many random splits name any gap.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.results_file import claim, commit, save
from benchmarks.support_data import Log, load
from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.spec import Array
from offline_to_online.support.audit import audit
from offline_to_online.support.calibration import calibrate
from offline_to_online.support.estimator import SupportConfig, SupportEstimator
from offline_to_online.support.exposures import gaps
from offline_to_online.support.gaps import GAP, GAP_ALPHA, THIN, Standing, standings
from offline_to_online.support.sensors import ALIVE, MISSING, sensor_regions

# Shares of train and calibration, and alpha: 25 door episodes calibrate leaving one out, and no alpha below 0.1.
SPLITS = {"fetch": (0.6, 0.2, 0.05), "door": (0.6, 0.0, 0.1), "pusht": (0.6, 0.2, 0.05)}
KINDS = ("gripper_pose", "contact_mode", "reset_state", "sensor")
SEEDS, RESPLITS, CLEAN_SPLITS = (1, 2, 3), 20, 500
VISITED, EMPTIED = 1 / 3, 0.9
Masks = dict[str, Array]
Parts = tuple[list[Episode], list[Episode], list[Episode]]


class Repeats:
    """A policy that goes where the log goes: at each held-out state it does what was executed there."""

    sha256 = "0" * 64

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self._episodes, self._next = episodes, 0

    def reset(self) -> None:
        """On to the next episode; after the last the first again."""
        self._current = self._episodes[self._next % len(self._episodes)]
        self._next += 1

    def act(self, observations: Array) -> Array:
        """What was executed."""
        return self._current.actions

    def explore(self, observations: Array, rng: np.random.Generator) -> Array:
        """The same."""
        return self._current.actions


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every log, print the tables, write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.support_gaps", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the door alone, one split")
    quick = parser.parse_args(arguments).quick
    at, rows = commit(), list[dict[str, Any]]()
    seeds, resplits, clean_splits = (SEEDS[:1], 2, 50) if quick else (SEEDS, RESPLITS, CLEAN_SPLITS)
    for name in ("door",) if quick else SPLITS:
        log = load(name)
        for row in measure(log, seeds, resplits, clean_splits):
            print_row(row)
            rows.append(row)
    found = claims(rows, at_least=4 if quick else 12)
    for one in found:
        print(f"{'holds' if one['holds'] else 'FAILS'}  {one['claim']}: {one['measured']} (limit {one['limit']})")
    print(save("support_gaps_quick" if quick else "support_gaps", seeds=seeds, rows=rows, claims=found, at=at))


def measure(log: Log, seeds: Sequence[int], resplits: int, clean_splits: int) -> Iterator[dict[str, Any]]:
    """Every row of one log."""
    whole = masks_of(log, log.episodes)
    for region in chosen(log, whole):
        yield case("planted", log, region, seeds, audited)
    for sensor in log.module.SPEC.sensor_dimensions:
        yield case("blind", log, MISSING + sensor, seeds, audited)
    for region in (n for n in whole if whole[n].any() and not (whole[n].all() and not n.startswith(ALIVE))):
        yield case("every region", log, region, range(resplits), ruled)
    clean = [ruled(parts, log, parts[2]) for parts in splits(log, range(clean_splits))]
    yield {
        "part": "clean",
        "log": log.name,
        "region": "none",
        "cases": clean_splits,
        "named": sum(bool(gaps(one)) for one in clean),
        "thin": sum(any(s.status == THIN for s in one) for one in clean),
        "others": sorted({name for one in clean for name in gaps(one)}),
    }


def case(
    part: str,
    log: Log,
    region: str,
    seeds: Sequence[int],
    look: Callable[[Parts, Log, list[Episode]], Sequence[Standing]],
) -> dict[str, Any]:
    """One region taken out, over several splits: how often it stands first, and how often it is named a gap."""
    first = named = 0
    places, others = list[int](), set[str]()
    for parts in splits(log, seeds):
        train, held_back = (list(without(p, log, region)) for p in parts[:2])
        held_out = list(blinded(parts[2], log, region)) if region.startswith(MISSING) else parts[2]
        found = look((train, held_back, held_out), log, held_out)
        names = [one.name for one in found]
        first += names[0] == region and found[0].status in (GAP, THIN)
        places.append(names.index(region) + 1)
        named += region in gaps(found)
        # Of a sensor that died in use, the regions that its dead readings put the policy into; else those left empty.
        pair = (held_out, parts[2]) if region.startswith(MISSING) else (parts[0], train)
        others |= {n for n in gaps(found) if n != region and lost(n, log, *pair) < EMPTIED}
    return {
        "part": part,
        "log": log.name,
        "region": region,
        "cases": len(seeds),
        "first": first,
        "named": named,
        "worst_place": max(places),
        "others": sorted(others),
    }


def audited(parts: Parts, log: Log, held_out: list[Episode]) -> Sequence[Standing]:
    """The exposures of the whole audit."""
    train, held_back, _ = parts
    estimator = SupportEstimator.fit(train, SupportConfig())
    calibration = calibrate(estimator, held_back, train, SPLITS[log.name][2])
    rng = np.random.default_rng(0)
    return audit(Repeats(held_out), estimator, calibration, held_out, log.module, rng).exposures


def ruled(parts: Parts, log: Log, held_out: list[Episode]) -> Sequence[Standing]:
    """The standings alone: what the audit's order of gaps rests on."""
    masks, count = masks_of(log, [*parts[0], *held_out]), sum(map(len, parts[0]))
    logged, used = ({n: m[rows] for n, m in masks.items()} for rows in (slice(count), slice(count, None)))
    return standings(logged, episode_of(parts[0]), [used], episode_of(held_out))


def splits(log: Log, seeds: Sequence[int]) -> Iterator[Parts]:
    """Train, calibration and held-out episodes, drawn anew for each seed."""
    train, held_back, _ = SPLITS[log.name]
    for seed in seeds:
        order, count = np.random.default_rng(seed).permutation(len(log.episodes)), len(log.episodes)
        cuts = [round(train * count), round((train + held_back) * count)]
        a, b, c = ([log.episodes[i] for i in part] for part in np.split(order, cuts))
        yield a, b, c


def without(episodes: Sequence[Episode], log: Log, region: str) -> Iterator[Episode]:
    """The episodes without a region's steps (an episode of nothing else goes), or with a constant for a sensor."""
    if region.startswith(MISSING):
        yield from episodes
    elif region.startswith(ALIVE):
        yield from blinded(episodes, log, region)
    else:
        for one in episodes:
            kept = ~log.module.regions(one.observations[:-1], one.actions)[region]
            if kept.any():
                yield only(one, kept)


def only(one: Episode, kept: Array) -> Episode:
    """An episode of the steps (T,) that are kept, at least one; what was seen after the last is of no consequence."""
    return dataclasses.replace(
        one,
        observations=np.concatenate([one.observations[:-1][kept], one.observations[-1:]]),
        actions=one.actions[kept],
        rewards=one.rewards[kept],
        cost=one.cost[kept],
        intervened=one.intervened[kept],
    )


def blinded(episodes: Sequence[Episode], log: Log, region: str) -> Iterator[Episode]:
    """The episodes with zeros in place of a sensor's readings."""
    dimensions = log.module.SPEC.sensor_dimensions[region.partition("/")[2]]
    columns = [log.module.SPEC.observation.names.index(d) for d in dimensions]
    for one in episodes:
        observations = one.observations.copy()
        observations[:, columns] = 0.0
        yield dataclasses.replace(one, observations=observations)


def chosen(log: Log, masks: Masks) -> list[str]:
    """Of each kind the largest and the smallest region that a third of the episodes visit; every sensor is as large."""
    regions = []
    for kind in KINDS:
        visited = [n for n, m in masks.items() if n.startswith(f"{kind}/") and share_visiting(log, m) >= VISITED]
        by_size = sorted(visited, key=lambda n: float(np.mean(masks[n])))
        regions += [by_size[-1], by_size[0]]
    return regions


def share_visiting(log: Log, mask: Array) -> float:
    """Share of the log's episodes with some step in the mask."""
    return len(np.unique(episode_of(log.episodes)[mask])) / len(log.episodes)


def lost(region: str, log: Log, these: Sequence[Episode], those: Sequence[Episode]) -> float:
    """Share of a region's steps in these episodes that those do not have: 1 for a region inside the planted one."""
    had, has = (int(np.sum(masks_of(log, part).get(region, 0))) for part in (these, those))
    return 1 - has / max(had, 1)


def masks_of(log: Log, episodes: Sequence[Episode]) -> Masks:
    """Every region of the robot and its sensors, over all steps of the episodes."""
    observations = np.concatenate([e.observations[:-1] for e in episodes])
    named: Mapping[str, Array] = log.module.regions(observations, np.concatenate([e.actions for e in episodes]))
    lengths = np.array([len(e) for e in episodes])
    return {**named, **sensor_regions(log.module.SPEC, observations, lengths)}


def episode_of(episodes: Sequence[Episode]) -> Array:
    """Index of the episode of each step."""
    return np.repeat(np.arange(len(episodes)), [len(e) for e in episodes])


def claims(rows: Sequence[Mapping[str, Any]], *, at_least: int) -> list[dict[str, Any]]:
    """The issue's: planted gaps stand first by name, at least so many regions, and no gap is named without one."""
    by_part = {part: [r for r in rows if r["part"] == part] for part in ("planted", "blind", "every region", "clean")}
    found = []
    for part in ("planted", "blind"):
        cases, first = (sum(r[key] for r in by_part[part]) for key in ("cases", "first"))
        found.append(claim(f"{part}: the region stands first, by name, in every case", first, cases, first == cases))
    regions = len({(r["log"], r["region"]) for r in by_part["planted"]})
    found.append(claim("regions planted in a full audit", regions, at_least, regions >= at_least))
    others = sorted(
        {name for part in ("planted", "blind", "every region") for r in by_part[part] for name in r["others"]}
    )
    found.append(claim("further gaps named that do not come with what was planted", others, [], not others))
    for row in by_part["clean"]:
        share = row["named"] / row["cases"]
        text = f"{row['log']}: share of {row['cases']} random splits in which a gap is named, none planted"
        found.append(claim(text, share, GAP_ALPHA, share <= GAP_ALPHA))
    return found


def print_row(row: Mapping[str, Any]) -> None:
    """A line a case."""
    first = f"first {row['first']:>3}, worst place {row['worst_place']:>2}, " if "first" in row else ""
    others = f"; also {', '.join(row['others'])}" if row["others"] else ""
    print(
        f"{row['part']:13}{row['log']:7}{row['region']:52}{row['cases']:>4} splits: "
        f"{first}named a gap {row['named']:>3}{others}",
        flush=True,
    )


if __name__ == "__main__":
    main()
