"""GhostNet (Han et al. 2020, GhostNet: More Features from Cheap Operations), table 1, for faces.

The stem keeps the image's size instead of halving it, so that 112 x 112 ends in 7 x 7 as the field's other networks do.
"""

import math
from typing import Any

import keras

from fr_train.model.backbones.blocks import normalize
from fr_train.model.backbones.registry import BackboneOptions, register_backbone

__all__ = ["ghostnet"]

Tensor = Any
STEM_CHANNELS = 16
# Kernel, inner channels, channels, squeeze and excitation, stride.
BLOCKS = (
    (3, 16, 16, False, 1),
    (3, 48, 24, False, 2),
    (3, 72, 24, False, 1),
    (5, 72, 40, True, 2),
    (5, 120, 40, True, 1),
    (3, 240, 80, False, 2),
    (3, 200, 80, False, 1),
    (3, 184, 80, False, 1),
    (3, 184, 80, False, 1),
    (3, 480, 112, True, 1),
    (3, 672, 112, True, 1),
    (5, 672, 160, True, 2),
    (5, 960, 160, False, 1),
    (5, 960, 160, True, 1),
    (5, 960, 160, False, 1),
    (5, 960, 160, True, 1),
)
LAST_CHANNELS = 960
REDUCTION = 4  # of squeeze and excitation


@register_backbone(
    "ghostnet", output="gdc", has_width=True, description="GhostNet, with a stem that keeps the image's size"
)
def ghostnet(images: Tensor, options: BackboneOptions) -> Tensor:
    """Gives the feature map (B, H/16, W/16, 960·width) of images (B, H, W, 3)."""

    def scaled(count: int) -> int:
        return max(4, int(count * options.width + 2) // 4 * 4)

    x = _convolve(images, scaled(STEM_CHANNELS), kernel=3, name="stem")
    for number, (kernel, inner, outer, squeeze, stride) in enumerate(BLOCKS, start=1):
        x = _bottleneck(x, kernel, scaled(inner), scaled(outer), squeeze=squeeze, stride=stride, name=f"block{number}")
    return _convolve(x, scaled(LAST_CHANNELS), kernel=1, name="last")


def _bottleneck(x: Tensor, kernel: int, inner: int, outer: int, *, squeeze: bool, stride: int, name: str) -> Tensor:
    shortcut = x
    if stride != 1 or x.shape[-1] != outer:
        shortcut = _depthwise(x, kernel, stride=stride, activate=False, name=f"{name}_shortcut_depthwise")
        shortcut = _convolve(shortcut, outer, kernel=1, activate=False, name=f"{name}_shortcut")
    x = _ghost(x, inner, activate=True, name=f"{name}_expand")
    if stride != 1:
        x = _depthwise(x, kernel, stride=stride, activate=False, name=f"{name}_depthwise")
    if squeeze:
        x = _squeeze_and_excite(x, name=f"{name}_squeeze")
    x = _ghost(x, outer, activate=False, name=f"{name}_project")
    return keras.layers.Add(name=f"{name}_add")([x, shortcut])


def _ghost(x: Tensor, channels: int, *, activate: bool, name: str) -> Tensor:
    """Half of the channels by a convolution, the other half by a cheap depthwise one on top of it."""
    primary = _convolve(x, math.ceil(channels / 2), kernel=1, activate=activate, name=f"{name}_primary")
    cheap = _depthwise(primary, 3, activate=activate, name=f"{name}_cheap")
    return keras.layers.Concatenate(name=f"{name}_concat")([primary, cheap])


def _squeeze_and_excite(x: Tensor, *, name: str) -> Tensor:
    channels = x.shape[-1]
    weights = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    weights = keras.layers.Conv2D(max(4, channels // REDUCTION), 1, activation="relu", name=f"{name}_reduce")(weights)
    weights = keras.layers.Conv2D(channels, 1, activation="hard_sigmoid", name=f"{name}_excite")(weights)
    return keras.layers.Multiply(name=f"{name}_scale")([x, weights])


def _convolve(x: Tensor, channels: int, *, kernel: int, name: str, activate: bool = True) -> Tensor:
    x = keras.layers.Conv2D(
        channels, kernel, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    return _finish(x, activate=activate, name=name)


def _depthwise(x: Tensor, kernel: int, *, name: str, stride: int = 1, activate: bool = True) -> Tensor:
    x = keras.layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, depthwise_initializer="he_normal", name=name
    )(x)
    return _finish(x, activate=activate, name=name)


def _finish(x: Tensor, *, activate: bool, name: str) -> Tensor:
    x = normalize(x, name=f"{name}_bn")
    return keras.layers.ReLU(name=f"{name}_relu")(x) if activate else x
