"""tf.train.Example: a mapping of names to lists of bytes, of float32 or of int64, read off its protocol buffer.

    Example { features: 1 }   Features { feature: 1, a map }   entry { key: 1, value: 2 }
    Feature { bytes_list: 1 | float_list: 2 | int64_list: 3 }   each list { value: 1, packed or one by one }

A reader of our own, because numbers come out of it without passing through Python's: a packed list of floats is an
array as it stands. Messages: tensorflow/core/example/{example,feature}.proto; wire format:
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from offline_to_online.dataset.spec import Array

VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5
BYTES, FLOATS, INTEGERS = 1, 2, 3
LONGEST = 10  # bytes of a varint


def features_of(record: bytes) -> dict[str, memoryview]:
    """Every feature of an Example by name, not decoded yet.

    Raises:
        ValueError: the bytes are no Example.
    """
    found = {}
    for features in _messages(memoryview(record), 1):
        for entry in _messages(features, 1):
            parts = dict(_fields(entry))
            name, feature = parts.get((1, LENGTH), b""), parts.get((2, LENGTH), b"")
            found[bytes(name).decode("utf-8")] = memoryview(feature)
    return found


def numbers_in(feature: memoryview) -> Array:
    """The float32 or int64 numbers of a feature, flat; empty where it holds nothing at all.

    Raises:
        ValueError: it holds bytes, or is no feature.
    """
    pieces: list[Array] = []
    for (number, wire), value in _fields(feature):
        if number not in (FLOATS, INTEGERS) or wire != LENGTH:
            raise ValueError("it holds no numbers")
        pieces.extend(_floats(value) if number == FLOATS else _integers(value))
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.float32)


def bytes_in(feature: memoryview) -> list[bytes]:
    """The byte strings of a feature.

    Raises:
        ValueError: it holds numbers, or is no feature.
    """
    found: list[bytes] = []
    for (number, wire), value in _fields(feature):
        if number != BYTES or wire != LENGTH:
            raise ValueError("it holds no bytes")
        found.extend(bytes(item) for item in _messages(value, 1))
    return found


def _floats(values: memoryview) -> Iterator[Array]:
    for (number, wire), value in _fields(values):
        if number != 1 or wire not in (LENGTH, FOUR):
            raise ValueError("a list of floats holds something else")
        yield np.frombuffer(value, dtype="<f4")


def _integers(values: memoryview) -> Iterator[Array]:
    for (number, wire), value in _fields(values):
        if number != 1 or wire not in (LENGTH, VARINT):
            raise ValueError("a list of whole numbers holds something else")
        yield _varints(np.frombuffer(value, dtype=np.uint8))


def _varints(data: Array) -> Array:
    """Numbers of seven bits a byte, the lowest first, the eighth bit saying that more follow."""
    last = data < 0x80
    if last.all():
        return data.astype(np.int64)
    ends = np.flatnonzero(last)
    if not last[-1]:
        raise ValueError("a whole number is cut off")
    starts = np.r_[0, ends[:-1] + 1]
    lengths = ends - starts + 1
    if lengths.max() > LONGEST:
        raise ValueError("a whole number is longer than ten bytes")
    numbers = np.zeros(len(ends), dtype=np.uint64)
    for place in range(lengths.max()):
        there = lengths > place
        bits = (data[starts[there] + place] & 0x7F).astype(np.uint64)
        numbers[there] |= bits << np.uint64(7 * place)
    return numbers.view(np.int64)


def _messages(data: memoryview, wanted: int) -> Iterator[memoryview]:
    """The parts of a message under one number; other numbers are another version's, and skipped."""
    for (number, wire), value in _fields(data):
        if number == wanted:
            if wire != LENGTH:
                raise ValueError("a message is no message")
            yield value


def _fields(data: memoryview) -> Iterator[tuple[tuple[int, int], memoryview]]:
    """Number, wire type and bytes of every field of a message."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        wire = tag & 7
        if wire == LENGTH:
            length, place = _varint(data, place)
        elif wire in (EIGHT, FOUR):
            length = 8 if wire == EIGHT else 4
        elif wire == VARINT:
            length = _varint(data, place)[1] - place
        else:
            raise ValueError(f"wire type {wire} is none")
        if length > len(data) - place:
            raise ValueError(f"a field of {length} bytes where {len(data) - place} are left")
        yield (tag >> 3, wire), data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """A number, and the place after it."""
    number = 0
    for index, byte in enumerate(data[place : place + LONGEST]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, place + index + 1
    raise ValueError("a number is cut off")
