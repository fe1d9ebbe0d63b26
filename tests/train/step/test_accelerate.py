"""The accelerated network computes what the plain one does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fr_eval.models.keras_model import wrap_keras
from fr_train.model.backbones.embedding import build_embedding_network
from fr_train.step.cpu.accelerate import accelerate
from fr_train.step.cpu.fused_prelu import normalize_prelu
from fr_train.step.cpu.layer_pairs import find_pairs


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


def keep_from_kinks(network, images):
    """Move the input of each PReLU, channel by channel, so that 0 lies in the middle of the widest gap around it.

    An input within rounding of 0 may have either sign, and its gradient either slope: so none is left there.

    Returns:
        The least distance of any input of a PReLU from 0.
    """
    places = {layer.name: place for place, layer in enumerate(network.layers)}
    normalisations = sorted((pair[0] for pair in find_pairs(network)), key=lambda layer: places[layer.name])
    for layer in normalisations:  # from the images onwards: what is behind a layer depends on it
        values = keras.Model(network.input, layer.output)(images, training=True).numpy()
        values = np.sort(values.reshape(-1, values.shape[-1]), axis=0)
        gaps = np.where(np.abs(values[:-1]) < 0.5, np.diff(values, axis=0), 0)
        below, columns = np.argmax(gaps, axis=0), np.arange(values.shape[1])
        layer.beta.assign_sub((values[below, columns] + values[below + 1, columns]) / 2)
    inputs = keras.Model(network.input, [layer.output for layer in normalisations])(images, training=True)
    return min(np.abs(values).min() for values in inputs)


def test_embeddings_gradients_and_moving_statistics_are_those_of_the_plain_network(images):
    plain, other = make_network(), make_network()
    assert keep_from_kinks(plain, images) > 1e-3  # a hundred times what rounding is
    other.set_weights(plain.get_weights())
    fast = accelerate(other)
    expected, received = step(plain, images), step(fast, images)
    np.testing.assert_allclose(received[0], expected[0], rtol=1e-4, atol=1e-4)
    named = dict(zip([v.path for v in fast.trainable_variables], received[1], strict=True))
    whole = np.sqrt(sum(float(np.sum(np.square(gradient))) for gradient in expected[1]))
    for variable, gradient in zip(plain.trainable_variables, expected[1], strict=True):
        # A shift in front of another normalisation has no gradient but rounding: so a part of the whole is allowed.
        difference = np.linalg.norm(named[variable.path] - gradient)
        assert difference < 5e-5 * np.linalg.norm(gradient) + 2e-7 * whole, variable.path
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


def test_a_network_that_is_evaluated_is_accelerated_as_well():
    network = make_network()
    wrap_keras(network)
    again = make_network()
    assert [len(find_pairs(n)) for n in (network, again)] == [33, 33]


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


@pytest.mark.parametrize(("size", "mean"), [((7, 7), 0.0), ((6, 4), -3.0), ((1, 1), 1.0), ((5, 3), 1000.0)])
def test_normalisation_and_prelu_in_one_are_the_two_in_turn(size, mean):
    rng = np.random.default_rng(2)
    x = tf.constant(rng.normal(mean, 1.0, (16, *size, 5)).astype("float32"))
    gamma, beta, alpha = (tf.constant(rng.normal(size=5).astype("float32")) for _ in range(3))

    def normalize(x, gamma, beta):
        batch_mean, variance = tf.nn.moments(x, axes=[0, 1, 2])
        return gamma * (x - batch_mean) / tf.sqrt(variance + 1e-5) + beta, batch_mean, variance

    def two_in_turn(x, gamma, beta, alpha):
        y, batch_mean, variance = normalize(x, gamma, beta)
        return tf.where(y > 0, y, alpha * y), batch_mean, variance

    def differentiate(function, *arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            results = function(*arguments)
            total = tf.reduce_sum(results[0] * tf.cast(weight, results[0].dtype))
        return results, tape.gradient(total, arguments)

    arguments = (x, gamma, beta, alpha)
    exact_arguments = [tf.cast(argument, tf.float64) for argument in arguments]
    # Within rounding of the kink the sign may be either, and so the gradient: nothing comes back through what is near it.
    far = np.abs(normalize(*exact_arguments[:3])[0]) > 1e-3
    assert far.mean() > 0.9
    weight = rng.normal(size=x.shape) * far
    expected = differentiate(two_in_turn, *exact_arguments)
    received = differentiate(lambda *arguments: normalize_prelu(*arguments, epsilon=1e-5), *arguments)
    for ours, exact in zip(sum(received, ()), sum(expected, ()), strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-3, atol=1e-4 * max(1.0, abs(mean)))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_its_types_and_values(policy, images):
    keras.config.set_dtype_policy(policy)
    try:
        plain, other = make_network(), make_network()
    finally:
        keras.config.set_dtype_policy("float32")
    (expected, plain_gradients), (received, gradients) = step(plain, images), step(accelerate(other), images)
    assert received.dtype == expected.dtype
    assert {gradient.dtype for gradient in gradients} == {gradient.dtype for gradient in plain_gradients}
    difference = np.linalg.norm(tf.cast(received - expected, tf.float32))
    assert difference < 0.1 * np.linalg.norm(tf.cast(expected, tf.float32))


def build(connect):
    """A network of one normalisation and one PReLU, connected as told, with slopes and scales that differ."""
    inputs = keras.Input((4, 4, 3))
    normalisation = keras.layers.BatchNormalization(momentum=0.9)
    prelu = keras.layers.PReLU(shared_axes=[1, 2], alpha_initializer=keras.initializers.Constant(0.3))
    return keras.Model(inputs, connect(inputs, normalisation, prelu))


@pytest.mark.parametrize(
    "connect",
    [
        lambda x, bn, prelu: prelu(bn(x)),
        lambda x, bn, prelu: keras.layers.Add()([prelu(normalised := bn(x)), normalised]),
        lambda x, bn, prelu: [prelu(normalised := bn(x)), normalised],
        lambda x, bn, prelu: keras.layers.Add()([prelu(bn(x)), prelu(x)]),
        lambda x, bn, prelu: keras.layers.Add()([prelu(bn(x)), bn(x)]),
    ],
    ids=["a pair", "used twice", "an output too", "shared PReLU", "shared normalisation"],
)
def test_only_a_prelu_that_stands_alone_behind_its_normalisation_becomes_one_with_it(connect):
    x = tf.constant(np.random.default_rng(0).normal(size=(8, 4, 4, 3)).astype("float32"))
    plain, other = build(connect), build(connect)
    fast = accelerate(other)
    for expected, received in zip(
        *(tf.nest.flatten(network(x, training=True)) for network in (plain, fast)), strict=True
    ):
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)
    for expected, received in zip(plain.variables, other.variables, strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)
