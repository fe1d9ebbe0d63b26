"""Arrays of the stream as TensorFlow's tensors."""

from typing import Any

import numpy as np
import tensorflow as tf

from fr_train.data.records.memory import ALIGNMENT

__all__ = ["to_tensor"]


def to_tensor(array: Any) -> tf.Tensor:
    """Gives an array as a tensor on the host, which shares its memory where that lies as TensorFlow wants it."""
    if isinstance(array, np.ndarray) and array.flags.carray and array.ctypes.data % ALIGNMENT == 0:
        with tf.device("CPU:0"):
            return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.convert_to_tensor(array)
