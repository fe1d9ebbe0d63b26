"""Trains each of some small cases on several devices and saves what came of it.

    python replicated_run.py OUT.npz DEVICES CASES [ADDRESSES INDEX]

Devices and processes must be chosen before TensorFlow begins, so this is no part of a test's own process.
"""

import sys

import keras
import numpy as np

from fr_train.config.config import OptimizerConfig, ScheduleConfig
from fr_train.devices.cluster import Cluster
from fr_train.devices.replicas import Replicas
from fr_train.losses.registry import build_losses
from fr_train.model.heads import CosineHead
from fr_train.model.network import synchronize_batch_norm
from fr_train.model.sampled_head import SampledHead
from fr_train.optim.optimizers import build_optimizer
from fr_train.optim.schedules import Schedule
from fr_train.optim.weight_average import WeightAverage
from fr_train.step.replicated import ReplicatedStep
from fr_train.step.tensorflow import TrainingStep

NUM_CLASSES, BATCH_SIZE, SIZE, EMBEDDING_SIZE, NUM_STEPS = 40, 24, 8, 6, 50
SGD = {"name": "sgd", "learning_rate": 0.001}
CASES = {
    "margins": ({"name": "arcface", "scale": 16.0}, SGD),
    "clipped": ({"name": "cosface", "scale": 16.0}, {**SGD, "clip_norm": 0.5}),
    "accumulated": ({"name": "cosface", "scale": 16.0}, {**SGD, "accumulate_steps": 2}),
    "adamw": ({"name": "cosface", "scale": 16.0}, {"name": "adamw", "learning_rate": 1e-4, "weight_decay": 0.05}),
    "lamb": ({"name": "cosface", "scale": 16.0}, {"name": "lamb", "learning_rate": 1e-4, "weight_decay": 0.05}),
    "running figures": ({"name": "adaface", "scale": 16.0}, SGD),
    "centers": ({"name": "center+cosface", "cosface": {"scale": 16.0}}, SGD),
    "compared rows": ({"name": "triplet_batch_hard"}, SGD),
    "sampled": ({"name": "cosface", "scale": 16.0}, SGD),
}


def build_network():
    """Batch normalisation of the batch and of images, and no kink, near which tiny differences grow."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    for channels in (8, 12):
        x = keras.layers.Conv2D(channels, 3, strides=2, use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Activation("swish")(x)
    x = keras.layers.Dense(EMBEDDING_SIZE, use_bias=False, kernel_regularizer=keras.regularizers.L2(1e-3))(
        keras.layers.Flatten()(x)
    )
    network = keras.Model(inputs, keras.layers.BatchNormalization()(x))
    synchronize_batch_norm(network)
    return network


def build_step(replicas, loss, optimizer, *, sampled):
    network = build_network()
    loss = build_losses(loss, num_classes=NUM_CLASSES, embedding_size=EMBEDDING_SIZE)
    head = None
    if loss.needs_head:
        head = CosineHead(NUM_CLASSES, name="head", normalize_embedding=loss.normalizes_embedding)
        head.build((None, EMBEDDING_SIZE))
    sample = SampledHead(head, size=BATCH_SIZE, seed=(1, 0)) if sampled else None
    parts = [part for part in (network, sample or head, loss) if part is not None]
    trainable = [variable for part in parts for variable in part.trainable_variables]
    schedule = Schedule(ScheduleConfig(), peak=optimizer["learning_rate"], steps_per_epoch=NUM_STEPS, epochs=1)
    built = build_optimizer(OptimizerConfig(**optimizer), schedule, trainable)
    if sample:
        sample.add_slots(built)
    average = WeightAverage(network.trainable_variables, momentum=0.9)
    options = {"trainable": trainable, "schedule": schedule, "sample": sample, "average": average}
    if replicas.num_replicas == 1:
        return TrainingStep(network, head, loss, built, **options)
    return ReplicatedStep(network, head, loss, built, replicas=replicas, **options)


def draw_batch(step):
    rng = np.random.default_rng(step)
    labels = rng.integers(0, NUM_CLASSES, BATCH_SIZE // 2).repeat(2)  # every class at least twice
    patterns = np.random.default_rng(0).integers(0, 256, (NUM_CLASSES, SIZE, SIZE, 3))
    images = patterns[labels] + rng.normal(0, 30, (BATCH_SIZE, SIZE, SIZE, 3))
    return images.clip(0, 255).astype(np.uint8), labels.astype(np.int32)


def main(out, devices, cases, addresses="", index="0"):
    cluster = Cluster(tuple(addresses.split(",")), int(index)) if addresses else None
    replicas = Replicas(int(devices), cluster=cluster)
    size = BATCH_SIZE // replicas.num_processes
    arrays = {}
    for case in cases.split(","):
        loss, optimizer = CASES[case]
        keras.backend.clear_session()  # layers are numbered anew
        keras.utils.set_random_seed(3)
        with replicas.scope():
            step = build_step(replicas, loss, optimizer, sampled=case == "sampled")
        losses = []
        for number in range(NUM_STEPS):
            images, labels = draw_batch(number)
            images = images[replicas.process * size : (replicas.process + 1) * size]
            result = step(images, labels, interrupted=number == 7 and replicas.process == replicas.num_processes - 1)
            losses.append(np.array(result.losses))
            assert bool(result.interrupted) == (number == 7), "all learn that one is asked to end"
        step.settle()
        arrays[f"{case}/losses"] = np.array(losses)
        arrays |= {f"{case}/{name}": variable.numpy() for name, variable in step.variables().items()}
        step.network.trainable_variables[0].assign(np.full(step.network.trainable_variables[0].shape, np.inf))
        result = step(images, labels)
        assert not bool(result.is_finite)
        assert np.isinf(step.network.trainable_variables[0].numpy()).all()
    np.savez(out, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
