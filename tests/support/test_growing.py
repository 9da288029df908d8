"""Rows that more are appended to."""

from __future__ import annotations

import numpy as np

from offline_to_online.support.growing import GrowingRows


def test_what_is_appended_follows_what_was_there():
    """Over many appends, each of another length, as one concatenation would have it."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(n, 3)).astype(np.float32) for n in (5, 1, 9, 0, 40)]
    growing = GrowingRows(parts[0])
    for part in parts[1:]:
        growing.append(part)
    assert (growing.rows == np.concatenate(parts)).all()
    assert growing.rows.dtype == np.float32


def test_two_copies_do_not_write_into_each_other():
    """Both share the rows; neither sees what the other appends."""
    one = GrowingRows(np.zeros((4, 1), dtype=np.float32))
    one.append(np.ones((1, 1), dtype=np.float32))
    other = one.copy()
    other.append(np.full((2, 1), 7.0, dtype=np.float32))
    one.append(np.full((1, 1), 3.0, dtype=np.float32))
    assert one.rows.ravel().tolist() == [0, 0, 0, 0, 1, 3]
    assert other.rows.ravel().tolist() == [0, 0, 0, 0, 1, 7, 7]


def test_appending_does_not_move_what_there_is_room_for():
    """An append into spare room leaves the block where it is: its cost is that of the rows."""
    growing = GrowingRows(np.zeros((100, 2), dtype=np.float32))
    growing.append(np.ones((1, 2), dtype=np.float32))
    before = growing.rows.__array_interface__["data"][0]
    for _ in range(50):
        growing.append(np.ones((1, 2), dtype=np.float32))
    assert growing.rows.__array_interface__["data"][0] == before
