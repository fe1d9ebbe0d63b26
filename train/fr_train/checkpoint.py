"""Checkpoints: all variables of a run and its position, in one file that is whole or not there."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from fr_train.errors import CheckpointError

__all__ = ["Position", "load_checkpoint", "save_checkpoint"]

STATE_KEY = "state"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run stands.

    Attributes:
        epoch: the epoch it is in, from 0.
        step: steps done in that epoch.
        best_score: the best score so far; None before the first evaluation.
        sums: running sums of the epoch's figures, so that a resumed epoch reports the whole of it.
    """

    epoch: int = 0
    step: int = 0
    best_score: float | None = None
    sums: Mapping[str, float] | None = None


def save_checkpoint(path: Path, position: Position, variables: Mapping[str, Any]) -> None:
    """Writes a checkpoint beside its place, syncs it, and moves it there.

    Args:
        path: an `.npz`.
        position: where the run stands.
        variables: name → Keras variable.

    Raises:
        OSError: if it cannot be written; an older checkpoint is then untouched.
    """
    state = json.dumps({"format_version": FORMAT_VERSION, "position": asdict(position)})
    arrays = {STATE_KEY: np.frombuffer(state.encode(), dtype=np.uint8)}
    arrays |= {name: np.asarray(variable) for name, variable in variables.items()}
    partial = path.with_name(path.name + ".incomplete")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_checkpoint(path: Path, variables: Mapping[str, Any]) -> Position:
    """Sets the variables to what a checkpoint holds.

    Args:
        path: the `.npz`.
        variables: name → Keras variable; their names and shapes must be those of the checkpoint.

    Raises:
        CheckpointError: if the file is missing, damaged, or holds other variables.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            state = json.loads(archive[STATE_KEY].tobytes())
            arrays = {name: archive[name] for name in archive.files if name != STATE_KEY}
            position = Position(**state["position"])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: there is no checkpoint to resume from. Start the run without --resume."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise CheckpointError(f"{path}: is damaged ({error}). Start the run anew.") from error
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    received = {name: array.shape for name, array in arrays.items()}
    wrong = sorted(name for name in {*expected, *received} if expected.get(name) != received.get(name))
    if wrong:
        raise CheckpointError(
            f"{path}: is of another model: {wrong[0]} should have shape {expected.get(wrong[0], 'none')}, "
            f"it has {received.get(wrong[0], 'none')} ({len(wrong)} such variables)."
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return position
