"""What the field's networks are made of: a convolution, its batch normalisation, its activation."""

from typing import Any

import keras

__all__ = ["convolve", "convolve_by_channel", "normalize", "prelu_layer"]

Tensor = Any


def convolve(
    x: Tensor,
    channels: int,
    *,
    kernel: int,
    name: str,
    stride: int = 1,
    activate: bool = True,
) -> Tensor:
    """Convolution, batch normalisation, and PReLU unless told otherwise."""
    x = keras.layers.Conv2D(
        channels, kernel, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    x = normalize(x, name=f"{name}_bn")
    return prelu_layer(f"{name}_prelu")(x) if activate else x


def convolve_by_channel(x: Tensor, *, kernel: int, name: str, stride: int = 1, activate: bool = True) -> Tensor:
    """Depthwise convolution, batch normalisation, and PReLU unless told otherwise."""
    x = keras.layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, depthwise_initializer="he_normal", name=name
    )(x)
    x = normalize(x, name=f"{name}_bn")
    return prelu_layer(f"{name}_prelu")(x) if activate else x


def normalize(x: Tensor, *, name: str, scale: bool = True) -> Tensor:
    """Batch normalisation with the momentum of the field's PyTorch code; Keras' own 0.99 lags behind in short trainings."""
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, scale=scale, name=name)(x)


def prelu_layer(name: str) -> keras.layers.PReLU:
    """PReLU with one slope a channel, 0.25 at first."""
    return keras.layers.PReLU(shared_axes=[1, 2], alpha_initializer=keras.initializers.Constant(0.25), name=name)
