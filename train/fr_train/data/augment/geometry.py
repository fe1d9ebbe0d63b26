"""Changes of place: parts, shifts, turns, shears. Images are (n, H, W, 3) uint8; what comes in from outside is black."""

from typing import Any

import tensorflow as tf

from fr_train.data.augment.colour import to_uint8

__all__ = ["crop", "rotate", "shear", "shift"]

Tensor = Any


def crop(images: Tensor, sides: Tensor, places: Tensor) -> Tensor:
    """Resizes a part of each image, bilinear, to the image's size.

    Args:
        images: (n, H, W, 3) uint8.
        sides: (n,) float32, the part's sides as part of the image's; a part with sides above 1 holds the image, and black.
        places: (n, 2) float32, where it is, (x, y) from (0, 0), left above, to (1, 1), right below.
    """
    begins = (1.0 - sides[:, None]) * places[:, ::-1]
    boxes = tf.concat([begins, begins + sides[:, None]], axis=1)
    return to_uint8(tf.image.crop_and_resize(images, boxes, tf.range(tf.shape(images)[0]), images.shape[1:3]))


def shift(images: Tensor, pixels: Tensor) -> Tensor:
    """Moves each image.

    Args:
        images: (n, H, W, 3) uint8.
        pixels: (n, 2) int32, to the right and down.
    """
    offsets = -tf.cast(pixels, tf.float32)
    return _transform(images, tf.eye(2, batch_shape=[tf.shape(images)[0]]), offsets)


def rotate(images: Tensor, radians: Tensor) -> Tensor:
    """Turns each image about its middle.

    Args:
        images: (n, H, W, 3) uint8.
        radians: (n,) float32, counter-clockwise.
    """
    cosine, sine = tf.cos(radians), tf.sin(radians)
    return _transform(images, _matrices(cosine, -sine, sine, cosine))


def shear(images: Tensor, slopes: Tensor) -> Tensor:
    """Moves rows to the left by their distance below the middle, times x, and columns up by that to the right of it, times y.

    Args:
        images: (n, H, W, 3) uint8.
        slopes: (n, 2) float32, x and y.
    """
    ones = tf.ones_like(slopes[:, 0])
    return _transform(images, _matrices(ones, slopes[:, 0], slopes[:, 1], ones))


def _matrices(xx: Tensor, xy: Tensor, yx: Tensor, yy: Tensor) -> Tensor:
    return tf.reshape(tf.stack([xx, xy, yx, yy], axis=1), [-1, 2, 2])


def _transform(images: Tensor, matrices: Tensor, offsets: Tensor | float = 0.0) -> Tensor:
    """Gives each pixel the value, bilinear, of where it comes from: its place from the middle, times (n, 2, 2), plus (n, 2)."""
    height, width = images.shape[1:3]
    middle = tf.constant([(width - 1) / 2, (height - 1) / 2], dtype=tf.float32)
    offsets = middle + offsets - tf.linalg.matvec(matrices, middle)
    rows = tf.concat([matrices, offsets[:, :, None]], axis=2)
    return to_uint8(
        tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.cast(images, tf.float32),
            transforms=tf.pad(tf.reshape(rows, [-1, 6]), [[0, 0], [0, 2]]),
            output_shape=[height, width],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
        )
    )
