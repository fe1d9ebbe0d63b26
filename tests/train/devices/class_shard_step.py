"""A head's step under JAX over some devices: what each device holds, and what the compiled step makes on it.

python class_shard_step.py DEVICES CLASSES RATE LOSS
"""

import json
import re
import sys

import jax
import keras
import numpy as np

from fr_train.config.config import OptimizerConfig, ScheduleConfig
from fr_train.devices.model_parallel import class_rows, lay_over_devices
from fr_train.losses.registry import build_losses
from fr_train.model.heads import CosineHead
from fr_train.model.sampled_head import SampledHead
from fr_train.optim.optimizers import build_optimizer
from fr_train.optim.schedules import Schedule
from fr_train.step.jax import JaxTrainingStep

EMBEDDING_SIZE, BATCH_SIZE = 16, 12
COLLECTIVE = re.compile(r"= ([^=]*) (?:all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)\(")


def count_elements(result):
    """Elements of an operation's result, or results, as the compiled step writes them."""
    shapes = re.findall(r"\[([\d,]*)\]", result)
    return sum(int(np.prod([int(size) for size in shape.split(",") if size])) for shape in shapes)


def build_step(num_devices, num_classes, rate, loss):
    lay_over_devices(num_devices, num_classes=num_classes, batch_size=BATCH_SIZE)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((EMBEDDING_SIZE,))
    network = keras.Model(inputs, keras.layers.Dense(EMBEDDING_SIZE, name="dense")(inputs))
    head = CosineHead(num_classes, name="head")
    head.build((None, EMBEDDING_SIZE))
    losses = build_losses({"name": loss}, num_classes=num_classes, embedding_size=EMBEDDING_SIZE)
    sample = SampledHead(head, size=int(rate * num_classes) // 4 * 4, seed=(0,)) if rate < 1 else None
    trainable = [*network.trainable_variables, *(sample or head).trainable_variables]
    schedule = Schedule(ScheduleConfig(name="constant"), peak=0.1, steps_per_epoch=100, epochs=1)
    optimizer = build_optimizer(OptimizerConfig(), schedule, trainable)
    if sample:
        sample.add_slots(optimizer)
    return JaxTrainingStep(network, head, losses, optimizer, trainable=trainable, schedule=schedule, sample=sample)


def main():
    num_devices, num_classes, rate, loss = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    step = build_step(num_devices, num_classes, rate, loss)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(BATCH_SIZE, EMBEDDING_SIZE)).astype(np.float32)
    labels = rng.integers(0, num_classes, BATCH_SIZE, dtype=np.int32)
    labels[:2] = num_classes - 1, 0
    losses = [float(np.mean(step(images, labels).losses)) for _ in range(3)]
    held = {}
    for variable in step._variables:
        for shard in variable.value.addressable_shards:
            held[shard.device.id] = held.get(shard.device.id, 0) + shard.data.nbytes
    values = [variable.value for variable in step._variables]
    compiled = step._run.lower(values, *step._place(images, labels)).compile()
    text = compiled.as_text()
    rows = class_rows(step.head.class_weights)
    whole = np.asarray(rows)
    rows.assign(whole + 1)
    print(
        json.dumps(
            {
                "losses": losses,
                "weights": float(np.abs(whole).sum()),
                "padding": float(np.abs(np.asarray(step.head.class_weights.value)[num_classes:]).sum()),
                "assigned": bool((np.asarray(class_rows(step.head.class_weights)) == whole + 1).all()),
                "stays": str(step.head.class_weights.value.sharding.spec) if num_devices > 1 else "",
                "held": list(held.values()),
                "temporary": compiled.memory_analysis().temp_size_in_bytes,
                "shapes": sorted(set(re.findall(r"\b[a-z]+\d*\[([\d,]+)\]", text))),
                "moved": max((count_elements(result) for result in COLLECTIVE.findall(text)), default=0),
                "devices": len(jax.devices()),
            }
        )
    )


if __name__ == "__main__":
    main()
