"""How near does the training stream come to libjpeg-turbo alone, and how much faster is it than a folder of JPEG files?

    make benchmarks-stream

Draws a set of faces of some 5 KB, as large as those of MS1MV2, and converts it to shards and to a folder of JPEG files. Then, five
times over and in turn, with a warm page cache, on the same images: libjpeg-turbo alone (`simplejpeg`, one process a core, from
memory); the stream (read, check, decode, mirror, batches of 128, uint8); the classic folder pipeline with one-hot labels of 85,742
classes. Prints medians. `--set` takes a record set in place of drawn faces.
"""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from measure import FR_PREP, make_parser

from fr_eval.models.frameworks import import_tensorflow
from fr_prep.demo.faces import face_jpeg
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.recordio import RecordWriter

BATCH_SIZE = 128
NUM_CLASSES = 85_742  # of MS1MV2
DISTINCT_IMAGES = 500
IMAGES_PER_CLASS = 50
QUALITY = 91

_share: list[bytes] = []  # of a worker process


class LibjpegTurbo:
    """Decodes everything in one process a core, each its share, from its own memory."""

    def __init__(self, images: list[bytes]) -> None:
        self._num_images = len(images)
        count = num_cores()
        self._pools = [ProcessPoolExecutor(1, mp_context=get_context("spawn")) for _ in range(count)]
        for number, pool in enumerate(self._pools):
            pool.submit(keep, images[number::count]).result()

    def __call__(self, passes: int) -> int:
        """Gives the number of images."""
        for future in [pool.submit(decode_share, passes) for pool in self._pools]:
            future.result()
        return self._num_images * passes

    def close(self) -> None:
        """Ends the processes."""
        for pool in self._pools:
            pool.shutdown()


def num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep(images: list[bytes]) -> None:
    _share[:] = images


def decode_share(passes: int) -> None:
    for _ in range(passes):
        for image in _share:
            simplejpeg.decode_jpeg(image)


class OurStream:
    """The stream of `fr-train` as it is by default."""

    def __init__(self, shards: Path) -> None:
        from fr_train.data.shard_set import read_shard_set  # noqa: PLC0415  worker processes do without TensorFlow
        from fr_train.data.stream import Stream, StreamSettings  # noqa: PLC0415

        shard_set = read_shard_set(shards)
        settings = StreamSettings(batch_size=BATCH_SIZE)
        self._stream = Stream(shard_set, settings, seed=1, image_size=shard_set.image_size)

    def images(self) -> list[bytes]:
        """All encoded images."""
        return [bytes(image) for image in self._stream.reader.read(np.arange(len(self._stream.labels)))]

    def __call__(self, passes: int) -> int:
        """Gives the number of images."""
        return sum(len(labels) for epoch in range(passes) for _, labels in self._stream.epoch(epoch))


class FolderPipeline:
    """What training scripts on a folder of JPEG files do with `tf.data`: a file an image, float32 from -1 to 1, one-hot labels."""

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.glob("*/*.jp*g"))
        classes = {name: number for number, name in enumerate(sorted({file.parent.name for file in files}))}
        self._files = [str(file) for file in files]
        self._labels = [classes[file.parent.name] for file in files]

    def __call__(self, passes: int) -> int:
        """Gives the number of images."""
        import tensorflow as tf  # noqa: PLC0415

        def load(file: Any, label: Any) -> tuple[Any, Any]:
            image = tf.image.decode_jpeg(tf.io.read_file(file), channels=3)
            image = tf.image.random_flip_left_right(tf.image.convert_image_dtype(image, tf.float32))
            return (tf.clip_by_value(image, 0.0, 1.0) - 0.5) * 2, tf.one_hot(label, NUM_CLASSES, dtype=tf.int32)

        dataset = tf.data.Dataset.from_tensor_slices((self._files, self._labels))
        dataset = dataset.shuffle(len(self._files)).repeat(passes)
        dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH_SIZE, drop_remainder=True)
        return sum(len(labels) for _, labels in dataset.prefetch(tf.data.AUTOTUNE))


def write_faces(folder: Path, num_images: int) -> None:
    """Writes a record set of drawn faces, over and over."""
    drawn = [simplejpeg.decode_jpeg(face_jpeg(0, person, image_index=0)) for person in range(DISTINCT_IMAGES)]
    images = [simplejpeg.encode_jpeg(face, QUALITY, colorsubsampling="420") for face in drawn]
    with (folder / "train.rec").open("wb") as file:
        writer = RecordWriter(file)
        for key in range(num_images):
            label = float(key // IMAGES_PER_CLASS)
            writer.write(pack_image_record(label, key=key, image=images[key % DISTINCT_IMAGES]))


def prepare(*arguments: str | Path) -> None:
    subprocess.run([FR_PREP, *map(str, arguments), "--quiet"], stdout=subprocess.DEVNULL, check=True)


def rate(work: Callable[[int], int], passes: int) -> float:
    """Gives images a second."""
    begun = time.perf_counter()
    return work(passes) / (time.perf_counter() - begun)


def main() -> None:
    """Measures and prints."""
    parser = make_parser(__doc__, images=40_000, rounds=5)
    parser.add_argument("--passes", type=int, default=1, help="how often a round goes through all images")
    parser.add_argument("--set", type=Path, help="a record set to use in place of drawn faces")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        if not options.set:
            write_faces(folder, options.images)
        source = options.set or folder
        prepare("rec2tfrecord", source, folder / "shards", "--seed", "1")
        prepare("rec2jpeg", source, folder / "images")
        import_tensorflow()
        ours, classic = OurStream(folder / "shards"), FolderPipeline(folder / "images")
        images = ours.images()
        libjpeg = LibjpegTurbo(images)
        contestants: dict[str, Callable[[int], int]] = {"libjpeg": libjpeg, "stream": ours, "folder": classic}
        rates: dict[str, list[float]] = {key: [] for key in contestants}
        for work in contestants.values():
            work(1)  # warms caches and imports up
        for _ in range(options.rounds):
            for key, work in contestants.items():
                rates[key].append(rate(work, options.passes))
        libjpeg.close()
    size = sum(map(len, images)) / len(images) / 1000
    print(f"{len(images):,} images of {size:.1f} KB, {options.passes} times, medians of {options.rounds} rounds")
    names = {
        "libjpeg": f"libjpeg-turbo alone, {num_cores()} processes",
        "stream": "stream, batches of 128",
        "folder": f"folder of files, {NUM_CLASSES:,} classes",
    }
    for key, text in names.items():
        print(f"  {text:38} {statistics.median(rates[key]):9,.0f} images/s")
    for text, other in (("of libjpeg-turbo alone", "libjpeg"), ("times the folder pipeline", "folder")):
        ratios = [own / others for own, others in zip(rates["stream"], rates[other], strict=True)]
        print(f"  the stream reaches {statistics.median(ratios):.2f} {text} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
