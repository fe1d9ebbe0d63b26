"""MobileFaceNet (Chen et al. 2018, MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices)."""

from typing import Any

import keras

from fr_train.model.backbones.blocks import convolve, convolve_by_channel
from fr_train.model.backbones.registry import BackboneOptions, register_backbone

__all__ = ["mbf", "mobilefacenet"]

Tensor = Any
# Table 1 of the paper: inner channels, channels, repeats, stride of the first.
PAPER = (64, ((128, 64, 5, 2), (256, 128, 1, 2), (256, 128, 6, 1), (512, 128, 1, 2), (256, 128, 2, 1)))
# `mbf` of InsightFace's arcface_torch: outer channels doubled, inner ones not.
MBF = (128, ((128, 128, 5, 2), (256, 256, 1, 2), (256, 256, 6, 1), (512, 256, 1, 2), (256, 256, 2, 1)))
LAST_CHANNELS = 512


@register_backbone(
    "mobilefacenet",
    output="gdc",
    has_width=True,
    description="MobileFaceNet as in its paper, 0.99 M parameters at 128-d",
)
def mobilefacenet(images: Tensor, options: BackboneOptions) -> Tensor:
    """Gives the feature map (B, H/16, W/16, 512·width) of images (B, H, W, 3)."""
    return _build(images, PAPER, options.width)


@register_backbone(
    "mbf",
    output="gdc",
    has_width=True,
    description="MobileFaceNet with the widths of InsightFace's mbf, 2.1 M parameters at 512-d",
)
def mbf(images: Tensor, options: BackboneOptions) -> Tensor:
    """Gives the feature map (B, H/16, W/16, 512·width) of images (B, H, W, 3)."""
    return _build(images, MBF, options.width)


def _build(images: Tensor, widths: tuple[int, tuple[tuple[int, int, int, int], ...]], width: float) -> Tensor:
    def scaled(count: int) -> int:
        return max(8, int(count * width + 4) // 8 * 8)

    stem_channels, stages = widths
    x = convolve(images, scaled(stem_channels), kernel=3, stride=2, name="stem")
    x = convolve_by_channel(x, kernel=3, name="stem_depthwise")
    for stage, (inner, outer, repeats, stride) in enumerate(stages, start=1):
        for block in range(repeats):
            name = f"stage{stage}_block{block + 1}"
            x = _bottleneck(x, scaled(inner), scaled(outer), stride=stride if block == 0 else 1, name=name)
    return convolve(x, scaled(LAST_CHANNELS), kernel=1, name="last")


def _bottleneck(x: Tensor, inner: int, outer: int, *, stride: int, name: str) -> Tensor:
    shortcut = x
    x = convolve(x, inner, kernel=1, name=f"{name}_expand")
    x = convolve_by_channel(x, kernel=3, stride=stride, name=f"{name}_depthwise")
    x = convolve(x, outer, kernel=1, name=f"{name}_project", activate=False)
    if stride == 1 and shortcut.shape[-1] == outer:
        x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return x
