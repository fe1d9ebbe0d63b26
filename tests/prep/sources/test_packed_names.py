import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_prep.sources.class_folders.packed_names import PackedNames


@given(st.lists(st.binary(min_size=1, max_size=20)))
def test_it_is_the_sequence_of_its_names(names):
    packed = PackedNames(names)
    texts = [os.fsdecode(name) for name in names]
    assert list(packed) == texts
    assert (len(packed), packed[1:3], packed[::-1]) == (len(names), texts[1:3], texts[::-1])
    assert [packed.raw(index) for index in range(len(names))] == names
    assert packed == PackedNames(iter(names))


@given(st.lists(st.binary(max_size=4)), st.lists(st.binary(max_size=4)))
def test_other_names_are_told_apart(first, second):
    assert (PackedNames(first) == PackedNames(second)) == (first == second)
    assert (PackedNames(first).block() == PackedNames(second).block()) == (first == second)


def test_an_index_beyond_the_end_is_an_error_and_a_negative_one_counts_from_the_end():
    packed = PackedNames([b"a", b"", b"c"])
    assert (packed[-1], packed[1], packed[0]) == ("c", "", "a")
    for index in (3, -4):
        with pytest.raises(IndexError):
            packed[index]


def test_a_name_takes_its_own_bytes_and_eight_more():
    tracemalloc.start()
    try:
        packed = PackedNames(b"class%05d/image%08d.jpg" % (number // 20, number) for number in range(50_000))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1.3 * (len(packed[0]) + 8) * len(packed)
