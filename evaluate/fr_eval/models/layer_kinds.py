"""Which layers of Keras a fused kernel can stand for."""

from typing import Any

import keras

__all__ = ["is_normalisation"]


def is_normalisation(layer: Any) -> bool:
    """Whether a layer is a batch normalisation over the last axis, with scale and offset."""
    return type(layer) is keras.layers.BatchNormalization and layer.axis in (-1, 3) and layer.scale and layer.center
