"""Does `fr-train plan` say what training takes, within 20 %?

    make benchmarks-plan

Real steps on a CPU of two networks, each with heads of 20,000 and of 80,000 classes; ArcFace, SGD with Nesterov momentum. Rates
are measured as `fr-train plan --measure` does, with 10,000 classes and at most 32 images; the plan extrapolates them. Three rounds
in turn, each in a process of its own; prints medians.

Memory is the peak resident set of a step above that of a process that has done a tiny one. For that measurement TensorFlow's own
pool of memory is off, which never gives anything back, and each array is mapped and unmapped by itself.
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

# backbone, width, embedding size, images a step
NETWORKS = [("mobilefacenet", 0.5, 128, 64), ("mbf", 1.0, 512, 64)]
CLASSES = [20_000, 80_000]
MEASURED_CLASSES = 10_000
EXACT_MEMORY = {"TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_MMAP_MAX_": "10000000"}
WARM_UP_STEPS, NUM_STEPS = 2, 5
LIMIT = 0.2


def make_job(options: argparse.Namespace) -> Any:
    """Gives the job that the options say."""
    from fr_train.config.config_file import parse_config  # noqa: PLC0415
    from fr_train.planning.job import Job  # noqa: PLC0415

    model = {
        "backbone": options.backbone,
        "width": options.width,
        "embedding_size": options.embedding_size,
        "sample_rate": options.rate,
    }
    config = parse_config({"model": model, "batch_size": options.images, "precision": options.precision})
    return Job(num_classes=options.classes, num_images=1_000_000, config=config)


def build_real_step(job: Any) -> tuple[Any, Any, Any]:
    """Makes network, head and step as a run does; gives the step, and a batch."""
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    from fr_train.losses.registry import build_losses  # noqa: PLC0415
    from fr_train.model.heads import CosineHead  # noqa: PLC0415
    from fr_train.model.network import build_network  # noqa: PLC0415
    from fr_train.planning.measure import build_step  # noqa: PLC0415

    model, num_images = job.config.model, job.config.batch_size
    keras.config.set_dtype_policy(job.config.precision)
    network = build_network(model, image_size=(112, 112))
    head = CosineHead(job.num_classes, name="head")
    head.build((None, model.embedding_size))
    losses = build_losses({"name": "arcface"}, num_classes=job.num_classes, embedding_size=model.embedding_size)
    step = build_step(job, network, head, losses)
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (num_images, 112, 112, 3), dtype=np.uint8))
    return step, images, tf.constant(rng.integers(0, job.num_classes, num_images, dtype=np.int32))


def run_time(job: Any) -> dict[str, float]:
    """Gives the median seconds of a step."""
    step, images, labels = build_real_step(job)
    seconds = []
    for _ in range(WARM_UP_STEPS + NUM_STEPS):
        begun = time.perf_counter()
        np.asarray(step(images, labels).losses)
        seconds.append(time.perf_counter() - begun)
    return {"seconds": statistics.median(seconds[WARM_UP_STEPS:])}


def run_memory(job: Any) -> dict[str, float]:
    """Gives the bytes that are kept between steps, and those that a step takes on top."""
    from dataclasses import replace  # noqa: PLC0415

    tiny = replace(job, num_classes=2, config=replace(job.config, batch_size=2))
    step, images, labels = build_real_step(tiny)
    np.asarray(step(images, labels).losses)
    del step, images, labels
    before = _status("VmRSS")
    step, images, labels = build_real_step(job)
    np.asarray(step(images, labels).losses)
    between = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    np.asarray(step(images, labels).losses)
    return {"kept": between - before, "peak": _status("VmHWM") - between}


def run_rates(job: Any) -> dict[str, Any]:
    """Gives the rates that `--measure` finds."""
    from fr_train.model.network import build_network  # noqa: PLC0415
    from fr_train.planning.measure import measure_rates  # noqa: PLC0415
    from fr_train.planning.network_cost import count_network  # noqa: PLC0415

    network = build_network(job.config.model, image_size=(112, 112))
    return dict(measure_rates(job, network, count_network(network)).to_dict())


def _status(key: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


RUNS = {"memory": run_memory, "rates": run_rates, "time": run_time}


def run_apart(what: str, network: tuple[str, float, int, int], num_classes: int) -> dict[str, Any]:
    """Measures in a process of its own."""
    backbone, width, embedding_size, num_images = network
    sizes = [
        f"--width={width}",
        f"--embedding-size={embedding_size}",
        f"--images={num_images}",
        f"--classes={num_classes}",
    ]
    command = [sys.executable, __file__, f"--run={what}", f"--backbone={backbone}", *sizes]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(EXACT_MEMORY if what == "memory" else {})}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, check=True)
    return dict(json.loads(done.stdout))


def plan(network: tuple[str, float, int, int], num_classes: int, rates: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Gives what `fr-train plan` says."""
    backbone, width, embedding_size, num_images = network
    path = folder / "rates.json"
    path.write_text(json.dumps({"rates": rates}))
    command = [str(Path(sys.executable).with_name("fr-train")), "plan", "--json", f"--rates={path}", "--images=1000000"]
    sizes = [f"--width={width}", f"--embedding-size={embedding_size}", f"--batch-size={num_images}"]
    done = subprocess.run(
        [*command, f"--classes={num_classes}", f"--backbone={backbone}", *sizes], stdout=subprocess.PIPE, check=True
    )
    return dict(json.loads(done.stdout))


def main() -> None:
    """Measures and prints."""
    import tempfile  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", choices=sorted(RUNS), help=argparse.SUPPRESS)
    for name, kind in (("backbone", str), ("width", float), ("embedding-size", int), ("images", int), ("classes", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=1.0, help=argparse.SUPPRESS)
    parser.add_argument("--precision", default="float32", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(RUNS[options.run](make_job(options))))
        return
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        for network in NETWORKS:
            print(f"{network[0]} x {network[1]}, {network[2]}-d, a batch of {network[3]}", flush=True)
            promised: dict[int, list[float]] = {num_classes: [] for num_classes in CLASSES}
            taken: dict[int, list[float]] = {num_classes: [] for num_classes in CLASSES}
            plans = {}
            for _ in range(options.rounds):
                rates = run_apart("rates", network, MEASURED_CLASSES)
                for num_classes in CLASSES:
                    plans[num_classes] = plan(network, num_classes, rates, Path(name))
                    promised[num_classes].append(plans[num_classes]["time"]["step_seconds"])
                    taken[num_classes].append(run_apart("time", network, num_classes)["seconds"])
            for num_classes in CLASSES:
                real = run_apart("memory", network, num_classes)
                memory = plans[num_classes]["memory"]["total"] / (real["kept"] + real["peak"])
                seconds = statistics.median(taken[num_classes])
                ratio = statistics.median(promised[num_classes]) / seconds
                worst = max(worst, abs(memory - 1), abs(ratio - 1))
                print(
                    f"  {num_classes:7,} classes: {(real['kept'] + real['peak']) / 2**20:7,.0f} MiB, plan {memory:.2f} of it; "
                    f"{seconds:6.3f} s a step, plan {ratio:.2f} of it",
                    flush=True,
                )
    print(f"Farthest off: {worst:.0%}")
    if worst > LIMIT:
        sys.exit(f"expected at most {LIMIT:.0%}")


if __name__ == "__main__":
    main()
