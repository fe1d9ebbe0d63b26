"""The bytes of a shard, a block at a time: for each record its frame, Example head, image, Example tail and CRC."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn, Self

import crc32c
import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import DamagedRecordError, SourceError
from fr_prep.example import encode_heads, encode_tails
from fr_prep.images import UNKNOWN, ImageKind, sniff_images
from fr_prep.shard_task import ShardTask
from fr_prep.sources.image_records import join_image
from fr_prep.sources.recordio import RecordFile
from fr_prep.tfrecord import FOOTER_BYTES, HEADER_BYTES, mask_crcs, record_headers

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

    Images come by `preadv` straight to their place: a mapping read at random would cost more in page faults, count as memory
    of the process, and kill it where the file is cut short meanwhile.

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
        self._stack = ExitStack()
        self._split_records: RecordFile | None = None
        self._tails = encode_tails(task.labels, task.source_keys, task.source_labels, reserve=FOOTER_BYTES)
        self._heads = encode_heads(task.image_lengths, self._tails.lengths - FOOTER_BYTES, reserve=HEADER_BYTES)
        lengths = self._heads.lengths + task.image_lengths + self._tails.lengths
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - lengths
        headers = record_headers(lengths - HEADER_BYTES - FOOTER_BYTES)
        self._head_starts, self._tail_starts = self._heads.starts(), self._tails.starts()
        self._heads.data[self._head_starts[:, None] + np.arange(HEADER_BYTES)] = headers
        self.num_bytes = int(lengths.sum())

    def __enter__(self) -> Self:
        try:
            self._file = self._stack.enter_context(self._task.source.open("rb", buffering=0))
        except OSError as error:
            raise SourceError(f"{self._task.source}: cannot be read: {error.strerror}.") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[Block]:
        cuts = np.flatnonzero(np.diff(self._ends // BLOCK_BYTES)) + 1
        bounds = [0, *cuts.tolist(), self._task.num_records]
        memory = np.empty(0, dtype=np.uint8)
        for first, past_last in pairwise(bounds):
            num_bytes = int(self._ends[past_last - 1] - self._starts[first])
            if len(memory) < num_bytes:
                memory = np.empty(num_bytes, dtype=np.uint8)
            yield self._fill(slice(first, past_last), memory[:num_bytes])

    def _fill(self, rows: slice, memory: NDArray[np.uint8]) -> Block:
        base = self._starts[rows.start]
        starts, ends = self._starts[rows] - base, self._ends[rows] - base
        image_starts = starts + self._heads.lengths[rows]
        crcs = self._copy_records(rows, starts, image_starts, ends, memory.data)
        footers = mask_crcs(crcs).astype("<u4").view(np.uint8).reshape(-1, FOOTER_BYTES)
        memory[(ends - FOOTER_BYTES)[:, None] + np.arange(FOOTER_BYTES)] = footers
        images = sniff_images(memory, image_starts, self._task.image_lengths[rows])
        if (images.encodings == UNKNOWN).any():
            self._raise_unknown(rows.start + int(np.argmax(images.encodings == UNKNOWN)))
        return Block(data=memory.data, image_kinds=images.tally())

    def _copy_records(
        self,
        rows: slice,
        starts: NDArray[np.int64],
        image_starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        view: memoryview,
    ) -> NDArray[np.uint32]:
        """Copies heads, images and tails to their places, and gives the CRC-32C of each record: the hot loop."""
        heads, tails, descriptor = self._heads.data.data, self._tails.data.data, self._file.fileno()
        read, checksum, crcs = os.preadv, crc32c.crc32c, []
        places = zip(
            starts.tolist(),
            image_starts.tolist(),
            (image_starts + self._task.image_lengths[rows]).tolist(),
            ends.tolist(),
            self._head_starts[rows].tolist(),
            self._tail_starts[rows].tolist(),
            self._task.image_offsets[rows].tolist(),
            strict=True,
        )
        for number, (start, image_start, image_end, end, head, tail, offset) in enumerate(places):
            view[start:image_start] = heads[head : head + image_start - start]
            if offset < 0:
                view[image_start:image_end] = self._read_split(rows.start + number)
            elif read(descriptor, (view[image_start:image_end],), offset) != image_end - image_start:
                self._raise_short(rows.start + number)
            view[image_end:end] = tails[tail : tail + end - image_end]
            crcs.append(checksum(view[start + HEADER_BYTES : end - FOOTER_BYTES]))
        return np.array(crcs, dtype=np.uint32)

    def _read_split(self, row: int) -> bytes:
        if self._split_records is None:
            self._split_records = self._stack.enter_context(RecordFile(self._task.source))
        image = join_image(self._split_records, int(self._task.record_offsets[row]))
        if len(image) != self._task.image_lengths[row]:
            self._raise_short(row)
        return image

    def _raise_short(self, row: int) -> NoReturn:
        raise SourceError(
            f"{self._task.source}: expected an image of {int(self._task.image_lengths[row])} bytes in the record at byte "
            f"{int(self._task.record_offsets[row])}, which now has another length. The file was changed while it was read: "
            "convert it again."
        )

    def _raise_unknown(self, row: int) -> NoReturn:
        task = self._task
        offset, length = int(task.image_offsets[row]), min(int(task.image_lengths[row]), 16)
        received = os.pread(self._file.fileno(), length, offset).hex(" ") if offset >= 0 else "a split record"
        raise DamagedRecordError(
            f"{task.source}, key {int(task.source_keys[row])}, record at byte {int(task.record_offsets[row])}: expected a JPEG "
            f"or PNG image, received {int(task.image_lengths[row])} bytes that start with {received}. "
            "The record is damaged, or the set holds no images that TensorFlow decodes.",
            offset=int(task.record_offsets[row]),
        )
