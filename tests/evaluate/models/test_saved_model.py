import numpy as np
import pytest

from fr_eval.digests import hash_path
from fr_eval.errors import ModelError
from fr_eval.models.load import load_model


def test_the_serving_signature_gives_the_embeddings_of_the_network(saved_model, images, expected):
    embedder = load_model(saved_model, scaling="127.5")
    assert (embedder.format, embedder.name) == ("SavedModel", "saved")
    assert (embedder.input_size, embedder.embedding_size) == ((8, 6), 5)
    assert embedder.digest == hash_path(saved_model)
    assert np.allclose(embedder.embed(images, batch_size=3), expected(127.5, 127.5), atol=1e-4)


def test_its_scaling_is_asked_for(saved_model):
    with pytest.raises(ModelError, match="saved: the model does not say how pixels are scaled: a SavedModel"):
        load_model(saved_model)


def test_a_signature_of_bytes_scales_by_itself(make_linear, images, expected, tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.model = make_linear()
    spec = tf.TensorSpec((None, 8, 6, 3), tf.uint8, name="pixels")
    serve = tf.function(lambda pixels: module.model(tf.cast(pixels, tf.float32) / 255), input_signature=[spec])
    tf.saved_model.save(module, tmp_path / "bytes", signatures=serve)
    embedder = load_model(tmp_path / "bytes")
    assert embedder.scaling == "none"
    assert np.allclose(embedder.embed(images), expected(0, 255), atol=1e-4)


def test_a_folder_that_is_no_embedding_network_is_refused(tmp_path):
    import tensorflow as tf

    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"no protocol buffer")
    tf.saved_model.save(tf.Module(), tmp_path / "bare")
    two = tf.Module()
    specs = [tf.TensorSpec((None, 8, 6, 3), tf.float32, name=name) for name in ("a", "b")]
    tf.saved_model.save(two, tmp_path / "two", signatures=tf.function(lambda a, b: a + b, input_signature=specs))
    for name, message in (
        ("empty", "without saved_model.pb"),
        ("damaged", "TensorFlow cannot load this SavedModel"),
        ("bare", "the signature serving_default; received none"),
        ("two", "received 2 inputs"),
    ):
        with pytest.raises(ModelError, match=rf"{name}: .*{message}"):
            load_model(tmp_path / name, scaling="none")
