"""Changing activations and regularisation of a finished network, whoever built it."""

from typing import Any

import keras

from fr_train.errors import ConfigError
from fr_train.model.backbones.blocks import prelu_layer

__all__ = ["ACTIVATIONS", "restyle"]

ACTIVATIONS = ("prelu", "relu", "swish")
_REPLACEABLE = ("relu", "relu6", "silu")


def restyle(network: keras.Model, *, activation: str = "", l2: float = 0.0) -> keras.Model:
    """Gives the network with another activation and with L2 regularisation; weights that stay are kept.

    Args:
        network: a functional model.
        activation: `relu`, `prelu` or `swish` in place of every one of these; empty leaves them.
        l2: factor of the sum of squares of each kernel that is added to the loss; 0 is none.

    Raises:
        ConfigError: if there is no such activation.
    """
    if activation and activation not in ACTIVATIONS:
        raise ConfigError(f"model.activation: expected one of {', '.join(ACTIVATIONS)}, received {activation!r}.")
    if not activation and not l2:
        return network

    def clone(layer: Any) -> Any:
        if activation and _is_activation(layer):
            return _make_activation(activation, layer.name)
        config = layer.get_config()
        for key in ("kernel_regularizer", "depthwise_regularizer"):
            if l2 and key in config:
                config[key] = keras.regularizers.L2(l2)
        return type(layer).from_config(config)

    restyled = keras.models.clone_model(network, clone_function=clone)
    for old, new in zip(network.layers, restyled.layers, strict=True):
        if type(old) is type(new):
            new.set_weights(old.get_weights())
    return restyled


def _is_activation(layer: Any) -> bool:
    if isinstance(layer, keras.layers.Activation):
        return getattr(layer.activation, "__name__", "") in _REPLACEABLE
    return isinstance(layer, keras.layers.ReLU | keras.layers.PReLU)


def _make_activation(name: str, layer_name: str) -> Any:
    if name == "prelu":
        return prelu_layer(layer_name)
    return keras.layers.Activation("relu" if name == "relu" else "silu", name=layer_name)
