"""The bytes of image records in a `.rec`, a block at a time: for each its frame, image header, image and padding."""

from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from fr_data.system import start_writeback
from fr_prep.sources.image_reader import ImageReader
from fr_prep.sources.image_set import ImagePlaces
from fr_prep.sources.record_sets.image_records import IMAGE_HEADER
from fr_prep.sources.record_sets.recordio import FRAME_HEADER, MAGIC, RecordWriter

__all__ = ["RecordFrames", "frame_lengths"]

BLOCK_BYTES = 8 << 20  # enough to read several images of a shard in a row, where there are hundreds of shards
_HEADER_BYTES = FRAME_HEADER.size + IMAGE_HEADER.size
_HEADER_WORDS = _HEADER_BYTES // 4


def frame_lengths(image_lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Gives how many bytes each record takes, if it need not be split: (n,) int64."""
    return _HEADER_BYTES + ((image_lengths + 3) & ~3)


class RecordFrames:
    """Writes image records, each with one label; to be entered.

    Args:
        places: (n) where the images lie, in the order of writing.
        labels: (n,) int64, below 2^24, so that float32 holds them.
        first_key: the key of the first; the others follow.

    Raises:
        SourceError: if an image cannot be read, or is shorter than it was.
    """

    def __init__(self, places: ImagePlaces, labels: NDArray[np.int64], *, first_key: int) -> None:
        self._image_lengths = places.image_lengths
        lengths = frame_lengths(places.image_lengths)
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - lengths
        self._blocks = self._ends // BLOCK_BYTES
        # Images of a block are read in the order in which they lie in their files.
        self._read_order = np.lexsort((places.record_offsets, places.file_numbers, self._blocks))
        self._reader = ImageReader(places.take(self._read_order))
        self._labels = labels
        self._first_key = first_key

    def __enter__(self) -> Self:
        self._reader.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._reader.__exit__(*exception)

    def write(self, file: BinaryIO, writer: RecordWriter) -> Iterator[NDArray[np.int64]]:
        """Appends all records; yields the byte offsets at which those of a block start, (k,) int64.

        Args:
            file: where to.
            writer: what writes to the same file; it writes the records that must be split.
        """
        cuts = np.flatnonzero(np.diff(self._blocks)) + 1
        memory = np.empty(BLOCK_BYTES + int((self._ends - self._starts).max()), dtype=np.uint8)  # as long as any block
        for first, past_last in pairwise([0, *cuts.tolist(), len(self._ends)]):
            rows = slice(first, past_last)
            block = memory[: int(self._ends[past_last - 1] - self._starts[first])]
            self._fill(rows, block)
            starts = self._starts[rows] - self._starts[first]
            begun = writer.offset
            if np.count_nonzero(block.view("<u4") == MAGIC) == len(starts):
                file.write(block.data)
                writer.offset += len(block)
                yield begun + starts
            else:  # in an image as well, at a 4-byte step
                begins = (starts + FRAME_HEADER.size).tolist()
                ends = (starts + _HEADER_BYTES + self._image_lengths[rows]).tolist()
                offsets = [writer.write(block[begin:end].tobytes()) for begin, end in zip(begins, ends, strict=True)]
                yield np.array(offsets)
            start_writeback(file.fileno(), begun, writer.offset - begun)

    def _fill(self, rows: slice, block: NDArray[np.uint8]) -> None:
        """Lays records out in memory as if no image held the magic."""
        base = self._starts[rows.start]
        starts, ends = self._starts[rows] - base, self._ends[rows] - base
        image_lengths = self._image_lengths[rows]
        words = block.view("<u4")
        words[ends // 4 - 1] = 0  # the padding, where there is one
        keys = self._first_key + np.arange(rows.start, rows.stop, dtype=np.uint64)
        header = np.zeros((len(starts), _HEADER_WORDS), dtype="<u4")  # flag and id2 stay 0
        header[:, 0] = MAGIC
        header[:, 1] = IMAGE_HEADER.size + image_lengths
        header[:, 3] = self._labels[rows].astype("<f4").view("<u4")
        header[:, 4:6] = keys.astype("<u8").view("<u4").reshape(-1, 2)
        words[starts[:, None] // 4 + np.arange(_HEADER_WORDS)] = header
        order = self._read_order[rows] - rows.start
        image_starts = starts[order] + _HEADER_BYTES
        slices = map(slice, image_starts.tolist(), (image_starts + image_lengths[order]).tolist())
        self._reader.read_into(list(map(block.data.__getitem__, slices)), rows.start)
