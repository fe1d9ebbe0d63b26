"""The same network, run faster on a CPU: batch normalisation and PReLU take one pass over memory each.

Keras computes them in two and five passes, and memory is what they cost; they take most of the time of the field's mobile networks.
"""

from typing import Any

import keras
import tensorflow as tf

from fr_eval.models.layer_kinds import is_normalisation

__all__ = ["activate", "quicken"]

Tensor = Any
_KERNEL_TYPES = ("float16", "bfloat16", "float32")


def quicken(network: Any) -> Any:
    """Gives a network of the same layers and variables, for inference, with faster ones where there are any.

    Args:
        network: a built `keras.Model`.

    Returns:
        A copy that follows the network; the network itself where a GPU runs it, which has kernels for these layers, or where its
        class is somebody's own.
    """
    models = [layer for layer in network._flatten_layers() if isinstance(layer, keras.Model)]
    if tf.config.list_logical_devices("GPU") or not all(map(_is_graph, models)):
        return network
    return keras.models.clone_model(network, clone_function=_replace, recursive=True)


@tf.function(jit_compile=True, autograph=False)
def activate(x: Tensor, alpha: Tensor) -> Tensor:
    """PReLU: x where it is positive, alpha·x elsewhere.

    Args:
        x: (B, ...) of any float type.
        alpha: slopes of that type, that broadcast to x[0].
    """
    return tf.where(x > 0, x, alpha * x)


def _is_graph(model: keras.Model) -> bool:
    """Whether a model is of a class of Keras's own, functional or sequential, whose `call` runs a graph of layers."""
    return type(model).__module__.startswith("keras.")


def _replace(layer: Any) -> Any:
    if is_normalisation(layer) and layer.input_spec.ndim == 4 and layer.compute_dtype in _KERNEL_TYPES:
        return _Normalization(layer)
    if type(layer) is keras.layers.PReLU:
        return _PReLU(layer)
    return layer


class _Normalization(keras.layers.Layer):
    """Stands for a batch normalisation of images in inference."""

    def __init__(self, layer: keras.layers.BatchNormalization) -> None:
        super().__init__(name=f"{layer.name}_fast", dtype=layer.dtype_policy, autocast=False)
        self._layer = layer

    def call(self, x: Tensor, mask: Any = None) -> Tensor:
        """Normalises by the running mean and variance."""
        layer = self._layer
        values = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
        scale, offset, mean, variance = (tf.cast(value.value, tf.float32) for value in values)
        y, *_ = tf.raw_ops.FusedBatchNormV3(
            x=tf.cast(x, layer.compute_dtype),
            scale=scale,
            offset=offset,
            mean=mean,
            variance=variance,
            epsilon=layer.epsilon,
            is_training=False,
        )
        return y


class _PReLU(keras.layers.Layer):
    """Stands for a PReLU."""

    def __init__(self, layer: keras.layers.PReLU) -> None:
        super().__init__(name=f"{layer.name}_fast", dtype=layer.dtype_policy)
        self._layer = layer

    def call(self, x: Tensor) -> Tensor:
        """x where it is positive, alpha·x elsewhere."""
        return activate(x, tf.cast(self._layer.alpha.value, x.dtype))
