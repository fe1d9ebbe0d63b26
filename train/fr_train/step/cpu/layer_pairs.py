"""Layers of a network that can be computed as one."""

from collections import Counter
from itertools import chain
from typing import Any

import keras

from fr_eval.models.layer_kinds import is_normalisation

__all__ = ["find_pairs"]


def find_pairs(network: keras.Model) -> list[tuple[Any, Any]]:
    """Finds the normalisations of images whose only use is a PReLU with one slope a channel.

    Args:
        network: a functional model.

    Returns:
        (normalisation, PReLU) layers.
    """
    models = _find_models(network)
    calls = [call for model in models for call in _list_calls(model)]
    uses = Counter(id(tensor) for call in calls for tensor in call.input_tensors)
    uses.update(id(tensor) for model in models for tensor in model.outputs)
    times = Counter(id(call.operation) for call in calls)
    once = [call for call in calls if times[id(call.operation)] == 1]
    normalisations = {id(call.output_tensors[0]): call.operation for call in once if is_normalisation(call.operation)}
    return [
        (normalisations[id(call.input_tensors[0])], call.operation)
        for call in once
        if type(call.operation) is keras.layers.PReLU
        and id(call.input_tensors[0]) in normalisations
        and uses[id(call.input_tensors[0])] == 1
        and call.operation.alpha.shape[:-1] == (1, 1)
        and None not in call.input_tensors[0].shape[1:]
    ]


def _find_models(network: keras.Model) -> list[keras.Model]:
    """The network and all within it."""
    inner = (layer for layer in network.layers if isinstance(layer, keras.Model))
    return [network, *(model for layer in inner for model in _find_models(layer))]


def _list_calls(model: keras.Model) -> list[Any]:
    """The calls of layers that the model is made of; a layer may be part of another network as well."""
    graph = getattr(model, "_functional", model)  # which a sequential model has inside
    return list(chain.from_iterable(graph._nodes_by_depth.values()))
