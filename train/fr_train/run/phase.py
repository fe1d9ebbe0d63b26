"""A phase of a run: its loss, its optimizer and schedule, its stream, built on the network and the head that phases share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import keras

from fr_train.config.config import Config, PhaseConfig, require
from fr_train.data.mined_epochs import MinedEpochs
from fr_train.data.shard_set import ShardSet
from fr_train.data.stream import Batches, Stream, StreamSettings
from fr_train.devices.model_parallel import count_rows
from fr_train.devices.workers import Workers
from fr_train.losses.center import CenterLoss
from fr_train.losses.registry import build_losses
from fr_train.losses.triplet_losses import OfflineTriplet
from fr_train.losses.weighted_sum import WeightedSum
from fr_train.model.class_sample import count_sample
from fr_train.model.heads import CosineHead, SubCenterHead
from fr_train.model.network import freeze
from fr_train.model.sampled_head import SampledHead, draw_weights
from fr_train.optim.optimizers import build_optimizer
from fr_train.optim.schedules import Schedule
from fr_train.optim.weight_average import WeightAverage
from fr_train.run.checkpoint import Position
from fr_train.step.base import Step

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
    step: Step
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
            OutputError: if the file cannot be written.
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
        workers: the devices, within whose `scope()` everything is built.

    Attributes:
        head: the class weights; None where no phase needs any.

    Raises:
        ConfigError: if a loss cannot be, or needs other batches.
    """

    def __init__(
        self, config: Config, shards: ShardSet, network: keras.Model, *, workers: Workers | None = None
    ) -> None:
        self._config, self._shards, self._network = config, shards, network
        self._workers = workers or Workers()
        self._weights = network.trainable_variables  # before a phase freezes any
        self._average: WeightAverage | None = None
        # All at once: a mistake in the last shows at once.
        self._losses = [self._build_loss(phase) for phase in config.phases]
        self._settings = [
            self._build_settings(phase, loss) for phase, loss in zip(config.phases, self._losses, strict=True)
        ]
        self.head = self._build_head() if any(loss.needs_head for loss in self._losses) else None
        for phase, loss in zip(config.phases, self._losses, strict=True):
            freeze(phase.freeze, network, self.head if loss.needs_head else None)

    def build(self, index: int) -> Phase:
        """Makes a phase with a new optimizer; what an earlier phase trained stays, the centers of the one before, and the average.

        Raises:
            ConfigError: if a frozen layer is not there, or the pairs to mine are too few.
        """
        config, phase, loss = self._config, self._config.phases[index], self._losses[index]
        head = self.head if loss.needs_head else None
        if head is not None:
            head.normalize_embedding = loss.normalizes_embedding
        freeze(phase.freeze, self._network, head)
        sample = self._build_sample(index, head) if head is not None and config.model.sample_rate < 1 else None
        parts = [part for part in (self._network, sample or head, loss) if part is not None]
        trainable = [variable for part in parts for variable in part.trainable_variables]
        image_size = self._network.input_shape[1:3]
        stream = Stream(self._shards, self._settings[index], seed=config.seed, image_size=image_size)
        mined = self._build_mined(phase, loss, stream) if loss.batches == "triplets" else None
        schedule = Schedule(
            phase.schedule,
            peak=phase.optimizer.learning_rate_at(config.batch_size),
            steps_per_epoch=mined.most_steps if mined else stream.steps_per_epoch,
            epochs=phase.epochs,
        )
        optimizer = build_optimizer(
            phase.optimizer, schedule, trainable, scale_loss=config.precision == "mixed_float16"
        )
        if sample:
            sample.add_slots(optimizer)
        if config.ema:
            self._average = self._average or WeightAverage(self._weights, momentum=config.ema)
            self._average.follow_only(self._network.trainable_variables)
        step = _find_step(self._workers)(
            self._network,
            head,
            loss,
            optimizer,
            trainable=trainable,
            schedule=schedule,
            sample=sample,
            average=self._average,
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
            alone = self._workers.num_processes == 1
            require(alone, "loss.name", "another with several processes, since each would mine its own triplets", name)
        elif loss.batches == "balanced":
            require(each >= 2, "images_per_class", f"2 or more, since {name} compares the images of a batch", each)
        if loss.needs_head and config.model.sample_rate < 1:
            optimizer, steps = phase.optimizer.name, phase.optimizer.accumulate_steps
            expected = "sgd, adamw or adamax with model.sample_rate, since lamb looks at all classes at once"
            require(optimizer != "lamb", "optimizer.name", expected, optimizer)
            expected = "1 with model.sample_rate, since each batch has other classes"
            require(steps == 1, "optimizer.accumulate_steps", expected, steps)
        return StreamSettings(
            batch_size=size,
            shuffle_buffer=config.shuffle_buffer,
            mirror=config.mirror,
            images_per_class=each,
            steps_per_epoch=phase.steps_per_epoch,
            with_keys=True,
            part=(self._workers.process, self._workers.num_processes),
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

    def _build_sample(self, index: int, head: Any) -> SampledHead:
        rate, seed = self._config.model.sample_rate, self._config.seed
        size = count_rows(count_sample(head.num_classes, rate=rate, batch_size=self._config.batch_size))
        require(size <= head.num_classes, "model.sample_rate", "1, since devices cannot share so few classes", rate)
        return SampledHead(head, size=size, seed=(seed, index))

    def _build_head(self) -> Any:
        model = self._config.model
        options: dict[str, Any] = {"name": "head", "initializer": "zeros" if model.sample_rate < 1 else None}
        if model.subcenters > 1:
            head = SubCenterHead(self._shards.num_classes, num_subcenters=model.subcenters, **options)
        else:
            head = CosineHead(self._shards.num_classes, **options)
        head.build((None, self._network.output_shape[-1]))
        if model.sample_rate < 1:
            draw_weights(head)
        return head


def _find_terms(loss: WeightedSum, kind: type[Any]) -> list[Any]:
    return [term for term in loss.terms if isinstance(term, kind)]


def _find_step(workers: Workers) -> Callable[..., Step]:
    if keras.backend.backend() == "jax":
        from fr_train.step.jax import JaxTrainingStep  # noqa: PLC0415

        return JaxTrainingStep
    if workers.num_replicas > 1:
        from fr_train.devices.replicas import Replicas  # noqa: PLC0415
        from fr_train.step.replicated import ReplicatedStep  # noqa: PLC0415

        return partial(ReplicatedStep, replicas=cast(Replicas, workers))
    from fr_train.step.tensorflow import TrainingStep  # noqa: PLC0415

    return TrainingStep
