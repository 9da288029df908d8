"""Faults of single numbers: their sign, order, unit, range and sampling."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.bad_inputs import semantic as s
from benchmarks.bad_inputs.fault import ALL, AMONG, FEW, FIRST, SPEED_X, TURN, Fault, X, Y, slider
from benchmarks.bad_inputs.logs import picks, slides, swings
from benchmarks.bad_inputs.semantic import SOME

DEGREES = 180 / np.pi
FLIPPED, SWAPPED, SHIFTED, ANGLES = ("flipped_sign",), ("swapped_dimensions",), ("shifted_actions",), ("angle_units",)
SILENT, FROZEN, STALE = ("sensor_dropout", "frozen_sensor"), ("frozen_sensor",), ("repeated_samples",)
STEP = r"step (?:19|20|21)\b"
EVERYTHING = slice(None)

BLOCK_TURNS, HEADING, PLACE, SPEEDS = [11, 12, 13], [2, 5], [0, 1], [3, 4]

FAULTS: dict[str, tuple[Fault, ...]] = {
    "flipped sign": (
        Fault(
            "push_x, everywhere, against its robot",
            s.acted(s.scaled([0], -1)),
            FLIPPED,
            X,
            slider,
            ("d4rl_hdf5", "robosuite_raw", "zarr_replay"),
        ),
        Fault("dy of Fetch, everywhere", s.acted(s.scaled([1], -1)), FLIPPED, r"action\.dy\b", picks),
        Fault("push_y in four episodes", s.acted(s.scaled([1], -1), SOME), FLIPPED, rf"{FIRST}.*{Y}", formats=ALL),
    ),
    "swapped dimensions": (
        Fault(
            "push_x and push_y, everywhere, against the robot",
            s.acted(s.swapped(0, 1)),
            SWAPPED,
            X,
            slider,
            ("d4rl_hdf5", "zarr_replay"),
        ),
        Fault("dx and dy of Fetch, everywhere", s.acted(s.swapped(0, 1)), SWAPPED, r"action\.d[xy]\b", picks),
        Fault(
            "push_x and turn in four episodes",
            s.acted(s.swapped(0, 2), SOME),
            SWAPPED,
            rf"{FIRST}.*{X} and {TURN}",
            formats=FEW,
        ),
    ),
    "actions shifted": (
        # One step early is what a robot with a step of latency looks like by itself: a notice is right.
        *(
            Fault(
                f"by {steps} steps, everywhere",
                s.acted(s.later(steps)),
                SHIFTED,
                formats=("d4rl_hdf5", "minari (Arrow)"),
                notice=steps == -1,
            )
            for steps in (-1, 2, 3)
        ),
        Fault(
            "by 2 steps in four episodes",
            s.acted(s.later(2), SOME),
            SHIFTED,
            FIRST,
            formats=("d4rl_hdf5", "rlds", "parquet_store"),
        ),
    ),
    "degrees for radians": (
        Fault(
            "the block's turns, everywhere, against the robot",
            s.observed(s.scaled(BLOCK_TURNS, DEGREES)),
            ANGLES,
            r"observation\.block_",
            picks,
        ),
        Fault(
            "the heading, everywhere",
            s.observed(s.scaled(HEADING, DEGREES)),
            ANGLES,
            r"observation\.heading",
            formats=("d4rl_hdf5", "lerobot (v2.1)"),
        ),
        Fault(
            "the heading in four episodes",
            s.observed(s.scaled(HEADING, DEGREES), SOME),
            ANGLES,
            FIRST,
            formats=("d4rl_hdf5", "lerobot (v3.0)"),
        ),
    ),
    "pixels for [-1, 1]": (
        Fault("all of Fetch", s.acted(s.scaled(EVERYTHING, 256, 256)), ("action_units",), r"action\.", picks),
        Fault(
            "all actions, against declared bounds",
            s.acted(s.scaled(EVERYTHING, 256, 256)),
            ("action_units",),
            r"action\.",
            formats=("minari (HDF5)", "minari (Arrow)"),
        ),
        Fault(
            "actions of four episodes",
            s.acted(s.scaled(EVERYTHING, 256), SOME),
            ("scaled_actions",),
            FIRST,
            formats=("d4rl_hdf5", "lerobot (v2.1)", "rlds"),
        ),
    ),
    "constant dimension": (
        Fault("turn", s.acted(s.set_to([2], 0.0)), ("constant_dimension",), TURN, formats=FEW),
        Fault("the heading", s.observed(s.set_to([2], 0.7)), ("constant_dimension",), r"\bheading\b"),
    ),
    "saturation": (
        Fault("push_x at full force", lambda log: log, ("saturation",), X, partial(slides, bang=True), FEW),
        Fault(
            "a torque clipped at half",
            s.acted(lambda actions: np.clip(3 * actions, -1.0, 1.0)),
            ("saturation",),
            r"action\.torque",
            swings,
        ),
    ),
    "stale samples": (
        Fault(
            "eight rows alike in one episode",
            s.observed(s.held(20, 8), (3,)),
            (*STALE, *FROZEN),
            rf"{FIRST}, {STEP}",
            formats=FEW,
        ),
        Fault(
            "7 % of all rows",
            s.stale(0.07),
            STALE,
            formats=("d4rl_hdf5", "robomimic_hdf5", "lerobot (v2.1)", "parquet_store"),
        ),
    ),
    "jump": (
        Fault(
            "3 m in one episode",
            s.observed(s.moved(PLACE, 3.0, 20), (3,)),
            ("jumps",),
            rf"{FIRST}, {STEP}",
            formats=ALL,
        ),
        Fault(
            "one row of one episode",
            s.observed(s.moved([1], 3.0, 20, 21), (3,)),
            ("jumps",),
            rf"{FIRST}, {STEP}",
            formats=("d4rl_hdf5", "rlds"),
        ),
    ),
    "interleaved sources": (
        Fault(
            "two places in turn in four episodes",
            s.observed(s.every_second_elsewhere([0], 0.3), SOME),
            ("interleaved_sources",),
            AMONG,
            formats=("d4rl_hdf5", "zarr_replay"),
        ),
    ),
    "missing sensor": (
        Fault(
            "two speeds read zero from one step on",
            s.observed(s.set_to(SPEEDS, 0.0, 15), (3,)),
            SILENT,
            rf"{FIRST}.*{SPEED_X}",
            formats=FEW,
        ),
        Fault(
            "one speed stands still from one step on",
            s.observed(s.held(15, 40, [3]), (3,)),
            FROZEN,
            rf"{FIRST}.*{SPEED_X}",
            formats=("d4rl_hdf5", "robomimic_hdf5"),
        ),
        Fault(
            "two speeds read zero everywhere",
            s.observed(s.set_to(SPEEDS, 0.0)),
            ("constant_dimension", "sensor_dropout", "missing_sensor"),
            SPEED_X,
        ),
    ),
}
