"""A phase of a run: its loss, its optimizer and schedule, its stream, built on the network and the head that phases share."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from fr_train.checkpoint import Position
from fr_train.config import Config, PhaseConfig, require
from fr_train.heads import CosineHead, SubCenterHead
from fr_train.losses.center import CenterLoss
from fr_train.losses.registry import build_losses
from fr_train.losses.triplet_losses import OfflineTriplet
from fr_train.losses.weighted_sum import WeightedSum
from fr_train.mined_epochs import MinedEpochs
from fr_train.network import freeze
from fr_train.optimizers import build_optimizer
from fr_train.schedules import Schedule
from fr_train.shard_set import ShardSet
from fr_train.stream import Batches, Stream, StreamSettings
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
        mined: what mines the triplets of an epoch; None where the loss needs none.
    """

    config: PhaseConfig
    step: TrainingStep
    stream: Stream
    mined: MinedEpochs | None = None

    def variables(self) -> Mapping[str, Any]:
        """All that a checkpoint must hold, by a name that is the same in every run of a config."""
        mined = {"mined/triplets": self.mined.triplets} if self.mined else {}
        return {**self.step.variables(), **mined}

    def open_epoch(self, position: Position, *, quiet: bool) -> Batches:
        """Gives the batches that are left of the epoch; triplets are mined at its start.

        Raises:
            TrainingError: if mining finds too few.
        """
        epoch, first_step = position.total_epochs, position.step
        if self.mined is None:
            return self.stream.epoch(epoch, first_step=first_step)
        if first_step == 0:
            self.mined.mine(epoch, quiet=quiet)
        batches = self.mined.batches(epoch, first_step=first_step)
        if first_step == 0:
            self.step.schedule.begin_epoch(position.epoch, step=self.step.num_done(), num_steps=len(batches))
        return batches

    def save_centers(self, path: Path) -> None:
        """Writes the centers of a center loss, where the phase has one, as `centers.npy`.

        Raises:
            OSError: if the file cannot be written.
        """
        for term in _find_terms(self.step.loss, CenterLoss):
            term.save_centers(path)

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

    Raises:
        ConfigError: if a loss cannot be, or needs other batches.
    """

    def __init__(self, config: Config, shards: ShardSet, network: keras.Model) -> None:
        self._config, self._shards, self._network = config, shards, network
        # All at once: a mistake in the last shows at once.
        self._losses = [self._build_loss(phase) for phase in config.phases]
        self._settings = [
            self._build_settings(phase, loss) for phase, loss in zip(config.phases, self._losses, strict=True)
        ]
        self.head = self._build_head() if any(loss.needs_head for loss in self._losses) else None

    def build(self, index: int) -> Phase:
        """Makes a phase with a new optimizer; what an earlier phase trained stays, and the centers of the one before.

        Raises:
            ConfigError: if a frozen layer is not there, or the pairs to mine are too few.
        """
        config, phase, loss = self._config, self._config.phases[index], self._losses[index]
        head = self.head if loss.needs_head else None
        if head is not None:
            head.normalize_embedding = loss.normalizes_embedding
        freeze(phase.freeze, self._network, head)
        parts = [part for part in (self._network, head, loss) if part is not None]
        trainable = [variable for part in parts for variable in part.trainable_variables]
        image_size = self._network.input_shape[1:3]
        stream = Stream(self._shards, self._settings[index], seed=config.seed, image_size=image_size)
        mined = self._build_mined(phase, loss, stream) if loss.batches == "triplets" else None
        schedule = Schedule(
            phase.schedule,
            peak=phase.optimizer.learning_rate,
            steps_per_epoch=mined.most_steps if mined else stream.steps_per_epoch,
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
        for before in _find_terms(self._losses[index - 1], CenterLoss) if index else []:
            for term in _find_terms(loss, CenterLoss):
                term.centers.assign(before.centers)
        return Phase(config=phase, step=step, stream=stream, mined=mined)

    def load_centers(self, path: Path) -> None:
        """Sets the centers that the first phase begins with.

        Raises:
            ConfigError: if it has no center loss.
            CheckpointError: if the file cannot be used.
        """
        centers = _find_terms(self._losses[0], CenterLoss)
        received = self._config.phases[0].loss["name"]
        require(bool(centers), "start_centers", "a center loss, such as center+arcface, in the first phase", received)
        centers[0].load_centers(path)

    def _build_settings(self, phase: PhaseConfig, loss: WeightedSum) -> StreamSettings:
        config, name, each, size = self._config, phase.loss["name"], phase.images_per_class, self._config.batch_size
        if loss.batches == "triplets":
            require(size % 3 == 0, "batch_size", f"a multiple of 3, for the triplets of {name}", size)
            require(each == 0, "images_per_class", f"0, since {name} mines its batches", each)
        elif loss.batches == "balanced":
            require(each >= 2, "images_per_class", f"2 or more, since {name} compares the images of a batch", each)
        return StreamSettings(
            batch_size=size,
            shuffle_buffer=config.shuffle_buffer,
            mirror=config.mirror,
            images_per_class=each,
            steps_per_epoch=phase.steps_per_epoch,
            with_keys=True,
            augment=config.augment,
        )

    def _build_mined(self, phase: PhaseConfig, loss: WeightedSum, stream: Stream) -> MinedEpochs:
        (term,) = _find_terms(loss, OfflineTriplet)
        mined = MinedEpochs(
            self._network,
            stream,
            num_classes=phase.mine_classes,
            images_per_class=phase.mine_images,
            margin=term.margin,
            seed=self._config.seed,
        )
        expected = f"pairs for a batch of {self._config.batch_size // 3} triplets"
        require(mined.most_steps > 0, "mine_classes, mine_images", expected, f"{mined.triplets.shape[0]} pairs")
        return mined

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


def _find_terms(loss: WeightedSum, kind: type[Any]) -> list[Any]:
    return [term for term in loss.terms if isinstance(term, kind)]
