"""How long a conversion will take: a second of it is done for real, with nothing left behind, and extrapolated."""

import hashlib
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import crc32c
import numpy as np

from fr_prep.workers.pool import open_pool
from fr_prep.write.build import Conversion
from fr_prep.write.shard_task import ShardTask
from fr_prep.write.shard_writer import write_blocks

__all__ = ["Estimate", "estimate_time", "say_seconds"]

SAMPLE_SECONDS = 1.0
SHARDS_A_WORKER = 8  # so many are begun, each somewhere else in the set
SHARD_BYTES = 64 << 20  # so much of each at most
CHECKSUM_BYTES = 64 << 20
WARM_UP_RECORDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Seconds of a conversion.

    Attributes:
        num_workers: processes that write.
        sampled_images: images that were written to learn it.
        index_seconds: of reading the index and planning.
        image_seconds: of copying the images.
        checksum_seconds: of a checksum of the source; one of several workers begins it while the index is read.
    """

    num_workers: int
    sampled_images: int
    index_seconds: float
    image_seconds: float
    checksum_seconds: float

    @property
    def seconds(self) -> float:
        """Of the whole: workers share the images and what is left of the checksum when the index is read."""
        ahead = self.index_seconds if self.num_workers > 1 else 0.0
        late = max(0.0, self.checksum_seconds - ahead)
        return self.index_seconds + max(late, self.image_seconds + late / self.num_workers)


def estimate_time(
    conversion: Conversion,
    place: Path,
    *,
    num_workers: int,
    index_seconds: float,
    checked: Path | None,
    scheduler: str | None = None,
) -> Estimate:
    """Writes images of the plan by all workers for about a second, into files without a name, and extrapolates.

    Args:
        conversion: what is planned.
        place: a folder on the disk that is to be written.
        num_workers: processes.
        scheduler: address of a Dask scheduler whose workers are asked instead.
        index_seconds: how long the plan took.
        checked: the file of the source of which a conversion makes a checksum, if it does.

    Raises:
        SourceError: if an image cannot be read, or is none: the conversion would end there.
        OSError: if the folder cannot be written.
        WorkerError: if a worker process died.
    """
    shards = [rows for split in conversion.plan.splits.values() for rows in split]
    mean_bytes = conversion.num_bytes / conversion.plan.num_images
    num_records = int(SHARD_BYTES / mean_bytes) + 1
    with open_pool(num_workers, scheduler=scheduler) as pool:
        pool.require_shared([conversion.images.path], out=place)
        num_workers = pool.num_workers
        chosen = np.unique(np.linspace(0, len(shards) - 1, num_workers * SHARDS_A_WORKER).round().astype(np.int64))
        tasks = [conversion.shard_task(place, shards[number][:num_records]) for number in chosen.tolist()]
        few = conversion.shard_task(place, shards[0][:WARM_UP_RECORDS])
        for wait in [pool.submit(partial(_write_sample, [few], place)) for _ in range(num_workers)]:  # starts them
            wait()
        waits = [pool.submit(partial(_write_sample, tasks[n::num_workers], place)) for n in range(num_workers)]
        samples = [wait() for wait in waits]
    images_per_second = sum(num_images / seconds for num_images, seconds in samples if num_images)
    return Estimate(
        num_workers=num_workers,
        sampled_images=sum(num_images for num_images, _ in samples),
        index_seconds=index_seconds,
        image_seconds=conversion.plan.num_images / images_per_second,
        checksum_seconds=_time_checksum(checked) if checked else 0.0,
    )


def _write_sample(tasks: Sequence[ShardTask], place: Path) -> tuple[int, float]:
    """Writes shards until the time is over; gives the number of images and the seconds, those until all is on the disk included."""
    begun, num_images = time.perf_counter(), 0
    with ExitStack() as stack:
        files = []
        for task in tasks:
            files.append(stack.enter_context(tempfile.TemporaryFile(dir=place)))
            for block in write_blocks(task, files[-1]):
                hashlib.sha256(block.data)
                num_images += block.image_kinds.total()
                if time.perf_counter() - begun > SAMPLE_SECONDS:
                    break
            else:
                continue
            break
        for file in files:
            file.flush()
            os.fsync(file.fileno())
    return num_images, time.perf_counter() - begun


def _time_checksum(path: Path) -> float:
    """Gives the seconds of a checksum of a file, by that of its middle."""
    num_bytes, num_read, crc, block = path.stat().st_size, 0, 0, memoryview(bytearray(4 << 20))
    begun = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        file.seek(max(0, num_bytes - CHECKSUM_BYTES) // 2)
        while num_read < CHECKSUM_BYTES and (length := file.readinto(block)):
            crc = crc32c.crc32c(block[:length], crc)
            num_read += length
    return (time.perf_counter() - begun) * num_bytes / max(1, num_read)


def say_seconds(seconds: float) -> str:
    """Says a time as people do: 4.2 s, 12 min, 3.4 h."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
