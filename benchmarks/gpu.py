"""How fast does `fr-train --backend jax` train iResNet-50 on a GPU, against the same step written plainly in PyTorch?

    make benchmarks-gpu
    python benchmarks/gpu.py --shards shards --rate 0.1 --classes 1000000

Network, head, loss, gradients and update (SGD, Nesterov momentum, weight decay), images and labels coming from the host each step.
With several JAX devices (`--devices`) class weights and batch are laid over them; PyTorch has one. Contenders take turns, each
round in a process of its own: five steps to warm up, then `--steps`. Prints the card, versions and medians. With `--shards` ours
trains on that set as well, images decoded meanwhile, and the loss at both ends is shown.

Needs Keras, JAX and PyTorch, but not TensorFlow; where the toolkit is not installed, its sources on the path:

    PYTHONPATH=prep:train:evaluate python benchmarks/gpu.py

Without a GPU it runs on the CPU, which says nothing but that it runs: --depth 18 --size 32 --images 8 --classes 100 --steps 2
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__)
TORCH = HERE.parents[1] / ".venv-torch/bin/python"
WARM_UP_STEPS = 5
LEARNING_RATE = 0.1


def run_ours(options: argparse.Namespace) -> dict[str, Any]:
    """Takes the time of `fr-train`'s own step, on random images or on those of a set."""
    import jax  # noqa: PLC0415
    import keras  # noqa: PLC0415

    step, batches, network = build_ours(options)
    losses, result = [], None
    for number in range(WARM_UP_STEPS + options.steps):
        if number == WARM_UP_STEPS:
            jax.block_until_ready(result)
            begun = time.perf_counter()
        result = step(*next(batches)[:2])
        losses.append(result.losses)
    jax.block_until_ready(result)
    seconds = (time.perf_counter() - begun) / options.steps
    return {
        "seconds": seconds,
        "parameters": sum(int(np.prod(variable.shape)) for variable in network.trainable_variables),
        "device": jax.devices()[0].device_kind,
        "version": f"Keras {keras.__version__}, JAX {jax.__version__}",
        "first_loss": float(np.mean(losses[0])),
        "last_loss": float(np.mean(losses[-1])),
    }


def build_ours(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Makes a run's first phase; gives its step, its batches without end, and its network."""
    import keras  # noqa: PLC0415

    from fr_train.config.config import OptimizerConfig, ScheduleConfig  # noqa: PLC0415
    from fr_train.devices.model_parallel import count_rows, lay_over_devices  # noqa: PLC0415
    from fr_train.losses.registry import build_losses  # noqa: PLC0415
    from fr_train.model.class_sample import count_sample  # noqa: PLC0415
    from fr_train.model.heads import CosineHead  # noqa: PLC0415
    from fr_train.model.network import build_network  # noqa: PLC0415
    from fr_train.model.sampled_head import SampledHead  # noqa: PLC0415
    from fr_train.optim.optimizers import build_optimizer  # noqa: PLC0415
    from fr_train.optim.schedules import Schedule  # noqa: PLC0415
    from fr_train.step.jax import JaxTrainingStep  # noqa: PLC0415

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(options.precision if options.precision == "float32" else "mixed_bfloat16")
    num_classes, image_size, batches = options.classes, (options.size, options.size), draw_batches(options)
    if options.shards:
        num_classes, image_size, batches = open_set(options)
    lay_over_devices(options.devices, num_classes=num_classes, batch_size=options.images)
    from fr_train.config.config import ModelConfig  # noqa: PLC0415

    network = build_network(ModelConfig(backbone=f"iresnet{options.depth}"), image_size=image_size)
    head = CosineHead(num_classes, name="head")
    head.build((None, network.output_shape[-1]))
    loss = build_losses({"name": "arcface"}, num_classes=num_classes, embedding_size=network.output_shape[-1])
    sample = None
    if options.rate < 1:
        size = count_sample(num_classes, rate=options.rate, batch_size=options.images)
        sample = SampledHead(head, size=count_rows(size), seed=(0,))
    trainable = [*network.trainable_variables, *(sample or head).trainable_variables]
    schedule = Schedule(ScheduleConfig(name="constant"), peak=LEARNING_RATE, steps_per_epoch=100, epochs=1)
    optimizer = build_optimizer(OptimizerConfig(), schedule, trainable)
    if sample:
        sample.add_slots(optimizer)
    step = JaxTrainingStep(network, head, loss, optimizer, trainable=trainable, schedule=schedule, sample=sample)
    return step, batches, network


def draw_batches(options: argparse.Namespace) -> Any:
    """The same random images again and again."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (options.images, options.size, options.size, 3), dtype=np.uint8)
    labels = rng.integers(0, options.classes, options.images, dtype=np.int32)
    while True:
        yield images, labels


def open_set(options: argparse.Namespace) -> tuple[int, tuple[int, int], Any]:
    """Gives a set's classes, its images' size, and its batches, epoch after epoch."""
    from fr_train.data.shard_set import read_shard_set  # noqa: PLC0415
    from fr_train.data.stream import Stream, StreamSettings  # noqa: PLC0415

    shards = read_shard_set(options.shards)
    stream = Stream(shards, StreamSettings(batch_size=options.images), seed=0, image_size=shards.image_size)
    num_epochs = -(-(WARM_UP_STEPS + options.steps) // stream.steps_per_epoch)
    batches = (batch for epoch in range(num_epochs) for batch in stream.epoch(epoch))
    return shards.num_classes, shards.image_size, batches


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--depth", type=int, default=50, choices=[18, 34, 50, 100])
    parser.add_argument("--size", type=int, default=112, help="height and width of random images")
    parser.add_argument("--images", type=int, default=128, help="a step")
    parser.add_argument("--classes", type=int, default=85_742)
    parser.add_argument("--rate", type=float, default=1.0, help="part of the classes a step looks at")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--devices", type=int, default=1, help="of ours; 0: all")
    parser.add_argument("--shards", type=Path, help="train on this set too")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--pytorch", default=str(TORCH) if TORCH.exists() else sys.executable, help="Python with PyTorch"
    )
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        print(json.dumps(run_ours(options)))
        return
    keys = ("depth", "size", "images", "classes", "rate", "precision", "steps")
    arguments = [f"--{key}={getattr(options, key)}" for key in keys]
    ours = [sys.executable, str(HERE), "--ours", f"--devices={options.devices}", *arguments]
    commands = {
        "PyTorch": [options.pytorch, str(HERE.parent / "pytorch/iresnet_step.py"), *arguments],
        "fr-train": ours,
    }
    if options.shards:
        commands[f"fr-train, {options.shards.name}"] = [*ours, f"--shards={options.shards}"]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
            results[name].append(json.loads(done.stdout))
    rows = results["fr-train"]
    print(
        f"{rows[0]['device']}: iResNet-{options.depth}, {options.precision}, batch of {options.images}, {options.classes:,} "
        f"classes at a rate of {options.rate:g}, medians of {options.rounds} rounds of {options.steps} steps"
    )
    rates = {}
    for name, rows in results.items():
        rates[name] = options.images / statistics.median(row["seconds"] for row in rows)
        row = rows[0]
        last = f", last {row['last_loss']:.2f}" if "last_loss" in row else ""
        print(
            f"  {name:20} {rates[name]:9,.1f} images/s, first loss {row['first_loss']:.2f}{last}, "
            f"{row['parameters']:,} parameters, {row['version']}, {row['device']}"
        )
    print(f"  fr-train is {rates['fr-train'] / rates['PyTorch']:.2f} times as fast")


if __name__ == "__main__":
    main()
