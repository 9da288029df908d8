"""Statistics of a feature as LeRobotDataset keeps them, of one episode and of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from offline_to_online.dataset.spec import Array

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """Of one feature in one episode; every array has the shape (width,). ``std`` is the population's."""

    count: int
    min: Array
    max: Array
    mean: Array
    std: Array
    quantiles: dict[str, Array]

    def to_json(self) -> dict[str, list[Any]]:
        """Lists by lerobot's names."""
        arrays = {"min": self.min, "max": self.max, "mean": self.mean, "std": self.std, **self.quantiles}
        return {**{name: array.tolist() for name, array in arrays.items()}, "count": [self.count]}


def summary(values: Array) -> Summary:
    """Of the rows of one episode, (T,) or (T, width), T from 1."""
    rows = values.reshape(len(values), -1).astype(np.float64)
    found = np.quantile(rows, list(QUANTILES.values()), axis=0)
    return Summary(
        count=len(rows),
        min=rows.min(axis=0),
        max=rows.max(axis=0),
        mean=rows.mean(axis=0),
        std=rows.std(axis=0),
        quantiles=dict(zip(QUANTILES, found, strict=True)),
    )


class Running:
    """Summaries of episodes put together, in constant memory.

    Mean and variance are pooled exactly (Chan, Golub and LeVeque, 1979); quantiles are averages weighted
    by the episodes' lengths, which is lerobot's own approximation.
    """

    def __init__(self) -> None:
        self._whole: Summary | None = None

    def add(self, part: Summary) -> None:
        """Take in one episode."""
        if self._whole is None:
            self._whole = part
            return
        whole = self._whole
        count = whole.count + part.count
        share = part.count / count
        apart = part.mean - whole.mean
        variance = (1 - share) * whole.std**2 + share * part.std**2 + share * (1 - share) * apart**2
        self._whole = Summary(
            count=count,
            min=np.minimum(whole.min, part.min),
            max=np.maximum(whole.max, part.max),
            mean=whole.mean + share * apart,
            std=np.sqrt(variance),
            quantiles={q: (1 - share) * whole.quantiles[q] + share * part.quantiles[q] for q in QUANTILES},
        )

    def to_json(self) -> dict[str, list[Any]]:
        """Lists by lerobot's names; empty before the first episode."""
        return {} if self._whole is None else self._whole.to_json()
