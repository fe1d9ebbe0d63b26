"""Tests of the dense classes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fr_data.shards.classes import count_labels, index_classes


@given(
    labels=st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(0, 5), min_size=1, max_size=60),
    min_images=st.integers(1, 4),
)
def test_dense_classes_are_in_the_order_of_the_source_s_labels(labels: list[int], min_images: int) -> None:
    index, dense = index_classes(np.array(labels, dtype=np.int64), min_images=min_images)
    kept = sorted({label for label in labels if labels.count(label) >= min_images})
    dropped = sorted({label for label in labels if labels.count(label) < min_images})
    assert index.source_labels.tolist() == kept
    assert index.num_images.tolist() == [labels.count(label) for label in kept]
    assert index.dropped_labels.tolist() == dropped
    assert index.dropped_num_images.tolist() == [labels.count(label) for label in dropped]
    assert index.num_classes == len(kept)
    assert dense.tolist() == [kept.index(label) if label in kept else -1 for label in labels]


def test_gaps_are_closed() -> None:
    index, dense = index_classes(np.array([40, 3, 3, 40, 100]))
    assert index.source_labels.tolist() == [3, 40, 100]
    assert dense.tolist() == [1, 0, 0, 1, 2]


def test_dropped_classes_leave_no_gap() -> None:
    index, dense = index_classes(np.array([1, 2, 2, 3, 3, 4]), min_images=2)
    assert index.source_labels.tolist() == [2, 3]
    assert dense.tolist() == [-1, 0, 0, 1, 1, -1]


@given(labels=st.lists(st.integers(-(2**62), 2**62) | st.integers(-5, 5), min_size=1, max_size=60))
def test_counted_labels_are_those_of_a_plain_count(labels: list[int]) -> None:
    found, counts = count_labels(np.array(labels, dtype=np.int64))
    assert found.tolist() == sorted(set(labels))
    assert counts.tolist() == [labels.count(label) for label in sorted(set(labels))]
