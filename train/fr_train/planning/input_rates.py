"""How fast a stream is by itself, what of it takes how long, and how fast its images can be decoded at all."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, TypeVar

import numpy as np
import simplejpeg
import tensorflow as tf

from fr_data.images.decode import decode_image
from fr_train.data.augment.augment import augment
from fr_train.data.records.decoding import decode_images
from fr_train.data.stream import Stream, num_threads

__all__ = ["InputFigures", "measure_input"]

IMAGES_PER_ROUND = 8192
LEAST_ROUNDS = 3
PARTS = ("read", "decode", "augment", "rest")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class InputFigures:
    """What was measured; medians of rounds. Decoding alone is that of the same bytes, in as many threads.

    Attributes:
        num_rounds: how often everything was measured, in turn.
        num_images: images of all rounds.
        image_bytes: mean length of an encoded image.
        images_per_second: of the stream.
        megabytes_per_second: the same, encoded.
        decoding_images_per_second: of decoding alone.
        ratio: of those two rates, round by round.
        cpu_seconds: processor time per 1,000 images: of the stream as `stream`, and of its `PARTS`; of decoding alone.
    """

    num_rounds: int
    num_images: int
    image_bytes: float
    images_per_second: float
    megabytes_per_second: float
    decoding_images_per_second: float
    ratio: float
    cpu_seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Gives the figures as JSON knows them, and which part dominates."""
        return {**asdict(self), "dominant": self.dominant()}

    def dominant(self) -> str:
        """The part that takes most processor time."""
        return max(PARTS, key=lambda part: self.cpu_seconds[part])

    def describe(self) -> list[str]:
        """Says all that in lines, for the user."""
        cpu = self.cpu_seconds
        parts = ", ".join(f"{part} {cpu[part]:.3f}" for part in PARTS)
        return [
            f"stream         {self.images_per_second:>8,.0f} images/s  {self.megabytes_per_second:.1f} MB/s  "
            f"{cpu['stream']:.3f} CPU seconds per 1,000 images",
            f"  of which     {parts}; {self.dominant()} dominates",
            f"decoding alone {self.decoding_images_per_second:>8,.0f} images/s  "
            f"{cpu['decoding_alone']:.3f} CPU seconds per 1,000 images",
            f"ratio          {self.ratio:>8.2f}  of images/s, {cpu['decoding_alone'] / cpu['stream']:.2f} of CPU seconds",
            f"{self.num_rounds} rounds, {self.num_images:,} images of {self.image_bytes / 1000:.1f} KB, medians",
        ]


def measure_input(stream: Stream, *, seconds: float) -> InputFigures:
    """Streams some batches, then does the parts of that one by one on the same records; and again, until the time is over.

    Args:
        stream: what is measured.
        seconds: how long, about; three rounds at least.

    Raises:
        ShardSetError: if a record cannot be read or decoded.
    """
    end = time.perf_counter() + seconds
    settings = stream.settings.augment
    augment_batch = tf.function(lambda images, seed: augment(images, seed, settings), autograph=False)
    rounds: list[dict[str, float]] = []
    for epoch, steps in _cut_into_rounds(stream):
        if len(rounds) > LEAST_ROUNDS and time.perf_counter() >= end:
            break
        rounds.append(_measure_round(stream, augment_batch, epoch, steps))
    kept = rounds[1:]  # the first one warmed everything up
    found = {name: median(row[name] for row in kept) for name in kept[0]}
    return InputFigures(
        num_rounds=len(kept),
        num_images=int(sum(row["num_images"] for row in kept)),
        image_bytes=found["image_bytes"],
        images_per_second=found["images_per_second"],
        megabytes_per_second=found["images_per_second"] * found["image_bytes"] / 1e6,
        decoding_images_per_second=found["decoding_images_per_second"],
        ratio=median(row["images_per_second"] / row["decoding_images_per_second"] for row in kept),
        cpu_seconds={name: found[name] for name in ("stream", *PARTS, "decoding_alone")},
    )


def _cut_into_rounds(stream: Stream) -> Iterator[tuple[int, range]]:
    """Yields epochs and some of their steps, without end."""
    per_round = min(stream.steps_per_epoch, max(1, IMAGES_PER_ROUND // stream.settings.batch_size))
    epoch = 0
    while True:
        for first in range(0, stream.steps_per_epoch - per_round + 1, per_round):
            yield epoch, range(first, first + per_round)
        epoch += 1


def _measure_round(stream: Stream, augment_batch: Any, epoch: int, steps: range) -> dict[str, float]:
    size = stream.settings.batch_size
    thousands = len(steps) * size / 1000
    batches = stream.epoch(epoch, first_step=steps.start).first(len(steps))
    _, wall, streaming = _clocked(lambda: deque(batches, maxlen=0), time.process_time)
    read = stream.open_epoch(epoch)
    encoded, _, reading = _clocked(lambda: [read(step)[1] for step in steps], time.process_time)
    out = np.empty((size, *stream.image_size, 3), dtype=np.uint8)
    mirrored = [bool(place % 2) and stream.settings.mirror for place in range(size)]

    def decode_all() -> None:
        for some in encoded:
            decode_images(some, mirrored, out=out)

    _, _, decoding = _clocked(decode_all, time.thread_time)
    augmenting = 0.0
    if stream.settings.augment.is_on():
        images, seeds = tf.constant(out), tf.constant([[epoch, step] for step in steps], dtype=tf.int64)
        _, _, augmenting = _clocked(lambda: [augment_batch(images, seed) for seed in seeds], time.process_time)
    with ThreadPoolExecutor(num_threads()) as pool:
        _, alone_wall, alone = _clocked(lambda: deque(pool.map(_decode_alone, encoded), maxlen=0), time.process_time)
    return {
        "num_images": thousands * 1000,
        "image_bytes": sum(len(image) for some in encoded for image in some) / thousands / 1000,
        "images_per_second": 1000 * thousands / wall,
        "decoding_images_per_second": 1000 * thousands / alone_wall,
        "stream": streaming / thousands,
        "read": reading / thousands,
        "decode": decoding / thousands,
        "augment": augmenting / thousands,
        "rest": max(0.0, streaming - reading - decoding - augmenting) / thousands,
        "decoding_alone": alone / thousands,
    }


def _clocked(work: Callable[[], Result], clock: Callable[[], float]) -> tuple[Result, float, float]:
    """Gives the result, the seconds that passed, and those of the processor clock."""
    wall, cpu = time.perf_counter(), clock()
    result = work()
    return result, time.perf_counter() - wall, clock() - cpu


def _decode_alone(images: list[memoryview]) -> None:
    for image in images:
        try:
            simplejpeg.decode_jpeg(image)
        except ValueError:  # no JPEG: the stream goes through Pillow as well
            decode_image(bytes(image))
