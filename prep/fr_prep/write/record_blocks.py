"""The bytes of a shard, a block at a time: for each record its frame, Example head, image, Example tail and CRC."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn, Self

import crc32c
import numpy as np
from numpy.typing import NDArray

from fr_data.images.header import UNKNOWN, ImageKind, sniff_images
from fr_data.tfrecord.byte_windows import byte_windows
from fr_data.tfrecord.example import encode_envelopes
from fr_data.tfrecord.frames import FOOTER_BYTES, HEADER_BYTES, mask_crcs, record_headers
from fr_prep.errors import DamagedRecordError
from fr_prep.sources.image_reader import ImageReader
from fr_prep.write.shard_task import ShardTask

__all__ = ["Block", "RecordBlocks"]

BLOCK_BYTES = 2 << 20  # small enough to stay in a processor's cache between copying, checksums and writing


@dataclass(frozen=True, slots=True)
class Block:
    """Some records of a shard.

    Attributes:
        data: their bytes; valid until the next block is asked for.
        image_kinds: their images by encoding and size.
    """

    data: memoryview
    image_kinds: Counter[ImageKind]


class RecordBlocks:
    """Lays the records of a shard out in memory, a block at a time; to be entered, and iterated once.

    Args:
        task: the shard.

    Attributes:
        num_bytes: how long the shard will be.

    Raises:
        SourceError: if the source cannot be read, or is shorter than it was.
        DamagedRecordError: if an image is no JPEG or PNG.
    """

    def __init__(self, task: ShardTask) -> None:
        self._task = task
        self._reader = ImageReader(task.places)
        self._envelopes = envelopes = encode_envelopes(
            task.places.image_lengths, task.integers, header_bytes=HEADER_BYTES, footer_bytes=FOOTER_BYTES
        )
        lengths = envelopes.head_lengths + task.places.image_lengths + envelopes.tail_lengths
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - lengths
        headers = record_headers(lengths - HEADER_BYTES - FOOTER_BYTES)
        envelopes.gaps[:-1, envelopes.middle : envelopes.middle + HEADER_BYTES] = headers
        self.num_bytes = int(lengths.sum())

    def __enter__(self) -> Self:
        self._reader.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._reader.__exit__(*exception)

    def __iter__(self) -> Iterator[Block]:
        cuts = np.flatnonzero(np.diff(self._ends // BLOCK_BYTES)) + 1
        bounds = [0, *cuts.tolist(), self._task.num_records]
        memory = np.empty(0, dtype=np.uint8)
        for first, past_last in pairwise(bounds):
            num_bytes = int(self._ends[past_last - 1] - self._starts[first]) + self._envelopes.gaps.shape[1]
            if len(memory) < num_bytes:
                memory = np.empty(num_bytes, dtype=np.uint8)
            yield self._fill(slice(first, past_last), memory)

    def _fill(self, rows: slice, memory: NDArray[np.uint8]) -> Block:
        bounds = np.append(self._starts[rows], self._ends[rows.stop - 1]) - self._starts[rows.start]
        data = self._envelopes.lay_into(memory, bounds, rows)
        starts, ends = bounds[:-1], bounds[1:]
        image_starts = starts + self._envelopes.head_lengths[rows]
        image_ends = ends - self._envelopes.tail_lengths[rows]
        part = data.data.__getitem__  # no Python in the loops
        self._reader.read_into(list(map(part, map(slice, image_starts.tolist(), image_ends.tolist()))), rows.start)
        payloads = map(part, map(slice, (starts + HEADER_BYTES).tolist(), (ends - FOOTER_BYTES).tolist()))
        crcs = np.fromiter(map(crc32c.crc32c, payloads), dtype=np.uint32, count=len(starts))
        footers = byte_windows(data, FOOTER_BYTES)
        footers[ends - FOOTER_BYTES] = mask_crcs(crcs).astype("<u4").view(footers.dtype)
        images = sniff_images(data, image_starts, image_ends - image_starts)
        if (images.encodings == UNKNOWN).any():
            row = int(np.argmax(images.encodings == UNKNOWN))
            self._raise_unknown(rows.start + row, data[image_starts[row] : image_ends[row]].tobytes())
        return Block(data=data.data, image_kinds=images.tally())

    def _raise_unknown(self, row: int, image: bytes) -> NoReturn:
        task = self._task
        key = f"key {int(task.integers['source_key'][row])}, " if "source_key" in task.integers else ""
        raise DamagedRecordError(
            f"{task.places.path(row)}, {key}record at byte {int(task.places.record_offsets[row])}: expected a JPEG or PNG image, "
            f"received {len(image)} bytes that start with {image[:16].hex(' ')}. "
            "The record is damaged, or the set holds no images that TensorFlow decodes.",
            offset=int(task.places.record_offsets[row]),
        )
