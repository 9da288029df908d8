"""Is this data set acceptable: the table of its episodes against expectations. The only Great Expectations door."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from offline_to_online.dataset.manifest import Manifest

LARGEST = float(np.finfo(np.float32).max)


def accept(frame: pd.DataFrame, manifest: Manifest) -> dict[str, Any]:
    """Judge the table of episodes; a refusal is a value, not an exception.

    Args:
        frame: a row per episode: ``identity``, ``operator``, ``seed``, ``length``, ``success``, ``score``,
            ``terminated``, ``truncated``, ``return_``, ``cost``.
        manifest: what the data set claims to be.

    Returns:
        ``{accepted, episodes, expectations: [{name, expectation, column, passed, unexpected, examples}]}``,
        the same for the same table: no times, no run names.
    """
    with _quiet():
        results = [_row(name, result) for name, result in zip(*_validate(frame, manifest), strict=True)]
    return {"accepted": all(row["passed"] for row in results), "episodes": len(frame), "expectations": results}


def _validate(frame: pd.DataFrame, manifest: Manifest) -> tuple[list[str], list[Any]]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    table = frame.assign(ended=frame["terminated"] | frame["truncated"])
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("episodes").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": table})
    expectations = _expectations(manifest)
    return list(expectations), [batch.validate(expectation) for expectation in expectations.values()]


def _expectations(manifest: Manifest) -> dict[str, Any]:
    # The library exports its expectations in a way that type checkers do not follow.
    gxe: Any = importlib.import_module("great_expectations.expectations")

    between, whole = gxe.ExpectColumnValuesToBeBetween, gxe.ExpectColumnValuesToNotBeNull
    finite = {"min_value": -LARGEST, "max_value": LARGEST}
    truth = [True, False]
    return {
        "there are enough episodes to split": gxe.ExpectTableRowCountToBeBetween(
            min_value=sum(share > 0 for share in manifest.split.shares.values())
        ),
        "every episode is told apart": gxe.ExpectColumnValuesToBeUnique(column="identity"),
        "every episode has an identity": whole(column="identity"),
        "the length lies within the horizon": between(column="length", min_value=1, max_value=manifest.episode_horizon),
        "the operator is one of the manifest's": gxe.ExpectColumnValuesToBeInSet(
            column="operator", value_set=list(manifest.operators)
        ),
        "every episode has an operator": whole(column="operator"),
        "the return is a number": whole(column="return_"),
        "the return is finite": between(column="return_", **finite),
        "the score is a number": whole(column="score"),
        "the score lies in [0, 1]": between(column="score", min_value=0.0, max_value=1.0),
        "success is true or false": gxe.ExpectColumnValuesToBeInSet(column="success", value_set=truth),
        "the constraint cost is a number": whole(column="cost"),
        "the constraint cost is finite and not negative": between(column="cost", min_value=0.0, max_value=LARGEST),
        "the ending is known": gxe.ExpectColumnValuesToBeInSet(column="ended", value_set=[True]),
        "the seed is a seed, or -1 where none was logged": between(column="seed", min_value=-1),
    }


def _row(name: str, result: Any) -> dict[str, Any]:
    config, outcome = result.expectation_config, result.result
    broken = (result.exception_info or {}).get("exception_message")
    return {
        "name": name,
        "expectation": config.type,
        "column": config.kwargs.get("column"),
        "passed": bool(result.success),
        "unexpected": int(outcome.get("unexpected_count", 0)),
        "examples": [str(value) for value in outcome.get("partial_unexpected_list", [])[:3]]
        + ([broken] if broken else []),
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """No telemetry, no log lines, and none of the warnings that the library's own imports raise."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
