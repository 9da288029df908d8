"""Small Minari data sets, written by the minari library itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

Box = gymnasium.spaces.Box


def written(
    folder: Path, storage: str, *, observation: Any, episodes: list[dict[str, Any]], action: Any = None, **more: Any
) -> Path:
    """A data set as ``minari`` itself writes it, with one step per entry of ``rewards``."""
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    data = folder / "data"
    folder.mkdir(parents=True)
    action = action or Box(-2, 3, (2,), np.float32)
    store = MinariStorage.new(data, observation_space=observation, action_space=action, data_format=storage, **more)
    store.update_metadata({"dataset_id": "made/up-v0", "minari_version": minari.__version__})
    store.update_episodes([EpisodeBuffer(**episode) for episode in episodes])
    return folder


def episode(observations: Any, steps: int, number: int = 0, **more: Any) -> dict[str, Any]:
    """What EpisodeBuffer takes: distinct numbers in every place."""
    last = np.arange(steps) == steps - 1
    return {
        "id": number,
        "observations": observations,
        "actions": (np.arange(2 * steps).reshape(steps, 2) / 100 + number).astype(np.float32),
        "rewards": np.arange(steps) + number / 7,
        "terminations": last & (number % 2 == 0),
        "truncations": last & (number % 2 == 1),
        **more,
    }


def rows(steps: int, width: int, offset: float = 0.0) -> np.ndarray:
    """(steps + 1, width) different numbers."""
    return np.arange((steps + 1) * width, dtype=np.float64).reshape(-1, width) / 10 + offset


def twelve() -> list[dict[str, Any]]:
    """Enough episodes that their names do not sort as their numbers do."""
    return [episode(rows(3, 3, number), 3, number) for number in range(12)]
