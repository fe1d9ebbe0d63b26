"""Beginning a run with the weights of another one."""

from pathlib import Path
from typing import Any

import keras

from fr_train.checkpoint import read_checkpoint
from fr_train.class_shards import class_rows
from fr_train.errors import CheckpointError
from fr_train.run_folder import RunFolder

__all__ = ["take_weights"]


def take_weights(folder: Path, network: keras.Model, head: Any) -> str:
    """Sets network and head to what another run's newest checkpoint holds.

    Args:
        folder: that run's folder.
        network: the embedding network; it must be the same one.
        head: the head; it is left as it is where the other run had other classes.

    Returns:
        What was taken, for the user.

    Raises:
        CheckpointError: if there is no checkpoint, or it is of another network.
    """
    checkpoint = read_checkpoint(RunFolder(folder).checkpoints)
    values = {
        part: [array for name, array in checkpoint.arrays.items() if name.startswith(f"{part}/")]
        for part in ("network", "head")
    }
    expected = [tuple(variable.shape) for variable in network.variables]
    if [array.shape for array in values["network"]] != expected:
        raise CheckpointError(
            f"{checkpoint.path}: is of another network. Give the same [model] as that run's config.toml."
        )
    for variable, array in zip(network.variables, values["network"], strict=True):
        variable.assign(array)
    own = [class_rows(variable) for variable in head.variables] if head is not None else []
    if not values["head"] or [array.shape for array in values["head"]] != [tuple(variable.shape) for variable in own]:
        return "took the weights of the network; the head begins anew, for it has other classes"
    for variable, array in zip(own, values["head"], strict=True):
        variable.assign(array)
    return "took the weights of network and head"
