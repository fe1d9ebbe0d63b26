"""What is saved of a network."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from fr_train.config.config import ModelConfig
from fr_train.model.layers import WeightNormalizedDense
from fr_train.model.network import build_network, plain_network

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def weight_normalized(**options):
    config = ModelConfig(backbone="plaincnn", width=0.25, embedding_size=8, weight_normalized=True, **options)
    network, rng = build_network(config, image_size=(32, 32)), np.random.default_rng(1)
    network.set_weights([np.abs(rng.normal(1, 0.3, weight.shape)) for weight in network.get_weights()])
    return network


@pytest.mark.parametrize("output", ["gap", "e", "gdc"])
def test_a_weight_normalised_embedding_is_saved_as_a_dense_one_with_the_same_outputs(output):
    network = weight_normalized(output=output, l2=1e-4)
    assert isinstance(network.get_layer("embedding"), WeightNormalizedDense)
    plain = plain_network(network)
    assert type(plain.get_layer("embedding")) is keras.layers.Dense
    assert [layer.name for layer in plain.layers] == [layer.name for layer in network.layers]
    np.testing.assert_array_equal(np.asarray(plain(IMAGES)), np.asarray(network(IMAGES)))


def test_under_mixed_precision_outputs_are_the_same_as_well():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = weight_normalized()
        np.testing.assert_array_equal(np.asarray(plain_network(network)(IMAGES)), np.asarray(network(IMAGES)))
    finally:
        keras.config.set_dtype_policy("float32")


def test_the_saved_model_is_read_by_keras_alone(tmp_path):
    network = weight_normalized()
    plain_network(network).save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    code = (
        "import sys, keras, numpy as np; model = keras.saving.load_model('model.keras'); "
        "np.save('out.npy', model(np.load('images.npy'))); sys.exit('fr_train' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), np.asarray(network(IMAGES)), rtol=1e-5)


def test_a_network_of_kerass_own_layers_is_saved_as_it_is():
    network = build_network(ModelConfig(backbone="plaincnn", width=0.25, embedding_size=8), image_size=(32, 32))
    assert plain_network(network) is network
