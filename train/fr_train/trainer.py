"""A run: build, fit, export, on one page."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
from tqdm import tqdm

from fr_train.backbones.embedding import build_embedding_network
from fr_train.bin_scores import BinScores
from fr_train.checkpoint import Position, load_checkpoint, save_checkpoint
from fr_train.config import Config
from fr_train.curves import BIN_SUFFIX, draw_curves
from fr_train.errors import RunFolderError, TrainingError
from fr_train.heads import CosineHead
from fr_train.interrupt import Interrupt
from fr_train.losses.registry import build_loss
from fr_train.optimizers import build_optimizer, build_schedule
from fr_train.run_folder import RunFolder
from fr_train.shard_set import read_shard_set
from fr_train.stream import Stream, StreamSettings
from fr_train.training_step import TrainingStep, trainable_variables

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
    quiet: bool = False,
    on_epoch: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> RunResult:
    """Trains an embedding network on shards.

    Args:
        config: what to do; already saved in the run's folder.
        run: the run's folder.
        resume: go on from the checkpoint there.
        quiet: no progress bar.
        on_epoch: is called with each new row of the history.

    Raises:
        ShardSetError: if the shards cannot be used.
        CheckpointError: if there is nothing to resume from.
        TrainingError: if the loss is no longer a number.
        RunFolderError: if the folder cannot be written.
    """
    shards = read_shard_set(Path(config.shards))
    image_size = (config.image_size[0], config.image_size[1]) if config.image_size else shards.image_size
    settings = StreamSettings(batch_size=config.batch_size, shuffle_buffer=config.shuffle_buffer, mirror=config.mirror)
    stream = Stream(shards, settings, seed=config.seed, image_size=image_size)
    step = _build(config, num_classes=shards.num_classes, image_size=image_size, steps_per_epoch=stream.steps_per_epoch)
    score = BinScores([Path(path) for path in config.bins], step.network, batch_size=config.batch_size)
    position = load_checkpoint(run.checkpoint, step.variables()) if resume else Position()
    history = [row for row in run.read_history() if row["epoch"] <= position.epoch] if resume else []
    try:
        with Interrupt() as interrupt:
            while position.epoch < config.epochs and not interrupt.requested:
                position, figures = _run_epoch(step, stream, position, interrupt, config=config, quiet=quiet)
                if position.step < stream.steps_per_epoch:
                    break
                row = {**figures, **score()}
                history.append(row)
                best_before = -math.inf if position.best_score is None else position.best_score
                is_best = _score_of(row) > best_before
                position = Position(epoch=position.epoch + 1, best_score=max(_score_of(row), best_before))
                if is_best:
                    run.save_model(step.network, run.best)
                run.save_model(step.network, run.last)
                run.write_history(history)
                draw_curves(history, run.curves)
                save_checkpoint(run.checkpoint, position, step.variables())
                on_epoch(row)
        if position.step or not run.last.exists():
            run.save_model(step.network, run.last)
            save_checkpoint(run.checkpoint, position, step.variables())
    except OSError as error:
        raise RunFolderError(
            f"{run.path}: cannot be written: {error.strerror}. Mend that, then go on with --resume."
        ) from error
    return RunResult(history=history, interrupted=position.epoch < config.epochs, position=position)


def _build(config: Config, *, num_classes: int, image_size: tuple[int, int], steps_per_epoch: int) -> TrainingStep:
    keras.utils.set_random_seed(config.seed)
    model = config.model
    network = build_embedding_network(
        model.backbone,
        image_size=image_size,
        embedding_size=model.embedding_size,
        width=model.width,
        dropout=model.dropout,
        output=model.output or None,
    )
    loss = build_loss(config.loss["name"], {key: value for key, value in config.loss.items() if key != "name"})
    head = CosineHead(num_classes, normalize_embedding=loss.normalizes_embedding, name="head")
    head.build((None, model.embedding_size))
    schedule = build_schedule(
        config.schedule,
        peak=config.optimizer.learning_rate,
        steps_per_epoch=steps_per_epoch,
        epochs=config.epochs,
    )
    optimizer = build_optimizer(config.optimizer, schedule, trainable_variables(network, head))
    return TrainingStep(network, head, loss, optimizer)


def _run_epoch(
    step: TrainingStep, stream: Stream, position: Position, interrupt: Interrupt, *, config: Config, quiet: bool
) -> tuple[Position, dict[str, Any]]:
    """Trains from the position to the end of its epoch, or until an interrupt; gives the new position and the figures."""
    sums = dict(position.sums or {"loss": 0.0, "accuracy": 0.0, "seconds": 0.0})
    begun, seconds_before = time.perf_counter(), sums["seconds"]
    done = position.step
    with tqdm(
        total=stream.steps_per_epoch * config.batch_size,
        initial=done * config.batch_size,
        desc=f"Epoch {position.epoch + 1}/{config.epochs}",
        unit=" images",
        disable=quiet or None,
    ) as bar:
        for images, labels in stream.epoch(position.epoch, first_step=position.step):
            loss, accuracy = step(images, labels)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"Epoch {position.epoch + 1}, step {done + 1}: the loss is {loss}. Try a smaller optimizer.learning_rate, "
                    "a warm-up (schedule.warmup_epochs), or optimizer.clip_norm. The checkpoint is of before."
                )
            done += 1
            sums["loss"] += loss
            sums["accuracy"] += accuracy
            sums["seconds"] = seconds_before + time.perf_counter() - begun
            bar.set_postfix_str(
                f"loss {sums['loss'] / done:.3f}, accuracy {sums['accuracy'] / done:.3f}", refresh=False
            )
            bar.update(config.batch_size)
            if interrupt.requested:
                break
    position = replace(position, step=done, sums=sums)
    figures = {
        "epoch": position.epoch + 1,
        "step": (position.epoch * stream.steps_per_epoch) + done,
        "learning_rate": step.learning_rate(),
        "loss": sums["loss"] / max(done, 1),
        "accuracy": sums["accuracy"] / max(done, 1),
        "seconds": sums["seconds"],
        "images_per_second": done * config.batch_size / max(sums["seconds"], 1e-9),
    }
    return position, {key: round(value, 6) if isinstance(value, float) else value for key, value in figures.items()}


def _score_of(row: Mapping[str, Any]) -> float:
    """What is to be greatest in the best model: the mean verification accuracy, or, without bins, minus the loss."""
    scores = [value for key, value in row.items() if key.endswith(BIN_SUFFIX)]
    return sum(scores) / len(scores) if scores else -float(row["loss"])
