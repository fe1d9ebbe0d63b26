"""The training that is planned: how large the set is, and how network and head lie on the devices."""

from dataclasses import dataclass

from fr_train.config.config import Config, OptimizerConfig, require
from fr_train.model.class_sample import count_sample

__all__ = ["HEADS", "Job"]

HEADS = ("replicated", "sharded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A training over some devices.

    Attributes:
        num_classes: classes of the set.
        num_images: images of its train split.
        config: the run's: model and sample rate, batch size (of all devices together), optimizer, precision.
        num_devices: devices, each of which has the whole network.
        head: `replicated`, each device has all class weights and the logits of its own images; or `sharded`, each has a part of
            the class weights and the logits of all images with them.
    """

    num_classes: int
    num_images: int
    config: Config
    num_devices: int = 1
    head: str = "replicated"

    def __post_init__(self) -> None:
        require(self.num_classes >= 2, "classes", "2 or more", self.num_classes)
        require(self.num_images >= 1, "images", "1 or more", self.num_images)
        require(self.num_devices >= 1, "devices", "1 or more", self.num_devices)
        require(self.head in HEADS, "head", " or ".join(HEADS), self.head)
        divides = self.config.batch_size % self.num_devices == 0
        require(divides, "batch_size", f"a multiple of the {self.num_devices} devices", self.config.batch_size)

    @property
    def images_per_device(self) -> int:
        """Images that a device's network sees in a step."""
        return self.config.batch_size // self.num_devices

    @property
    def head_batch(self) -> int:
        """Embeddings that a device's head sees in a step."""
        return self.config.batch_size if self.head == "sharded" else self.images_per_device

    @property
    def head_rows(self) -> int:
        """Class weights, each (D,), that a device has."""
        return self._share(self.num_classes) * self.config.model.subcenters

    @property
    def sampled_rows(self) -> int:
        """Those of them that a step looks at: all, or as many as the rate says and at least one for each image."""
        rate, batch_size = self.config.model.sample_rate, self.config.batch_size
        return (
            self._share(count_sample(self.num_classes, rate=rate, batch_size=batch_size)) * self.config.model.subcenters
        )

    def _share(self, number: int) -> int:
        return -(-number // self.num_devices) if self.head == "sharded" else number

    @property
    def num_steps(self) -> int:
        """Steps of an epoch, whose last, smaller batch is left out."""
        return self.num_images // self.config.batch_size

    @property
    def value_bytes(self) -> int:
        """Bytes of a value of the network's activations."""
        return 4 if self.config.precision == "float32" else 2

    @property
    def num_slots(self) -> int:
        """Values that the optimizer keeps for each weight; the most of all phases."""
        return max(_count_slots(phase.optimizer) for phase in self.config.phases)


def _count_slots(optimizer: OptimizerConfig) -> int:
    moments = (1 if optimizer.momentum else 0) if optimizer.name == "sgd" else 2
    return moments + (1 if optimizer.accumulate_steps > 1 else 0)
