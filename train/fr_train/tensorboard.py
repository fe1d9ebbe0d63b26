"""A row of the history for TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fr_train.host_tensorflow import import_host_tensorflow

__all__ = ["write_scalars"]


def write_scalars(folder: Path, row: Mapping[str, Any]) -> None:
    """Writes every number of a row as a scalar at its epoch.

    Args:
        folder: TensorBoard's log folder.
        row: a row of the history.

    Raises:
        MissingTensorFlowError: TensorFlow, which writes them, is not installed.
    """
    tf = import_host_tensorflow("tensorboard")
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default(step=int(row["epoch"])):
        for key, value in row.items():
            if isinstance(value, int | float) and key != "epoch":
                tf.summary.scalar(key, value)
    writer.close()
