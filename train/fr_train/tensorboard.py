"""A row of the history for TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

__all__ = ["write_scalars"]


def write_scalars(folder: Path, row: Mapping[str, Any]) -> None:
    """Writes every number of a row as a scalar at its epoch.

    Args:
        folder: TensorBoard's log folder.
        row: a row of the history.
    """
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default(step=int(row["epoch"])):
        for key, value in row.items():
            if isinstance(value, int | float) and key != "epoch":
                tf.summary.scalar(key, value)
    writer.close()
