"""What a run is made of. Every table of a config is a frozen dataclass that checks itself."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, cast

from fr_train.data.augment.settings import AugmentSettings
from fr_train.errors import ConfigError

__all__ = ["DEFAULT_LOSS", "Config", "ModelConfig", "OptimizerConfig", "PhaseConfig", "ScheduleConfig", "require"]

DEFAULT_LOSS = "arcface"
# Optimizer → learning rate where none is given: the field's of SGD with margins, Keras' own of the others.
LEARNING_RATES = {"adamax": 1e-3, "adamw": 1e-3, "lamb": 1e-3, "sgd": 0.1}
OPTIMIZERS = tuple(LEARNING_RATES)
SCHEDULES = ("constant", "cosine", "exponential", "polynomial", "step")
BACKENDS = ("jax", "tensorflow")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
SCALINGS = ("none", "127.5", "128")


def require(holds: bool, key: str, expected: str, received: object) -> None:
    """Refuses a value.

    Raises:
        ConfigError: if it does not hold; names the key.
    """
    if not holds:
        raise ConfigError(f"{key}: expected {expected}, received {received!r}.")


def _require_one_of(value: str, key: str, choices: tuple[str, ...]) -> None:
    require(value in choices, key, f"{', '.join(choices[:-1])} or {choices[-1]}", value)


def _require_finite(settings: Any, table: str = "") -> None:
    for item in fields(settings):
        value = getattr(settings, item.name)
        for number in value if isinstance(value, tuple) else (value,):
            require(not isinstance(number, float) or math.isfinite(number), table + item.name, "a finite number", value)


def _require_size(size: tuple[int, ...], key: str) -> None:
    good = len(size) in (0, 2) and all(side >= 16 for side in size)
    require(good, key, "[height, width], 16 or more each", list(size))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The embedding network.

    Attributes:
        backbone: a registered name; see `fr-train models`.
        width: factor of the channels, where the backbone has one.
        embedding_size: D.
        center_crop: (height, width) of the middle part of the images that the network looks at; empty is all of them.
        dropout: rate in front of the embedding, in [0, 1).
        output: `gap`, `e` or `gdc`; empty is what the field gives the backbone.
        activation: `prelu`, `relu` or `swish`; empty is the backbone's own.
        l2: factor of the sum of squares of each kernel that is added to the loss; beside it, weight decay is decoupled.
        weight_normalized: learn direction and length of the embedding layer's weights apart, w = g · v/|v|.
        imagenet: begin with weights trained on ImageNet, where the backbone has some.
        subcenters: class weights a class, of which the nearest counts (sub-center ArcFace); 1 is the usual head.
        sample_rate: part of the classes that a step compares with: those of the batch and others at random (PartialFC); 1 is all.
        file: a `.keras` model to go on with in place of a backbone; the other keys but `scaling` mean nothing then.
        scaling: what `file` wants its pixels to be: `none` (0 to 255), `127.5` or `128` (what (x - 127.5) is divided by).
    """

    backbone: str = "mobilefacenet"
    width: float = 1.0
    embedding_size: int = 512
    center_crop: tuple[int, ...] = ()
    dropout: float = 0.0
    output: str = ""
    activation: str = ""
    l2: float = 0.0
    weight_normalized: bool = False
    imagenet: bool = False
    subcenters: int = 1
    sample_rate: float = 1.0
    file: str = ""
    scaling: str = "none"

    def __post_init__(self) -> None:
        require(self.width > 0, "model.width", "a positive factor", self.width)
        require(self.embedding_size > 0, "model.embedding_size", "a positive number", self.embedding_size)
        _require_size(self.center_crop, "model.center_crop")
        require(0 <= self.dropout < 1, "model.dropout", "a rate in [0, 1)", self.dropout)
        require(self.subcenters >= 1, "model.subcenters", "1 or more", self.subcenters)
        require(0 < self.sample_rate <= 1, "model.sample_rate", "a part in (0, 1]", self.sample_rate)
        require(self.l2 >= 0, "model.l2", "0 or more", self.l2)
        _require_one_of(self.scaling, "model.scaling", SCALINGS)
        _require_finite(self, "model.")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """The optimizer.

    Attributes:
        name: `sgd` (Nesterov momentum), `adamw`, `adamax` or `lamb`, all with decoupled weight decay.
        learning_rate: at the peak of the schedule; where none is given, 0.1 of `sgd` and 0.001 of the others.
        reference_batch: images a step that `learning_rate` is meant for; another batch size multiplies it by batch_size /
            reference_batch (Goyal et al. 2017, linear scaling rule); 0 takes it as it is.
        momentum: of `sgd`.
        weight_decay: part of a weight that a step takes away, in units of the learning rate; not of normalisation and biases.
        clip_norm: largest global norm of the gradients; 0 is none.
        accumulate_steps: batches whose gradients are averaged before the weights move.
    """

    name: str = "sgd"
    learning_rate: float = None  # type: ignore[assignment]  # which __post_init__ replaces
    reference_batch: int = 0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip_norm: float = 0.0
    accumulate_steps: int = 1

    def learning_rate_at(self, batch_size: int) -> float:
        """Gives the learning rate for a batch size."""
        return self.learning_rate * batch_size / (self.reference_batch or batch_size)

    def __post_init__(self) -> None:
        _require_one_of(self.name, "optimizer.name", OPTIMIZERS)
        if cast(float | None, self.learning_rate) is None:
            object.__setattr__(self, "learning_rate", LEARNING_RATES[self.name])  # so that a saved config tells it
        require(self.learning_rate > 0, "optimizer.learning_rate", "a positive number", self.learning_rate)
        require(self.reference_batch >= 0, "optimizer.reference_batch", "0 or more", self.reference_batch)
        require(0 <= self.momentum < 1, "optimizer.momentum", "a number in [0, 1)", self.momentum)
        require(self.weight_decay >= 0, "optimizer.weight_decay", "0 or more", self.weight_decay)
        require(self.clip_norm >= 0, "optimizer.clip_norm", "0 or more", self.clip_norm)
        require(self.accumulate_steps >= 1, "optimizer.accumulate_steps", "1 or more", self.accumulate_steps)
        _require_finite(self, "optimizer.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """How the learning rate goes over a phase.

    Attributes:
        name: `constant`, `cosine` or `polynomial` (both to `final_fraction` of the peak), `step` or `exponential`.
        warmup_epochs: linear rise from 0 at the start; may be a fraction.
        final_fraction: where cosine and polynomial end, as part of the peak.
        power: of `polynomial`.
        step_epochs: epochs after which `step` multiplies the rate by `step_factor`.
        step_factor: that factor.
        decay_from_epoch: where `exponential` begins to fall.
        decay_factor: what `exponential` multiplies the rate by in an epoch.
        restart_epochs: length of the first period of `cosine`; 0 is one period over the whole phase.
        restart_factor: how much longer each period is than the one before.
        plateau_epochs: epochs without a better score after which the rate is multiplied by `plateau_factor`; 0 is never.
        plateau_factor: that factor.
    """

    name: str = "cosine"
    warmup_epochs: float = 0.0
    final_fraction: float = 0.0
    power: float = 2.0
    step_epochs: tuple[float, ...] = ()
    step_factor: float = 0.1
    decay_from_epoch: float = 0.0
    decay_factor: float = 0.9
    restart_epochs: float = 0.0
    restart_factor: float = 2.0
    plateau_epochs: int = 0
    plateau_factor: float = 0.1

    def __post_init__(self) -> None:
        _require_one_of(self.name, "schedule.name", SCHEDULES)
        for key in ("warmup_epochs", "decay_from_epoch", "restart_epochs", "plateau_epochs"):
            require(getattr(self, key) >= 0, f"schedule.{key}", "0 or more", getattr(self, key))
        require(0 <= self.final_fraction <= 1, "schedule.final_fraction", "a part from 0 to 1", self.final_fraction)
        for key in ("step_factor", "decay_factor", "plateau_factor"):
            require(0 < getattr(self, key) <= 1, f"schedule.{key}", "a factor in (0, 1]", getattr(self, key))
        require(self.power > 0, "schedule.power", "a positive number", self.power)
        require(self.restart_factor >= 1, "schedule.restart_factor", "1 or more", self.restart_factor)
        rising = list(self.step_epochs) == sorted(set(self.step_epochs))
        require(rising, "schedule.step_epochs", "rising epochs", list(self.step_epochs))
        require(self.name != "step" or bool(self.step_epochs), "schedule.step_epochs", "at least one epoch", [])
        _require_finite(self, "schedule.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseConfig:
    """A part of a run with its own losses, optimizer and schedule.

    Attributes:
        name: what history and progress call it.
        epochs: passes over the train split; 0 saves the network as it is.
        loss: `name` and its options; of a sum such as `center+arcface` a table of options for each, with its `weight`.
        optimizer: the optimizer; it begins anew with the phase.
        schedule: the learning rate's course over the phase.
        freeze: what is not trained: `network`, `head`, or patterns of layer names such as `stage1_*`.
        images_per_class: images of each class in a batch, for losses that compare them; 0 draws images as they come.
        steps_per_epoch: length of an epoch of such batches; 0 is images / `batch_size`.
        mine_classes: classes that are drawn at the start of each epoch of `triplet_offline`.
        mine_images: images of each that are drawn; every two of a class are a pair.
        stop_after_epochs: epochs without a better score after which the phase ends; 0 is never.
    """

    name: str = "training"
    epochs: int = 20
    loss: Mapping[str, Any] = field(default_factory=lambda: {"name": DEFAULT_LOSS})
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    freeze: tuple[str, ...] = ()
    images_per_class: int = 0
    steps_per_epoch: int = 0
    mine_classes: int = 200
    mine_images: int = 10
    stop_after_epochs: int = 0

    def __post_init__(self) -> None:
        require(self.epochs >= 0, "epochs", "0 or more", self.epochs)
        for key in ("images_per_class", "steps_per_epoch", "stop_after_epochs"):
            require(getattr(self, key) >= 0, key, "0 or more", getattr(self, key))
        for key in ("mine_classes", "mine_images"):
            require(getattr(self, key) >= 2, key, "2 or more", getattr(self, key))
        require(isinstance(self.loss.get("name"), str), "loss.name", "the name of a loss", dict(self.loss))


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A run.

    Attributes:
        shards: the data set's folder.
        overlay: a table of other labels for it; empty is none.
        overlay_sha256: of that table; filled in when a run starts, so that the run cannot go on with another one.
        bins: verification bins that are evaluated after each epoch.
        start_from: the folder of another run whose weights, of network and head, this one begins with.
        start_centers: a `centers.npy` that the center loss begins with.
        batch_size: images a step.
        seed: of weights, shuffle, mirroring and dropout.
        image_size: (height, width); empty takes it from the data set.
        mirror: whether training images are mirrored at random.
        shuffle_buffer: records that are mixed in memory.
        augment: further augmentations.
        precision: `float32`, `mixed_bfloat16` or `mixed_float16`; losses and weights are float32 always.
        xla: compile the step by XLA, which pays on a GPU.
        backend: what Keras runs on, `tensorflow` or `jax`, which lays the class weights over the devices as well.
        devices: of this machine that a batch is spread over; 0 is all of its GPUs.
        sync_batch_norm: normalise by the batch of all devices, not by each device's part of it.
        ema: momentum of the running average of the network's weights that is scored and saved; 0 is none.
        on_nonfinite: `stop` at a loss that is no number, or `skip` the step.
        checkpoint_steps: steps between checkpoints within an epoch; 0 writes one at the end of each epoch only.
        keep_checkpoints: how many are kept.
        tensorboard: write the history for TensorBoard as well.
        model: the embedding network.
        phases: what is done one after the other.
    """

    shards: str = ""
    overlay: str = ""
    overlay_sha256: str = ""
    bins: tuple[str, ...] = ()
    start_from: str = ""
    start_centers: str = ""
    batch_size: int = 128
    seed: int = 0
    image_size: tuple[int, ...] = ()
    mirror: bool = True
    shuffle_buffer: int = 8192
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    precision: str = "float32"
    xla: bool = False
    backend: str = "tensorflow"
    devices: int = 1
    sync_batch_norm: bool = False
    ema: float = 0.0
    on_nonfinite: str = "stop"
    checkpoint_steps: int = 1000
    keep_checkpoints: int = 2
    tensorboard: bool = False
    model: ModelConfig = field(default_factory=ModelConfig)
    phases: tuple[PhaseConfig, ...] = field(default_factory=lambda: (PhaseConfig(),))

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "batch_size", "1 or more", self.batch_size)
        require(self.shuffle_buffer >= 1, "shuffle_buffer", "1 or more", self.shuffle_buffer)
        require(0 <= self.seed < 1 << 31, "seed", "0 to 2^31 - 1", self.seed)
        require(self.checkpoint_steps >= 0, "checkpoint_steps", "0 or more", self.checkpoint_steps)
        require(self.keep_checkpoints >= 1, "keep_checkpoints", "1 or more", self.keep_checkpoints)
        require(self.devices >= 0, "devices", "1 or more, or 0 for all", self.devices)
        require(0 <= self.ema < 1, "ema", "a momentum in [0, 1)", self.ema)
        _require_one_of(self.backend, "backend", BACKENDS)
        _require_one_of(self.precision, "precision", PRECISIONS)
        _require_one_of(self.on_nonfinite, "on_nonfinite", ("skip", "stop"))
        _require_size(self.image_size, "image_size")
        require(bool(self.phases), "phases", "at least one", [])

    @property
    def epochs(self) -> int:
        """Epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)

    def facts(self) -> dict[str, Any]:
        """Gives what the weights depend on, as JSON values: all but paths, and what is only watched or kept."""
        paths = ("shards", "overlay", "bins", "start_from", "start_centers")
        watched = ("backend", "devices", "checkpoint_steps", "keep_checkpoints", "tensorboard")
        return {key: value for key, value in asdict(self).items() if key not in (*paths, *watched)}
