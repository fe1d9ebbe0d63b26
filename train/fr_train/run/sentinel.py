"""What is written down at the first loss that is no number, so that nobody has to guess."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fr_data.files import write_whole
from fr_train.run.checkpoint import Position

__all__ = ["ADVICE", "write_report"]

ADVICE = (
    "Try a smaller optimizer.learning_rate, a longer warm-up (schedule.warmup_epochs), optimizer.clip_norm, or precision "
    "float32; look at the records that are named. on_nonfinite = 'skip' leaves such steps out."
)


def write_report(
    path: Path,
    *,
    position: Position,
    learning_rate: float,
    losses: np.ndarray,
    keys: Sequence[int],
    labels: Sequence[int],
) -> None:
    """Writes where it happened, the learning rate, and of each row of the batch its record, its class and its loss.

    Args:
        path: a JSON file; one that is there is replaced.
        position: the step that went wrong.
        learning_rate: of that step.
        losses: (B,) float32.
        keys: (B,) the records' keys in the source.
        labels: (B,) dense classes.
    """
    rows = [
        {"source_key": int(key), "label": int(label), "loss": repr(float(loss)), "is_finite": bool(np.isfinite(loss))}
        for key, label, loss in zip(keys, labels, losses, strict=True)
    ]
    content = {
        "phase": position.phase + 1,
        "epoch": position.epoch + 1,
        "step": position.step,
        "learning_rate": learning_rate,
        "advice": ADVICE,
        "records": rows,
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")
