"""PReLU, and batch normalisation with PReLU behind it, in as few passes over memory as there can be, compiled by XLA.

Memory is what these cost on a CPU: TensorFlow's own kernels take one pass for every operation.
"""

from typing import Any

import tensorflow as tf

from fr_eval.models.fast_layers import activate

__all__ = ["normalize_prelu", "prelu"]

Tensor = Any
MAX_PARTS = 8


@tf.custom_gradient
def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """x where it is positive, alpha·x elsewhere.

    Args:
        x: (B, ...) of any float type.
        alpha: slopes, that broadcast to x[0].
    """
    return activate(x, alpha), lambda upstream: _prelu_gradient(x, alpha, upstream)


@tf.function(jit_compile=True, autograph=False)
def _prelu_gradient(x: Tensor, alpha: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    positive = x > 0
    below = tf.cast(tf.where(positive, tf.zeros([], x.dtype), upstream * x), tf.float32)
    shared = [axis for axis, size in enumerate([None, *alpha.shape]) if size in (None, 1)]
    summed = tf.reshape(tf.reduce_sum(below, axis=shared), alpha.shape)
    return tf.where(positive, upstream, alpha * upstream), tf.cast(summed, x.dtype)


def normalize_prelu(
    x: Tensor, gamma: Tensor, beta: Tensor, alpha: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """PReLU of gamma·(x - mean)/√(variance + epsilon) + beta, with mean and variance of the batch.

    Args:
        x: (B, H, W, C) of any float type; H, W and C known.
        gamma: (C,) float32.
        beta: (C,) float32.
        alpha: (C,) float32, slopes.
        epsilon: added to the variance.

    Returns:
        The result, like x; mean and (biased) variance, (C,) float32, which have no gradient.
    """

    @tf.custom_gradient
    def compute(x: Tensor, gamma: Tensor, beta: Tensor, alpha: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Any]:
        y, mean, variance = _normalize_prelu(x, gamma, beta, alpha, epsilon)

        def differentiate(upstream: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            gradients: tuple[Tensor, Tensor, Tensor, Tensor] = _normalize_prelu_gradient(
                x, gamma, beta, alpha, mean, variance, upstream, epsilon
            )
            return gradients

        return (y, mean, variance), differentiate

    results: tuple[Tensor, Tensor, Tensor] = compute(x, gamma, beta, alpha)
    return results


@tf.function(jit_compile=True, autograph=False)
def _normalize_prelu(
    x: Tensor, gamma: Tensor, beta: Tensor, alpha: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    # Sums of squares lose digits where the mean is far from 0: so they are taken around a pixel of the batch.
    _, height, width, _ = x.shape
    near = tf.cast(x[0, height // 2, width // 2], tf.float32)
    away = [part - near for part in _split(x)]
    count = _count(x)
    offset, square = tf.unstack(_sum([tf.stack([part, part * part], axis=2) for part in away]) / count)
    variance = tf.maximum(square - offset * offset, 0.0)
    mean = near + offset
    y = (tf.cast(x, tf.float32) - mean) * (gamma * tf.math.rsqrt(variance + epsilon)) + beta
    return tf.cast(tf.where(y > 0, y, alpha * y), x.dtype), mean, variance


@tf.function(jit_compile=True, autograph=False)
def _normalize_prelu_gradient(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    alpha: Tensor,
    mean: Tensor,
    variance: Tensor,
    upstream: Tensor,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inverse = tf.math.rsqrt(variance + epsilon)
    scale = gamma * inverse
    terms = []
    for part, above in zip(_split(x), _split(upstream), strict=True):
        centered = part - mean
        y = centered * scale + beta
        inner = tf.where(y > 0, above, alpha * above)
        terms.append(tf.stack([inner * centered, inner, tf.where(y > 0, 0.0, above * y)], axis=2))
    product, to_beta, to_alpha = tf.unstack(_sum(terms))
    to_gamma = product * inverse
    centered = tf.cast(x, tf.float32) - mean
    above = tf.cast(upstream, tf.float32)
    inner = tf.where(centered * scale + beta > 0, above, alpha * above)
    to_x = scale * (inner - (to_beta + centered * (inverse * to_gamma)) / _count(x))
    return tf.cast(to_x, x.dtype), to_gamma, to_beta, to_alpha


def _split(x: Tensor) -> list[Tensor]:
    """Gives equal parts of the pixels, float32: XLA sums a whole tensor with one thread, but adds parts with all of them."""
    _, height, width, channels = x.shape
    pixels = height * width
    count = max(number for number in range(1, MAX_PARTS + 1) if pixels % number == 0)
    parts = tf.reshape(x, [-1, count, pixels // count, channels])
    return [tf.cast(parts[:, number], tf.float32) for number in range(count)]


def _sum(parts: list[Tensor]) -> Tensor:
    """Sums terms (B, pixels, count, C), stacked so that one pass over memory makes all, to (count, C)."""
    return tf.reduce_sum(tf.add_n(parts), axis=[0, 1])


def _count(x: Tensor) -> Tensor:
    return tf.cast(tf.size(x) // x.shape[-1], tf.float32)
