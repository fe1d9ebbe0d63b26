"""How fast is a training step of MobileFaceNet with ArcFace, against the same step written plainly in PyTorch?

    make benchmarks-step

Network (the widths of the field's `mbf`, 512-d), head (10,000 classes), loss, gradients and update (SGD, Nesterov momentum, weight
decay) of a batch of 64, on a CPU: `fr-train`'s step, and `benchmarks/pytorch/step.py` in an environment of its own. Five rounds in
turn, each in a process of its own: two steps to warm up, then five. Prints medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__)
PYTORCH = HERE.parents[1] / ".venv-torch/bin/python"
WARM_UP_STEPS = 2


def run_ours(*, num_images: int, num_classes: int, num_steps: int, num_devices: int = 1) -> dict[str, Any]:
    """Takes the time of `fr-train`'s own step, on one device or several."""
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    from fr_train.config.config import OptimizerConfig, ScheduleConfig  # noqa: PLC0415
    from fr_train.devices.replicas import Replicas  # noqa: PLC0415
    from fr_train.losses.registry import build_losses  # noqa: PLC0415
    from fr_train.model.backbones.embedding import build_embedding_network  # noqa: PLC0415
    from fr_train.model.heads import CosineHead  # noqa: PLC0415
    from fr_train.optim.optimizers import build_optimizer  # noqa: PLC0415
    from fr_train.optim.schedules import Schedule  # noqa: PLC0415
    from fr_train.step.replicated import ReplicatedStep  # noqa: PLC0415
    from fr_train.step.tensorflow import TrainingStep  # noqa: PLC0415

    replicas = Replicas(num_devices)
    keras.utils.set_random_seed(0)
    with replicas.scope():
        network = build_embedding_network("mbf", embedding_size=512)
        head = CosineHead(num_classes)
        head.build((None, 512))
        loss = build_losses({"name": "arcface"}, num_classes=num_classes, embedding_size=512)
        trainable = [*network.trainable_variables, *head.trainable_variables]
        schedule = Schedule(ScheduleConfig(name="constant"), peak=0.1, steps_per_epoch=100, epochs=1)
        optimizer = build_optimizer(OptimizerConfig(), schedule, trainable)
        make = partial(ReplicatedStep, replicas=replicas) if num_devices > 1 else TrainingStep
        step = make(network, head, loss, optimizer, trainable=trainable, schedule=schedule)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num_images, 112, 112, 3), dtype=np.uint8)
    labels = rng.integers(0, num_classes, num_images, dtype=np.int32)
    losses = []
    for number in range(WARM_UP_STEPS + num_steps):
        if number == WARM_UP_STEPS:
            wall, processor = time.perf_counter(), time.process_time()
        losses.append(float(np.mean(step(images, labels).losses)))
    return {
        "seconds": (time.perf_counter() - wall) / num_steps,
        "processor_seconds": (time.process_time() - processor) / num_steps,
        "parameters": sum(int(np.prod(variable.shape)) for variable in network.trainable_variables),
        "version": tf.__version__,
        "first_loss": losses[0],
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ours", type=int, help=argparse.SUPPRESS)  # on so many devices
    options = parser.parse_args()
    sizes = {"num_images": options.images, "num_classes": options.classes, "num_steps": options.steps}
    if options.ours:
        print(json.dumps(run_ours(**sizes, num_devices=options.ours)))
        return
    if not PYTORCH.exists():
        sys.exit(f"expected PyTorch's environment, {PYTORCH} is missing: make benchmarks-step installs it")
    arguments = [f"--images={options.images}", f"--classes={options.classes}", f"--steps={options.steps}"]
    commands = {
        "PyTorch": [PYTORCH, HERE.parent / "pytorch/step.py", *arguments],
        "fr-train": [sys.executable, HERE, "--ours=1", *arguments],
    }
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            results[name].append(json.loads(done.stdout))
    print(
        f"Batch of {options.images}, {options.classes:,} classes, medians of {options.rounds} rounds of {options.steps} steps"
    )
    medians = {}
    for name, rows in results.items():
        medians[name] = statistics.median(row["seconds"] for row in rows)
        processor = statistics.median(row["processor_seconds"] for row in rows)
        row = rows[0]
        print(
            f"  {name:9} {medians[name]:6.3f} s a step, {processor:6.3f} s of processor time, first loss {row['first_loss']:.2f}, "
            f"{row['parameters']:,} parameters, version {row['version']}"
        )
    print(f"  fr-train is {medians['PyTorch'] / medians['fr-train']:.2f} times as fast")


if __name__ == "__main__":
    main()
