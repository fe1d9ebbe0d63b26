"""The same network, trained faster: batch normalisation and PReLU by fused kernels, of TensorFlow and of XLA.

On a CPU the two take most of a training step of the field's mobile networks, since Keras computes them in many passes over memory.
The accelerated network shares every variable with the plain one, which stays what is evaluated, saved and exported.
"""

from collections import Counter
from typing import Any

import keras
import tensorflow as tf

from fr_train.fused_prelu import normalize_prelu, prelu

__all__ = ["accelerate"]

Tensor = Any


def accelerate(network: keras.Model) -> keras.Model:
    """Gives a network of the same layers and variables, with faster ones in the place of those that have a fused kernel.

    Args:
        network: a functional model.
    """
    # A GPU has cuDNN's normalisation; how these sums do there is not measured.
    pairs = [] if tf.config.list_logical_devices("GPU") else _find_pairs(network)
    behind = {id(normalisation): activation for normalisation, activation in pairs}
    done_before = {id(activation) for _, activation in pairs}

    def replace(layer: Any) -> Any:
        if id(layer) in done_before:
            return keras.layers.Identity(name=f"{layer.name}_done", dtype=layer.dtype_policy)
        if _is_normalisation(layer):
            return _FusedBatchNormalization(layer, behind.get(id(layer)))
        if type(layer) is keras.layers.PReLU:
            return _FastPReLU(layer)
        return layer

    return keras.models.clone_model(network, clone_function=replace, recursive=True)


def _is_normalisation(layer: Any) -> bool:
    return type(layer) is keras.layers.BatchNormalization and layer.axis in (-1, 3) and layer.scale and layer.center


def _find_pairs(network: keras.Model) -> list[tuple[Any, Any]]:
    """Finds the normalisations of images whose only use is a PReLU with one slope a channel."""
    models = _find_models(network)
    layers = [layer for model in models for layer in model.layers if not isinstance(layer, keras.Model)]
    uses = Counter(id(tensor) for layer in layers for node in layer._inbound_nodes for tensor in node.input_tensors)
    uses.update(id(tensor) for model in models for tensor in model.outputs)
    once = [layer for layer in layers if len(layer._inbound_nodes) == 1]
    normalisations = {id(layer.output): layer for layer in once if _is_normalisation(layer)}
    return [
        (normalisations[id(layer.input)], layer)
        for layer in once
        if type(layer) is keras.layers.PReLU
        and id(layer.input) in normalisations
        and uses[id(layer.input)] == 1
        and layer.alpha.shape[:-1] == (1, 1)
        and None not in layer.input.shape[1:]
    ]


def _find_models(network: keras.Model) -> list[keras.Model]:
    """The network and all within it."""
    inner = (layer for layer in network.layers if isinstance(layer, keras.Model))
    return [network, *(model for layer in inner for model in _find_models(layer))]


class _FusedBatchNormalization(keras.layers.Layer):
    """Stands for a batch normalisation of images, and for the PReLU behind it where there is one, whose variables it uses."""

    def __init__(self, layer: keras.layers.BatchNormalization, activation: keras.layers.PReLU | None) -> None:
        # Scale, offset and slopes stay float32 under mixed precision.
        super().__init__(name=f"{layer.name}_fused", dtype="float32", autocast=False)
        self._layer, self._activation = layer, activation

    def call(self, x: Tensor, training: bool = False, mask: Any = None) -> Tensor:
        """Normalises by the batch in training, and moves the running mean and variance; else as the plain layer does."""
        layer = self._layer
        x = tf.cast(x, layer.compute_dtype)
        if not training or not layer.trainable or len(x.shape) != 4 or layer.synchronized:
            y = layer(x, training=training)
            return y if self._activation is None else _activate(y, self._activation)
        if self._activation is None:
            y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=x,
                scale=layer.gamma.value,
                offset=layer.beta.value,
                mean=[],
                variance=[],
                epsilon=layer.epsilon,
                is_training=True,
            )
            count = tf.cast(tf.size(x) // tf.shape(x)[-1], tf.float32)
            variance *= (count - 1) / count  # the kernel gives the unbiased one, Keras keeps the other
        else:
            slopes = tf.reshape(self._activation.alpha.value, [-1])
            y, mean, variance = normalize_prelu(x, layer.gamma.value, layer.beta.value, slopes, layer.epsilon)
        for moving, value in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving * layer.momentum + value * (1.0 - layer.momentum))
        return y


class _FastPReLU(keras.layers.Layer):
    """Stands for a PReLU, whose slopes it uses."""

    def __init__(self, layer: keras.layers.PReLU) -> None:
        super().__init__(name=f"{layer.name}_fast", dtype=layer.dtype_policy)
        self._layer = layer

    def call(self, x: Tensor) -> Tensor:
        """x where it is positive, alpha·x elsewhere."""
        return _activate(x, self._layer)


def _activate(x: Tensor, layer: keras.layers.PReLU) -> Tensor:
    return prelu(x, tf.cast(layer.alpha.value, x.dtype))
