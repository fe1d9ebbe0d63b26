"""A plain convolutional network: fast on a CPU, for demos, tests and first trials."""

from typing import Any

import keras

from fr_train.backbones.registry import register_backbone

__all__ = ["plain_cnn"]

Tensor = Any
BLOCKS = ((16, 2), (32, 2), (64, 2), (128, 2), (128, 1))  # channels, stride


@register_backbone(
    "plaincnn", output="gdc", description="five plain convolutions, for demos and tests; takes a width factor"
)
def plain_cnn(images: Tensor, width: float) -> Tensor:
    """Gives the feature map (B, H/16, W/16, 128·width) of scaled images (B, H, W, 3)."""
    x = images
    for number, (channels, stride) in enumerate(BLOCKS, start=1):
        x = keras.layers.Conv2D(
            max(4, round(channels * width)),
            3,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"block{number}",
        )(x)
        x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"block{number}_bn")(x)
        x = keras.layers.PReLU(
            shared_axes=[1, 2], alpha_initializer=keras.initializers.Constant(0.25), name=f"block{number}_prelu"
        )(x)
    return x
