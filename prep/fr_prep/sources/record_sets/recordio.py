"""RecordIO, the container format of MXNet: frames of `magic, cflag << 29 | length, payload, padding to 4 bytes`.

Format: dmlc-core `include/dmlc/recordio.h` and `src/recordio.cc`. A payload in which the magic stands at a 4-byte step is split
there into parts; the reader joins them and puts the magic back. So the magic on a 4-byte step of a sound file always
starts a frame, and a whole file can be scanned without following lengths.
"""

import errno
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NoReturn, Self

import crc32c
import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import DamagedRecordError, SourceError

__all__ = ["FRAME_HEADER", "MAGIC", "MAX_RECORD_BYTES", "Frames", "RecordFile", "RecordWriter", "padded"]

MAGIC = 0xCED7230A
MAX_RECORD_BYTES = (1 << 29) - 1
FRAME_HEADER = struct.Struct("<II")
MAGIC_BYTES = struct.pack("<I", MAGIC)
WHOLE, FIRST, MIDDLE, LAST = range(4)
WINDOW_BYTES = 64 << 20
DIGEST_BYTES = 8 << 20
SCAN_WORDS = WINDOW_BYTES // 4
_MADV_POPULATE_READ = 22  # of Linux 5.14


@dataclass(frozen=True, slots=True)
class Frames:
    """Frame headers of the records that start at `offsets`, one row a record.

    Attributes:
        offsets: (n,) int64, byte offset of each record's first frame.
        cflags: (n,) uint32, 0 for a whole record, 1 for the first part of a split one.
        lengths: (n,) int64, payload bytes of that first frame.
        ends: (n,) int64, byte offset behind that frame and its padding.
    """

    offsets: NDArray[np.int64]
    cflags: NDArray[np.uint32]
    lengths: NDArray[np.int64]
    ends: NDArray[np.int64]


def padded(length: int) -> int:
    """Rounds a payload length up to the 4 bytes that frames are aligned to."""
    return (length + 3) & ~3


