"""Beginning a run with the weights of another one."""

from pathlib import Path
from typing import Any

import keras

from fr_train.devices.model_parallel import class_rows
from fr_train.errors import CheckpointError
from fr_train.run.checkpoint import list_checkpoints, read_checkpoint
from fr_train.run.run_folder import RunFolder

__all__ = ["take_weights"]


def take_weights(folder: Path, network: keras.Model, head: Any) -> str:
    """Sets network and head to what another run's newest checkpoint holds.

    Args:
        folder: that run's folder.
        network: the embedding network; it must be the same one.
        head: the head, None where there is none; it is left as it is where the other run had another one.

    Returns:
        What was taken, for the user.

    Raises:
        CheckpointError: if there is no run or no checkpoint, or it is of another network.
    """
    checkpoints = RunFolder(folder).checkpoints
    if not list_checkpoints(checkpoints):
        received = "it holds no checkpoint" if folder.is_dir() else "there is no such folder"
        raise CheckpointError(f"start_from: {folder}: expected the folder of a run, {received}. Check --start-from.")
    checkpoint = read_checkpoint(checkpoints, advice="Choose another --start-from.")
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
    averages = [array for name, array in checkpoint.arrays.items() if name.startswith("average/")][
        :-1
    ]  # then their steps
    for variable, array in zip(network.trainable_variables, averages, strict=False):
        variable.assign(array)
    taken = f"took the {'averaged ' if averages else ''}weights of the network"
    if head is None:
        return f"{taken}; this run has no head"
    own = [class_rows(variable) for variable in head.variables]
    differs = _compare_heads([array.shape for array in values["head"]], [tuple(variable.shape) for variable in own])
    if differs:
        return f"{taken}; the head begins anew, for {differs}"
    for variable, array in zip(own, values["head"], strict=True):
        variable.assign(array)
    return f"{taken}, and the head" if averages else "took the weights of network and head"


def _compare_heads(theirs: list[tuple[int, ...]], own: list[tuple[int, ...]]) -> str:
    """Says how class weights (C, D), or (C, K, D) of K sub-centers a class, differ; nothing where they do not."""
    if theirs == own:
        return ""
    if not theirs:
        return "the checkpoint of the other run has none"
    if theirs[0][0] != own[0][0]:
        return f"it has {own[0][0]:,} classes, that of the other run {theirs[0][0]:,}"
    here, there = (shape[1] if len(shape) == 3 else 1 for shape in (own[0], theirs[0]))
    return f"it has {here} sub-center{'s' if here > 1 else ''} a class, that of the other run {there}"
