from itertools import combinations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy import stats

from fr_train.model.class_order import ClassOrder
from fr_train.model.class_sample import count_sample, draw_sample


def compiled(function):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function)


def sample_of(labels, num_classes, size, key):
    key = ops.convert_to_tensor(key, dtype="uint32")
    drawn = draw_sample(np.array(labels, dtype=np.int32), num_classes=num_classes, size=size, key=key)
    return [ops.convert_to_numpy(values) for values in drawn]


def naive_sample(labels, num_classes, size, key):
    """The first classes of the order, of which those that are not the batch's make room, the first ones first."""
    order = ClassOrder(num_classes, ops.convert_to_tensor(key, dtype="uint32"))
    drawn = ops.convert_to_numpy(order.class_at(np.arange(num_classes, dtype=np.int32))).tolist()[:size]
    for label in dict.fromkeys(labels):
        if label not in drawn:
            drawn[next(place for place, other in enumerate(drawn) if other not in labels)] = label
    return sorted(drawn)


@st.composite
def batches(draw):
    num_classes = draw(st.integers(2, 400))
    labels = draw(st.lists(st.integers(0, num_classes - 1), min_size=1, max_size=24))
    size = draw(st.integers(min(len(labels), num_classes), num_classes))
    return labels, num_classes, size


@settings(max_examples=40, deadline=None)
@given(batch=batches(), key=st.integers(0, 2**32 - 1))
def test_each_class_of_the_batch_is_there_once_among_others_as_in_a_naive_loop(batch, key):
    labels, num_classes, size = batch
    classes, columns = sample_of(labels, num_classes, size, key)
    assert classes.tolist() == naive_sample(labels, num_classes, size, key)
    assert len(set(classes.tolist())) == size
    assert classes[columns].tolist() == labels


def test_each_set_of_other_classes_is_equally_likely():
    labels = np.array([7, 2, 7], dtype=np.int32)
    draw = compiled(lambda key: draw_sample(labels, num_classes=9, size=4, key=key)[0])
    counts = dict.fromkeys(combinations([0, 1, 3, 4, 5, 6, 8], 2), 0)
    for key in range(1050):
        classes = ops.convert_to_numpy(draw(ops.convert_to_tensor(key, dtype="uint32")))
        counts[tuple(sorted(set(classes.tolist()) - {2, 7}))] += 1
    assert len(counts) == 21
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_of_many_classes_others_come_from_all_over():
    labels = np.arange(0, 1_000_000, 10_000)
    classes, columns = sample_of(labels, 1_000_000, 50_000, 3)
    assert classes[columns].tolist() == labels.tolist()
    others = np.setdiff1d(classes, labels)
    assert len(others) == 50_000 - 100
    assert stats.chisquare(np.bincount(others // 10_000, minlength=100)).pvalue > 1e-3
    gaps = np.diff(others)  # of a random set they are geometric
    assert gaps.mean() == pytest.approx(20, rel=0.01)
    assert gaps.std() == pytest.approx(20, rel=0.03)


@pytest.mark.parametrize(
    ("num_classes", "rate", "batch_size", "expected"),
    [(1_000_000, 0.1, 512, 100_000), (100, 0.07, 4, 7), (101, 0.1, 4, 11), (1000, 0.1, 512, 512), (10, 0.5, 64, 10)],
)
def test_a_sample_is_a_part_of_all_classes_with_room_for_any_batch(num_classes, rate, batch_size, expected):
    assert count_sample(num_classes, rate=rate, batch_size=batch_size) == expected
