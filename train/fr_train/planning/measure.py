"""How fast this machine is: some real training steps of the network, and some of the head."""

import os
import statistics
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fr_train.losses.registry import build_losses
from fr_train.model.class_sample import count_sample
from fr_train.model.heads import CosineHead
from fr_train.model.sampled_head import SampledHead
from fr_train.optim.optimizers import build_optimizer
from fr_train.optim.schedules import Schedule
from fr_train.planning.job import Job
from fr_train.planning.network_cost import NetworkCost
from fr_train.planning.rates import Rates
from fr_train.step.tensorflow import TrainingStep

__all__ = ["build_step", "measure_rates"]

MOST_IMAGES = 32  # a larger batch takes in proportion
MOST_BYTES = 1 << 28  # of logits, or of class weights with their slots; more takes in proportion
LEAST_STEPS = 3


def measure_rates(job: Job, network: keras.Model, cost: NetworkCost, *, seconds: float = 3.0) -> Rates:
    """Takes the time of steps as a run does them, of the network and of the head by itself, on the first device.

    Args:
        job: the training.
        network: its network.
        cost: of it.
        seconds: how long for each of the two, about, beside compilation and two steps to warm up.
    """
    rng, embedding_size = np.random.default_rng(0), cost.embedding_size
    num_images = min(job.images_per_device, MOST_IMAGES)
    images = tf.constant(rng.integers(0, 256, (num_images, *network.input_shape[1:]), dtype=np.uint8))
    losses = build_losses({"name": "center"}, num_classes=2, embedding_size=embedding_size)
    step = build_step(job, network, None, losses)
    of_network = _time_step(step, images, tf.zeros(num_images, tf.int32), seconds=seconds)

    head, num_rows = _build_head(job, embedding_size)
    inputs = keras.Input((embedding_size,))
    nothing = keras.Model(inputs, keras.layers.Identity(dtype="float32")(inputs))
    losses = build_losses({"name": "arcface"}, num_classes=head.num_classes, embedding_size=embedding_size)
    step = build_step(job, nothing, head, losses)
    embeddings = tf.constant(rng.normal(size=(job.head_batch, embedding_size)).astype(np.float32))
    labels = tf.constant(rng.integers(0, head.num_classes, job.head_batch, dtype=np.int32))
    of_head = _time_step(step, embeddings, labels, seconds=seconds)
    return Rates(
        network_flops=cost.step_flops * num_images / of_network,
        head_flops=cost.head_flops(job.head_batch, num_rows) / of_head,
        precision=job.config.precision,
        source=f"measured on {_name_device()}: {num_images} images, {num_rows:,} classes",
        on_cpu=not tf.config.list_logical_devices("GPU"),
    )


def build_step(job: Job, network: Any, head: Any, losses: Any) -> TrainingStep:
    """Makes a step as the last phase of a run does.

    Args:
        job: the training.
        network: its network, or another.
        head: a built head; None where the losses need none.
        losses: a `WeightedSum`.
    """
    phase, sample = job.config.phases[-1], None
    if head is not None and job.config.model.sample_rate < 1:
        sample = SampledHead(head, size=_count_rows(job, head.num_classes), seed=(0, 0))
    trainable = [
        variable for part in (network, sample or head) if part is not None for variable in part.trainable_variables
    ]
    peak = phase.optimizer.learning_rate_at(job.config.batch_size)
    schedule = Schedule(phase.schedule, peak=peak, steps_per_epoch=1000, epochs=phase.epochs)
    optimizer = build_optimizer(phase.optimizer, schedule, trainable)
    if sample:
        sample.add_slots(optimizer)
    return TrainingStep(
        network, head, losses, optimizer, trainable=trainable, schedule=schedule, sample=sample, xla=job.config.xla
    )


def _build_head(job: Job, embedding_size: int) -> tuple[CosineHead, int]:
    """Makes a head like a device's, or a smaller one of as many classes as can be held; gives how many of them a step looks at."""
    rate = job.config.model.sample_rate
    of_weights = MOST_BYTES // (4 * embedding_size * (1 + job.num_slots))
    of_logits = int(MOST_BYTES // (4 * job.head_batch) / rate)
    head = CosineHead(max(2, min(job.head_rows, of_weights, of_logits)), name="head")
    head.build((None, embedding_size))
    return head, _count_rows(job, head.num_classes)


def _count_rows(job: Job, num_classes: int) -> int:
    return count_sample(num_classes, rate=job.config.model.sample_rate, batch_size=job.head_batch)


def _time_step(step: TrainingStep, inputs: tf.Tensor, labels: tf.Tensor, *, seconds: float) -> float:
    """Gives the median seconds of a step."""
    for _ in range(2):
        np.asarray(step(inputs, labels).losses)
    taken: list[float] = []
    while len(taken) < LEAST_STEPS or sum(taken) < seconds:
        begun = time.perf_counter()
        np.asarray(step(inputs, labels).losses)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def _name_device() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "a GPU"))
    return f"{os.cpu_count()} processors"
