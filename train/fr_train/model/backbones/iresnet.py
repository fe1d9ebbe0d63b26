"""iResNet, the residual network of InsightFace's `arcface_torch` (`backbones/iresnet.py`): BN-conv-BN-PReLU-conv-BN blocks.

After Deng et al. 2019 (ArcFace) and He et al. 2016; the first stage halves the image already, so that 112 x 112 ends in 7 x 7.
"""

from typing import Any

import keras

from fr_train.model.backbones.blocks import convolve, normalize
from fr_train.model.backbones.registry import BackboneOptions, register_backbone

__all__ = ["DEPTHS"]

Tensor = Any
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}
CHANNELS = (64, 128, 256, 512)


def _register(depth: int, repeats: tuple[int, ...]) -> None:
    @register_backbone(
        f"iresnet{depth}", output="e", has_width=True, description=f"iResNet-{depth}, r{depth} of arcface_torch"
    )
    def build(images: Tensor, options: BackboneOptions) -> Tensor:
        """Gives the feature map (B, H/16, W/16, 512·width) of images (B, H, W, 3)."""
        return _build(images, repeats, options.width)


for _depth, _repeats in DEPTHS.items():
    _register(_depth, _repeats)


def _build(images: Tensor, repeats: tuple[int, ...], width: float) -> Tensor:
    channels = [max(8, int(count * width + 4) // 8 * 8) for count in CHANNELS]
    x = convolve(images, channels[0], kernel=3, name="stem")
    for stage, (count, blocks) in enumerate(zip(channels, repeats, strict=True), start=1):
        for block in range(blocks):
            x = _block(x, count, stride=2 if block == 0 else 1, name=f"stage{stage}_block{block + 1}")
    return x


def _block(x: Tensor, channels: int, *, stride: int, name: str) -> Tensor:
    shortcut = x
    if stride != 1 or x.shape[-1] != channels:
        shortcut = convolve(x, channels, kernel=1, stride=stride, activate=False, name=f"{name}_shortcut")
    x = normalize(x, name=f"{name}_bn")
    x = convolve(x, channels, kernel=3, name=f"{name}_conv1")
    x = convolve(x, channels, kernel=3, stride=stride, activate=False, name=f"{name}_conv2")
    return keras.layers.Add(name=f"{name}_add")([x, shortcut])
