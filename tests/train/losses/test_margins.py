import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from tests.train.losses.gradients import gradients, numeric_gradients

from fr_train.losses import margins
from fr_train.losses.margin_softmax import (
    AirFace,
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
    AirFace(margin_radians=0.4, scale=32.0),
    CosFace(margin=0.35, scale=64.0),
    CombinedMargin(m1=1.0, m2=0.3, m3=0.2, scale=64.0),
    CombinedMargin(m1=0.9, m2=0.15, m3=0.4, scale=16.0, name="combined_margin_m1"),
]


def naive_target(loss, cosine):
    angle = math.acos(cosine)
    if isinstance(loss, ArcFace):
        m = loss.margin_radians
        return math.cos(angle + m) if cosine > math.cos(math.pi - m) else cosine - m * math.sin(m)
    if isinstance(loss, AirFace):
        return 1 - 2 * (angle + loss.margin_radians) / math.pi
    if isinstance(loss, CosFace):
        return cosine - loss.margin_cosine
    if isinstance(loss, CombinedMargin):
        turned = loss.m1 * angle + loss.m2
        return math.cos(turned) - loss.m3 if turned <= math.pi else cosine
    return cosine


def naive_losses(loss, labels, cosine):
    losses = []
    for label, row in zip(labels.tolist(), cosine.tolist(), strict=True):
        logits = [loss.scale * value for value in row]
        logits[label] = loss.scale * naive_target(loss, row[label])
        top = max(logits)
        losses.append(top + math.log(sum(math.exp(value - top) for value in logits)) - logits[label])
    return np.array(losses)


@pytest.fixture
def batch():
    rng = np.random.default_rng(5)
    cosine = rng.uniform(-0.99, 0.99, (24, 9)).astype(np.float32)
    labels = rng.integers(0, 9, 24)
    cosine[np.arange(8), labels[:8]] = np.linspace(-0.999, -0.9, 8)  # beyond the margins' limit
    return labels, cosine


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_each_loss_equals_a_loop_over_samples(loss, batch):
    received = ops.convert_to_numpy(loss.call(*batch))
    assert received.dtype == np.float32
    np.testing.assert_allclose(received, naive_losses(loss, *batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_each_gradient_equals_that_of_the_loop(loss, batch):
    labels, cosine = batch
    (received,) = gradients(lambda values: loss.call(labels, values), cosine)
    (expected,) = numeric_gradients(lambda values: naive_losses(loss, labels, values), cosine)
    np.testing.assert_allclose(received, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_each_loss_survives_its_config(loss):
    twin = type(loss).from_config(loss.get_config())
    assert twin.get_config() == loss.get_config()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_labels_may_arrive_as_floats_of_any_class_count(loss):
    cosine = np.random.default_rng(0).uniform(-1, 1, (4, 9)).astype(np.float32)
    as_float = loss(np.array([8.0, 0.0, 3.0, 8.0], dtype=np.float32), cosine)
    as_int = loss(np.array([8, 0, 3, 8]), cosine)
    assert float(as_float) == float(as_int)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_losses_and_gradients_are_finite_at_the_ends_of_the_cosine_and_beyond(loss):
    limit = math.cos(math.pi - 0.5)  # of ArcFace's margin here
    targets = [1.0, -1.0, 1.0 + 1e-6, -1.0 - 1e-6, limit, 0.0]
    cosine = np.array([[target, -1.0, 1.0] for target in targets], dtype=np.float32)
    labels = np.zeros(len(cosine), dtype=np.int32)
    assert np.isfinite(ops.convert_to_numpy(loss.call(labels, cosine))).all()
    assert np.isfinite(gradients(lambda values: loss.call(labels, values), cosine)[0]).all()


def test_a_loss_that_is_nearly_nothing_keeps_its_digits():
    cosine = np.array([[0.9, 0.65]], dtype=np.float32)
    received = float(margin_softmax(np.array([0]), cosine, scale=64.0)[0])
    assert received == pytest.approx(math.log1p(math.exp(-16)), rel=0.1)


def test_the_margin_makes_a_loss_larger_and_never_touches_other_logits(batch):
    labels, cosine = batch
    plain = ops.convert_to_numpy(margin_softmax(labels, cosine, scale=8.0))
    harder = ops.convert_to_numpy(CosFace(margin=0.2, scale=8.0).call(labels, cosine))
    assert (harder > plain).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20), st.sampled_from(LOSSES))
def test_no_margin_makes_a_target_easier(cosines, loss):
    target = ops.convert_to_numpy(loss.margin(np.array(cosines, dtype=np.float32)))
    if isinstance(loss, AirFace):  # by its angle, for it is not a cosine
        assert (target <= 1 - 2 / math.pi * np.arccos(cosines) + 1e-3).all()
    else:
        assert (target <= np.array(cosines) + 1e-5).all()


def test_a_margin_may_differ_by_row():
    cosine = np.array([0.5, 0.5, -0.99], dtype=np.float32)
    each = margins.additive_angular(cosine, margin_radians=np.array([0.2, 0.5, 0.5], dtype=np.float32))
    expected = [
        float(margins.additive_angular(c[None], margin_radians=m)[0])
        for c, m in zip(cosine, (0.2, 0.5, 0.5), strict=True)
    ]
    np.testing.assert_allclose(ops.convert_to_numpy(each), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_cosines_are_computed_in_float32(dtype):
    cosine = ops.cast(np.array([[0.5, 0.25]]), dtype)
    for margin in (margins.additive_angular, margins.additive_cosine, margins.combined, margins.linear_angular):
        assert margin(cosine[:, 0]).dtype == "float32"
    assert ArcFace().call(np.array([0]), cosine).dtype == "float32"


@pytest.mark.parametrize(
    "make",
    [
        lambda: ArcFace(margin_radians=-1),
        lambda: ArcFace(margin_radians=1.6),
        lambda: AirFace(margin_radians=float("nan")),
        lambda: CosFace(scale=0),
        lambda: NormalizedSoftmax(scale=float("inf")),
        lambda: CombinedMargin(m1=0),
    ],
)
def test_impossible_values_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()
