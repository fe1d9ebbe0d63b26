"""CurricularFace, MagFace and AdaFace against loops over samples, with what they remember."""

import math

import numpy as np
import pytest
from keras import ops
from tests.train.losses.gradients import gradients, numeric_gradients

from fr_train.losses.adaface import AdaFace
from fr_train.losses.curricularface import CurricularFace
from fr_train.losses.magface import MagFace

B, C, D = 10, 6, 4
RNG = np.random.default_rng(11)
LABELS = RNG.integers(0, C, B)
COSINE = RNG.uniform(-0.95, 0.95, (B, C))
COSINE[np.arange(3), LABELS[:3]] = [-0.99, -0.93, 0.98]  # two beyond the margin's limit
EMBEDDING = RNG.normal(size=(B, D))
EMBEDDING *= (np.array([1, 5, 12, 20, 30, 50, 80, 100, 109, 200]) / np.linalg.norm(EMBEDDING, axis=1))[:, None]


def softmax_loss(logits, label):
    top = max(logits)
    return top + math.log(sum(math.exp(value - top) for value in logits)) - logits[label]


def arcface(cosine, m):
    return math.cos(math.acos(cosine) + m) if cosine > math.cos(math.pi - m) else cosine - m * math.sin(m)


def naive_curricular(cosine, labels=LABELS, t=0.0, m=0.5, s=64.0):
    losses = []
    for row, label in zip(cosine.tolist(), labels.tolist(), strict=True):
        target = arcface(row[label], m)
        logits = [s * (c * (t + c) if c > target else c) for c in row]
        logits[label] = s * target
        losses.append(softmax_loss(logits, label))
    return np.array(losses)


def naive_magface(cosine, embedding, labels=LABELS, s=64.0):
    losses = []
    for row, x, label in zip(cosine.tolist(), embedding, labels.tolist(), strict=True):
        norm = min(max(math.sqrt(sum(x * x)), 10), 110)
        logits = [s * c for c in row]
        logits[label] = s * arcface(row[label], 0.45 + (0.8 - 0.45) * (norm - 10) / (110 - 10))
        losses.append(softmax_loss(logits, label) + 35 * (norm / 110**2 + 1 / norm))
    return np.array(losses)


def naive_adaface(cosine, embedding, mean, deviation, labels=LABELS, m=0.4, h=0.333, s=64.0):
    losses = []
    for row, x, label in zip(cosine.tolist(), embedding, labels.tolist(), strict=True):
        norm = min(max(math.sqrt(sum(x * x)), 1e-3), 100)
        z = min(max((norm - mean) / (deviation + 1e-3) * h, -1), 1)
        angle = min(max(math.acos(row[label]) - m * z, 1e-3), math.pi - 1e-3)
        logits = [s * c for c in row]
        logits[label] = s * (math.cos(angle) - (m * z + m))
        losses.append(softmax_loss(logits, label))
    return np.array(losses)


def values(layer):
    return [float(variable) for variable in layer.variables]


def close(received, expected, **tolerance):
    np.testing.assert_allclose(ops.convert_to_numpy(received), expected, **{"rtol": 1e-4, "atol": 1e-5, **tolerance})


def test_curricularface_moves_its_mean_first_and_then_hardens_the_others():
    loss, t = CurricularFace(), 0.0
    for cosine in (COSINE, np.roll(COSINE, 1, axis=0)):
        t = 0.99 * t + 0.01 * cosine[np.arange(B), LABELS].mean()
        close(loss(LABELS, cosine.astype(np.float32), training=True), naive_curricular(cosine, t=t))
        assert values(loss) == pytest.approx([t], rel=1e-5)


def test_magface_takes_its_margin_from_the_length_and_draws_the_length_outwards():
    close(MagFace()(LABELS, COSINE.astype(np.float32), EMBEDDING.astype(np.float32)), naive_magface(COSINE, EMBEDDING))
    inside = slice(2, 9)  # lengths from 12 to 109
    _, by_embedding = gradients(lambda c, x: MagFace(margin_longest=0.45)(LABELS, c, x), COSINE, EMBEDDING)
    outwards = (by_embedding * EMBEDDING).sum(axis=1)
    assert (outwards[inside] < 0).all()  # a step against the gradient makes it longer
    assert not outwards[[0, 1, 9]].any()


