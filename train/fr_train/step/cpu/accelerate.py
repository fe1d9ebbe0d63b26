"""The same network, trained faster: batch normalisation and PReLU by fused kernels, of TensorFlow and of XLA.

On a CPU the two take most of a training step of the field's mobile networks, since Keras computes them in many passes over memory.
The accelerated network shares every variable with the plain one, which stays what is evaluated, saved and exported.
"""

from typing import Any

import keras
import tensorflow as tf

from fr_eval.models.layer_kinds import is_normalisation
from fr_train.step.cpu.fused_prelu import normalize_prelu, prelu
from fr_train.step.cpu.layer_pairs import find_pairs

__all__ = ["accelerate"]

Tensor = Any


def accelerate(network: keras.Model) -> keras.Model:
    """Gives a network of the same layers and variables, with faster ones in the place of those that have a fused kernel.

    Args:
        network: a functional model.
    """
    # A GPU has cuDNN's normalisation; how these sums do there is not measured.
    pairs = [] if tf.config.list_logical_devices("GPU") else find_pairs(network)
    behind = {id(normalisation): activation for normalisation, activation in pairs}
    done_before = {id(activation) for _, activation in pairs}

    def replace(layer: Any) -> Any:
        if id(layer) in done_before:
            return keras.layers.Identity(name=f"{layer.name}_done", dtype=layer.dtype_policy)
        if is_normalisation(layer):
            return _FusedBatchNormalization(layer, behind.get(id(layer)))
        if type(layer) is keras.layers.PReLU:
            return _FastPReLU(layer)
        return layer

    return keras.models.clone_model(network, clone_function=replace, recursive=True)


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
