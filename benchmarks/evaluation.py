"""What does evaluation cost beside the network's own forward passes?

    make benchmarks-evaluation

1. All figures of 100,000 pairs of 512 values, mirror sum and plain, and those of as many pairs as the bin has, without a network.
2. `fr-eval` on a bin, its process from start to end, against the compiled forward passes alone: the same network, decoded images,
   mirrored images and batch size, traced before. Each in a process of its own, in turn. How long TensorFlow's import and the
   loading of the model take is told apart.
3. What `fr-train` runs after each epoch, against `model.predict` on the same images and mirrored images, in one process, in turn.

Prints medians of wall time and of processor time; on a machine that does other work as well, the latter says more. Model and bin
are those of the folder of shared data unless others are named.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__)
SHARED = Path(os.environ.get("FR_SHARED", HERE.parents[2] / "shared"))
FR_EVAL = Path(sys.executable).with_name("fr-eval")
BATCH_SIZE = 64  # the default of fr-eval


class Times(NamedTuple):
    """Seconds of one piece of work."""

    wall: float
    processor: float


def clock(work: Callable[..., Any], *arguments: Any, **options: Any) -> Times:
    """Takes the time of a call, that of its child processes included."""
    wall, processor = time.perf_counter(), used_processor()
    work(*arguments, **options)
    return Times(time.perf_counter() - wall, used_processor() - processor)


def used_processor() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def take_median(rounds: list[Times]) -> Times:
    return Times(*map(statistics.median, zip(*rounds, strict=True)))


def show(name: str, rounds: list[Times]) -> None:
    median = take_median(rounds)
    print(f"  {name:52} {median.wall:8.3f} s, {median.processor:8.3f} s of processor time", flush=True)


def show_ratio(name: str, first: list[Times], second: list[Times]) -> None:
    for kind, ours, others in zip(
        ("wall", "processor"), zip(*first, strict=True), zip(*second, strict=True), strict=True
    ):
        ratios = [own / other for own, other in zip(ours, others, strict=True)]
        print(
            f"  {name}: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), {kind} time",
            flush=True,
        )


def draw_embeddings(num_pairs: int, num_values: int) -> tuple[np.ndarray, np.ndarray]:
    """Gives embeddings of pairs of which every second shows one person, and the truths."""
    embeddings = np.random.default_rng(0).standard_normal((2 * num_pairs, num_values), np.float32)
    issame = np.arange(num_pairs) % 2 == 0
    embeddings[1::2][issame] = embeddings[0::2][issame] + 0.7 * embeddings[1::2][issame]
    return embeddings, issame


def score_ten_folds(embeddings: np.ndarray, issame: np.ndarray) -> None:
    from fr_eval.protocols.distances import pair_distances  # noqa: PLC0415
    from fr_eval.protocols.folds import score_folds  # noqa: PLC0415

    score_folds(pair_distances(embeddings), issame)


def measure_figures(num_pairs: int, rounds: int) -> None:
    """Part 1."""
    from fr_eval.protocols.verification import verify  # noqa: PLC0415

    verify(*draw_embeddings(20, 4))  # imports scikit-learn
    print(f"Figures without a network, medians of {rounds} rounds")
    for count in (100_000, num_pairs):
        embeddings, issame = draw_embeddings(count, 512)
        mirrored = embeddings + np.float32(0.1)
        every = [clock(verify, embeddings, issame, mirrored=mirrored) for _ in range(rounds)]
        folds = [clock(score_ten_folds, embeddings, issame) for _ in range(rounds)]
        show(f"all figures of {count:,} pairs of 512 values", every)
        show("  their distances and ten folds alone", folds)


def run_forward(model: str, bin_: str, scaling: str) -> dict[str, float]:
    """Times the compiled forward passes of a bin's distinct images and the mirrored ones, and the start-up before."""
    begun = Times(time.perf_counter(), used_processor())
    from fr_eval.models.frameworks import import_tensorflow  # noqa: PLC0415

    import_tensorflow()
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    network = keras.saving.load_model(model, compile=False)
    startup = time.perf_counter() - begun.wall
    startup_processor = used_processor() - begun.processor
    images, offset, divisor = load_images(network, bin_, scaling)

    @tf.function(input_signature=[tf.TensorSpec((None, *images.shape[1:]), tf.uint8)])
    def forward(batch: Any) -> Any:
        return network((tf.cast(batch, tf.float32) - offset) / divisor, training=False)

    both = np.concatenate([images, images[:, :, ::-1]])
    forward(both[:BATCH_SIZE])

    def work() -> None:
        for start in range(0, len(both), BATCH_SIZE):
            tf.nest.flatten(forward(both[start : start + BATCH_SIZE]))[0].numpy()

    return {"startup": startup, "startup_processor": startup_processor, **clock(work)._asdict()}


