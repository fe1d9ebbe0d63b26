"""The accelerated network computes what the plain one does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fr_train.accelerate import accelerate
from fr_train.backbones.embedding import build_embedding_network


def make_network(**options):
    keras.utils.set_random_seed(3)
    return build_embedding_network("mobilefacenet", width=0.25, embedding_size=8, image_size=(32, 32), **options)


def step(network, images):
    """One pass in training: the embedding, the gradients, and the moving statistics behind it."""
    with tf.GradientTape() as tape:
        embedding = network(images, training=True)
        loss = tf.reduce_sum(embedding * np.random.default_rng(1).normal(size=embedding.shape).astype("float32"))
    return embedding, tape.gradient(loss, network.trainable_variables)


@pytest.fixture
def images():
    return tf.constant(np.random.default_rng(5).integers(0, 256, (16, 32, 32, 3)).astype("float32"))


def test_embeddings_gradients_and_moving_statistics_are_those_of_the_plain_network(images):
    plain, other = make_network(), make_network()
    fast = accelerate(other)
    expected, received = step(plain, images), step(fast, images)
    np.testing.assert_allclose(received[0], expected[0], rtol=1e-4, atol=1e-4)
    named = dict(zip([v.path for v in fast.trainable_variables], received[1], strict=True))
    whole = np.sqrt(sum(float(np.sum(np.square(gradient))) for gradient in expected[1]))
    for variable, gradient in zip(plain.trainable_variables, expected[1], strict=True):
        # A shift in front of another normalisation has no gradient but rounding: so a part of the whole is allowed.
        difference = np.linalg.norm(named[variable.path] - gradient)
        assert difference < 2e-3 * np.linalg.norm(gradient) + 1e-6 * whole, variable.path
    for variable, moved in zip(plain.non_trainable_variables, other.non_trainable_variables, strict=True):
        np.testing.assert_allclose(moved, variable, rtol=1e-4, atol=1e-5)


def test_the_variables_are_shared_and_none_is_added(images):
    network = make_network()
    fast = accelerate(network)
    assert {v.path for v in fast.variables} == {v.path for v in network.variables}
    before = network(images).numpy()
    step(fast, images)
    assert not np.array_equal(network(images).numpy(), before)
    np.testing.assert_allclose(fast(images), network(images), rtol=1e-5, atol=1e-5)


def test_the_plain_network_is_saved_and_loaded_without_the_accelerated_one(images, tmp_path):
    network = make_network()
    step(accelerate(network), images)
    network.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras")(images), network(images), rtol=1e-5)


def test_frozen_normalisation_keeps_its_statistics(images):
    network = make_network()
    for layer in network.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    before = [v.numpy() for v in network.non_trainable_variables]
    step(accelerate(network), images)
    for variable, kept in zip(network.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, kept)


@pytest.mark.parametrize("shape", [(4, 4, 3), (1, 1, 3), (4, 1, 3)])
def test_slopes_of_any_shape_get_their_gradient(shape):
    shared = [axis for axis, size in enumerate(shape, start=1) if size == 1]
    inputs = keras.Input((4, 4, 3))
    network = keras.Model(inputs, keras.layers.PReLU(shared_axes=shared, alpha_initializer="ones")(inputs))
    network.set_weights([np.full(shape, 0.3, "float32")])
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype("float32"))
    plain, fast = step(network, x), step(accelerate(network), x)
    np.testing.assert_allclose(fast[0], plain[0], rtol=1e-6)
    np.testing.assert_allclose(fast[1][0], plain[1][0], rtol=1e-5, atol=1e-6)
