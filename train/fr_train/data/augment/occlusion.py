"""Covering the lower face, as a mask does."""

from typing import Any

import tensorflow as tf

__all__ = ["cover_lower_face"]

Tensor = Any

# Parts of the width and height. In faces aligned as usual, eyes are at 0.46, the tip of the nose at 0.64, the mouth at 0.82.
HALF_WIDTH = 0.42
DROP = 0.12  # how much lower the upper edge is at the cheeks than on the nose


def cover_lower_face(images: Tensor, heights: Tensor, colours: Tensor) -> Tensor:
    """Covers everything from the nose down, with an upper edge that is bent as a mask's is.

    Args:
        images: (n, H, W, 3) uint8.
        heights: (n,) float32, the part of the image's height that is covered in its middle.
        colours: (n, 3) uint8.

    Returns:
        (n, H, W, 3) uint8.
    """
    height, width = images.shape[1:3]
    x = tf.repeat((tf.range(width, dtype=tf.float32) + 0.5) / width, 3)  # a value is a column: TensorFlow is fast then
    y = (tf.range(height, dtype=tf.float32) + 0.5) / height
    aside = (x - 0.5) / HALF_WIDTH  # -1 to 1 over the face
    tops = tf.where(tf.abs(aside) < 1.0, 1.0 - heights[:, None] + DROP * aside**2, 2.0)
    values = tf.reshape(images, [-1, height, width * 3])
    covered = y[:, None] > tops[:, None, :]
    return tf.reshape(tf.where(covered, tf.tile(colours, [1, width])[:, None, :], values), tf.shape(images))
