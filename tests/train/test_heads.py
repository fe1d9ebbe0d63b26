import keras
import numpy as np
import pytest

from fr_train.heads import CosineHead, l2_normalize


def built(**options):
    head = CosineHead(7, **options)
    head.build((None, 5))
    head.class_weights.assign(np.random.default_rng(0).normal(size=(7, 5)))
    return head


def test_the_head_gives_the_cosine_of_each_class():
    head, x = built(), np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
    w = np.asarray(head.class_weights)
    expected = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in w] for a in x]
    np.testing.assert_allclose(np.asarray(head(x)), expected, rtol=1e-5, atol=1e-6)


def test_without_normalisation_the_embedding_keeps_its_length():
    head, x = built(normalize_embedding=False), np.ones((1, 5), dtype=np.float32)
    np.testing.assert_allclose(np.asarray(head(3 * x)), 3 * np.asarray(head(x)), rtol=1e-5)


def test_the_head_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input((5,)), CosineHead(7)])
    model.save(tmp_path / "head.keras")
    twin = keras.saving.load_model(tmp_path / "head.keras")
    x = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(x, verbose=0), twin.predict(x, verbose=0))


def test_a_zero_vector_stays_zero():
    assert np.asarray(l2_normalize(np.zeros((1, 4), dtype=np.float32))).tolist() == [[0, 0, 0, 0]]


def test_weights_and_cosines_are_float32_under_mixed_precision():
    head = CosineHead(7, dtype="mixed_bfloat16")
    head.build((None, 5))
    assert head.class_weights.dtype == "float32"
    assert head(np.ones((2, 5), dtype=np.float32)).dtype == "float32"


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="at least 2 classes"):
        CosineHead(1)
