"""Changes of colour. Images are (n, H, W, 3) uint8; results are rounded and clipped once."""

from typing import Any

import tensorflow as tf

__all__ = ["change_colours", "change_sharpness", "posterize", "stretch_contrast", "to_uint8"]

Tensor = Any
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as JPEG and Pillow have it


def to_uint8(values: Tensor) -> Tensor:
    """Rounds and clips."""
    return tf.cast(tf.clip_by_value(values, 0.0, 255.0) + 0.5, tf.uint8)


def change_colours(
    images: Tensor,
    *,
    brightness: Tensor | None = None,
    contrast: Tensor | None = None,
    saturation: Tensor | None = None,
) -> Tensor:
    """Changes brightness, then contrast, then saturation, in one go.

    x becomes b·x, that becomes M + c·(x − M), where M is the image's mean luma by then, and that becomes L + s·(x − L), where L is
    the pixel's luma. A factor of 1 changes nothing; 0 gives black, plain gray, and gray.

    Args:
        images: (n, H, W, 3) uint8.
        brightness: (n,) float32, b; none is 1.
        contrast: c, likewise.
        saturation: s, likewise.

    Returns:
        (n, H, W, 3) uint8.
    """
    ones = tf.ones([tf.shape(images)[0]])
    b, c, s = ((ones if factor is None else factor)[:, None, None] for factor in (brightness, contrast, saturation))
    luma = tf.constant(LUMA)[:, None]
    pixels = tf.reshape(tf.cast(images, tf.float32), [tf.shape(images)[0], images.shape[1] * images.shape[2], 3])
    changed = tf.matmul(pixels, b * c * (s * tf.eye(3) + (1.0 - s) * tf.tile(luma, [1, 3])))
    if contrast is not None:
        changed += (1.0 - c) * b * tf.matmul(tf.reduce_mean(pixels, axis=1, keepdims=True), luma)
    return tf.reshape(to_uint8(changed), tf.shape(images))


def change_sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """S + f·(x − S), where S is the image smoothed with 1 1 1, 1 5 1, 1 1 1 over 13, but for its margin; as Pillow does.

    Args:
        images: (n, H, W, 3) uint8.
        factors: (n,) float32; 0 gives the smoothed image, 1 the image.
    """
    values = tf.cast(images, tf.float32)
    kernel = tf.constant([[1, 1, 1], [1, 5, 1], [1, 1, 1]], dtype=tf.float32) / 13.0
    kernel = tf.tile(kernel[:, :, None, None], [1, 1, 3, 1])
    smooth = tf.nn.depthwise_conv2d(values, kernel, strides=[1, 1, 1, 1], padding="SAME")
    height, width = images.shape[1:3]
    inside = tf.pad(tf.ones([height - 2, width - 2, 1]), [[1, 1], [1, 1], [0, 0]])
    return to_uint8(values + (factors[:, None, None, None] - 1.0) * inside * (values - smooth))


def posterize(images: Tensor, num_bits: Tensor) -> Tensor:
    """Keeps the upper bits of each value.

    Args:
        images: (n, H, W, 3) uint8.
        num_bits: (n,) int32, 0 to 8.
    """
    masks = tf.cast(tf.bitwise.left_shift(255, 8 - num_bits) & 255, tf.uint8)
    return tf.bitwise.bitwise_and(images, masks[:, None, None, None])


def stretch_contrast(images: Tensor) -> Tensor:
    """Stretches each colour of each image to the whole range, 0 to 255; one with a single value stays."""
    values = tf.cast(images, tf.float32)
    lowest = tf.reduce_min(values, axis=(1, 2), keepdims=True)
    extent = tf.reduce_max(values, axis=(1, 2), keepdims=True) - lowest
    flat = extent == 0
    return to_uint8((values - tf.where(flat, 0.0, lowest)) * tf.where(flat, 1.0, 255.0 / tf.where(flat, 1.0, extent)))
