"""A phase of a run: its loss, its optimizer and schedule, its stream, built on the network and the head that phases share."""

from dataclasses import dataclass, replace
from typing import Any

import keras

from fr_train.checkpoint import Position
from fr_train.config import Config, PhaseConfig
from fr_train.errors import ConfigError
from fr_train.heads import CosineHead, SubCenterHead
from fr_train.losses.registry import build_losses
from fr_train.network import freeze
from fr_train.optimizers import build_optimizer
from fr_train.schedules import Schedule
from fr_train.shard_set import ShardSet
from fr_train.stream import Stream, StreamSettings
from fr_train.training_step import TrainingStep
from fr_train.weight_average import WeightAverage

__all__ = ["Phase", "PhaseBuilder"]


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase, ready to run.

    Attributes:
        config: its part of the config.
        step: what does a step.
        stream: what gives the batches.
    """

    config: PhaseConfig
    step: TrainingStep
    stream: Stream

    def judge(self, position: Position, score: float, *, is_best: bool) -> Position:
        """Notes an epoch's score; shrinks the learning rate on a plateau, and ends the phase if it has waited long enough."""
        better = position.phase_score is None or score > position.phase_score
        position = replace(
            position,
            best_score=score if is_best else position.best_score,
            phase_score=score if better else position.phase_score,
            epochs_since_best=0 if better else position.epochs_since_best + 1,
            epochs_since_change=0 if better else position.epochs_since_change + 1,
        )
        schedule = self.config.schedule
        if schedule.plateau_epochs and position.epochs_since_change >= schedule.plateau_epochs:
            self.step.schedule.factor.assign(self.step.schedule.factor * schedule.plateau_factor)
            position = replace(position, epochs_since_change=0)
        if self.config.stop_after_epochs and position.epochs_since_best >= self.config.stop_after_epochs:
            position = replace(position, epoch=self.config.epochs)
        return position


class PhaseBuilder:
    """Builds the phases of a run one after the other.

    Args:
        config: the run's.
        shards: the data set.
        network: the embedding network.

    Attributes:
        head: the class weights; None where no phase needs any.
    """

    def __init__(self, config: Config, shards: ShardSet, network: keras.Model) -> None:
        self._config, self._shards, self._network = config, shards, network
        self._losses = [
            self._build_loss(phase) for phase in config.phases
        ]  # all at once: a mistake in the last shows at once
        self.head = self._build_head() if any(loss.needs_head for loss in self._losses) else None

    def build(self, index: int) -> Phase:
        """Makes a phase with a new optimizer; what an earlier phase trained stays.

        Raises:
            ConfigError: if a frozen layer is not there, or the loss needs other batches.
        """
        config, phase, loss = self._config, self._config.phases[index], self._losses[index]
        head = self.head if loss.needs_head else None
        if head is not None:
            head.normalize_embedding = loss.normalizes_embedding
        freeze(phase.freeze, self._network, head)
        parts = [self._network, head, loss] if head is not None else [self._network, loss]
        trainable = [variable for part in parts for variable in part.trainable_variables]
        if loss.batches == "triplets":
            raise ConfigError(
                "loss.name: triplet_offline needs triplets that are mined beforehand (fr_train.mining), which a run does not do. "
                "Choose triplet_semi_hard or triplet_batch_hard, which find them in each batch."
            )
        if loss.batches == "balanced" and phase.images_per_class < 2:
            raise ConfigError(
                f"images_per_class: {phase.loss['name']} compares the images of a batch; expected 2 or more of each class, "
                f"received {phase.images_per_class}."
            )
        settings = StreamSettings(
            batch_size=config.batch_size,
            shuffle_buffer=config.shuffle_buffer,
            mirror=config.mirror,
            images_per_class=phase.images_per_class,
            with_keys=True,
            augment=config.augment,
        )
        stream = Stream(self._shards, settings, seed=config.seed, image_size=self._network.input_shape[1:3])
        schedule = Schedule(
            phase.schedule,
            peak=phase.optimizer.learning_rate,
            steps_per_epoch=stream.steps_per_epoch,
            epochs=phase.epochs,
        )
        optimizer = build_optimizer(
            phase.optimizer, schedule, trainable, scale_loss=config.precision == "mixed_float16"
        )
        average = WeightAverage(self._network.trainable_variables, momentum=config.ema) if config.ema else None
        step = TrainingStep(
            self._network,
            head,
            loss,
            optimizer,
            trainable=trainable,
            schedule=schedule,
            average=average,
            xla=config.xla,
        )
        return Phase(config=phase, step=step, stream=stream)

    def _build_loss(self, phase: PhaseConfig) -> Any:
        return build_losses(
            phase.loss, num_classes=self._shards.num_classes, embedding_size=self._network.output_shape[-1]
        )

    def _build_head(self) -> Any:
        num_classes, subcenters = self._shards.num_classes, self._config.model.subcenters
        if subcenters > 1:
            head = SubCenterHead(num_classes, num_subcenters=subcenters, name="head")
        else:
            head = CosineHead(num_classes, name="head")
        head.build((None, self._network.output_shape[-1]))
        return head
