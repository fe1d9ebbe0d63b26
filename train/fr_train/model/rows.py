"""Some rows of a large variable, read and written where they are."""

from typing import Any

import keras
from keras import ops

__all__ = ["set_rows", "take_rows"]

Tensor = Any


def take_rows(variable: Any, indices: Tensor) -> Tensor:
    """Gives rows of a Keras variable, (N, ...).

    Args:
        variable: (R, ...).
        indices: (N,) int32.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # noqa: PLC0415

        # Keras would first copy all of a variable that `set_rows` has written.
        return tf.gather(variable.value, indices)
    return ops.take(variable, indices, axis=0)


def set_rows(variable: Any, indices: Tensor, rows: Tensor) -> None:
    """Sets rows of a Keras variable.

    Args:
        variable: (R, ...).
        indices: (N,) int32; where one comes twice, its rows must be the same.
        rows: (N, ...).
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # noqa: PLC0415

        if isinstance(variable.value, tf.Variable):
            variable.value.scatter_update(tf.IndexedSlices(rows, indices))
            return
    variable.assign(ops.scatter_update(variable, indices[:, None], rows))
