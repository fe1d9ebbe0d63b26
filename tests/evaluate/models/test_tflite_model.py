import numpy as np
import pytest

from fr_eval.errors import MissingPackageError, ModelError
from fr_eval.models.load import load_model

pytest.importorskip("ai_edge_litert", reason="needs the extra tflite")


@pytest.fixture(scope="module")
def convert(saved_model, images, tmp_path_factory):
    """Gives a `.tflite` file of the linear network, for images that are scaled as (x - offset) / divisor."""

    def make(*, integers=None, offset=127.5, divisor=127.5):
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
        if integers:
            pixels = images.astype(np.float32)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([(image[np.newaxis] - offset) / divisor] for image in pixels)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = integers
        path = tmp_path_factory.mktemp("tflite") / "linear.tflite"
        path.write_bytes(converter.convert())
        return path

    return make


def test_a_float_model_gives_the_embeddings_of_the_network(convert, images, expected):
    path = convert()
    embedder = load_model(path, scaling="128")
    assert (embedder.format, embedder.input_size, embedder.embedding_size) == ("TFLite", (8, 6), 5)
    for batch_size in (3, 64):
        assert np.allclose(embedder.embed(images, batch_size=batch_size), expected(127.5, 128), atol=1e-4)
    with pytest.raises(ModelError, match="does not say how pixels are scaled"):
        load_model(path)


@pytest.mark.parametrize("integers", ["int8", "uint8"])
def test_a_quantised_model_gives_them_but_for_its_steps(integers, convert, images, expected):
    import tensorflow as tf

    found = load_model(convert(integers=getattr(tf, integers)), scaling="127.5").embed(images)
    assert np.allclose(found, expected(127.5, 127.5), atol=0.05)


@pytest.mark.parametrize(("offset", "divisor", "scaling"), [(0, 1, "none"), (0, 255, "255")])
def test_a_quantised_input_says_its_scaling(offset, divisor, scaling, convert):
    import tensorflow as tf

    for integers in (tf.int8, tf.uint8):
        assert load_model(convert(integers=integers, offset=offset, divisor=divisor)).scaling == scaling


def test_of_scalings_that_are_too_close_none_is_guessed(convert):
    import tensorflow as tf

    with pytest.raises(ModelError, match=r"its quantization fits 127\.5 and 128 alike"):
        load_model(convert(integers=tf.int8))


def test_a_damaged_file_is_refused(convert, tmp_path):
    data = convert().read_bytes()
    (tmp_path / "half.tflite").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"half\.tflite: LiteRT cannot load this model"):
        load_model(tmp_path / "half.tflite", scaling="none")


def test_a_missing_runtime_is_said_with_the_extra(convert, monkeypatch):
    import sys

    path = convert()
    monkeypatch.delitem(sys.modules, "ai_edge_litert.interpreter", raising=False)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(MissingPackageError, match=r"ai_edge_litert.* pip install 'fr-toolkit\[tflite\]'"):
        load_model(path, scaling="none")
