"""An epoch of a phase, from wherever it stands to its end or to an interrupt."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from fr_train.config.config import Config
from fr_train.errors import TrainingError
from fr_train.run.checkpoint import Position
from fr_train.run.interrupt import Interrupt
from fr_train.run.phase import Phase
from fr_train.run.progress import Progress
from fr_train.run.run_writer import RunWriter
from fr_train.run.sentinel import ADVICE
from fr_train.step.base import StepResult

__all__ = ["run_epoch"]


def run_epoch(
    phase: Phase,
    position: Position,
    interrupt: Interrupt,
    *,
    writer: RunWriter,
    config: Config,
    quiet: bool,
) -> tuple[Position, dict[str, Any]]:
    """Trains from the position to the end of its epoch, or until an interrupt.

    A step's result is looked at when the next step is under way, so that a GPU never waits for Python.

    Args:
        phase: what is run.
        position: where it stands.
        interrupt: what may end it early.
        writer: writes checkpoints, and a report.
        config: the run's config.
        quiet: no progress bar.

    Returns:
        The new position, its step 0 if the epoch is over, and the epoch's figures.

    Raises:
        TrainingError: if the loss is no number, unless such steps are skipped, or mining finds too few triplets.
    """
    step, batches = phase.step, phase.open_epoch(position, quiet=quiet)
    num_steps = position.step + len(batches)
    title = f"Epoch {position.epoch + 1}/{phase.config.epochs}"
    title = f"{phase.config.name}: {title}" if len(config.phases) > 1 else title
    with Progress(
        title,
        num_steps=num_steps,
        batch_size=config.batch_size,
        sums=position.sums,
        done=position.step,
        quiet=quiet,
    ) as progress:

        def look_at(result: StepResult, batch: Any) -> None:
            is_finite = bool(result.is_finite)
            if not is_finite:
                where = step_of(progress.done + 1)
                _look_at_nonfinite(writer, config, where, step.learning_rate(), result, batch)
            progress.count(float(np.mean(result.losses)), float(result.accuracy), skipped=not is_finite)

        def step_of(done: int) -> Position:
            total_steps = position.total_steps + done - position.step
            return replace(position, step=done, total_steps=total_steps, sums=dict(progress.sums))

        last: tuple[StepResult, Any] | None = None
        for number, batch in enumerate(progress.timed(batches), start=position.step + 1):
            result = step(batch[0], batch[1], interrupted=interrupt.requested)
            ending = False
            if last is not None:
                look_at(*last)
                ending = bool(last[0].interrupted)
            last = (result, batch)
            due = config.checkpoint_steps and step_of(number).total_steps % config.checkpoint_steps == 0
            if ending or (due and number < num_steps):
                look_at(*last)
                last = None
                if ending:
                    break
                writer.save_checkpoint(step_of(number), phase)
        if last is not None:
            look_at(*last)
        position = step_of(progress.done)
        figures = progress.figures()
    if figures["skipped_steps"] and not quiet:
        tqdm.write(
            f"{title}: {figures['skipped_steps']} of {position.step} steps were left out, since loss or gradient was no number. "
            f"{writer.run.nonfinite} names the records of the first one of the run.",
            file=sys.stderr,
        )
    if position.step >= num_steps:
        position = replace(position, epoch=position.epoch + 1, total_epochs=position.total_epochs + 1, step=0, sums={})
    row = {
        "epoch": position.total_epochs,
        "phase": phase.config.name,
        "step": position.total_steps,
        "learning_rate": step.learning_rate(),
        **figures,
    }
    return position, {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in row.items()}


def _look_at_nonfinite(
    writer: RunWriter, config: Config, position: Position, learning_rate: float, result: StepResult, batch: Any
) -> None:
    """Writes down which records a step with a non-finite loss had, and ends the run if that is wished."""
    losses = np.asarray(result.losses)
    writer.report_nonfinite(
        position,
        learning_rate=learning_rate,
        losses=losses,
        keys=np.asarray(batch[2]).tolist(),
        labels=np.asarray(batch[1]).tolist(),
    )
    if config.on_nonfinite == "stop":
        raise TrainingError(
            f"Epoch {position.epoch + 1}, step {position.step}: the loss is {float(np.mean(losses))} or its gradient is no number; "
            f"no weight was changed by it. {writer.run.nonfinite} names the records of the batch. {ADVICE}"
        )
