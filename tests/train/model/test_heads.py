import keras
import numpy as np
import pytest
from keras import ops
from tests.train.losses.gradients import gradients, numeric_gradients

from fr_train.model.heads import CosineHead, SubCenterHead, l2_norm, l2_normalize

RNG = np.random.default_rng(2)
X = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)


def built(make=CosineHead, **options):
    head = make(7, **options)
    head.build((None, 5))
    head.class_weights.assign(np.random.default_rng(0).normal(size=head.class_weights.shape))
    return head


def test_the_head_gives_the_cosine_of_each_class():
    head = built()
    w = ops.convert_to_numpy(head.class_weights)
    expected = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in w] for a in X]
    np.testing.assert_allclose(ops.convert_to_numpy(head(X)), expected, rtol=1e-5, atol=1e-6)


def test_without_normalisation_the_embedding_keeps_its_length():
    head, x = built(normalize_embedding=False), np.ones((1, 5), dtype=np.float32)
    np.testing.assert_allclose(ops.convert_to_numpy(head(3 * x)), 3 * ops.convert_to_numpy(head(x)), rtol=1e-5)


def test_sub_centers_give_the_greatest_cosine_of_a_class():
    head = built(SubCenterHead, num_subcenters=3)
    w = ops.convert_to_numpy(head.class_weights)
    assert w.shape == (7, 3, 5)
    expected = [[max(a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in row) for row in w] for a in X]
    received = head(X)
    np.testing.assert_allclose(ops.convert_to_numpy(received), expected, rtol=1e-5, atol=1e-6)
    assert head.compute_output_shape((None, 5)) == (None, 7)


@pytest.mark.parametrize("normalize_embedding", [True, False])
def test_gradients_are_those_of_the_formula_for_embedding_and_weights(normalize_embedding):
    head, upstream = CosineHead(7, normalize_embedding=normalize_embedding), RNG.normal(size=(3, 7))
    w = RNG.normal(size=(7, 5))

    def naive(x, w):
        x = x / np.linalg.norm(x, axis=1, keepdims=True) if normalize_embedding else x
        return upstream * (x @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T)

    found = gradients(lambda x, w: upstream.astype(np.float32) * head.logits(x, w), X, w)
    for received, expected in zip(found, numeric_gradients(naive, X, w), strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)


def test_class_weights_of_length_zero_have_finite_logits_and_gradients():
    head, w = CosineHead(7), np.zeros((7, 5), dtype=np.float32)
    assert (ops.convert_to_numpy(head.logits(X, w)) == 0).all()
    for gradient in gradients(head.logits, X, w):
        assert np.isfinite(gradient).all()


def test_one_sub_center_is_a_plain_head():
    one, plain = built(SubCenterHead, num_subcenters=1), built()
    one.class_weights.assign(plain.class_weights.value[:, None])
    np.testing.assert_array_equal(ops.convert_to_numpy(one(X)), ops.convert_to_numpy(plain(X)))


@pytest.mark.parametrize("head", [CosineHead(7), SubCenterHead(7, num_subcenters=2)], ids=["cosine", "sub_center"])
def test_a_head_is_saved_and_loaded(head, tmp_path):
    model = keras.Sequential([keras.Input((5,)), head])
    model.save(tmp_path / "head.keras")
    twin = keras.saving.load_model(tmp_path / "head.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(model(X)), ops.convert_to_numpy(twin(X)))
    assert twin.layers[-1].get_config() == head.get_config()


def test_a_zero_vector_stays_zero_and_has_a_length_and_finite_gradients():
    zero = np.zeros((1, 4), dtype=np.float32)
    assert ops.convert_to_numpy(l2_normalize(zero)).tolist() == [[0, 0, 0, 0]]
    assert ops.convert_to_numpy(l2_norm(zero)).tolist() == [pytest.approx(1e-6)]
    for function in (l2_normalize, l2_norm):
        assert np.isfinite(gradients(function, zero)[0]).all()
    assert np.isfinite(gradients(built(), np.zeros((1, 5)))[0]).all()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_weights_and_cosines_are_float32_under_mixed_precision_and_the_embedding_is_not_rounded(policy):
    head = built(dtype=policy)
    assert (head.class_weights.dtype, head(X).dtype) == ("float32", "float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(head(X)), ops.convert_to_numpy(built()(X)))


def test_a_head_without_classes_or_sub_centers_is_refused():
    with pytest.raises(ValueError, match="at least 2 classes"):
        CosineHead(1)
    with pytest.raises(ValueError, match="at least 1 sub-center"):
        SubCenterHead(2, num_subcenters=0)
