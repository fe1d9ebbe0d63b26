"""How fast is the head, alone: logits, loss, gradients and update, against the recipe's way, and sampled against full?

    make benchmarks-head

A batch of 512, 512-d, on a CPU; the network is one dense layer. Three contenders:

    recipe   85,742 classes as it is commonly written: one-hot labels, the embedding concatenated to the logits as the output,
             ArcFace's margin over all logits, Keras's cross-entropy and optimizer
    full     85,742 classes, `fr-train`'s step
    sampled  1,000,000 classes, `fr-train`'s step with a head sampled at a rate of 0.1

All with SGD, Nesterov momentum and decoupled weight decay. Five rounds in turn, each in a process of its own: two steps to warm up,
then five. Prints medians. Memory is the peak of the resident set over a process, above what it was before head and optimizer.
"""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

EMBEDDING_SIZE = 512
MARGIN_RADIANS, SCALE = 0.5, 64.0
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4
WARM_UP_STEPS = 2
CONTENDERS = {"recipe": (85_742, 1.0), "full": (85_742, 1.0), "sampled": (1_000_000, 0.1)}  # classes, rate

Step = Callable[[Any, Any], Any]


def make_recipe(network: Any, num_classes: int) -> tuple[Step, list[Any]]:
    """The recipe's step, which gives the losses, and the variables of head and optimizer."""
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    weights = keras.Variable(keras.random.normal((EMBEDDING_SIZE, num_classes), stddev=0.01), name="weights")
    trainable = [*network.trainable_variables, weights]
    optimizer = keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)
    optimizer.build(trainable)

    def arcface(one_hot: Any, output: Any) -> Any:
        cosine = tf.clip_by_value(output[:, EMBEDDING_SIZE:], -1.0 + 1e-6, 1.0 - 1e-6)
        sine = tf.sqrt(1.0 - tf.square(cosine))
        turned = cosine * math.cos(MARGIN_RADIANS) - sine * math.sin(MARGIN_RADIANS)
        beyond = cosine - MARGIN_RADIANS * math.sin(MARGIN_RADIANS)
        hardened = tf.where(cosine > math.cos(math.pi - MARGIN_RADIANS), turned, beyond)
        logits = SCALE * (one_hot * hardened + (1.0 - one_hot) * cosine)
        return keras.losses.categorical_crossentropy(one_hot, logits, from_logits=True)

    @tf.function
    def step(images: Any, labels: Any) -> Any:
        one_hot = tf.one_hot(labels, num_classes)
        with tf.GradientTape() as tape:
            embedding = network(images, training=True)
            cosine = tf.matmul(tf.nn.l2_normalize(embedding, axis=1), tf.nn.l2_normalize(weights.value, axis=0))
            output = tf.concat([embedding, cosine], axis=1)
            losses = arcface(one_hot, output)
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, [variable.value for variable in trainable]), trainable)
        return losses, tf.reduce_mean(keras.metrics.categorical_accuracy(one_hot, output[:, EMBEDDING_SIZE:]))

    return lambda images, labels: step(images, labels)[0], [weights, *optimizer.variables]


