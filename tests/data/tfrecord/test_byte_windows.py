"""Runs of bytes as items of an array."""

import numpy as np
import pytest

from fr_data.tfrecord.byte_windows import byte_windows


@pytest.mark.parametrize("num_bytes", [1, 3, 4, 9, 10])
def test_every_run_is_an_item(num_bytes):
    memory = np.arange(10, dtype=np.uint8)
    windows = byte_windows(memory, num_bytes)
    assert [bytes(item) for item in windows] == [memory[i : i + num_bytes].tobytes() for i in range(11 - num_bytes)]


def test_a_memory_shorter_than_a_run_has_none():
    assert len(byte_windows(np.zeros(3, dtype=np.uint8), 4)) == 0


def test_items_are_written_in_place_at_any_byte_and_the_later_one_stays():
    memory = np.zeros(12, dtype=np.uint8)
    windows = byte_windows(memory, 4)
    windows[np.array([1, 7, 3])] = np.arange(1, 13, dtype=np.uint8).view(windows.dtype)
    assert memory.tolist() == [0, 1, 2, 9, 10, 11, 12, 5, 6, 7, 8, 0]


def test_a_part_of_a_memory_has_its_own_items():
    part = np.arange(20, dtype=np.uint8)[5:15]
    assert bytes(byte_windows(part, 2)[0]) == b"\5\6"
