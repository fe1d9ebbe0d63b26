"""Reading encoded images at random, each record with its checksum."""

import os
import weakref
from pathlib import Path

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from fr_train.data.records.frames import FOOTER_BYTES, HEADER_BYTES
from fr_train.data.records.train_records import TrainRecords
from fr_train.errors import ShardSetError

__all__ = ["Frames", "RecordReader"]

Rows = NDArray[np.int64]
MAX_OPEN_FILES = 500  # of the 1,024 that a process may usually have; further shards are opened for each read
_CHECKSUM_MASK = 0xA282EAD8


class Frames:
    """Frames of some records, in memory.

    Args:
        records: where they are from.
        rows: (n,) int64, which records.
        data: uint8, their frames, one behind the other.
    """

    def __init__(self, records: TrainRecords, rows: Rows, data: NDArray[np.uint8]) -> None:
        self._records, self._rows, self._data = records, rows, data.data
        lengths = records.table["frame_length"][rows].astype(np.int64)
        self._starts = np.cumsum(lengths) - lengths

    def images(self, places: Rows) -> list[memoryview]:
        """Gives encoded images.

        Args:
            places: which of the rows, 0 to n - 1.

        Raises:
            ShardSetError: if a record's checksum is wrong.
        """
        rows = self._rows[places]
        table, starts = self._records.table[rows], self._starts[places]
        begins = starts + table["image_place"]
        bounds = (starts, starts + table["frame_length"], begins, begins + table["image_length"])
        images = []
        for row, start, end, image_start, image_end in zip(rows, *(bound.tolist() for bound in bounds), strict=True):
            checksum = crc32c(self._data[start + HEADER_BYTES : end - FOOTER_BYTES])
            masked = ((checksum >> 15 | checksum << 17) + _CHECKSUM_MASK) & 0xFFFFFFFF
            if masked != int.from_bytes(self._data[end - FOOTER_BYTES : end], "little"):
                raise ShardSetError(
                    f"{self._records.describe(row)}: its checksum is wrong: the shard was damaged after it was written. Copy it "
                    f"again, or convert again; `fr-prep verify {self._records.folder}` says what else is damaged."
                )
            images.append(self._data[image_start:image_end])
        return images


class RecordReader:
    """Reads records by row; may be used by many threads. Its files stay open as long as it lives.

    Args:
        records: where the records lie.

    Raises:
        ShardSetError: if a shard cannot be opened.
    """

    def __init__(self, records: TrainRecords) -> None:
        self.records = records
        self._descriptors: list[int] = []
        weakref.finalize(self, _close, self._descriptors)
        for file in records.files[:MAX_OPEN_FILES]:
            self._descriptors.append(_open(file))

    def fetch(self, rows: Rows) -> Frames:
        """Reads records; those that lie together are read together.

        Raises:
            ShardSetError: if a shard cannot be read, or was cut short.
        """
        shards, offsets, lengths = self._find_runs(rows)
        data = np.empty(int(lengths.sum()), dtype=np.uint8)
        target = data.data
        for shard, offset, length in zip(shards.tolist(), offsets.tolist(), lengths.tolist(), strict=True):
            self._fill(target[:length], shard, offset)
            target = target[length:]
        return Frames(self.records, rows, data)

    def read(self, rows: Rows) -> list[memoryview]:
        """Reads records and gives the encoded image of each.

        Raises:
            ShardSetError: if a shard cannot be read, was cut short, or a record's checksum is wrong.
        """
        return self.fetch(rows).images(np.arange(len(rows)))

    def announce(self, rows: Rows) -> None:
        """Asks the system to read these records ahead, all at the same time, where it takes such wishes; returns at once."""
        if hasattr(os, "posix_fadvise"):
            shards, offsets, lengths = self._find_runs(rows)
            for shard, offset, length in zip(shards.tolist(), offsets.tolist(), lengths.tolist(), strict=True):
                if shard < len(self._descriptors):
                    os.posix_fadvise(self._descriptors[shard], offset, length, os.POSIX_FADV_WILLNEED)

    def _find_runs(self, rows: Rows) -> tuple[Rows, Rows, Rows]:
        """Gives shard, offset and length of each run of records that lie one behind the other."""
        shards = self.records.find_shards(rows)
        begins = np.flatnonzero((np.diff(rows, prepend=-2) != 1) | (np.diff(shards, prepend=-1) != 0))
        ends = np.append(begins, len(rows))[1:]
        first, last = self.records.table[rows[begins]], self.records.table[rows[ends - 1]]
        lengths = last["frame_offset"] + last["frame_length"] - first["frame_offset"]
        return shards[begins], first["frame_offset"], lengths

    def _fill(self, target: memoryview, shard: int, offset: int) -> None:
        file = self.records.files[shard]
        is_open = shard < len(self._descriptors)
        descriptor = self._descriptors[shard] if is_open else _open(file)
        try:
            while target:
                received = os.preadv(descriptor, [target], offset)
                if received == 0:
                    raise ShardSetError(
                        f"{file}: expected {len(target)} bytes more at byte {offset}: it was cut short since training began. "
                        "Convert the set again."
                    )
                target, offset = target[received:], offset + received
        except OSError as error:
            raise ShardSetError(
                f"{file}: cannot be read at byte {offset}: {error.strerror}. Check the disk."
            ) from error
        finally:
            if not is_open:
                os.close(descriptor)


def _open(file: Path) -> int:
    try:
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ShardSetError(f"{file}: cannot be opened: {error.strerror}.") from error


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