def test_adaface_moves_its_mean_and_deviation_first_and_then_takes_the_quality():
    loss, mean, deviation = AdaFace(), 20.0, 100.0
    for embedding in (EMBEDDING, EMBEDDING[::-1] * 0.5):
        norms = np.clip(np.linalg.norm(embedding, axis=1), 1e-3, 100)
        mean, deviation = 0.99 * mean + 0.01 * norms.mean(), 0.99 * deviation + 0.01 * norms.std(ddof=1)
        received = loss(LABELS, COSINE.astype(np.float32), embedding.astype(np.float32), training=True)
        close(received, naive_adaface(COSINE, embedding, mean, deviation))
        assert values(loss) == pytest.approx([mean, deviation], rel=1e-5)


def test_adaface_reaches_both_ends_of_the_quality():
    loss = AdaFace(momentum=0.0, h=3.0)
    norms = np.clip(np.linalg.norm(EMBEDDING, axis=1), 1e-3, 100)
    quality = 3.0 * (norms - norms.mean()) / norms.std(ddof=1)
    assert (quality.min() < -1, quality.max() > 1) == (True, True)
    received = loss(LABELS, COSINE.astype(np.float32), EMBEDDING.astype(np.float32), training=True)
    close(received, naive_adaface(COSINE, EMBEDDING, norms.mean(), norms.std(ddof=1), h=3.0))


def test_a_batch_of_one_has_no_deviation():
    loss = AdaFace(momentum=0.0)
    received = loss(LABELS[:1], COSINE[:1].astype(np.float32), EMBEDDING[:1].astype(np.float32), training=True)
    assert np.isfinite(ops.convert_to_numpy(received)).all()
    assert values(loss) == pytest.approx([1.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("loss", [CurricularFace(), AdaFace()], ids=lambda loss: loss.name)
def test_nothing_is_remembered_outside_training(loss):
    before = values(loss)
    arrays = [COSINE, EMBEDDING][: 1 + loss.needs_embedding]
    loss(LABELS, *[array.astype(np.float32) for array in arrays], training=False)
    assert values(loss) == before
    assert not loss.trainable_variables


CASES = [
    (CurricularFace, lambda cosine, _: naive_curricular(cosine)),
    (MagFace, naive_magface),
    (AdaFace, lambda cosine, embedding: naive_adaface(cosine, EMBEDDING, 20.0, 100.0) + 0 * embedding.sum()),
]


@pytest.mark.parametrize(("make", "naive"), CASES, ids=[make.__name__ for make, _ in CASES])
def test_gradients_are_those_of_the_loop(make, naive):
    loss = make()

    def function(cosine, embedding):
        return loss(LABELS, cosine, embedding) if loss.needs_embedding else loss(LABELS, cosine)

    found = gradients(function, COSINE, EMBEDDING)
    for received, expected in zip(found, numeric_gradients(naive, COSINE, EMBEDDING), strict=True):
        np.testing.assert_allclose(received, expected, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("make", [CurricularFace, MagFace, AdaFace])
def test_all_is_finite_at_the_ends_of_the_cosine_and_at_a_zero_embedding(make):
    loss = make()
    cosine = np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [math.cos(math.pi - 0.5), 0.0]])
    embedding = np.zeros((4, D))
    embedding[1] = 1e4

    def function(cosine, embedding):
        arguments = (cosine, embedding) if loss.needs_embedding else (cosine,)
        return loss(np.zeros(4, dtype=np.int32), *arguments, training=False)

    assert np.isfinite(ops.convert_to_numpy(function(cosine.astype(np.float32), embedding.astype(np.float32)))).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients(function, cosine, embedding))


@pytest.mark.parametrize(
    "make",
    [
        lambda: CurricularFace(momentum=1.0),
        lambda: CurricularFace(margin_radians=2.0),
        lambda: MagFace(shortest=0.0),
        lambda: MagFace(shortest=20.0, longest=10.0),
        lambda: MagFace(margin_shortest=0.9),
        lambda: AdaFace(h=0.0),
        lambda: AdaFace(scale=-1.0),
    ],
)
def test_impossible_values_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()
