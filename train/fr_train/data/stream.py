"""Streaming shards into batches: read, decode, mirror and augment in parallel; images stay uint8 until the model.

A batch follows from the seed, the epoch and the step alone. So an epoch can be entered at any step, at once.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fr_train.data.augment.settings import AugmentSettings
from fr_train.data.host_tensorflow import import_host_tensorflow
from fr_train.data.records.balanced import BalancedOrder, ClassRows
from fr_train.data.records.decoding import UndecodableError, decode_images
from fr_train.data.records.memory import BatchMemory
from fr_train.data.records.permutation import draw_words
from fr_train.data.records.reader import RecordReader
from fr_train.data.records.shuffled import ShuffledOrder, WindowReader
from fr_train.data.records.train_records import read_train_records
from fr_train.data.shard_set import ShardSet
from fr_train.errors import ConfigError, ShardSetError

__all__ = ["Batch", "Batches", "Stream", "StreamSettings", "num_threads"]

MAX_THREADS = 16  # with more, they wait for Python's lock rather than decode
MAX_WINDOW_BYTES = 256 << 20  # of records that are mixed together; as many are read ahead
BATCHES_READY = 2  # in front of those that are being made
_MIRROR, _AUGMENT = 5, 6  # purposes

Batch = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How records are streamed.

    Attributes:
        batch_size: images a batch; an epoch's last, smaller batch is left out, with other images each time.
        shuffle_buffer: records that are mixed with each other, in blocks of 64 from all over the set.
        mirror: whether each image is mirrored with probability 1/2.
        images_per_class: K images of each of `batch_size` / K classes make a batch, all classes equally often; 0 takes every record
            once an epoch.
        steps_per_epoch: with `images_per_class`, the length of an epoch; 0 is images / `batch_size`.
        with_keys: whether a batch holds the records' source keys as well.
        augment: further augmentations.
        part: (number, count): of an epoch's batches only this one of so many equal parts is decoded, beside labels and keys of all;
            each process that trains with others takes its own.
    """

    batch_size: int = 128
    shuffle_buffer: int = 8192
    mirror: bool = True
    images_per_class: int = 0
    steps_per_epoch: int = 0
    with_keys: bool = False
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    part: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("shuffle_buffer", 1), ("images_per_class", 0), ("steps_per_epoch", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}: expected {least} or more, received {getattr(self, name)}.")
        if self.images_per_class and self.batch_size % self.images_per_class:
            raise ConfigError(
                f"batch_size: expected a multiple of images_per_class, {self.images_per_class}, received {self.batch_size}."
            )
        if self.steps_per_epoch and not self.images_per_class:
            raise ConfigError("steps_per_epoch: expected images_per_class with it; else an epoch is every record once.")


class Batches:
    """Batches to go through, once or again and again; those to come are made in threads meanwhile.

    Args:
        load: makes the batch of a step.
        steps: which batches.
    """

    def __init__(self, load: Callable[[int], Batch], steps: range) -> None:
        self._load, self._steps = load, steps

    def __len__(self) -> int:
        return len(self._steps)

    def first(self, count: int) -> "Batches":
        """Gives the first of them alone."""
        return Batches(self._load, self._steps[:count])

    def __iter__(self) -> Iterator[Batch]:
        """Yields the batches.

        Raises:
            ShardSetError: if a record cannot be read or decoded; names it.
        """
        steps = iter(self._steps)
        pool = ThreadPoolExecutor(num_threads(), thread_name_prefix="stream")
        try:
            coming = deque(pool.submit(self._load, step) for step in islice(steps, num_threads() + BATCHES_READY))
            while coming:
                batch = coming.popleft().result()
                coming.extend(pool.submit(self._load, step) for step in islice(steps, 1))
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)


