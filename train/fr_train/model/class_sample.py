"""The classes that a step of a sampled head looks at: those of the batch, and others at random."""

import math
from typing import Any

from keras import ops

from fr_train.model.class_order import ClassOrder

__all__ = ["count_sample", "draw_sample"]

Tensor = Any


def count_sample(num_classes: int, *, rate: float, batch_size: int) -> int:
    """Gives S, the classes in a sample: a part of all, but at least as many as a batch may have.

    Args:
        num_classes: C.
        rate: that part, in (0, 1].
        batch_size: B.
    """
    return min(num_classes, max(math.ceil(round(rate * num_classes, 6)), batch_size))


def draw_sample(labels: Tensor, *, num_classes: int, size: int, key: Tensor) -> tuple[Tensor, Tensor]:
    """Draws the batch's classes and others, each set of others equally likely.

    The first S classes of a pseudo-random order are taken. A class of the batch that is not among them takes the place of one that
    is no class of the batch. No work grows with C.

    Args:
        labels: (B,) integers, B known.
        num_classes: C.
        size: S, at least B unless it is C.
        key: a uint32 scalar; the same key and labels give the same sample.

    Returns:
        The classes, (S,) int32, rising; and where among them the labels are, (B,) int32.

    Reference:
        An et al. 2022, Killing Two Birds with One Stone: Efficient and Robust Training of Face Recognition CNNs by Partial FC.
    """
    labels, batch_size = ops.cast(labels, "int32"), labels.shape[0]
    order = ClassOrder(num_classes, key)
    places = order.place_of(labels)
    # Places are given away from the front, of which among 2 B at most B are a class of the batch.
    front = ops.arange(min(size, 2 * batch_size), dtype="int32")
    is_free = ops.logical_not(ops.any(places[:, None] == front[None, :], axis=0))
    first = ops.argmax(ops.cast(labels[:, None] == labels[None, :], "int32"), axis=1)  # row of the same label
    is_missing = ops.logical_and(places >= size, first == ops.arange(batch_size, dtype=first.dtype))
    number = ops.take(ops.cumsum(ops.cast(is_missing, "int32")), first)
    given = ops.searchsorted(ops.cumsum(ops.cast(is_free, "int32")), number)
    places = ops.where(places < size, places, ops.cast(given, "int32"))
    classes = order.class_at(ops.arange(size, dtype="int32"))
    # Rows in rising order are read much faster.
    classes = ops.sort(ops.scatter_update(classes, places[:, None], labels))
    return classes, ops.cast(ops.searchsorted(classes, labels), "int32")
