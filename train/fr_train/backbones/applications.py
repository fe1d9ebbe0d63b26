"""Networks of `keras.applications`, without their classifiers and without weights."""

from typing import Any

import keras

from fr_train.backbones.registry import register_backbone
from fr_train.errors import ConfigError

__all__ = ["mobilenet_v2", "resnet50_v2"]

Tensor = Any


@register_backbone(
    "resnet50v2", output="gap", description="ResNet50V2 of keras.applications, the original recipe's network"
)
def resnet50_v2(images: Tensor, width: float) -> Tensor:
    """Gives the feature map (B, H/32, W/32, 2048) of scaled images (B, H, W, 3)."""
    if width != 1.0:
        raise ConfigError(f"model.width: resnet50v2 has no width factor; expected 1.0, received {width}.")
    return keras.applications.ResNet50V2(include_top=False, weights=None, input_shape=images.shape[1:])(images)


@register_backbone("mobilenetv2", output="gap", description="MobileNetV2 of keras.applications; takes a width factor")
def mobilenet_v2(images: Tensor, width: float) -> Tensor:
    """Gives the feature map (B, H/32, W/32, c) of scaled images (B, H, W, 3)."""
    return keras.applications.MobileNetV2(include_top=False, weights=None, alpha=width, input_shape=images.shape[1:])(
        images
    )
