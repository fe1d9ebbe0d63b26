"""A run: its phases, their epochs, and what is kept of them, on one page."""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
from tqdm import tqdm

from fr_data.errors import OutputError
from fr_data.shards.overlay import read_overlay
from fr_eval.models.frameworks import hold_stderr
from fr_train.config.config import Config, require
from fr_train.data.shard_set import ShardSet, read_shard_set
from fr_train.devices.cluster import Cluster
from fr_train.devices.model_parallel import lay_over_devices
from fr_train.devices.workers import Workers
from fr_train.errors import RunFolderError
from fr_train.model.network import build_network, synchronize_batch_norm
from fr_train.run.bin_scores import BinScores
from fr_train.run.checkpoint import Position, load_checkpoint, read_checkpoint
from fr_train.run.curves import BIN_SUFFIX
from fr_train.run.epoch import run_epoch
from fr_train.run.interrupt import Interrupt
from fr_train.run.phase import PhaseBuilder
from fr_train.run.run_folder import PUT_BACK, RunFolder
from fr_train.run.run_writer import RunWriter
from fr_train.run.start_weights import take_weights

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
    overwrite: bool = False,
    force: bool = False,
    quiet: bool = False,
    cluster: Cluster | None = None,
    on_epoch: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> RunResult:
    """Trains an embedding network on shards.

    Args:
        config: what to do; saved in the run's folder once all that it names has been looked at.
        run: the run's folder.
        resume: go on from the newest checkpoint there.
        overwrite: replace a run that is there; it comes back where this one ends before its first checkpoint.
        force: go on even if config or data set changed since.
        quiet: no progress bar.
        cluster: the processes that train together, each of which calls this with the same config; None is this one alone.
        on_epoch: is called with each new row of the history.

    Raises:
        ConfigError: if the devices are not there, or cannot share a batch.
        ClusterError: if another process is not there, or ends.
        ShardSetError: if the shards cannot be used.
        OverlayError: if the overlay cannot be used with them, or was changed since the run began.
        CheckpointError: if there is nothing to resume from, or config or data set changed.
        TrainingError: if the loss is no longer a number.
        RunFolderError: if the folder is taken, or cannot be written.
    """
    received = keras.backend.backend()
    require(config.backend == received, "backend", f"{received}, which Keras was imported with", config.backend)
    workers = _find_workers(config, cluster)
    quiet = quiet or not workers.is_chief
    keras.config.set_dtype_policy(config.precision)
    with hold_stderr():  # under any backend, Keras imports TensorFlow for this where it is installed
        keras.utils.set_random_seed(config.seed)
    shards = _open_shards(config, quiet=quiet)
    if config.backend == "jax":
        lay_over_devices(config.devices, num_classes=shards.num_classes, batch_size=config.batch_size)
    image_size = (config.image_size[0], config.image_size[1]) if config.image_size else shards.image_size
    with workers.scope():
        network = build_network(config.model, image_size=image_size)
        if (
            config.sync_batch_norm and config.backend == "tensorflow"
        ):  # under JAX a batch is one on any number of devices
            synchronize_batch_norm(network)
        builder = PhaseBuilder(config, shards, network, workers=workers)
    if config.start_from and not resume:
        taken = take_weights(Path(config.start_from), network, builder.head)
        tqdm.write(f"{config.start_from}: {taken}", file=sys.stderr)
    if config.start_centers and not resume:
        builder.load_centers(Path(config.start_centers))
    paths = [Path(path) for path in config.bins]
    score = BinScores(paths, network, batch_size=config.batch_size, spread=workers.spread)
    facts = {**config.facts(), "data set": shards.digest}
    checkpoint = read_checkpoint(run.checkpoints) if resume else None
    if checkpoint and not force:
        checkpoint.require_same(facts)
    position = checkpoint.position if checkpoint else Position()
    with workers.scope():
        phase = builder.build(position.phase)
    if checkpoint:
        load_checkpoint(checkpoint, phase.variables())
    history = [row for row in run.read_history() if row["epoch"] <= position.total_epochs] if resume else []
    writer = RunWriter(run, config, facts=facts, history=history, writes=workers.is_chief)
    starts = workers.is_chief and not resume

    try:
        if starts:
            run.start(config, overwrite=overwrite)
        with Interrupt() as interrupt, workers.watch():
            while not workers.any(interrupt.requested):
                if position.epoch >= phase.config.epochs:
                    if position.phase + 1 == len(config.phases):
                        break
                    position = replace(
                        position,
                        phase=position.phase + 1,
                        epoch=0,
                        # Without bins, scores are losses, and those of two phases say nothing of each other.
                        best_score=position.best_score if paths else None,
                        phase_score=None,
                        epochs_since_best=0,
                        epochs_since_change=0,
                    )
                    with workers.scope():
                        phase = builder.build(position.phase)
                    continue
                position, figures = run_epoch(phase, position, interrupt, writer=writer, config=config, quiet=quiet)
                if position.step:
                    break
                phase.step.settle()
                with phase.step.averaged():
                    row = {**figures, **score()}
                    reached = workers.agree(score_of(row))
                    is_best = reached > (-math.inf if position.best_score is None else position.best_score)
                    writer.save_models(phase, is_best=is_best)
                position = phase.judge(position, reached, is_best=is_best)
                writer.add(row)
                writer.save_checkpoint(position, phase)
                on_epoch(row)
            if position.step or not run.last.exists():
                phase.step.settle()
                with phase.step.averaged():
                    writer.save_models(phase)
                writer.save_checkpoint(position, phase)
    except OutputError as error:
        raise RunFolderError(f"{error} Mend that, then go on with --resume.") from error
    except OSError as error:
        raise RunFolderError(
            f"{run.path}: cannot be written: {error.strerror}. Mend that, then go on with --resume."
        ) from error
    finally:
        if starts and run.settle():
            tqdm.write(f"{run.path}: {PUT_BACK}", file=sys.stderr)
    ended = position.phase + 1 == len(config.phases) and position.epoch >= phase.config.epochs
    return RunResult(history=writer.history, interrupted=not ended, position=position)


