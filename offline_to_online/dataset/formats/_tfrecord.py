"""Records of a tfrecord file, each held against its checksums before it is believed.

A record is its length (8 bytes, little endian), a checksum of those, its bytes, and a checksum of those. A checksum is
CRC-32C, turned by 15 bits and moved by a constant. Layout: TensorFlow, "TFRecord and tf.train.Example"
(https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details); CRC-32C: RFC 3720, appendix B.4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from offline_to_online.errors import DataError

MASK = 0xA282EAD8
HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")


def masked_crc(data: bytes) -> int:
    """The checksum of a record's length or bytes, as it stands in the file."""
    import google_crc32c

    crc = int(google_crc32c.value(data))
    return (((crc >> 15) | (crc << 17)) + MASK) & 0xFFFFFFFF


def records(path: Path) -> Iterator[bytes]:
    """The records of a file, one in memory at a time.

    Raises:
        DataError: with the number of the record that is cut off, or whose length or bytes do not fit their checksum.
    """
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            index = 0
            while stream.tell() < size:
                yield _record(stream, size, f"{path}, record {index}")
                index += 1
    except OSError as error:
        raise DataError(f"cannot read the file: {error.strerror}", where=str(path), remedy="check its path") from error


def _record(stream: BinaryIO, size: int, where: str) -> bytes:
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        raise _cut(where, f"{len(header)} bytes of its header")
    length, checksum = HEADER.unpack(header)
    if masked_crc(header[:8]) != checksum:
        raise _damaged(where, "length")
    # Only now is the length believed, and only as far as the file goes.
    left = size - stream.tell() - FOOTER.size
    if length > left:
        raise _cut(where, f"{max(left, 0)} of its {length} bytes")
    data = stream.read(length)
    if masked_crc(data) != FOOTER.unpack(stream.read(FOOTER.size))[0]:
        raise _damaged(where, "bytes")
    return data


def _cut(where: str, found: str) -> DataError:
    return DataError(f"the record is cut off: {found} are there", where=where, remedy="copy the file again")


def _damaged(where: str, part: str) -> DataError:
    limit = "the CRC-32C that stands beside it"
    return DataError(
        f"the record's {part} does not fit its checksum", where=where, limit=limit, remedy="copy the file again"
    )
