"""The embedding network: pixel scaling, backbone, output layer. This is the model that is exported."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from fr_train.errors import ConfigError
from fr_train.model.backbones.registry import BackboneOptions, find_backbone
from fr_train.model.backbones.restyle import restyle
from fr_train.model.layers import WeightNormalizedDense

__all__ = ["OUTPUT_LAYERS", "build_embedding_network"]

Tensor = Any
Dense = Callable[..., Any]  # makes the embedding layer


def _pooled(features: Tensor, dense: Dense, dropout: float) -> Tensor:
    """The recipe's: global average pooling, dropout, dense."""
    x = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return dense()(x)


def _output_e(features: Tensor, dense: Dense, dropout: float) -> Tensor:
    """Option E of the ArcFace paper: BN, dropout, flatten, dense, BN."""
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="features_bn")(features)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = dense()(x)
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="embedding_bn")(x)


def _global_depthwise(features: Tensor, dense: Dense, dropout: float) -> Tensor:
    """MobileFaceNet's GDC: a depthwise convolution over the whole map, BN, then a linear layer and BN."""
    x = keras.layers.DepthwiseConv2D(features.shape[1:3], use_bias=False, name="gdc")(features)
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="gdc_bn")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = dense(use_bias=False)(x)
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="embedding_bn")(x)


OUTPUT_LAYERS = {"gap": _pooled, "e": _output_e, "gdc": _global_depthwise}


def build_embedding_network(
    name: str,
    *,
    image_size: tuple[int, int] = (112, 112),
    center_crop: tuple[int, ...] = (),
    embedding_size: int = 512,
    width: float = 1.0,
    dropout: float = 0.0,
    output: str = "",
    activation: str = "",
    l2: float = 0.0,
    weight_normalized: bool = False,
    imagenet: bool = False,
) -> keras.Model:
    """Builds a network that takes images as they are decoded.

    Args:
        name: a registered backbone.
        image_size: (H, W).
        center_crop: (height, width) of the middle part of the images that the network looks at; empty is all of them.
        embedding_size: D.
        width: factor of the channels, where the backbone has one.
        dropout: rate in front of the embedding.
        output: `gap`, `e` or `gdc`; empty is what the field gives this backbone.
        activation: `relu`, `prelu` or `swish`; empty is the backbone's own.
        l2: factor of the sum of squares of each kernel that is added to the loss.
        weight_normalized: make the embedding layer a `fr_train.model.layers.WeightNormalizedDense`.
        imagenet: begin with weights trained on ImageNet.

    Returns:
        Images (B, H, W, 3) with values 0 to 255 → embeddings (B, D) float32, not normalised. (x − 127.5) / 127.5 is inside.

    Raises:
        ConfigError: if a choice is unknown, or weights cannot be had.
    """
    backbone = find_backbone(name)
    output = output or backbone.output
    if output not in OUTPUT_LAYERS:
        raise ConfigError(f"model.output: expected one of {', '.join(sorted(OUTPUT_LAYERS))}, received {output!r}.")
    if any(part > whole for part, whole in zip(center_crop, image_size, strict=False)):
        raise ConfigError(
            f"model.center_crop: expected at most {list(image_size)}, the images' size, received {list(center_crop)}."
        )
    images = keras.Input((*image_size, 3), name="images")
    seen = _cut_middle(images, center_crop) if center_crop else images
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scaling")(seen)
    features = backbone.build(scaled, BackboneOptions(width=width, imagenet=imagenet))
    kind = WeightNormalizedDense if weight_normalized else keras.layers.Dense
    embedding = OUTPUT_LAYERS[output](features, partial(kind, embedding_size, name="embedding"), dropout)
    embedding = keras.layers.Activation("linear", dtype="float32", name="float32")(embedding)
    return restyle(keras.Model(images, embedding, name=name), activation=activation, l2=l2)


def _cut_middle(images: Tensor, size: tuple[int, ...]) -> Tensor:
    margins = [whole - part for whole, part in zip(images.shape[1:3], size, strict=True)]
    # Not `CenterCrop`, whose default `training=True` goes on to the layers behind it.
    cropping = tuple((margin // 2, margin - margin // 2) for margin in margins)
    return keras.layers.Cropping2D(cropping, name="center_crop")(images)
