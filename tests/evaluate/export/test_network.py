import numpy as np
import pytest

from fr_eval.errors import ModelError
from fr_eval.export.network import load_network
from fr_eval.export.sample_images import draw_images

IMAGES = draw_images(5, size=(16, 16))


@pytest.mark.parametrize("scaling", ["none", "127.5", "128", "255"])
def test_pixels_give_what_the_embedder_gives_of_images(unscaled_model_path, scaling):
    network = load_network(unscaled_model_path, scaling=scaling)
    found = network.embed_pixels(IMAGES.astype(np.float32)).numpy()
    assert np.allclose(found, network.embedder.embed(IMAGES), rtol=1e-4, atol=1e-4 * np.abs(found).max())


def test_a_network_trained_in_half_precision_computes_in_float32(prelu_model_path, tmp_path):
    import keras
    from tests.evaluate.export.conftest import build_prelu_network

    half = build_prelu_network(scaling_layer=keras.layers.Rescaling(1 / 127.5, offset=-1), dtype="mixed_bfloat16")
    half.save(tmp_path / "half.keras")
    network = load_network(tmp_path / "half.keras")
    assert {layer.compute_dtype for layer in network.model._flatten_layers()} == {"float32"}
    assert np.allclose(
        network.embedder.embed(IMAGES), load_network(prelu_model_path).embedder.embed(IMAGES), rtol=1e-4, atol=1e-4
    )


def test_what_is_no_keras_network_for_any_number_of_images_is_refused(tmp_path):
    import keras

    image = keras.Input((16, 16, 3), batch_size=4)
    keras.Model(image, keras.layers.Flatten()(image)).save(tmp_path / "fixed.keras")
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    for name, message in (
        ("missing.keras", "no such file"),
        ("model.onnx", r"begins with a Keras model.*received \.onnx"),
        (".", "received a folder"),
        ("fixed.keras", "fixed number 4"),
    ):
        with pytest.raises(ModelError, match=message):
            load_network(tmp_path / name, scaling="none")
