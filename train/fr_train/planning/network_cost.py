"""What a network costs, counted by its layers' shapes: weights, operations, and what its gradient needs of the forward pass."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import keras

from fr_train.step.cpu.layer_pairs import find_pairs

__all__ = ["NetworkCost", "count_network"]

# What passes a gradient on without a look at its own input or output.
LINEAR = (
    keras.layers.Add,
    keras.layers.AveragePooling2D,
    keras.layers.Concatenate,
    keras.layers.Dropout,  # keeps a mask
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.InputLayer,
    keras.layers.Rescaling,
    keras.layers.Reshape,
    keras.layers.ZeroPadding2D,
)
MASKED = (keras.layers.Dropout, keras.layers.PReLU)
TOLD_BY_OUTPUT = (keras.activations.relu, keras.activations.sigmoid)  # whose output is all that their gradient needs
WORKING_ARRAYS = 2  # gradients in front of and behind the layer that is at work


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """A network's cost.

    Attributes:
        embedding_size: D.
        num_weights: values of all variables.
        num_trainable: of those that are trained.
        forward_flops: floating-point operations of convolutions and dense layers for an image; a multiplication and an addition
            are two.
        kept_values: values an image that are kept for the gradient, and those of the largest layer's gradient.
        mask_bytes: bytes an image of masks that are kept.
    """

    embedding_size: int
    num_weights: int
    num_trainable: int
    forward_flops: int
    kept_values: int
    mask_bytes: int

    @property
    def step_flops(self) -> int:
        """Of forward pass and gradient: each layer multiplies three times, for outputs, for inputs' and for weights' gradients."""
        return 3 * self.forward_flops

    def head_flops(self, num_images: int, num_rows: int) -> int:
        """Of a step of a head behind it: for logits, for embeddings' and for weights' gradients."""
        return 6 * num_images * self.embedding_size * num_rows


def count_network(network: keras.Model, *, on_cpu: bool = False) -> NetworkCost:
    """Counts a functional model's cost; each layer is used once.

    Args:
        network: the model.
        on_cpu: whether a processor trains it, which computes a PReLU anew with the normalisation before it, from what that keeps.
    """
    kept: dict[int, int] = {}
    recomputed = {id(prelu) for _, prelu in find_pairs(network)} if on_cpu else set()
    flops = mask_bytes = largest = 0
    for layer in _iterate_layers(network):
        output = prod(layer.output.shape[1:])
        largest = max(largest, output)
        flops += _count_flops(layer)
        if id(layer) in recomputed:
            continue
        if isinstance(layer, MASKED):
            mask_bytes += output
        kept |= {id(tensor): prod(tensor.shape[1:]) for tensor in _kept_tensors(layer)}
    return NetworkCost(
        embedding_size=network.output_shape[-1],
        num_weights=sum(prod(weight.shape) for weight in network.weights),
        num_trainable=sum(prod(weight.shape) for weight in network.trainable_weights),
        forward_flops=flops,
        kept_values=sum(kept.values()) + WORKING_ARRAYS * largest,
        mask_bytes=mask_bytes,
    )


def _iterate_layers(model: keras.Model) -> Iterator[Any]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _iterate_layers(layer)
        else:
            yield layer


def _kept_tensors(layer: Any) -> list[Any]:
    """Gives what the gradient of a layer needs of the forward pass."""
    activation = getattr(layer, "activation", None) if isinstance(layer, keras.layers.Activation) else None
    if isinstance(layer, LINEAR) or activation is keras.activations.linear:
        return []
    if isinstance(layer, keras.layers.ReLU) or activation in TOLD_BY_OUTPUT:
        return [layer.output]
    return list(keras.tree.flatten(layer.input))


def _count_flops(layer: Any) -> int:
    """Gives two operations for each value of a kernel at each place where it is laid."""
    kernels = [weight for weight in layer.trainable_weights if len(weight.shape) > 1]
    if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D):
        return 2 * int(prod(layer.output.shape[1:3])) * sum(int(prod(kernel.shape)) for kernel in kernels)
    if len(layer.output.shape) == 2:  # dense, also with normalised weights
        return 2 * sum(int(prod(kernel.shape)) for kernel in kernels)
    return 0
