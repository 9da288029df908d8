"""Faults of whole episodes: their clock, their ends, their rewards, their content and who acted."""

from __future__ import annotations

import numpy as np

from benchmarks.bad_inputs import semantic as s
from benchmarks.bad_inputs.fault import (
    ALL,
    FEW,
    FIRST,
    FLAGGED,
    LAST,
    TIMED,
    Fault,
    chain,
    slider,
    unfollowed,
    untabled,
)
from benchmarks.bad_inputs.logs import EPISODES, picks, slides, swings
from offline_to_online.dataset.spec import Array

CUT, CONTINUES, UNMARKED = ("cut_marked_as_terminal",), ("episode_continues",), ("unmarked_boundary",)
RATE, REWARD, SUCCESS = ("control_rate_mismatch",), ("reward_mismatch",), ("success_mismatch",)
NEAR, SEAM = ("near_duplicate_episodes",), r"episode [34]\b"
STEP = r"step (?:19|20|21)\b"
FAILED, SUCCEEDED = (
    tuple(i for i, recording in enumerate(slides().recordings) if recording.successes[-1] == told)[:4]
    for told in (False, True)
)
LENGTH = len(slides().recordings[3])


def _gap(times: Array) -> Array:
    """Ten samples are lost after step 20."""
    return np.asarray(times + 0.5 * (np.arange(len(times)) > 20))


def _exchanged(times: Array) -> Array:
    times[[20, 21]] = times[[21, 20]]
    return times


