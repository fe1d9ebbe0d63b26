"""MobileFaceNet (Chen et al. 2018, MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices)."""

from typing import Any

import keras

from fr_train.backbones.registry import register_backbone

__all__ = ["mobilefacenet"]

Tensor = Any
# Table 1 of the paper: expansion, channels, repeats, stride of the first.
STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
STEM_CHANNELS = 64
LAST_CHANNELS = 512


@register_backbone(
    "mobilefacenet", output="gdc", description="MobileFaceNet, 0.99 M parameters at 128-d; takes a width factor"
)
def mobilefacenet(images: Tensor, width: float) -> Tensor:
    """Gives the feature map (B, H/16, W/16, 512) of scaled images (B, H, W, 3)."""

    def channels(count: int) -> int:
        return max(8, int(count * width + 4) // 8 * 8)

    x = _conv(images, channels(STEM_CHANNELS), kernel=3, stride=2, name="stem")
    x = _depthwise(x, stride=1, name="stem_depthwise")
    for stage, (expansion, count, repeats, stride) in enumerate(STAGES, start=1):
        for block in range(repeats):
            name = f"stage{stage}_block{block + 1}"
            x = _bottleneck(x, channels(count), expansion=expansion, stride=stride if block == 0 else 1, name=name)
    return _conv(x, channels(LAST_CHANNELS), kernel=1, stride=1, name="last")


def _bottleneck(x: Tensor, channels: int, *, expansion: int, stride: int, name: str) -> Tensor:
    shortcut = x
    x = _conv(x, expansion * x.shape[-1], kernel=1, stride=1, name=f"{name}_expand")
    x = _depthwise(x, stride=stride, name=f"{name}_depthwise")
    x = _conv(x, channels, kernel=1, stride=1, name=f"{name}_project", activate=False)
    if stride == 1 and shortcut.shape[-1] == channels:
        x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def _conv(x: Tensor, channels: int, *, kernel: int, stride: int, name: str, activate: bool = True) -> Tensor:
    x = keras.layers.Conv2D(
        channels, kernel, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    return _normalize(x, name=name, activate=activate)


def _depthwise(x: Tensor, *, stride: int, name: str) -> Tensor:
    x = keras.layers.DepthwiseConv2D(
        3, strides=stride, padding="same", use_bias=False, depthwise_initializer="he_normal", name=name
    )(x)
    return _normalize(x, name=name, activate=True)


def _normalize(x: Tensor, *, name: str, activate: bool) -> Tensor:
    # 0.9 as in the field's PyTorch code; Keras' 0.99 lags behind in short trainings.
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    if activate:
        x = keras.layers.PReLU(
            shared_axes=[1, 2], alpha_initializer=keras.initializers.Constant(0.25), name=f"{name}_prelu"
        )(x)
    return x