def load_images(network: Any, bin_: str, scaling: str) -> tuple[np.ndarray, float, float]:
    """Gives a bin's distinct images, decoded, with offset and divisor of their scaling."""
    from fr_data.bins.bins import read_bin  # noqa: PLC0415
    from fr_eval.models.embed import decode_bin  # noqa: PLC0415
    from fr_eval.models.scaling import SCALINGS  # noqa: PLC0415

    decoded = decode_bin(read_bin(bin_, check_images=False), tuple(network.inputs[0].shape[1:3]))
    return decoded.images, *SCALINGS[scaling]


def compare_command(model: str, bin_: str, scaling: str, rounds: int) -> None:
    """Part 2."""
    given = ["--model", model, "--scaling", scaling]
    evaluation, forward, startups = [], [], []
    for _ in range(rounds):
        command = [FR_EVAL, *given, "--batch-size", str(BATCH_SIZE), "--quiet", "--json", bin_]
        evaluation.append(clock(subprocess.run, command, stdout=subprocess.DEVNULL, check=True))
        done = subprocess.run([sys.executable, HERE, *given, bin_, "--forward"], stdout=subprocess.PIPE, check=True)
        row = json.loads(done.stdout)
        forward.append(Times(row["wall"], row["processor"]))
        startups.append(Times(row["startup"], row["startup_processor"]))
    print(f"fr-eval on {Path(bin_).name}, medians of {rounds} rounds")
    show("fr-eval, from start to end", evaluation)
    show("forward passes alone", forward)
    show("import of TensorFlow and loading of the model", startups)
    show_ratio("fr-eval / forward passes", evaluation, forward)
    rest = [Times(*map(float.__sub__, whole, start)) for whole, start in zip(evaluation, startups, strict=True)]
    show_ratio("fr-eval without that start-up / forward passes", rest, forward)


def compare_callback(model: str, bin_: str, scaling: str, rounds: int) -> None:
    """Part 3."""
    from fr_eval.models.frameworks import import_tensorflow  # noqa: PLC0415

    import_tensorflow()
    import keras  # noqa: PLC0415

    from fr_train.run.bin_scores import BinScores  # noqa: PLC0415

    network = keras.saving.load_model(model, compile=False)
    images, offset, divisor = load_images(network, bin_, scaling)
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    scale = keras.layers.Rescaling(1 / divisor, offset=-offset / divisor)
    network = keras.Sequential([keras.Input(images.shape[1:]), scale, network])
    scores = BinScores([Path(bin_)], network, batch_size=BATCH_SIZE)

    def predict() -> None:
        for pixels in (images, mirrored):
            network.predict(pixels, batch_size=BATCH_SIZE, verbose=0)

    callback, plain = [], []
    for _ in range(rounds):
        callback.append(clock(scores))
        plain.append(clock(predict))
    print(f"After an epoch, on {Path(bin_).name}, medians of {rounds} rounds")
    show("what fr-train runs", callback)
    show("model.predict", plain)
    show_ratio("fr-train / model.predict", callback, plain)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("bin", nargs="?", default=str(SHARED / "faces" / "lfw_disjoint.bin"))
    parser.add_argument("--model", default=str(SHARED / "models" / "mobilefacenet.keras"))
    parser.add_argument("--scaling", default="128")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forward", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    job = {"model": options.model, "bin_": options.bin, "scaling": options.scaling}
    for path in (options.model, options.bin):
        if not Path(path).exists():
            sys.exit(f"{path} is missing: name a bin and a --model, or set FR_SHARED to the folder of shared data")
    if options.forward:
        print(json.dumps(run_forward(**job)))
        return
    from fr_data.bins.bins import read_bin  # noqa: PLC0415

    measure_figures(read_bin(options.bin, check_images=False).num_pairs, 5)
    compare_command(**job, rounds=options.rounds)
    compare_callback(**job, rounds=options.rounds)


if __name__ == "__main__":
    main()
