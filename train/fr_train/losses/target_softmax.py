"""Softmax cross-entropy in which the target's logit is replaced, with one (B, C) array kept for the gradient.

Both functions touch the column of the target alone and say their gradients themselves. Left to automatic differentiation, taking
that column out and putting it back costs several more arrays of batch × classes, each 176 MB at 85,742 classes and a batch of 512.
"""

from typing import Any

import keras
from keras import ops

__all__ = ["split_target", "target_softmax"]

Tensor = Any


def split_target(labels: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Takes the targets out of the logits.

    Args:
        labels: (B,) integers.
        logits: (B, C).

    Returns:
        The logits as they were, (B, C) float32, and those of the targets, (B,) float32. A gradient that comes to both is added.
    """
    labels = ops.cast(labels, "int32")

    @ops.custom_gradient
    def split(logits: Tensor) -> Any:
        def gradient(*upstream: Any) -> Tensor:
            of_logits, of_target = upstream if len(upstream) == 2 else upstream[0]  # JAX gives them as one pair
            return _put(of_logits, labels, _pick(of_logits, labels) + of_target)

        return (logits, _pick(logits, labels)), gradient

    rest, target = split(ops.cast(logits, "float32"))
    return rest, target


def target_softmax(labels: Tensor, logits: Tensor, target: Tensor, *, scale: float) -> Tensor:
    """−log softmax(s · logits)_y with the logit of y replaced.

    Args:
        labels: y, (B,) integers.
        logits: (B, C) float32.
        target: (B,) float32, what takes the place of the targets' logits.
        scale: s.

    Returns:
        (B,) float32 losses.
    """
    labels = ops.cast(labels, "int32")

    @ops.custom_gradient
    def cross_entropy(logits: Tensor, target: Tensor) -> Any:
        scaled = _put(logits * scale, labels, target * scale)  # in this order the copy is one
        top = ops.max(scaled, axis=1)
        powers = ops.exp(scaled - top[:, None])
        total = ops.sum(powers, axis=1)

        def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
            upstream = upstream * scale
            of_target = ops.exp(scale * target - top) / total
            shares = powers * (upstream / total)[:, None]
            return _put(shares, labels, ops.zeros_like(upstream)), (of_target - 1.0) * upstream

        return ops.log(total) + (top - scale * target), gradient

    return cross_entropy(logits, target)


def _pick(rows: Tensor, columns: Tensor) -> Tensor:
    if keras.backend.backend() == "jax":
        return ops.sum(ops.where(_is_at(rows, columns), rows, 0.0), axis=1)
    return ops.squeeze(ops.take_along_axis(rows, columns[:, None], axis=1), axis=1)


def _put(rows: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    if keras.backend.backend() == "jax":
        return ops.where(_is_at(rows, columns), values[:, None], rows)
    places = ops.stack([ops.arange(ops.shape(columns)[0], dtype="int32"), columns], axis=1)
    return ops.scatter_update(rows, places, values)


def _is_at(rows: Tensor, columns: Tensor) -> Tensor:
    """Where a column is that of its row; XLA compares in passes it makes anyway, and on several devices each in its own columns."""
    return ops.arange(rows.shape[1], dtype="int32")[None, :] == columns[:, None]
