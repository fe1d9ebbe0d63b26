"""A plain convolutional network: fast on a CPU, for demos, tests and first trials."""

from typing import Any

from fr_train.model.backbones.blocks import convolve
from fr_train.model.backbones.registry import BackboneOptions, register_backbone

__all__ = ["plain_cnn"]

Tensor = Any
BLOCKS = ((16, 2), (32, 2), (64, 2), (128, 2), (128, 1))  # channels, stride


@register_backbone("plaincnn", output="gdc", has_width=True, description="five plain convolutions, for demos and tests")
def plain_cnn(images: Tensor, options: BackboneOptions) -> Tensor:
    """Gives the feature map (B, H/16, W/16, 128·width) of images (B, H, W, 3)."""
    x = images
    for number, (channels, stride) in enumerate(BLOCKS, start=1):
        x = convolve(x, max(4, round(channels * options.width)), kernel=3, stride=stride, name=f"block{number}")
    return x
