"""The embedding network of a run: built from the registry, or taken from a file."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import keras

from fr_train.config.config import ModelConfig
from fr_train.errors import ConfigError
from fr_train.model.backbones.embedding import build_embedding_network
from fr_train.model.layers import WeightNormalizedDense

__all__ = ["build_network", "freeze", "plain_network", "synchronize_batch_norm"]


def build_network(config: ModelConfig, *, image_size: tuple[int, int]) -> keras.Model:
    """Gives images (B, H, W, 3) with values 0 to 255 → embeddings (B, D) float32, not normalised.

    Raises:
        ConfigError: if the file cannot be used, or a choice cannot be.
    """
    if config.file:
        return _take_network(config, image_size=image_size)
    return build_embedding_network(
        config.backbone,
        image_size=image_size,
        center_crop=config.center_crop,
        embedding_size=config.embedding_size,
        width=config.width,
        dropout=config.dropout,
        output=config.output,
        activation=config.activation,
        l2=config.l2,
        weight_normalized=config.weight_normalized,
        imagenet=config.imagenet,
    )


def _take_network(config: ModelConfig, *, image_size: tuple[int, int]) -> keras.Model:
    path = Path(config.file)
    try:
        network = keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"model.file: {path} cannot be read as a Keras model: {error}.") from error
    expected = (None, *image_size, 3)
    if network.input_shape != expected or len(network.output_shape) != 2:
        raise ConfigError(
            f"model.file: expected a network from {expected} to (None, D), {path} goes from {network.input_shape} to "
            f"{network.output_shape}."
        )
    if config.scaling == "none":
        return network
    images = keras.Input((*image_size, 3), name="images")
    divisor = float(config.scaling)
    scaled = keras.layers.Rescaling(1 / divisor, offset=-127.5 / divisor, name="scaling")(images)
    return keras.Model(images, network(scaled), name=f"scaled_{network.name}")


def plain_network(network: keras.Model) -> keras.Model:
    """Gives the network of Keras's own layers, as it is saved: a weight-normalised layer as the dense one that it amounts to.

    Args:
        network: a functional model. One without such a layer is given back; of another, a copy is.
    """
    if not any(isinstance(layer, WeightNormalizedDense) for layer in network.layers):
        return network

    def copy(layer: Any) -> Any:
        if isinstance(layer, WeightNormalizedDense):
            return layer.to_dense()
        return type(layer).from_config(layer.get_config())

    plain = keras.models.clone_model(network, clone_function=copy)
    for old, new in zip(network.layers, plain.layers, strict=True):
        if type(old) is type(new):
            new.set_weights(old.get_weights())
    return plain


def freeze(patterns: tuple[str, ...], network: keras.Model, head: Any) -> None:
    """Sets what is trained: everything but the layers that a pattern names.

    Args:
        patterns: `network`, `head`, or patterns of layer names such as `stage1_*`.
        network: the embedding network.
        head: the head; None where there is none.

    Raises:
        ConfigError: if a pattern names nothing.
    """
    layers = list(_iterate_layers(network))
    for layer in layers:
        layer.trainable = True
    if head is not None:
        head.trainable = True
    for pattern in patterns:
        if pattern == "head" and head is not None:
            head.trainable = False
            continue
        named = [layer for layer in layers if pattern == "network" or fnmatchcase(layer.name, pattern)]
        if not named:
            names = ", ".join(layer.name for layer in layers[:6])
            raise ConfigError(
                f"freeze: expected network, head, or a pattern of layer names ({names}, …), {pattern!r} names nothing."
            )
        for layer in named:
            layer.trainable = False


def synchronize_batch_norm(network: keras.Model) -> None:
    """Makes batch normalisation look at the batch of all devices."""
    for layer in _iterate_layers(network):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def _iterate_layers(network: keras.Model) -> Iterator[Any]:
    """All layers, those of a network inside the network as well."""
    for layer in network.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _iterate_layers(layer)