FAULTS: dict[str, tuple[Fault, ...]] = {
    "irregular time": (
        Fault("ten samples lost", s.timed(_gap, (3,)), ("irregular_time",), rf"{FIRST}, {STEP}", formats=TIMED),
        Fault("one episode at half the rate", s.timed(lambda t: 2 * t, (3,)), ("irregular_time", *RATE), FIRST),
    ),
    "time runs backwards": (
        Fault(
            "two stamps exchanged",
            s.timed(_exchanged, (3,)),
            ("time_not_monotone",),
            rf"{FIRST}, {STEP}",
            formats=TIMED,
        ),
    ),
    "wrong control rate": (
        Fault(
            "stamps at half the robot's",
            s.timed(lambda t: 2 * t),
            RATE,
            log=slider,
            formats=("d4rl_hdf5", "robosuite_raw"),
        ),
        Fault(
            "stamps at half the declared fps",
            s.timed(lambda t: 2 * t),
            RATE,
            formats=("lerobot (v2.1)", "lerobot (v3.0)"),
        ),
        Fault("milliseconds", s.timed(lambda t: 1000 * t), RATE, log=slider),
    ),
    "cut marked as terminal": (
        Fault(
            "every time-out of a pendulum",
            s.ended(terminal=True),
            CUT,
            log=swings,
            formats=("d4rl_hdf5", "minari (HDF5)", "rlds"),
        ),
        Fault("without success, a robot that ends on nothing else", s.ended(terminal=True), CUT, log=slider),
        Fault("every end of Fetch", s.ended(terminal=True), CUT, log=picks),
    ),
    "terminal in the middle": (
        Fault(
            "at step 20 of one episode",
            s.terminal_at(20, (3,)),
            ("end_before_the_last_step",),
            rf"{FIRST}.*step 20\b",
            formats=FLAGGED,
        ),
        # RLDS allows is_terminal in the last step alone: its own reader says so.
        Fault("against RLDS", s.terminal_at(20, (3,)), (), rf"{FIRST}, step 20\b", formats=("rlds",)),
        # In D4RL it ends the episode, and what follows is one of its own.
        Fault("as D4RL reads it", chain(s.terminal_at(20, (3,)), untabled), CONTINUES, SEAM),
        Fault("and one operator too few for it", s.terminal_at(20, (3,)), (), LAST),
    ),
    "missing time-outs": (
        Fault(
            "two episodes are one",
            chain(s.merged(3), unfollowed),
            UNMARKED,
            rf"{FIRST}, step (?:{LENGTH - 1}|{LENGTH})\b",
            formats=("d4rl_hdf5", "minari (HDF5)", "robomimic_hdf5", "lerobot (v3.0)", "zarr_replay", "parquet_store"),
        ),
        Fault(
            "two episodes of a pendulum are one", chain(s.merged(3), unfollowed), (*UNMARKED, "horizon"), FIRST, swings
        ),
    ),
    "episode split in two": (Fault("at step 20", chain(s.split_at(20, 3), unfollowed), CONTINUES, SEAM, formats=ALL),),
    "over-long episode": (
        Fault(
            "beyond the robot's horizon",
            chain(s.merged(5), unfollowed),
            ("horizon",),
            r"episode 5\b",
            slider,
            ("d4rl_hdf5", "zarr_replay"),
        ),
        Fault("twice as long as all others", chain(s.merged(5), unfollowed), ("horizon",), r"episode 5\b", swings),
    ),
    "reward off from the robot's own": (
        Fault("0.1 more, everywhere", s.rewarded(lambda r: r + np.float32(0.1)), REWARD, log=slider),
        Fault("negated", s.rewarded(lambda r: -r), REWARD, log=slider),
        Fault("a step late in one episode", s.rewarded(lambda r: np.roll(r, 1), (3,)), REWARD, FIRST, slider),
        Fault("0 and 1 for -1 and 0 of Fetch", s.rewarded(lambda r: r + np.float32(1)), REWARD, log=picks),
    ),
    "success against reward": (
        Fault(
            "told of four that failed",
            s.told_success(True, FAILED),
            SUCCESS,
            rf"episode {FAILED[0]}\b",
            formats=("d4rl_hdf5", "minari (HDF5)", "parquet_store"),
        ),
        Fault(
            "not told of four that succeeded",
            s.told_success(False, SUCCEEDED),
            SUCCESS,
            rf"episode {SUCCEEDED[0]}\b",
            formats=("d4rl_hdf5", "lerobot (v2.1)"),
        ),
    ),
    "duplicate episode": (Fault("one stands twice", s.with_copy(3), ("duplicate_episodes",), LAST, formats=ALL),),
    "near-duplicate episode": (
        Fault(
            "with a little noise",
            s.with_copy(3, s.trembling(1e-4)),
            NEAR,
            LAST,
            formats=("d4rl_hdf5", "minari (Arrow)", "zarr_replay"),
        ),
        Fault(
            "without its first five steps",
            s.with_copy(3, s.trimmed(5)),
            NEAR,
            LAST,
            formats=("d4rl_hdf5", "lerobot (v3.0)", "parquet_store"),
        ),
    ),
    "leak across the split": (
        Fault(
            "copies of half of the episodes",
            chain(*(s.with_copy(i, s.trimmed(3)) for i in range(0, EPISODES, 2))),
            ("split_leak",),
            formats=("d4rl_hdf5", "rlds"),
        ),
    ),
    "reset state far outside": (
        Fault(
            "one starts 4 m away",
            s.observed(s.moved([0, 1, 6, 7], 4.0, 0), (3,)),
            ("reset_outlier",),
            FIRST,
            formats=FEW,
        ),
        Fault(
            "one starts outside the robot's range",
            s.observed(s.moved([0, 6], 2.5, 0), (3,)),
            ("reset_outside_declared",),
            FIRST,
            slider,
        ),
        Fault(
            "goals outside Fetch's range",
            s.observed(s.moved([25], 0.5, 0), (3, 7)),
            ("reset_outside_declared",),
            r"episode [37]\b",
            picks,
        ),
    ),
    "operator imbalance": (
        Fault(
            "one episode of thirty",
            chain(s.by("anna"), s.by("ben", (4,))),
            ("operator_imbalance",),
            r"episode 4\b",
            formats=("d4rl_hdf5", "parquet_store"),
        ),
    ),
    "unknown operator": (
        Fault(
            "not in the manifest",
            s.by("mallory", (3,)),
            (),
            FIRST,
            formats=("d4rl_hdf5", "parquet_store"),
            states={"operators": ["anna", "ben"]},
        ),
    ),
    "remnants of episodes": (
        Fault("two of one step", chain(*(s.with_copy(i, s.first(1)) for i in (4, 8))), ("short_episodes",), LAST),
    ),
}
