"""Augmentation of the stream's arrays by one TensorFlow function, whatever backend trains."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fr_train.data.augment.augment import augment
from fr_train.data.augment.settings import AugmentSettings
from fr_train.data.tensors import to_tensor

__all__ = ["compile_augment"]


def compile_augment(settings: AugmentSettings) -> Callable[[NDArray[np.uint8], NDArray[np.uint64]], Any]:
    """Gives a function of images (n, H, W, 3) uint8 and two words of 64 bits, the seed → augmented images, a tensor on the host."""
    compiled = tf.function(lambda images, seed: augment(images, seed, settings), autograph=False)

    def run(images: NDArray[np.uint8], words: NDArray[np.uint64]) -> Any:
        with tf.device("CPU:0"):
            return compiled(to_tensor(images), tf.constant(words >> 1, dtype=tf.int64))

    return run
