"""Triplet losses against loops over anchors, positives and negatives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from tests.train.losses.gradients import gradients, numeric_gradients

from fr_train.losses.triplet_losses import BatchHardTriplet, OfflineTriplet, SemiHardTriplet
from fr_train.losses.triplets import DISTANCES

LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 2, 0, 1])  # one class has a single image
X = np.random.default_rng(2).normal(size=(10, 4))


def distance_of(kind, a, b):
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    squared = ((a - b) ** 2).sum()
    return {"cosine": 1 - a @ b, "l2": squared**0.5, "squared_l2": squared}[kind]


def naive_semi_hard(x, labels, margin, kind):
    losses = []
    for a, label in enumerate(labels):
        negatives = [distance_of(kind, x[a], x[n]) for n, other in enumerate(labels) if other != label]
        for p, other in enumerate(labels):
            if p != a and other == label and negatives:
                positive = distance_of(kind, x[a], x[p])
                farther = [value for value in negatives if value > positive]
                losses.append(max(0, positive - (min(farther) if farther else max(negatives)) + margin))
    return sum(losses) / max(1, len(losses))


def naive_batch_hard(x, labels, margin, kind):
    losses = []
    for a, label in enumerate(labels):
        positives = [distance_of(kind, x[a], x[p]) for p, o in enumerate(labels) if p != a and o == label]
        negatives = [distance_of(kind, x[a], x[n]) for n, o in enumerate(labels) if o != label]
        if positives and negatives:
            losses.append(max(0, max(positives) - min(negatives) + margin))
    return sum(losses) / max(1, len(losses))


def naive_offline(x, margin):
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.mean([max(0, x[i] @ x[i + 2] - x[i] @ x[i + 1] + margin) for i in range(0, len(x), 3)])


ONLINE = [(SemiHardTriplet, naive_semi_hard), (BatchHardTriplet, naive_batch_hard)]
online = pytest.mark.parametrize(("make", "naive"), ONLINE, ids=["semi_hard", "batch_hard"])


@online
@pytest.mark.parametrize("kind", DISTANCES)
@pytest.mark.parametrize("margin", [0.05, 1.0])
def test_the_loss_is_that_of_the_loop(make, naive, kind, margin):
    received = float(make(margin=margin, distance=kind)(LABELS, X.astype(np.float32)))
    assert received == pytest.approx(naive(X, LABELS, margin, kind), rel=1e-5)


@online
@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=8, max_size=8), st.integers(0, 100))
def test_the_loss_is_that_of_the_loop_for_any_labels(make, naive, labels, seed):
    x = np.random.default_rng(seed).normal(size=(8, 3))
    received = float(make(margin=0.5, distance="l2")(np.array(labels), x.astype(np.float32)))
    assert received == pytest.approx(naive(x, labels, 0.5, "l2"), rel=1e-4, abs=1e-6)


@online
@pytest.mark.parametrize("kind", DISTANCES)
def test_gradients_are_those_of_the_loop(make, naive, kind):
    (received,) = gradients(lambda x: make(margin=0.7, distance=kind)(LABELS, x), X)
    (expected,) = numeric_gradients(lambda x: naive(x, LABELS, 0.7, kind), X)
    np.testing.assert_allclose(received, expected, rtol=1e-3, atol=1e-4)


@online
def test_rows_add_up_to_the_loss_and_can_be_summed_with_those_of_a_head(make, naive):
    loss = make()
    rows = ops.convert_to_numpy(loss.call(LABELS, X.astype(np.float32)))
    assert rows.shape == (10,)
    assert rows.mean() == pytest.approx(naive(X, LABELS, loss.margin, loss.distance), rel=1e-5)
    assert rows[6] == 0  # an image without another of its class


@online
@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["no negatives", "no positives"])
def test_a_batch_without_triplets_has_no_loss_and_no_gradient(make, naive, labels):
    loss, x = make(margin=10.0), X[:4]
    assert float(loss(np.array(labels), x.astype(np.float32))) == 0
    assert not gradients(lambda x: loss(np.array(labels), x), x)[0].any()


@online
@pytest.mark.parametrize("kind", DISTANCES)
@pytest.mark.parametrize("x", [np.zeros((4, 3)), np.ones((4, 3)), np.full((4, 3), 1e-9)], ids=["zero", "alike", "tiny"])
def test_embeddings_that_are_alike_or_zero_give_a_finite_loss_and_gradient(make, naive, kind, x):
    loss, labels = make(margin=0.3, distance=kind), np.array([0, 0, 1, 1])
    assert float(loss(labels, x.astype(np.float32))) == pytest.approx(0.3, abs=1e-5)
    assert np.isfinite(gradients(lambda x: loss(labels, x), x)[0]).all()


def test_a_negative_exactly_as_far_as_the_positive_is_not_farther():
    x = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 0]], dtype=np.float32)
    labels = np.array([0, 0, 1, 2])
    for distance, positive, negative in (("l2", 2**0.5, 2.0), ("cosine", 1.0, 2.0)):
        rows = ops.convert_to_numpy(SemiHardTriplet(margin=1.5, distance=distance).call(labels, x))
        assert rows[0] * 2 / 4 == pytest.approx(positive - negative + 1.5, rel=1e-5)


def test_offline_triplets_are_those_of_the_loop():
    x = np.random.default_rng(1).normal(size=(12, 5))
    loss = OfflineTriplet(margin=0.2)
    assert float(loss(np.zeros(12), x.astype(np.float32))) == pytest.approx(naive_offline(x, 0.2), rel=1e-5)
    assert loss.call(np.zeros(12), x.astype(np.float32)).shape == (12,)
    (received,) = gradients(lambda x: loss(np.zeros(12), x), x)
    (expected,) = numeric_gradients(lambda x: naive_offline(x, 0.2), x)
    np.testing.assert_allclose(received, expected, rtol=1e-3, atol=1e-5)
    assert np.isfinite(gradients(lambda x: loss(np.zeros(3), x), np.zeros((3, 5)))[0]).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_embeddings_are_computed_in_float32(dtype):
    x = ops.cast(X[:9], dtype)
    for loss in (OfflineTriplet(), SemiHardTriplet(), BatchHardTriplet()):
        assert loss.call(LABELS[:9], x).dtype == "float32"


def test_rows_that_are_no_triplets_are_refused():
    with pytest.raises(ValueError, match="three rows a triplet, received 10 rows"):
        OfflineTriplet()(LABELS, X)


@pytest.mark.parametrize(
    "make",
    [lambda: OfflineTriplet(margin=-1), lambda: SemiHardTriplet(distance="l1"), lambda: BatchHardTriplet(margin="x")],
)
def test_impossible_values_are_refused(make):
    with pytest.raises((ValueError, TypeError), match=r"expected|not supported"):
        make()