def make_ours(network: Any, num_classes: int, *, rate: float, batch_size: int) -> tuple[Step, list[Any]]:
    """Our step, likewise."""
    from fr_train.config.config import OptimizerConfig, ScheduleConfig  # noqa: PLC0415
    from fr_train.losses.registry import build_losses  # noqa: PLC0415
    from fr_train.model.class_sample import count_sample  # noqa: PLC0415
    from fr_train.model.heads import CosineHead  # noqa: PLC0415
    from fr_train.model.sampled_head import SampledHead, draw_weights  # noqa: PLC0415
    from fr_train.optim.optimizers import build_optimizer  # noqa: PLC0415
    from fr_train.optim.schedules import Schedule  # noqa: PLC0415
    from fr_train.step.tensorflow import TrainingStep  # noqa: PLC0415

    head = CosineHead(num_classes, initializer="zeros" if rate < 1 else None)
    head.build((None, EMBEDDING_SIZE))
    if rate < 1:
        draw_weights(head)
    table = {"name": "arcface", "margin_radians": MARGIN_RADIANS, "scale": SCALE}
    loss = build_losses(table, num_classes=num_classes, embedding_size=EMBEDDING_SIZE)
    schedule = Schedule(ScheduleConfig(name="constant"), peak=LEARNING_RATE, steps_per_epoch=100, epochs=1)
    size = count_sample(num_classes, rate=rate, batch_size=batch_size)
    sample = SampledHead(head, size=size, seed=(0,)) if rate < 1 else None
    trainable = [*network.trainable_variables, *(sample or head).trainable_variables]
    config = OptimizerConfig(momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    optimizer = build_optimizer(config, schedule, trainable)
    if sample:
        sample.add_slots(optimizer)
    step = TrainingStep(network, head, loss, optimizer, trainable=trainable, schedule=schedule, sample=sample)
    slots = sample.slots if sample else optimizer.variables
    return lambda images, labels: step(images, labels).losses, [*head.variables, *slots]


def run(name: str, *, batch_size: int, num_steps: int) -> dict[str, float]:
    """Takes a contender's steps."""
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    num_classes, rate = CONTENDERS[name]
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    inputs = keras.Input((EMBEDDING_SIZE,))
    network = keras.Model(inputs, keras.layers.Dense(EMBEDDING_SIZE, use_bias=False)(inputs))
    images = tf.constant(rng.normal(size=(batch_size, EMBEDDING_SIZE)).astype(np.float32))
    labels = tf.constant(rng.integers(0, num_classes, batch_size, dtype=np.int32))
    before = psutil.Process().memory_info().rss
    if name == "recipe":
        step, variables = make_recipe(network, num_classes)
    else:
        step, variables = make_ours(network, num_classes, rate=rate, batch_size=batch_size)
    seconds, processor_seconds, losses = [], [], []
    for _ in range(WARM_UP_STEPS + num_steps):
        wall, processor = time.perf_counter(), time.process_time()
        losses.append(float(np.mean(step(images, labels))))
        seconds.append(time.perf_counter() - wall)
        processor_seconds.append(time.process_time() - processor)
    return {
        "seconds": statistics.median(seconds[WARM_UP_STEPS:]),
        "processor_seconds": statistics.median(processor_seconds[WARM_UP_STEPS:]),
        "kept_bytes": sum(4 * math.prod(variable.shape) for variable in variables),
        "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before,
        "first_loss": losses[0],
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=CONTENDERS, help="one contender, in this process, as JSON")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(run(options.only, batch_size=options.images, num_steps=options.steps)))
        return
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(options.rounds):
        for name in CONTENDERS:
            sizes = [f"--images={options.images}", f"--steps={options.steps}"]
            done = subprocess.run(
                [sys.executable, __file__, "--only", name, *sizes], stdout=subprocess.PIPE, check=True
            )
            rows[name].append(json.loads(done.stdout))
    print(f"Batch of {options.images}, {EMBEDDING_SIZE}-d, medians of {options.rounds} rounds of {options.steps} steps")
    medians = {name: {key: statistics.median(row[key] for row in rows[name]) for key in rows[name][0]} for name in rows}
    for name, row in medians.items():
        num_classes, rate = CONTENDERS[name]
        print(
            f"  {name:8} {num_classes:>9,} classes, rate {rate}: {row['seconds']:6.3f} s a step, "
            f"{row['processor_seconds']:6.3f} s of processor time; peak {row['bytes'] / 2**20:,.0f} MiB, "
            f"weights and slots {row['kept_bytes'] / 2**20:,.0f} MiB of it; first loss {row['first_loss']:.2f}"
        )

    def ratio(measure: Callable[[dict[str, float]], float], name: str, other: str) -> float:
        return measure(medians[name]) / measure(medians[other])

    for name, other in (("full", "recipe"), ("sampled", "full")):
        wall = ratio(lambda row: row["seconds"], name, other)
        processor = ratio(lambda row: row["processor_seconds"], name, other)
        print(f"  {name} takes {wall:.2f} of the time of {other}, {processor:.2f} of its processor time")
    above = ratio(lambda row: row["bytes"] - row["kept_bytes"], "full", "recipe")
    print(f"  full takes {above:.2f} of the memory above weights and slots of recipe")
    print(
        f"  sampled takes {medians['sampled']['bytes'] / medians['sampled']['kept_bytes']:.2f} of its weights and slots in all"
    )


if __name__ == "__main__":
    main()
