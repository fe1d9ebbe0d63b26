"""Layers of a network that can be computed as one."""

from collections import Counter
from typing import Any

import keras

__all__ = ["find_pairs", "is_normalisation"]


def is_normalisation(layer: Any) -> bool:
    """Whether a layer is a batch normalisation over the last axis, with scale and offset."""
    return type(layer) is keras.layers.BatchNormalization and layer.axis in (-1, 3) and layer.scale and layer.center


def find_pairs(network: keras.Model) -> list[tuple[Any, Any]]:
    """Finds the normalisations of images whose only use is a PReLU with one slope a channel.

    Args:
        network: a functional model.

    Returns:
        (normalisation, PReLU) layers.
    """
    models = _find_models(network)
    layers = [layer for model in models for layer in model.layers if not isinstance(layer, keras.Model)]
    uses = Counter(id(tensor) for layer in layers for node in layer._inbound_nodes for tensor in node.input_tensors)
    uses.update(id(tensor) for model in models for tensor in model.outputs)
    once = [layer for layer in layers if len(layer._inbound_nodes) == 1]
    normalisations = {id(layer.output): layer for layer in once if is_normalisation(layer)}
    return [
        (normalisations[id(layer.input)], layer)
        for layer in once
        if type(layer) is keras.layers.PReLU
        and id(layer.input) in normalisations
        and uses[id(layer.input)] == 1
        and layer.alpha.shape[:-1] == (1, 1)
        and None not in layer.input.shape[1:]
    ]


def _find_models(network: keras.Model) -> list[keras.Model]:
    """The network and all within it."""
    inner = (layer for layer in network.layers if isinstance(layer, keras.Model))
    return [network, *(model for layer in inner for model in _find_models(layer))]
