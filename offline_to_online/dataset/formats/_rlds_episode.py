"""One record of an RLDS data set: its N steps, decoded and held against what RLDS says of first and last."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from offline_to_online.dataset.formats._rlds_features import Feature, Features
from offline_to_online.dataset.formats._tf_example import bytes_in, features_of, numbers_in
from offline_to_online.dataset.logged import LoggedEpisode
from offline_to_online.dataset.spec import Array
from offline_to_online.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steps of one record. ``len()`` is N."""

    record: bytes
    features: Features
    where: str

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        first = self.features.steps.get("is_first", self.features.action_parts[0])
        return len(self._raw(first)) // first.width

    @cached_property
    def _encoded(self) -> dict[str, memoryview]:
        try:
            return features_of(self.record)
        except ValueError as error:
            raise self._error(f"the record is no tf.train.Example: {error}", "") from error

    def values(self, feature: Feature) -> Array:
        """A feature of every step, (N, width), in the type that features.json names.

        Raises:
            DataError: it is missing, no numbers, of another length, or beyond its type.
        """
        raw = self._raw(feature)
        if len(raw) != len(self) * feature.width:
            limit = f"{len(self) * feature.width} for {len(self)} steps of {feature.width}"
            raise self._error(f"{len(raw)} numbers", f"steps/{feature.name}", limit)
        return self._typed(raw, feature).reshape(len(self), feature.width)

    def episode(self, sensors: Sequence[Feature], *, extra: bool) -> LoggedEpisode:
        """N observations and N-1 transitions.

        Raises:
            DataError: as ``values``; the flags say that the episode begins or ends elsewhere; N is below 2.
        """
        if len(self) < 2:
            limit = "at least 2 steps: the last one holds an observation alone"
            raise self._error(f"an episode of {len(self)} step(s)", "", limit, "remove it")
        self._require_borders()
        reward, terminals = self.features.reward, self._terminals()
        last = np.arange(1, len(self)) == len(self) - 1
        return LoggedEpisode(
            where=self.where,
            sensors={f.name: self.values(f) for f in sensors},
            actions=np.concatenate([self.values(f) for f in self.features.action_parts], axis=1)[:-1],
            rewards=None if reward is None else self.values(reward)[:-1, 0],
            terminals=terminals,
            timeouts=last & ~terminals,
            extra={f.name: self.values(f) for f in self.features.others} if extra else {},
            facts=self._facts() if extra else {},
        )

    @property
    def is_cut(self) -> bool:
        """Whether no step is flagged as the last: the recording ended before the episode did."""
        return "is_last" in self.features.steps and not self._flags("is_last").any()

    def _require_borders(self) -> None:
        """Refuse steps that are flagged as another episode's begin or end: records were shifted or merged."""
        for name, place in (("is_first", 0), ("is_last", len(self) - 1)):
            if name not in self.features.steps or (name == "is_last" and self.is_cut):
                continue
            flags = self._flags(name)
            expected = np.arange(len(self)) == place
            if not np.array_equal(flags, expected):
                step = int(np.argmax(flags != expected))
                limit = f"{name} is true at step {place} of {len(self)}, and there alone"
                raise self._error(f"{name} is {bool(flags[step])}", f"step {step}", limit)

    def _terminals(self) -> Array:
        """``is_terminal`` of the last step, moved to the transition that led there; (N-1,)."""
        flags = np.zeros(len(self), dtype=np.bool_)
        if "is_terminal" in self.features.steps:
            flags = self._flags("is_terminal")
        if flags[:-1].any():
            limit = "true at the last step, or nowhere"
            raise self._error("is_terminal is True", f"step {int(np.argmax(flags))}", limit)
        return flags[1:]

    def _flags(self, name: str) -> Array:
        return self.values(self.features.steps[name])[:, 0].astype(np.bool_)

    def _facts(self) -> dict[str, Array]:
        """Numbers of the episode's metadata."""
        found = {}
        for feature in self.features.metadata.values():
            name = f"episode_metadata/{feature.name}"
            if feature.kind == "number" and name in self._encoded:
                values = self._decode(feature, name)
                found[name] = self._typed(values, feature)
        return found

    def _raw(self, feature: Feature) -> Array:
        return self._decode(feature, f"steps/{feature.name}")

    def _decode(self, feature: Feature, name: str) -> Array:
        """Numbers of a feature, flat, as wide as the file holds them."""
        if name not in self._encoded:
            raise self._error("the feature is missing", name, "every feature of features.json")
        try:
            if feature.encoding == "none":
                return numbers_in(self._encoded[name])
            return np.concatenate([self._unpacked(item, feature) for item in bytes_in(self._encoded[name])])
        except (ValueError, zlib.error) as error:
            raise self._error(f"cannot be read: {error}", name, f"{feature.dtype} numbers") from error

    def _unpacked(self, item: bytes, feature: Feature) -> Array:
        """Numbers of one step that were stored as bytes, compressed or not."""
        wanted = feature.width * np.dtype(feature.dtype).itemsize
        if feature.encoding == "zlib":
            item = zlib.decompressobj().decompress(item, wanted + 1)
        if len(item) != wanted:
            raise ValueError(f"a step of {len(item)} bytes where {wanted} were announced")
        return np.frombuffer(item, dtype=np.dtype(feature.dtype).newbyteorder("<"))

    def _typed(self, values: Array, feature: Feature) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            typed = values.astype(feature.dtype)
        if not np.array_equal(typed.astype(values.dtype), values, equal_nan=values.dtype.kind == "f"):
            limit = f"what {feature.dtype} can hold"
            raise self._error("a number is beyond its type", f"steps/{feature.name}", limit)
        return typed

    def _error(
        self, what: str, place: str, limit: str = "a whole record", remedy: str = "record the episode again"
    ) -> DataError:
        where = f"{self.where}, {place}" if place else self.where
        return DataError(what, where=where, limit=limit, remedy=remedy)
