"""Doing different things to different images of a batch."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

__all__ = ["apply_by_choice"]

Tensor = Any


def apply_by_choice(
    images: Tensor, choices: Tensor, operations: Sequence[Callable[..., Tensor]], *arguments: Tensor
) -> Tensor:
    """Applies to each image the operation of its choice; no other looks at it.

    Args:
        images: (n, H, W, 3) uint8.
        choices: (n,) int32, 0 to the number of operations - 1.
        operations: (images, *arguments) → images, for any number of them, also none.
        arguments: (n, ...) each; an operation gets those of its images.

    Returns:
        (n, H, W, 3) uint8.
    """
    count = len(operations)
    parts = zip(*(tf.dynamic_partition(tensor, choices, count) for tensor in (images, *arguments)), strict=True)
    results = [operation(*part) for operation, part in zip(operations, parts, strict=True)]
    places = tf.dynamic_partition(tf.range(tf.shape(images)[0]), choices, count)
    return tf.ensure_shape(tf.dynamic_stitch(places, results), images.shape)