def _find_workers(config: Config, cluster: Cluster | None) -> Workers:
    if config.backend == "jax":
        require(cluster is None, "coordinator", "backend tensorflow with several processes", config.backend)
        expected = "mixed_bfloat16 or float32 with backend jax, which does not scale losses"
        require(config.precision != "mixed_float16", "precision", expected, config.precision)
    if config.backend == "jax" or (config.devices == 1 and cluster is None):
        return Workers()
    from fr_train.devices.replicas import Replicas  # noqa: PLC0415  only what TensorFlow trains needs it

    workers = Replicas(config.devices, cluster=cluster)
    count = workers.num_replicas
    if count > 1:
        expected = f"a multiple of the {count} devices that share it"
        require(config.batch_size % count == 0, "batch_size", expected, config.batch_size)
        require(not config.xla, "xla", "false with several devices, as TensorFlow cannot compile for them", config.xla)
        expected = "mixed_bfloat16 or float32 with several devices"
        require(config.precision != "mixed_float16", "precision", expected, config.precision)
    return workers


def _open_shards(config: Config, *, quiet: bool) -> ShardSet:
    overlay = read_overlay(Path(config.overlay), sha256=config.overlay_sha256) if config.overlay else None
    shards = read_shard_set(Path(config.shards), overlay=overlay)
    if shards.relabelling and not quiet:
        tqdm.write(f"{config.overlay}: {shards.relabelling.describe()}", file=sys.stderr)
    return shards


def score_of(row: Mapping[str, Any]) -> float:
    """What is to be greatest in the best model: the mean verification accuracy, or, without bins, minus the loss; −∞ for NaN."""
    scores = [value for key, value in row.items() if key.endswith(BIN_SUFFIX)]
    score = sum(scores) / len(scores) if scores else -float(row["loss"])
    return -math.inf if math.isnan(score) else score
