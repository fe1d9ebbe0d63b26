import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy import stats

from fr_train.model.class_order import ClassOrder, mix

OF_MANY = [18581206, 17564433, 659275, 18818945]


def order_of(num_classes, key):
    """The whole order; of several keys one a row."""
    order = ClassOrder(num_classes, ops.convert_to_tensor(key, dtype="uint32"))
    return ops.convert_to_numpy(order.class_at(np.arange(num_classes, dtype=np.int32)))


def assert_even(counts):
    assert stats.chisquare(counts).pvalue > 1e-3


def test_orders_stay_the_same_in_every_release():
    assert order_of(13, 7).tolist() == [5, 11, 4, 3, 7, 9, 12, 6, 0, 1, 10, 2, 8]
    order = ClassOrder(20_000_003, ops.convert_to_tensor(7, dtype="uint32"))
    assert ops.convert_to_numpy(order.class_at(np.arange(4, dtype=np.int32))).tolist() == OF_MANY


def test_words_are_mixed_as_murmurhash3_does():
    words = ops.convert_to_tensor([0, 1, 2**32 - 1], dtype="uint32")
    assert ops.convert_to_numpy(mix(words)).tolist() == [0, 0x514E28B7, 0x81F16F39]


@settings(max_examples=20, deadline=None)
@given(num_classes=st.integers(2, 3000), key=st.integers(0, 2**32 - 1))
def test_every_class_has_a_place_of_its_own_which_is_found_again(num_classes, key):
    classes = order_of(num_classes, key)
    assert sorted(classes.tolist()) == list(range(num_classes))
    places = ClassOrder(num_classes, ops.convert_to_tensor(key, dtype="uint32")).place_of(classes)
    assert ops.convert_to_numpy(places).tolist() == list(range(num_classes))


@pytest.mark.parametrize("num_classes", [2, 3, 4, 5, 7, 12, 23])
def test_over_many_keys_each_class_is_as_often_in_each_place_and_beside_each_other(num_classes):
    orders = order_of(num_classes, np.arange(6000)[:, None])
    for place in range(num_classes):
        assert_even(np.bincount(orders[:, place], minlength=num_classes))
    pairs = np.bincount(orders[:, 0] * num_classes + orders[:, -1], minlength=num_classes**2)
    assert_even(np.delete(pairs, np.arange(num_classes) * (num_classes + 1)))


def test_orders_of_neighbouring_keys_have_nothing_to_do_with_each_other():
    orders = order_of(10, np.arange(6000)[:, None])
    assert_even(np.bincount(orders[:-1, 0] * 10 + orders[1:, 0], minlength=100))
