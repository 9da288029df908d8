"""What a validation found, counted while the episodes stream by, and written to ``validation.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from offline_to_online.dataset.episode import Episode
from offline_to_online.dataset.manifest import Manifest
from offline_to_online.dataset.spec import Array, VectorSchema
from offline_to_online.dataset.split import Split
from offline_to_online.dataset.store import EPISODES, TRANSITIONS, file_sha256
from offline_to_online.errors import DataError

NARROW = 0.01  # of the declared width, in every dimension: then the unit is another one


class Tally:
    """Running counts over the episodes of one data set: memory grows with episodes, not with steps."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._rows: list[dict[str, Any]] = []
        self._index: dict[str, int] = {}
        self._ranges = {
            name: (np.full(schema.size, np.inf), np.full(schema.size, -np.inf))
            for name, schema in self._schemas().items()
        }
        self.clipped = np.zeros(manifest.action.size, dtype=np.int64)
        self.clipped_steps = 0

    def add(self, episode: Episode, *, clipped: Array, where: str) -> None:
        """Count an episode; ``clipped`` (T, A) marks the action entries that were brought back.

        Raises:
            DataError: an earlier episode has the same content.
        """
        if episode.identity in self._index:
            raise DataError(
                f"this episode is a copy of episode {self._index[episode.identity]}",
                where=where,
                limit="each episode is logged once, or it could leak from one part of the split into another",
                remedy="remove the copy, or say duplicates: leave_out in the manifest",
            )
        self._index[episode.identity] = len(self._rows)
        self._rows.append(_row(episode))
        for name, values in (("observation", episode.observations), ("action", episode.actions)):
            low, high = self._ranges[name]
            self._ranges[name] = (np.minimum(low, values.min(0)), np.maximum(high, values.max(0)))
        self.clipped += clipped.sum(axis=0)
        self.clipped_steps += int(clipped.any(axis=1).sum())

    def __contains__(self, identity: str) -> bool:
        """Whether an episode of this content was counted."""
        return identity in self._index

    @property
    def frame(self) -> pd.DataFrame:
        """The table of episodes that Great Expectations judges."""
        return pd.DataFrame(self._rows)

    def ranges(self) -> dict[str, dict[str, list[float]]]:
        """Schema, then dimension, to the lowest and highest value seen."""
        return {
            name: {
                d.name: [float(self._ranges[name][0][i]), float(self._ranges[name][1][i])]
                for i, d in enumerate(schema.dimensions)
            }
            for name, schema in self._schemas().items()
        }

    def require_plausible(self, *, where: str) -> None:
        """Refuse data that fills next to nothing of every declared interval: a sign of another unit.

        Raises:
            DataError: in each dimension the data spans less than 1 % of the declared width.
        """
        for name, schema in self._schemas().items():
            low, high = self._ranges[name]
            shares = (high - low) / (schema.high.astype(np.float64) - schema.low)
            if len(self._rows) and bool(np.all(shares < NARROW)):
                i = int(np.argmax(shares))
                d = schema.dimensions[i]
                raise DataError(
                    f"all {name}s lie in a small part of their bounds: {d.name} in [{low[i]:g}, {high[i]:g}]",
                    where=where,
                    limit=f"manifest {self.manifest.name} declares [{d.low:g}, {d.high:g}] {d.unit}",
                    remedy=f"check the units: no dimension spans {NARROW:.0%} of its width",
                )

    def _schemas(self) -> dict[str, VectorSchema]:
        return {"observation": self.manifest.observation, "action": self.manifest.action}


def summarise(tally: Tally, split: Split, folder: Path, *, dropped_steps: int) -> dict[str, Any]:
    """The content of ``validation.json``, for the episodes just written to ``folder``."""
    frame, manifest = tally.frame, tally.manifest
    steps = int(frame["length"].sum())
    return {
        "name": manifest.name,
        "robot": manifest.robot,
        "episodes": len(frame),
        "steps": steps,
        "steps_without_next_observation": dropped_steps,
        "length": {
            "shortest": int(frame["length"].min()),
            "longest": int(frame["length"].max()),
            "horizon": manifest.episode_horizon,
        },
        "success_rate": float(frame["success"].mean()),
        "operators": {name: _operator(frame[frame["operator"] == name]) for name in manifest.operators},
        "reward_source": manifest.reward_source,
        "return": {"lowest": float(frame["return_"].min()), "highest": float(frame["return_"].max())},
        "clipped": {
            "policy": manifest.action.out_of_bounds,
            "entries": int(tally.clipped.sum()),
            "share_of_entries": float(tally.clipped.sum() / (steps * manifest.action.size)),
            "steps": tally.clipped_steps,
            "share_of_steps": tally.clipped_steps / steps,
            "by_dimension": {
                d.name: int(n) for d, n in zip(manifest.action.dimensions, tally.clipped, strict=True) if n
            },
        },
        "ranges": tally.ranges(),
        "split": split.sizes,
        "manifest_sha256": manifest.sha256,
        "split_sha256": split.sha256,
        "transitions_sha256": file_sha256(folder / TRANSITIONS),
        "episodes_sha256": file_sha256(folder / EPISODES),
    }


def _row(episode: Episode) -> dict[str, Any]:
    return {
        "identity": episode.identity,
        "operator": episode.operator,
        "seed": episode.seed,
        "length": len(episode),
        "success": episode.success,
        "score": episode.score,
        "terminated": episode.terminated,
        "truncated": episode.truncated,
        "return_": episode.discounted_return(1.0),
        "cost": float(np.sum(episode.cost, dtype=np.float64)),
    }


def _operator(rows: pd.DataFrame) -> dict[str, Any]:
    if not len(rows):
        return {"episodes": 0, "steps": 0, "success_rate": None, "score": None}
    return {
        "episodes": len(rows),
        "steps": int(rows["length"].sum()),
        "success_rate": float(rows["success"].mean()),
        "score": float(rows["score"].mean()),
    }
