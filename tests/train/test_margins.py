import math

import numpy as np
import pytest
from keras import ops

from fr_train.losses import margins
from fr_train.losses.margin_softmax import (
    ArcFace,
    CombinedMargin,
    CosFace,
    NormalizedSoftmax,
    Softmax,
    margin_softmax,
)

LOSSES = [
    Softmax(),
    NormalizedSoftmax(scale=16.0),
    ArcFace(margin_radians=0.5, scale=32.0),
    CosFace(margin=0.35, scale=64.0),
    CombinedMargin(m1=1.0, m2=0.3, m3=0.2, scale=64.0),
]


def naive_target(loss, cosine):
    angle = math.acos(cosine)
    if isinstance(loss, ArcFace):
        m = loss.margin_radians
        return math.cos(angle + m) if cosine > math.cos(math.pi - m) else cosine - m * math.sin(m)
    if isinstance(loss, CosFace):
        return cosine - loss.margin_cosine
    if isinstance(loss, CombinedMargin):
        turned = loss.m1 * angle + loss.m2
        return math.cos(turned) - loss.m3 if turned <= math.pi else cosine
    return cosine


def naive_loss(loss, label, cosines):
    logits = [loss.scale * c for c in cosines]
    logits[label] = loss.scale * naive_target(loss, cosines[label])
    top = max(logits)
    return top + math.log(sum(math.exp(value - top) for value in logits)) - logits[label]


@pytest.fixture
def batch():
    rng = np.random.default_rng(5)
    cosine = rng.uniform(-0.99, 0.99, (24, 9)).astype(np.float32)
    labels = rng.integers(0, 9, 24)
    cosine[np.arange(8), labels[:8]] = np.linspace(-0.999, -0.9, 8)  # beyond the margins' limit
    return labels, cosine


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_each_loss_equals_a_loop_over_samples(loss, batch):
    labels, cosine = batch
    received = np.asarray(loss.call(labels, cosine))
    expected = [naive_loss(loss, int(label), row.tolist()) for label, row in zip(labels, cosine, strict=True)]
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_each_loss_survives_its_config(loss):
    twin = type(loss).from_config(loss.get_config())
    assert twin.get_config() == loss.get_config()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_labels_may_arrive_as_floats_of_any_class_count(loss):
    cosine = np.random.default_rng(0).uniform(-1, 1, (4, 9)).astype(np.float32)
    as_float = np.asarray(loss(np.array([8.0, 0.0, 3.0, 8.0], dtype=np.float32), cosine))
    as_int = np.asarray(loss(np.array([8, 0, 3, 8]), cosine))
    assert as_float == as_int


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_gradients_are_finite_at_the_ends_of_the_cosine(loss):
    import tensorflow as tf

    cosine = tf.constant([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(cosine)
        value = loss(np.array([0, 0]), cosine)
    assert np.isfinite(value)
    assert np.isfinite(tape.gradient(value, cosine)).all()


def test_the_margin_makes_a_loss_larger_and_never_touches_other_logits(batch):
    labels, cosine = batch
    plain = np.asarray(margin_softmax(labels, cosine, scale=8.0))
    harder = np.asarray(CosFace(margin=0.2, scale=8.0).call(labels, cosine))
    assert (harder > plain).all()


def test_half_precision_cosines_are_computed_in_float32():
    cosine = np.array([[0.5, 0.25]], dtype=np.float16)
    assert ops.convert_to_tensor(margins.additive_angular(cosine[:, 0])).dtype == "float32"
    assert np.asarray(ArcFace().call(np.array([0]), cosine)).dtype == np.float32


@pytest.mark.parametrize(
    "make", [lambda: ArcFace(margin_radians=-1), lambda: CosFace(scale=0), lambda: CombinedMargin(m1=0)]
)
def test_impossible_values_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()
