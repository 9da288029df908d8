"""RLDS data sets as TFDS writes them: ``dataset_info.json``, ``features.json`` and tfrecord shards, without TensorFlow.

A record is an episode, ``steps/<feature>`` its N steps. Every vector under ``steps/observation`` is a sensor
(``observation/state``); those whose name ends in ``embedding`` are no observation unless a manifest selects them. An
action that is a dictionary is its numeric parts, by name. Splits are read one after another, in the order of
``dataset_info.json``. Pictures and texts are left out; discount, embeddings and other numbers a step are extra,
numbers of ``episode_metadata`` are facts.

Step t holds the observation, the action taken there and the reward that followed. On the last step action, reward and
discount are invalid, and an episode whose last step is not terminal was truncated (RLDS README, "Dataset Format"): N
steps are N observations and N-1 transitions, the last of them terminal or a time-out. Some writers set the reward of
success on the last step all the same, or flag no step as the last: both are warnings.

``Contents.steps`` counts steps as they stand, N an episode. Headers do not tell them: they are counted where the
shards are small enough to be read for it, else None.

Layout: https://github.com/google-research/rlds#dataset-format; Ramos et al., 2021, "RLDS", arXiv:2111.02767;
https://www.tensorflow.org/datasets/external_tfrecord.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from offline_to_online.dataset.finding import Finding
from offline_to_online.dataset.formats._rlds_episode import Steps
from offline_to_online.dataset.formats._rlds_features import FLAGS, Feature, Features, read_features
from offline_to_online.dataset.formats._rlds_shards import FEATURES, DataSet, find, looks_like_versions
from offline_to_online.dataset.logged import Contents, LoggedEpisode, Vector

COUNTED_BYTES = 2**30  # shards up to this size are read to count their steps: seconds


def recognises(path: Path) -> bool:
    """Whether it is a folder with ``dataset_info.json`` and tfrecords or ``features.json``, or holds such folders."""
    try:
        return path.is_dir() and bool(looks_like_versions(path))
    except OSError:
        return False


def describe(path: Path) -> Contents:
    """What the data set holds, from its two JSON files.

    Raises:
        DataError: one of them is missing or broken, a shard is missing or one too many; or a shard that is read to
            count its steps is damaged.
    """
    data = find(path)
    features = read_features(data.folder / FEATURES)
    steps, findings = _survey(data, features)
    return Contents(
        format="rlds",
        sensors=tuple(_vector(f) for f in features.sensors),
        observation=features.default_observation,
        actions=features.actions(),
        rewards=features.reward is not None,
        ends="is_terminal" in features.steps,
        times=False,
        final_observation=True,
        episodes=data.episodes,
        steps=steps,
        left_out=tuple(features.left_out()),
        findings=(*_absent(features, path), *findings),
        facts={
            **{
                key: str(data.info[key]) for key in ("name", "version", "description", "citation") if data.info.get(key)
            },
            **{f"split {name}": f"{episodes} episodes" for name, episodes in data.splits().items()},
        },
    )


def read(path: Path, *, sensors: Sequence[str] | None = None, extra: bool = False) -> Iterator[LoggedEpisode]:
    """Episodes of all splits in their order, one record in memory at a time, with its values as they stand there.

    Raises:
        DataError: as ``describe``; a record is damaged; a feature is missing or of another length; the flags say that
            an episode begins or ends elsewhere; an episode has no transition.
    """
    data = find(path)
    features = read_features(data.folder / FEATURES)
    wanted = [f for f in features.sensors if sensors is None or f.name in sensors]
    for file, index, record in data.records():
        steps = Steps(record=record, features=features, where=f"{file}, episode {index}")
        yield steps.episode(wanted, extra=extra)


def _vector(feature: Feature) -> Vector:
    return Vector(name=feature.name, width=feature.width, dtype=feature.dtype)


def _survey(data: DataSet, features: Features) -> tuple[int | None, Iterator[Finding]]:
    """Steps of all episodes, where they are counted, and what is odd about the last ones."""
    countable = data.size <= COUNTED_BYTES
    total, seen = 0, 0
    rewarded: list[tuple[str, int]] = []
    cut: list[tuple[str, int]] = []
    for file, index, record in data.records() if countable else itertools.islice(data.records(), 1):
        steps = Steps(record=record, features=features, where=f"{file}, episode {index}")
        total, seen = total + len(steps), seen + 1
        if steps.is_cut:
            cut.append((file, index))
        elif features.reward is not None and np.any(steps.values(features.reward)[-1:]):
            rewarded.append((file, index))
    return total if countable else None, _odd_ends(rewarded, cut, seen)


def _odd_ends(rewarded: list[tuple[str, int]], cut: list[tuple[str, int]], seen: int) -> Iterator[Finding]:
    if rewarded:
        yield Finding(
            check="reward_on_the_last_step",
            severity="warning",
            message=f"{len(rewarded)} of {seen} episodes: RLDS calls the reward there invalid, it is not imported",
            remedy="take the reward from the robot, or move it to the step before, where its action is",
            file=rewarded[0][0],
            episode=rewarded[0][1],
            dimension="reward",
            count=len(rewarded),
        )
    if cut:
        yield Finding(
            check="no_last_step",
            severity="warning",
            message=f"{len(cut)} of {seen} episodes have no step with is_last: they count as cut",
            remedy="find out whether the recording was shortened",
            file=cut[0][0],
            episode=cut[0][1],
            count=len(cut),
        )


def _absent(features: Features, path: Path) -> tuple[Finding, ...]:
    """A warning for each flag that the steps lack: where episodes begin and end is then taken from the records."""
    return tuple(
        Finding(
            check="absent_flag",
            severity="warning",
            message=f"steps have no {name}",
            remedy="record it, so that a shifted or merged episode can be told",
            file=f"{path.name}/{FEATURES}",
            dimension=name,
        )
        for name in FLAGS
        if name not in features.steps
    )
