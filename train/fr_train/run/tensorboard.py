"""A row of the history for TensorBoard."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fr_train.data.host_tensorflow import import_host_tensorflow
from fr_train.errors import ConfigError

__all__ = ["require_tensorboard", "write_scalars"]


def require_tensorboard() -> Any:
    """Imports what writes for TensorBoard: TensorFlow, which no longer brings TensorBoard along but needs it for that.

    Returns:
        TensorFlow's module.

    Raises:
        MissingTensorFlowError: it is not installed.
        ConfigError: TensorBoard is not.
    """
    tf = import_host_tensorflow("tensorboard")
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "tensorboard: expected TensorBoard, which is not installed: pip install 'fr-toolkit[tensorboard]', or leave it out."
        )
    return tf


def write_scalars(folder: Path, row: Mapping[str, Any]) -> None:
    """Writes every number of a row as a scalar at its epoch.

    Args:
        folder: TensorBoard's log folder.
        row: a row of the history.

    Raises:
        MissingTensorFlowError, ConfigError: see `require_tensorboard`.
    """
    summary = require_tensorboard().summary
    writer = summary.create_file_writer(str(folder))
    with writer.as_default(step=int(row["epoch"])):
        for key, value in row.items():
            if isinstance(value, int | float) and key != "epoch":
                summary.scalar(key, value)
    writer.close()
