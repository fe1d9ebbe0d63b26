"""The network that runs in inference computes what the plain one does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fr_eval.models.fast_layers import quicken
from fr_eval.models.keras_model import wrap_keras
from fr_eval.models.load import load_model

layers = keras.layers


def scatter(network):
    """Gives every variable values that matter."""
    rng = np.random.default_rng(2)
    network.set_weights([rng.uniform(0.2, 1.0, w.shape).astype(w.dtype) for w in network.get_weights()])
    return network


def kinds(network):
    return [type(layer).__name__ for layer in network._flatten_layers()]


def block(x, slopes=(1, 2)):
    return layers.PReLU(shared_axes=slopes)(layers.BatchNormalization()(layers.Conv2D(4, 3)(x)))


def make_functional():
    inputs = keras.Input((8, 8, 3))
    x = block(inputs)
    return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(layers.add([x, block(layers.ZeroPadding2D()(x), [])]))))


def make_sequential():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.BatchNormalization(),
            layers.PReLU(),
            layers.Flatten(),
            layers.BatchNormalization(),
        ]
    )


def make_nested():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, make_sequential()(layers.PReLU()(inputs)))


@pytest.fixture
def images():
    return tf.constant(np.random.default_rng(1).normal(size=(3, 8, 8, 3)).astype("float32"))


@pytest.mark.parametrize(
    ("make", "normalisations", "prelus"), [(make_functional, 2, 2), (make_sequential, 1, 1), (make_nested, 1, 2)]
)
def test_layers_with_a_faster_kernel_are_replaced_and_the_embeddings_stay(make, normalisations, prelus, images):
    network = scatter(make())
    fast = quicken(network)
    assert (kinds(fast).count("_Normalization"), kinds(fast).count("_PReLU")) == (normalisations, prelus)
    assert {v.path for v in fast.variables} == {v.path for v in network.variables}
    np.testing.assert_allclose(fast(images, training=False), network(images, training=False), rtol=1e-5, atol=1e-5)


def require_close(received, expected, *, part=1e-5):
    """Equal but for a part of the largest value: sums that nearly cancel keep no digits of their own."""
    np.testing.assert_allclose(received, expected, rtol=0, atol=part * np.abs(expected).max())


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_precision_is_that_of_the_network(policy, images):
    keras.config.set_dtype_policy(policy)
    try:
        network = scatter(make_functional())
        fast = quicken(network)
    finally:
        keras.config.set_dtype_policy("float32")
    expected, received = network(images, training=False), fast(images, training=False)
    assert received.dtype == expected.dtype
    part = 1e-9 if policy == "float64" else 0.02
    require_close(np.float64(received), np.float64(expected), part=part)


def test_a_normalisation_over_another_axis_or_without_scale_stays(images):
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(axis=1)(layers.BatchNormalization(scale=False)(inputs))
    network = scatter(keras.Model(inputs, layers.Flatten()(x)))
    assert "_Normalization" not in kinds(quicken(network))


class OwnModel(keras.Model):
    """A functional model whose `call` does more than its graph."""

    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs, training=training, mask=mask)


@pytest.mark.parametrize("nested", [False, True])
def test_a_model_of_a_class_of_somebody_s_own_is_run_as_it_is(nested, images):
    inputs = keras.Input((8, 8, 3))
    network = OwnModel(inputs, layers.Flatten()(layers.PReLU()(inputs)))
    if nested:
        network = keras.Model(inputs, layers.Dense(2)(network(inputs)))
    assert quicken(network) is network


def test_an_embedder_of_such_a_network_follows_it_in_training_and_leaves_it_as_it_was(tmp_path):
    network = scatter(make_functional())
    before = network.get_config()
    embedder = wrap_keras(network, scaling="255")
    images = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    require_close(embedder.forward(images), network(images / 255.0, training=False))
    scatter(network)
    network.set_weights([weight / 2 for weight in network.get_weights()])
    network.compile(optimizer="sgd", loss="mse")
    network.fit(images / 255.0, np.zeros((3, 5)), verbose=0)
    require_close(embedder.forward(images), network(images / 255.0, training=False))
    assert network.get_config() == before
    network.save(tmp_path / "network.keras")
    again = load_model(tmp_path / "network.keras", scaling="255").forward(images)
    require_close(again, embedder.forward(images))