class RecordFile:
    """A memory-mapped `.rec` file.

    Args:
        path: the file.

    Raises:
        SourceError: if the file is missing, empty or unreadable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self.num_bytes = file.seek(0, 2)
                if self.num_bytes == 0:
                    raise SourceError(f"{path}: expected RecordIO frames, but the file is empty. Copy it again.")
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise SourceError(
                f"{path}: cannot be read: {error.strerror}. Check the path and its permissions."
            ) from error
        self.words: NDArray[np.uint32] = np.frombuffer(self._map, dtype="<u4", count=self.num_bytes // 4)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unmaps the file."""
        self.words = np.empty(0, dtype=np.uint32)
        self._map.close()

    def windows(self, offsets: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yields ascending offsets in runs that lie in one stretch of the file, and unmaps each stretch's pages behind it.

        So the memory of a walk over a file of any size stays bounded.
        """
        cuts = np.flatnonzero(np.diff(offsets // WINDOW_BYTES)) + 1
        for run in np.split(offsets, cuts):
            if len(run):
                self._map_pages(int(run[0]), int(run[-1]) + mmap.PAGESIZE)
            yield run
            self.unmap_pages()

    def _map_pages(self, start: int, stop: int) -> None:
        """Maps a stretch of the file at once, where Linux can: what cannot be read is an error here, and kills the process later.

        Raises:
            SourceError: if it cannot be read.
        """
        first, past_last = max(start, 0) & -mmap.PAGESIZE, min(stop, self.num_bytes)
        try:
            if first < past_last and hasattr(self._map, "madvise"):
                self._map.madvise(_MADV_POPULATE_READ, first, past_last - first)
        except OSError as error:
            if error.errno == errno.EFAULT:
                raise SourceError(
                    f"{self.path}: cannot be read between byte {first} and {past_last}: the disk fails there, or the file was cut "
                    "short meanwhile. Copy it again."
                ) from error

    def unmap_pages(self) -> None:
        """Gives back the memory of the pages that were touched; they are mapped again when they are needed."""
        if hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def crc32c(self) -> str:
        """Gives the CRC-32C of the file, in hexadecimal: enough to tell versions apart, and ten times as fast as a SHA-256.

        Raises:
            SourceError: if a stretch cannot be read, or was cut off meanwhile.
        """
        crc = 0
        for start in range(0, self.num_bytes, DIGEST_BYTES):
            self._map_pages(start, start + DIGEST_BYTES)
            with memoryview(self._map) as view:
                crc = crc32c.crc32c(view[start : start + DIGEST_BYTES], crc)
            self.unmap_pages()
        return f"{crc:08x}"

    def magics(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray[np.int64]]:
        """Yields the byte offsets from `start` to `stop` at which the magic stands on a 4-byte step, a stretch at a time.

        In a sound file a frame starts at each. Whatever is read there meanwhile is unmapped with its stretch.
        """
        last = len(self.words) - 1  # behind the magic there must be a length
        for first in range(start // 4, last if stop is None else min(-(-stop // 4), last), SCAN_WORDS):
            past_last = min(first + SCAN_WORDS, last if stop is None else min(-(-stop // 4), last))
            self._map_pages(first * 4, past_last * 4 + 4)
            yield (np.flatnonzero(self.words[first:past_last] == MAGIC).astype(np.int64) + first) * 4
            self.unmap_pages()

    def record_offsets(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Finds where records start, by looking for the magic at every 4-byte step.

        Returns:
            (n,) int64 byte offsets of whole records and of first parts, in file order.
        """
        found = [offsets[self.words[offsets // 4 + 1] >> 29 <= FIRST] for offsets in self.magics(start, stop)]
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def frames_at(self, offsets: NDArray[np.int64]) -> Frames:
        """Reads the frame headers at these offsets, all at once, and checks each.

        Args:
            offsets: (n,) int64 byte offsets at which records are said to start.

        Raises:
            DamagedRecordError: for the first offset that is outside the file or at which no record starts, or whose frame
                reaches past the end of the file.
        """
        outside = (offsets < 0) | (offsets > self.num_bytes - FRAME_HEADER.size) | (offsets % 4 != 0)
        if outside.any():
            self._raise_no_record(int(offsets[np.argmax(outside)]))
        words = offsets // 4
        lrec = self.words[words + 1]
        cflags, lengths = (lrec >> 29).astype(np.uint32), (lrec & MAX_RECORD_BYTES).astype(np.int64)
        ends = offsets + FRAME_HEADER.size + ((lengths + 3) & ~3)
        wrong = (self.words[words] != MAGIC) | (cflags > FIRST) | (ends > self.num_bytes)
        if wrong.any():
            self._raise_no_record(int(offsets[np.argmax(wrong)]))
        return Frames(offsets=offsets, cflags=cflags, lengths=lengths, ends=ends)

    def _raise_no_record(self, offset: int) -> NoReturn:
        advice = (
            "The .idx belongs to another .rec, or the .rec is damaged: copy both again, or move the .idx away to have the .rec "
            "scanned."
        )
        if offset % 4 or not 0 <= offset <= self.num_bytes - FRAME_HEADER.size:
            where = "no multiple of 4" if offset % 4 else f"outside the file of {self.num_bytes} bytes"
            raise self.damage(offset, f"expected a record at byte {offset}, but that is {where}", advice)
        magic, lrec = FRAME_HEADER.unpack_from(self._map, offset)
        cflag, length = lrec >> 29, lrec & MAX_RECORD_BYTES
        if magic != MAGIC:
            reason = f"expected the RecordIO magic 0x{MAGIC:08x} at byte {offset}, received 0x{magic:08x}"
        elif cflag > FIRST:
            part = "a later part of a split record" if cflag <= LAST else f"an unknown continuation flag, {cflag}"
            reason = f"expected the start of a record at byte {offset}, received {part}"
        else:
            reason = f"the record at byte {offset} says that it is {length} bytes long, but the file ends at byte {self.num_bytes}"
            advice = "It was cut short: copy it again."
        raise self.damage(offset, reason, advice)

    def damage(self, offset: int, reason: str, advice: str) -> DamagedRecordError:
        """Makes the error for what is wrong with the record at `offset`."""
        return DamagedRecordError(f"{self.path}: {reason}. {advice}", offset=offset, reason=reason)

    def parts_at(self, offset: int) -> Iterator[tuple[int, int]]:
        """Yields (payload offset, length) of each part of the record that starts at `offset`.

        Raises:
            DamagedRecordError: where a part is missing, out of turn, or cut short.
        """
        position, expected = offset, (WHOLE, FIRST)
        while True:
            if position + FRAME_HEADER.size > self.num_bytes:
                raise self.damage(
                    offset,
                    f"the record at byte {offset} needs a further part at byte {position}, where the file ends",
                    "It was cut short: copy it again.",
                )
            self._map_pages(position, position + FRAME_HEADER.size)
            magic, lrec = FRAME_HEADER.unpack_from(self._map, position)
            cflag, length = lrec >> 29, lrec & MAX_RECORD_BYTES
            start = position + FRAME_HEADER.size
            if magic != MAGIC or cflag not in expected or start + length > self.num_bytes:
                raise self.damage(
                    offset,
                    f"in the record at byte {offset}, expected a frame with a continuation flag of "
                    f"{' or '.join(map(str, expected))} at byte {position}, received magic 0x{magic:08x}, flag {cflag}, "
                    f"length {length} in a file of {self.num_bytes} bytes",
                    "Copy the file again.",
                )
            if cflag in (FIRST, MIDDLE) and length % 4:
                raise self.damage(
                    offset,
                    f"in the record at byte {offset}, expected a length divisible by 4 of the part at byte {position}, which is "
                    f"not the last, received {length}",
                    "Copy the file again.",
                )
            self._map_pages(start, start + length)
            yield start, length
            if cflag in (WHOLE, LAST):
                return
            position, expected = start + padded(length), (MIDDLE, LAST)

    def read(self, offset: int) -> bytes:
        """Gives the payload of the record at `offset`, its parts joined.

        Raises:
            DamagedRecordError: if no sound record starts there.
        """
        return MAGIC_BYTES.join(self._map[start : start + length] for start, length in self.parts_at(offset))


class RecordWriter:
    """Writes RecordIO frames, byte for byte as MXNet's writer does.

    Args:
        file: a binary file opened for writing, positioned at its start.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.offset = 0

    def write(self, payload: bytes) -> int:
        """Appends a record and gives the byte offset at which it starts.

        Raises:
            ValueError: if the payload is 2^29 bytes or longer, which the format cannot say.
        """
        if len(payload) > MAX_RECORD_BYTES:
            raise ValueError(f"a RecordIO record is shorter than 2^29 bytes, received one of {len(payload)}")
        start = self.offset
        parts = _split_at_magic(payload)
        for number, part in enumerate(parts):
            if len(parts) == 1:
                cflag = WHOLE
            else:
                cflag = FIRST if number == 0 else LAST if number == len(parts) - 1 else MIDDLE
            frame = FRAME_HEADER.pack(MAGIC, cflag << 29 | len(part)) + part + bytes(padded(len(part)) - len(part))
            self._file.write(frame)
            self.offset += len(frame)
        return start


def _split_at_magic(payload: bytes) -> list[bytes]:
    """Splits a payload wherever the magic stands at a 4-byte step, and drops the magic there."""
    parts, begin, position = [], 0, payload.find(MAGIC_BYTES)
    while position >= 0:
        if position % 4 == 0:
            parts.append(payload[begin:position])
            begin = position + 4
            position = payload.find(MAGIC_BYTES, begin)
        else:
            position = payload.find(MAGIC_BYTES, position + 1)
    return [*parts, payload[begin:]]
