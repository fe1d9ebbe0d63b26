"""The softmax that all margins share: its gradients, and how little it keeps."""

import keras
import numpy as np
import pytest
from keras import ops
from tests.train.losses.gradients import gradients, numeric_gradients

from fr_train.losses.margin_softmax import ArcFace
from fr_train.losses.target_softmax import split_target, target_softmax

LABELS = np.array([2, 0, 2, 4])
LOGITS = np.random.default_rng(3).uniform(-1, 1, (4, 5))
TARGET = np.array([0.1, -0.4, 0.9, -1.2])


def naive(logits, target, scale=7.0):
    logits = logits.copy()
    logits[np.arange(len(LABELS)), LABELS] = target
    return np.log(np.exp(scale * logits).sum(axis=1)) - scale * target


def test_the_target_is_replaced_and_both_gradients_are_those_of_the_formula():
    received = target_softmax(LABELS, LOGITS.astype(np.float32), TARGET.astype(np.float32), scale=7.0)
    np.testing.assert_allclose(ops.convert_to_numpy(received), naive(LOGITS, TARGET), rtol=1e-5)
    found = gradients(lambda logits, target: target_softmax(LABELS, logits, target, scale=7.0), LOGITS, TARGET)
    for gradient, expected in zip(found, numeric_gradients(naive, LOGITS, TARGET), strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_gradients_to_the_logits_and_to_the_target_are_added():
    def function(logits):
        rest, target = split_target(LABELS, logits)
        return ops.sum(ops.square(rest), axis=1) + 3.0 * target

    (received,) = gradients(function, LOGITS)
    expected = 2 * LOGITS
    expected[np.arange(4), LABELS] += 3
    np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_huge_logits_overflow_nowhere():
    logits = np.array([[1.0, -1.0], [-1.0, 1.0]], dtype=np.float32)
    losses = target_softmax(np.array([0, 0]), logits, logits[:, 0], scale=1e4)
    np.testing.assert_allclose(ops.convert_to_numpy(losses), [0, 2e4])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads a TensorFlow graph")
def test_no_one_hot_is_made_and_few_arrays_are_of_batch_times_classes():
    import tensorflow as tf

    @tf.function
    def step(labels, cosine):
        with tf.GradientTape() as tape:
            tape.watch(cosine)
            loss = ArcFace()(labels, cosine)
        return tape.gradient(loss, cosine)

    graph = step.get_concrete_function(tf.TensorSpec((16,), tf.int32), tf.TensorSpec((16, 1000))).graph
    kinds = [op.type for op in graph.get_operations() if any(out.shape.num_elements() == 16_000 for out in op.outputs)]
    # Views, broadcasts to the same shape, and the zeros for outputs without a gradient, which are pruned.
    no_work = ("Placeholder", "Identity", "IdentityN", "Reshape", "BroadcastTo", "Fill")
    work = sorted(kind for kind in kinds if kind not in no_work)
    assert work == ["Exp", "Mul", "Mul", "Sub", *["TensorScatterUpdate"] * 3]
