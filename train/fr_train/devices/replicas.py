"""The devices that train together, of this machine or of several: TensorFlow's strategies, and who does what of them."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import tensorflow as tf

from fr_train.config.config import require
from fr_train.devices.cluster import Cluster
from fr_train.devices.workers import Workers
from fr_train.errors import ClusterError

__all__ = ["Replicas"]

Tensor = Any
# What collectives raise where another process is gone.
_GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)


class Replicas(Workers):
    """Devices with the same variables, each of which takes its part of every batch.

    Made before anything else of TensorFlow is: devices cannot be divided, nor processes joined, later on.

    Args:
        num_devices: of this machine; 0 is all of its GPUs.
        cluster: the processes that train together; None is this one alone.

    Attributes:
        strategy: what keeps the variables equal.

    Raises:
        ConfigError: if there are fewer devices.
        ClusterError: if the other processes are not there.
    """

    def __init__(self, num_devices: int = 1, *, cluster: Cluster | None = None) -> None:
        self._cluster = cluster
        self.process, self.num_processes = (cluster.index, len(cluster.addresses)) if cluster else (0, 1)
        devices = _choose_devices(num_devices, cluster)
        with self.watch():
            self.strategy = _join(cluster) if cluster else _spread(devices)
        self.num_replicas = int(self.strategy.num_replicas_in_sync)
        self._num_local = self.num_replicas // self.num_processes

    def scope(self) -> AbstractContextManager[Any]:
        """See `Workers`."""
        scope: AbstractContextManager[Any] = self.strategy.scope()
        return scope

    def split(self, images: Tensor) -> Any:
        """Gives each device of this process its part of the images.

        Args:
            images: (b, H, W, 3), this process's part of a batch.
        """
        first = self.process * self._num_local
        parts = tf.split(images, self._num_local)
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group - first]
        )

    def first(self, values: Any) -> Any:
        """Gives what the first device of this process has of values that are the same on all."""
        return tf.nest.map_structure(lambda value: self.strategy.experimental_local_results(value)[0], values)

    def spread(self, network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """See `Workers`."""
        if self.num_replicas == 1 or self.num_processes > 1:
            return network

        def embed(images: Tensor) -> Tensor:
            size = -(-tf.shape(images)[0] // self.num_replicas)

            def embed_part() -> Tensor:
                replica = tf.distribute.get_replica_context().replica_id_in_sync_group
                return network(images[replica * size : (replica + 1) * size])

            return tf.concat(self.strategy.experimental_local_results(self.strategy.run(embed_part)), axis=0)

        return embed

    def sum(self, value: Tensor) -> Tensor:
        """Gives the sum over all processes of a scalar that each has."""
        if self.num_processes == 1:
            return value

        def add(value: Tensor) -> Tensor:
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(value))

        return self.first(self.strategy.run(add, args=(value / self._num_local,)))

    def agree(self, value: float) -> float:
        """See `Workers`."""
        if self.num_processes == 1:
            return value
        with self.watch():
            return float(self._sum(tf.constant(value if self.process == 0 else 0.0, tf.float64)))

    def any(self, value: bool) -> bool:
        """See `Workers`."""
        if self.num_processes == 1:
            return value
        with self.watch():
            return bool(self._sum(tf.constant(float(value), tf.float64)) > 0)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """See `Workers`."""
        try:
            yield
        except _GONE as error:
            if self._cluster is None:
                raise
            raise ClusterError(_describe_loss(self._cluster, str(error))) from error

    @tf.function(autograph=False)
    def _sum(self, value: Tensor) -> Tensor:
        return self.sum(value)


def _choose_devices(count: int, cluster: Cluster | None) -> list[str]:
    """Gives the names of this machine's devices; a processor alone is divided into as many as are wished."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        require(count <= len(gpus), "devices", f"at most {len(gpus)}, the GPUs that TensorFlow finds", count)
        tf.config.set_visible_devices(gpus[: count or len(gpus)], "GPU")
        return [f"GPU:{number}" for number in range(count or len(gpus))]
    require(count <= 1 or cluster is None, "devices", "1 for each of several processes without a GPU", count)
    if count > 1:
        (processor,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * count)
    return [f"CPU:{number}" for number in range(max(count, 1))]


def _spread(devices: list[str]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else tf.distribute.get_strategy()


def _join(cluster: Cluster) -> tf.distribute.Strategy:
    task = {"type": "worker", "index": cluster.index}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster.addresses}, "task": task})
    return tf.distribute.MultiWorkerMirroredStrategy()


def _describe_loss(cluster: Cluster, reason: str) -> str:
    gone = sorted({int(index) for index in re.findall(r"/job:worker/replica:0/task:(\d+)", reason)} - {cluster.index})
    named = ", ".join(f"process {index} ({cluster.addresses[index]})" for index in gone) or "another process"
    return (
        f"{named} is gone: process {cluster.index} cannot go on without it. See why it ended, then start all processes again with "
        "--resume."
    )
