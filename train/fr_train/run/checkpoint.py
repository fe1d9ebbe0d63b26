"""Checkpoints: all variables of a run and its position, each in one file that is whole or not there; the last few are kept."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fr_data.files import whole_file
from fr_train.errors import CheckpointError
from fr_train.run.differences import find_differences

__all__ = [
    "CHECKPOINT_NAME",
    "Checkpoint",
    "Position",
    "list_checkpoints",
    "load_checkpoint",
    "read_checkpoint",
    "save_checkpoint",
]

STATE_KEY = "state"
FORMAT_VERSION = 2
CHECKPOINT_NAME = re.compile(r"([0-9]{9,})-([0-9]{6,})\.npz")  # steps and epochs done


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a run stands.

    Attributes:
        phase: the phase it is in, from 0.
        epoch: the epoch of that phase, from 0.
        step: steps done in that epoch.
        total_epochs: epochs done in all phases.
        total_steps: steps done in all phases.
        best_score: the best score of the run so far; None before the first evaluation.
        phase_score: the best score of the phase so far.
        epochs_since_best: epochs of the phase since its best score.
        epochs_since_change: the same, counted anew when a plateau changed the learning rate.
        sums: running sums of the epoch's figures, so that a resumed epoch reports the whole of it.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    total_epochs: int = 0
    total_steps: int = 0
    best_score: float | None = None
    phase_score: float | None = None
    epochs_since_best: int = 0
    epochs_since_change: int = 0
    sums: Mapping[str, float] = field(default_factory=dict)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, the newest first; files of other names are none, nor are links."""
    found = []
    for path in folder.glob("*.npz"):
        match = CHECKPOINT_NAME.fullmatch(path.name)
        if match and path.is_file() and not path.is_symlink():
            found.append((int(match[1]), int(match[2]), path))
    return [path for _, _, path in sorted(found, reverse=True)]


def save_checkpoint(
    folder: Path,
    position: Position,
    variables: Mapping[str, Any],
    *,
    facts: Mapping[str, Any] | None = None,
    keep: int = 1,
) -> None:
    """Writes a checkpoint beside its place, syncs it, moves it there, and removes the oldest.

    Args:
        folder: of the run's checkpoints; made if it is missing.
        position: where the run stands.
        variables: name → Keras variable.
        facts: what the run depends on, JSON values; `require_same` compares them.
        keep: how many stay.

    Raises:
        OutputError: it cannot be written; older checkpoints are then untouched.
        OSError: the folder cannot be made, or an old checkpoint cannot be removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{position.total_steps:09d}-{position.total_epochs:06d}.npz"
    state = json.dumps({"format_version": FORMAT_VERSION, "position": asdict(position), "facts": dict(facts or {})})
    arrays = {STATE_KEY: np.frombuffer(state.encode(), dtype=np.uint8)}
    arrays |= {name: np.asarray(variable) for name, variable in variables.items()}
    with whole_file(path) as draft, draft.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    for old in list_checkpoints(folder)[keep:]:
        old.unlink()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint as it was read.

    Attributes:
        path: the file.
        position: where the run stood.
        facts: what the run depended on.
        arrays: name → value of each variable.
    """

    path: Path
    position: Position
    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    def require_same(self, facts: Mapping[str, Any]) -> None:
        """Refuses to go on with another config or data set.

        Raises:
            CheckpointError: names each key that changed.
        """
        changed = list(find_differences(self.facts, json.loads(json.dumps(facts))))
        if changed:
            raise CheckpointError(
                f"{self.path}: the run was another one: {'; '.join(changed)}. Undo that, or go on all the same by --force."
            )


def read_checkpoint(folder: Path, *, advice: str = "Start the run anew, by --overwrite.") -> Checkpoint:
    """Reads the newest checkpoint that is whole.

    Args:
        folder: of the run's checkpoints.
        advice: what to do where there is none.

    Raises:
        CheckpointError: if there is none.
    """
    problems = []
    for path in list_checkpoints(folder):
        try:
            with np.load(path, allow_pickle=False) as archive:
                state = json.loads(archive[STATE_KEY].tobytes())
                arrays = {name: archive[name] for name in archive.files if name != STATE_KEY}
                if state["format_version"] != FORMAT_VERSION:
                    raise ValueError(f"expected format version {FORMAT_VERSION}, received {state['format_version']}")
                return Checkpoint(path, Position(**state["position"]), state["facts"], arrays)
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            problems.append(f"{path.name} is damaged ({error})")
    raise CheckpointError(
        f"{folder}: there is no checkpoint to go on from{': ' if problems else ''}{'; '.join(problems)}. {advice}"
    )


def load_checkpoint(checkpoint: Checkpoint, variables: Mapping[str, Any]) -> None:
    """Sets the variables to what a checkpoint holds.

    Args:
        checkpoint: as it was read.
        variables: name → Keras variable; their names and shapes must be those of the checkpoint.

    Raises:
        CheckpointError: if it holds other variables.
    """
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    received = {name: array.shape for name, array in checkpoint.arrays.items()}
    wrong = sorted(name for name in {*expected, *received} if expected.get(name) != received.get(name))
    if wrong:
        raise CheckpointError(
            f"{checkpoint.path}: is of another model: {wrong[0]} should have shape {expected.get(wrong[0], 'none')}, "
            f"it has {received.get(wrong[0], 'none')} ({len(wrong)} such variables)."
        )
    for name, variable in variables.items():
        variable.assign(checkpoint.arrays[name])
