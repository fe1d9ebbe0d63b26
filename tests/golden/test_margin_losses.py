"""The recipe's own losses, on the golden arrays (`shared/golden/margin_losses.npz`)."""

import numpy as np
import pytest
from keras import ops

from fr_train.losses.margin_softmax import ArcFace, CombinedMargin, Softmax
from fr_train.model.heads import CosineHead

pytestmark = pytest.mark.shared


@pytest.fixture
def golden(shared):
    return np.load(shared / "golden" / "margin_losses.npz")


def head_output(golden, *, normalize_embedding):
    weight = golden["weight"].T
    head = CosineHead(len(weight), normalize_embedding=normalize_embedding)
    head.build((None, weight.shape[1]))
    head.class_weights.assign(weight)
    return ops.convert_to_numpy(head(golden["embedding"]))


def check(received, expected):
    assert np.isfinite(received).all()
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)


def test_the_head_gives_the_recipes_logits_and_cosines(golden):
    check(head_output(golden, normalize_embedding=False), golden["logits"])
    check(head_output(golden, normalize_embedding=True), golden["cosine"])


def test_softmax_is_reproduced(golden):
    check(ops.convert_to_numpy(Softmax().call(golden["labels"], golden["logits"])), golden["softmax"])


@pytest.mark.parametrize(
    ("key", "m1", "added_to_angle", "subtracted"),
    [
        # The recipe swaps the names of the last two.
        ("combined_margin_m1_0p9_m2_0p4_m3_0p15_s64", 0.9, 0.15, 0.4),
        ("combined_margin_m1_1_m2_0p2_m3_0p3_s64", 1.0, 0.3, 0.2),
    ],
)
def test_the_combined_margin_is_reproduced(golden, key, m1, added_to_angle, subtracted):
    loss = CombinedMargin(m1=m1, m2=added_to_angle, m3=subtracted, scale=64.0)
    check(ops.convert_to_numpy(loss.call(golden["labels"], golden["cosine"])), golden[key])


@pytest.mark.parametrize(
    ("key", "margin", "scale"),
    [("arcface_easy_fallback_s64_m0p45", 0.45, 64.0), ("arcface_easy_fallback_s32_m0p5", 0.5, 32.0)],
)
def test_arcface_is_reproduced(golden, key, margin, scale):
    loss = ArcFace(margin_radians=margin, scale=scale)
    check(ops.convert_to_numpy(loss.call(golden["labels"], golden["cosine"])), golden[key])


def test_the_accuracy_is_the_argmax_of_logits_without_margin(golden):
    correct = golden["cosine"].argmax(axis=1) == golden["labels"]
    np.testing.assert_array_equal(correct.astype(np.float32), golden["accuracy"])
