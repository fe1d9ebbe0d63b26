"""Traces of compression."""

from typing import Any

import numpy as np
import simplejpeg
import tensorflow as tf
from numpy.typing import NDArray

__all__ = ["compress"]

Tensor = Any


def compress(images: Tensor, qualities: Tensor) -> Tensor:
    """Encodes each image as JPEG with half the resolution of colour, as cameras do, and decodes it.

    Args:
        images: (n, H, W, 3) uint8.
        qualities: (n,) int32, 1 to 100.
    """
    compressed = tf.numpy_function(_compress, [images, qualities], tf.uint8, stateful=False)
    compressed.set_shape(images.shape)
    return compressed


def _compress(images: NDArray[np.uint8], qualities: NDArray[np.int32]) -> NDArray[np.uint8]:
    result = np.empty_like(images)
    for image, quality, out in zip(images, qualities.tolist(), result, strict=True):
        simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(image, quality, colorsubsampling="420"), buffer=out)
    return result