class Stream:
    """The train split of a shard set, as one run of batches an epoch.

    Args:
        shards: the data set.
        settings: how it is streamed.
        seed: of the order, mirroring and augmentation.
        image_size: (height, width) that images are resized to where they differ.

    Attributes:
        settings: how it is streamed.
        image_size: (height, width) of the images.
        steps_per_epoch: batches an epoch.
        reader: reads encoded images by row.

    Raises:
        ShardSetError: if the split has fewer images than a batch, or fewer classes, or its records cannot be found.
    """

    def __init__(self, shards: ShardSet, settings: StreamSettings, *, seed: int, image_size: tuple[int, int]) -> None:
        self.reader = RecordReader(read_train_records(shards))
        self.settings, self._seed = settings, seed
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self._memory = BatchMemory()
        self._rows = np.flatnonzero(self.labels >= 0)
        self.steps_per_epoch = settings.steps_per_epoch or len(self._rows) // settings.batch_size
        if self.steps_per_epoch == 0:
            raise ShardSetError(
                f"{shards.folder}: expected at least one batch of {settings.batch_size} images, the train split has "
                f"{len(self._rows)}. Choose a smaller batch size."
            )
        self._classes = ClassRows(self.labels) if settings.images_per_class else None
        self._augment = _import_augmentations(settings.augment) if settings.augment.is_on() else None
        mean_bytes = float(self.reader.records.table["frame_length"].mean())
        self._window_records = min(settings.shuffle_buffer, 1 + int(MAX_WINDOW_BYTES / mean_bytes))
        self.open_epoch(0)  # what cannot be is said at once

    @property
    def labels(self) -> NDArray[np.int32]:
        """(n,) int32, the class of each row of the train split; -1 where an overlay leaves it out."""
        labels: NDArray[np.int32] = self.reader.records.table["label"]
        return labels

    def epoch(self, epoch: int, *, first_step: int = 0) -> Batches:
        """Gives the batches of an epoch, from `first_step` on.

        Args:
            epoch: its number, from 0.
            first_step: batches that are left out at the start, to go on within an epoch.

        Returns:
            (images (B, H, W, 3) uint8, labels (B,) int32), with `with_keys` also source keys (B,) int64; `steps_per_epoch` -
            `first_step` times. They are NumPy arrays, but augmented images are a tensor of TensorFlow on the host.
        """
        read = self.open_epoch(epoch)
        return Batches(
            lambda step: self._make_batch(*read(step), seed=(self._seed, epoch, step)),
            range(first_step, self.steps_per_epoch),
        )

    def read(self, rows: NDArray[np.int64], *, epoch: int | None = None, first_step: int = 0) -> Batches:
        """Gives records in a given order.

        Args:
            rows: (m,) int64 rows of the train split, such as `fr_train.data.mining` picks.
            epoch: mirrors and augments them as in that epoch, and leaves out the last, smaller batch; else they come as they are.
            first_step: batches that are left out at the start.

        Returns:
            The same as `epoch`.
        """
        size = self.settings.batch_size
        num_steps = len(rows) // size if epoch is not None else -(-len(rows) // size)

        def load(step: int) -> Batch:
            seed = None if epoch is None else (self._seed, epoch, step)
            return self._make_batch(*self._read_rows(rows[step * size : (step + 1) * size]), seed=seed)

        return Batches(load, range(first_step, num_steps))

    def open_epoch(self, epoch: int) -> Callable[[int], tuple[NDArray[np.int64], list[memoryview]]]:
        """Gives what reads a step of an epoch: step → (B,) int64 rows of the train split, and their B encoded images."""
        settings, seed = self.settings, (self._seed, epoch)
        if self._classes is None:
            order = ShuffledOrder(self._rows, window_records=self._window_records, seed=seed)
            windows, size = WindowReader(order, self.reader.fetch), settings.batch_size
            return lambda step: windows.read(step * size, (step + 1) * size)
        num_classes = settings.batch_size // settings.images_per_class
        balanced = BalancedOrder(
            self._classes, num_classes=num_classes, images_per_class=settings.images_per_class, seed=seed
        )
        return lambda step: self._read_rows(balanced.take_step(step))

    def _read_rows(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[memoryview]]:
        self.reader.announce(rows)
        return rows, self.reader.read(rows)

    def _make_batch(
        self, rows: NDArray[np.int64], encoded: list[memoryview], *, seed: tuple[int, ...] | None = None
    ) -> Batch:
        """Decodes, mirrors and augments a batch; without a seed it is only decoded."""
        settings, records = self.settings, self.reader.records
        mirrored = np.zeros(len(rows), dtype=bool)
        if seed and settings.mirror:
            mirrored = draw_words(len(rows), _MIRROR, *seed) >> 63 > 0
        number, count = settings.part if seed else (0, 1)
        mine = slice(number * len(rows) // count, (number + 1) * len(rows) // count)
        part = (number,) if number else ()  # each draws its own; a run without others draws what it always drew
        array = self._memory.lend((len(rows) // count, *self.image_size, 3))
        try:
            decode_images(encoded[mine], mirrored[mine].tolist(), out=array)
        except UndecodableError as error:
            raise ShardSetError(
                f"{records.describe(int(rows[mine][error.place]))}: its image cannot be decoded: {error}. Drop the record with a "
                "label overlay (`--overlay`), or convert the set again without it; `fr-prep verify --decode` finds all such images."
            ) from error
        images = self._augment(array, draw_words(2, _AUGMENT, *seed, *part)) if seed and self._augment else array
        batch = (images, records.table["label"][rows], records.table["source_key"][rows])
        return batch if settings.with_keys else batch[:2]


def num_threads() -> int:
    """The number of threads that make batches."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(found, MAX_THREADS)


def _import_augmentations(settings: AugmentSettings) -> Callable[[NDArray[np.uint8], NDArray[np.uint64]], Any]:
    import_host_tensorflow("augment")
    from fr_train.data.augment.compiled import compile_augment  # noqa: PLC0415

    return compile_augment(settings)
