"""What a network costs, counted."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fr_train.model.backbones.embedding import build_embedding_network
from fr_train.model.layers import WeightNormalizedDense
from fr_train.planning.network_cost import NetworkCost, count_network


def network_of(*layers, size=(10, 8, 3)):
    images = x = keras.Input(size)
    for layer in layers:
        x = layer(x)
    return keras.Model(images, x)


def test_a_small_network_is_counted_as_by_hand():
    network = network_of(
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False),  # 5 x 4 places of 3 x 3 x 3 x 4
        keras.layers.BatchNormalization(),
        keras.layers.PReLU(shared_axes=[1, 2]),
        keras.layers.DepthwiseConv2D((5, 4)),  # 1 place of 5 x 4 x 4, and a bias
        keras.layers.Flatten(),
        keras.layers.Dense(6),  # 4 x 6, and a bias
    )
    assert count_network(network) == NetworkCost(
        embedding_size=6,
        num_weights=108 + 4 * 4 + 4 + (80 + 4) + (24 + 6),
        num_trainable=108 + 4 * 2 + 4 + (80 + 4) + (24 + 6),
        forward_flops=2 * (20 * 108 + 80 + 24),
        # what goes into convolution, normalisation, rectifier, depthwise and dense layer, and twice the largest array
        kept_values=240 + 80 + 80 + 80 + 4 + 2 * 240,
        mask_bytes=80,
    )
    on_cpu = count_network(network, on_cpu=True)  # what goes into the rectifier is computed anew there
    assert (on_cpu.kept_values, on_cpu.mask_bytes) == (240 + 80 + 80 + 4 + 2 * 240, 0)


@pytest.mark.parametrize(
    ("layer", "flops"),
    [
        (keras.layers.SeparableConv2D(7, 3, depth_multiplier=2), 2 * 48 * (9 * 3 * 2 + 6 * 7)),
        (keras.layers.Conv2D(6, 1, groups=3), 2 * 80 * 6),
        (keras.layers.MaxPooling2D(), 0),
    ],
)
def test_other_layers_are_counted_as_by_hand(layer, flops):
    assert count_network(network_of(layer)).forward_flops == flops


def test_a_weight_normalised_layer_counts_as_a_dense_one():
    plain, normalised = (
        count_network(network_of(keras.layers.Flatten(), layer))
        for layer in (keras.layers.Dense(9), WeightNormalizedDense(9))
    )
    assert normalised.forward_flops == plain.forward_flops == 2 * 240 * 9
    assert normalised.num_weights == plain.num_weights + 9


@pytest.mark.parametrize("rectifier", [keras.layers.ReLU, lambda: keras.layers.Activation("relu")])
def test_of_a_rectifier_the_output_is_kept_and_its_input_is_not(rectifier):
    convolutions = [keras.layers.Conv2D(5, 1) for _ in range(2)]
    found = count_network(network_of(convolutions[0], rectifier(), convolutions[1]))
    assert found.kept_values == 240 + 400 + 2 * 400


def test_models_within_models_are_counted_as_their_layers():
    inner = network_of(keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(5))
    images = keras.Input((10, 8, 3))
    outer = keras.Model(images, inner(keras.layers.Rescaling(2.0)(images)))
    assert count_network(outer) == count_network(inner)


# Multiplications and additions in GFLOP, twice what InsightFace's flops.py calls FLOPs (6.33 G, 0.45 G).
@pytest.mark.parametrize(("name", "gflops"), [("iresnet50", 12.62), ("mbf", 0.868)])
def test_the_field_s_networks_have_their_published_operations(name, gflops):
    assert count_network(build_embedding_network(name)).forward_flops / 1e9 == pytest.approx(gflops, rel=0.002)


@pytest.mark.parametrize("name", ["ghostnet", "plaincnn", "resnet50v2"])
def test_operations_are_those_that_tensorflow_counts(name):
    network = build_embedding_network(name, embedding_size=64)
    graph = tf.function(network).get_concrete_function(tf.TensorSpec((1, 112, 112, 3))).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder(tf.compat.v1.profiler.ProfileOptionBuilder.float_operation())
    counted = tf.compat.v1.profiler.profile(graph, options=options.with_empty_output().build())
    assert count_network(network).forward_flops == pytest.approx(
        counted.total_float_ops, rel=0.05
    )  # it counts the rest as well


def test_every_weight_is_counted():
    network = build_embedding_network("mobilefacenet", width=0.5, embedding_size=32)
    cost = count_network(network)
    assert cost.num_weights == network.count_params()
    assert cost.num_trainable == sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
