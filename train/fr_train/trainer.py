"""A run: its phases, their epochs, and what is kept of them, on one page."""

import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
from tqdm import tqdm

from fr_train.bin_scores import BinScores
from fr_train.checkpoint import Position, load_checkpoint, read_checkpoint, save_checkpoint
from fr_train.config import Config
from fr_train.curves import BIN_SUFFIX, draw_curves
from fr_train.epoch import run_epoch
from fr_train.errors import RunFolderError
from fr_train.interrupt import Interrupt
from fr_train.network import build_network, plain_network
from fr_train.overlay import read_overlay
from fr_train.phase import PhaseBuilder
from fr_train.run_folder import RunFolder
from fr_train.shard_set import ShardSet, read_shard_set
from fr_train.start_weights import take_weights
from fr_train.tensorboard import write_scalars

__all__ = ["RunResult", "train"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        history: a row an epoch.
        interrupted: whether Ctrl-C or SIGTERM ended it before its last epoch.
        position: where it stands.
    """

    history: list[dict[str, Any]]
    interrupted: bool
    position: Position


def train(
    config: Config,
    run: RunFolder,
    *,
    resume: bool = False,
    force: bool = False,
    quiet: bool = False,
    on_epoch: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> RunResult:
    """Trains an embedding network on shards.

    Args:
        config: what to do; already saved in the run's folder.
        run: the run's folder.
        resume: go on from the newest checkpoint there.
        force: go on even if config or data set changed since.
        quiet: no progress bar.
        on_epoch: is called with each new row of the history.

    Raises:
        ShardSetError: if the shards cannot be used.
        OverlayError: if the overlay cannot be used with them, or was changed since the run began.
        CheckpointError: if there is nothing to resume from, or config or data set changed.
        TrainingError: if the loss is no longer a number.
        RunFolderError: if the folder cannot be written.
    """
    keras.config.set_dtype_policy(config.precision)
    keras.utils.set_random_seed(config.seed)
    shards = _open_shards(config, quiet=quiet)
    image_size = (config.image_size[0], config.image_size[1]) if config.image_size else shards.image_size
    network = build_network(config.model, image_size=image_size)
    builder = PhaseBuilder(config, shards, network)
    if config.start_from and not resume:
        taken = take_weights(Path(config.start_from), network, builder.head)
        tqdm.write(f"{config.start_from}: {taken}", file=sys.stderr)
    if config.start_centers and not resume:
        builder.load_centers(Path(config.start_centers))
    score = BinScores([Path(path) for path in config.bins], network, batch_size=config.batch_size)
    facts = {**config.facts(), "data set": shards.digest}
    checkpoint = read_checkpoint(run.checkpoints) if resume else None
    if checkpoint and not force:
        checkpoint.require_same(facts)
    position = checkpoint.position if checkpoint else Position()
    phase = builder.build(position.phase)
    if checkpoint:
        load_checkpoint(checkpoint, phase.variables())
    history = [row for row in run.read_history() if row["epoch"] <= position.total_epochs] if resume else []

    def save(position: Position) -> None:
        save_checkpoint(run.checkpoints, position, phase.variables(), facts=facts, keep=config.keep_checkpoints)

    def save_last() -> None:
        run.save_model(plain_network(network), run.last)
        phase.save_centers(run.centers)

    try:
        with Interrupt() as interrupt:
            while not interrupt.requested:
                if position.epoch >= phase.config.epochs:
                    if position.phase + 1 == len(config.phases):
                        break
                    position = replace(
                        position,
                        phase=position.phase + 1,
                        epoch=0,
                        phase_score=None,
                        epochs_since_best=0,
                        epochs_since_change=0,
                    )
                    phase = builder.build(position.phase)
                    continue
                position, figures = run_epoch(
                    phase, position, interrupt, run=run, config=config, save=save, quiet=quiet
                )
                if position.step:
                    break
                with phase.step.average.in_place() if phase.step.average else nullcontext():
                    row = {**figures, **score()}
                    is_best = position.best_score is None or score_of(row) > position.best_score
                    if is_best:
                        run.save_model(plain_network(network), run.best)
                    save_last()
                position = phase.judge(position, score_of(row), is_best=is_best)
                history.append(row)
                run.write_history(history)
                draw_curves({run.path.name: history}, run.curves)
                if config.tensorboard:
                    write_scalars(run.tensorboard, row)
                save(position)
                on_epoch(row)
        if position.step or not run.last.exists():
            save_last()
            save(position)
    except OSError as error:
        raise RunFolderError(
            f"{run.path}: cannot be written: {error.strerror}. Mend that, then go on with --resume."
        ) from error
    ended = position.phase + 1 == len(config.phases) and position.epoch >= phase.config.epochs
    return RunResult(history=history, interrupted=not ended, position=position)


def _open_shards(config: Config, *, quiet: bool) -> ShardSet:
    overlay = read_overlay(Path(config.overlay), sha256=config.overlay_sha256) if config.overlay else None
    shards = read_shard_set(Path(config.shards), overlay=overlay)
    if shards.relabelling and not quiet:
        tqdm.write(f"{config.overlay}: {shards.relabelling.describe()}", file=sys.stderr)
    return shards


def score_of(row: Mapping[str, Any]) -> float:
    """What is to be greatest in the best model: the mean verification accuracy, or, without bins, minus the loss."""
    scores = [value for key, value in row.items() if key.endswith(BIN_SUFFIX)]
    return sum(scores) / len(scores) if scores else -float(row["loss"])
