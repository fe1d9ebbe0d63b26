"""Reading a TFRecord file a block at a time: every byte is digested, every CRC checked, and damage does not end it."""

import hashlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from io import BufferedIOBase, RawIOBase

import numpy as np
from numpy.typing import NDArray

from fr_data.tfrecord.frames import (
    FOOTER_BYTES,
    HEADER_BYTES,
    WRONG_DATA,
    WRONG_LENGTH,
    Frames,
    describe_rest,
    find_frames,
    find_header,
    sound_length,
)

__all__ = ["Block", "Damage", "FrameReader"]

BLOCK_BYTES = 8 << 20
MAX_RECORD_BYTES = 1 << 30  # a face takes some thousand; so one header cannot ask for all memory


@dataclass(frozen=True, slots=True)
class Damage:
    """A record that cannot be read.

    Attributes:
        number: which one it is; a guess where one before it was lost.
        offset: byte offset of its frame in the file.
        problem: what is wrong with it.
    """

    number: int
    offset: int
    problem: str


@dataclass(frozen=True, slots=True)
class Block:
    """Some whole frames of a file.

    Attributes:
        data: (total,) uint8; valid until the next block is asked for.
        frames: where they stand in the data.
        first_number: the number of the first one's record.
        offset: byte offset of the data in the file.
    """

    data: NDArray[np.uint8]
    frames: Frames
    first_number: int
    offset: int


class FrameReader:
    """Reads all frames of a file; to be iterated once, to the end.

    Where a record's data are damaged, the next frame is known. Where its length is, the next one is looked for, byte by byte.

    Args:
        file: opened without a buffer.

    Attributes:
        num_bytes: how many bytes were read.
        num_frames: how many frames were met, damaged ones among them.
        damages: what is wrong with those that are damaged, in the order of the file.
        lost: whether a frame's end, and so perhaps other frames, could not be found.
    """

    def __init__(self, file: RawIOBase | BufferedIOBase) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.num_bytes = 0
        self.num_frames = 0
        self.damages: list[Damage] = []
        self.lost = self._searching = False

    @property
    def sha256(self) -> str:
        """Digest of all bytes, in hexadecimal."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[Block]:
        memory, kept = np.empty(BLOCK_BYTES, dtype=np.uint8), 0
        while num_read := self._file.readinto(memory[kept:].data):
            self._digest.update(memory[kept : kept + num_read].data)
            self.num_bytes += num_read
            data = memory[: kept + num_read]
            rest, num_wanted = yield from self._read_frames(data, self.num_bytes - len(data))
            if num_wanted > len(memory):
                memory = np.empty(num_wanted, dtype=np.uint8)
            kept = len(data) - rest
            memory[:kept] = data[rest:]
        if kept and not self._searching:
            self._lose(self.num_bytes - kept, describe_rest(memory[:kept]))

    def _read_frames(self, data: NDArray[np.uint8], offset: int) -> Generator[Block, None, tuple[int, int]]:
        """Yields the whole frames of some data; returns where the others begin, and how many bytes the first of them has."""
        position = 0
        while True:
            if self._searching:
                found = find_header(data, position)
                if found is None:
                    return max(position, len(data) - HEADER_BYTES + 1), 0
                position, self._searching = found, False
            frames = find_frames(data[position:])
            for row in np.flatnonzero(~frames.sound).tolist():
                frame = offset + position + int(frames.starts[row]) - HEADER_BYTES
                self.damages.append(Damage(self.num_frames + row, frame, WRONG_DATA))
            if len(frames):
                yield Block(data[position:], frames, self.num_frames, offset + position)
            self.num_frames += len(frames)
            position += frames.end
            length = sound_length(data, position)
            if length is None and len(data) - position < HEADER_BYTES:
                return position, 0
            if length is not None and length <= MAX_RECORD_BYTES:
                return position, HEADER_BYTES + length + FOOTER_BYTES
            too_long = f"expected at most {MAX_RECORD_BYTES} bytes of data, received {length}"
            self._lose(offset + position, WRONG_LENGTH if length is None else too_long)
            position += 1

    def _lose(self, offset: int, problem: str) -> None:
        self.damages.append(Damage(self.num_frames, offset, problem))
        self.num_frames += 1
        self.lost = self._searching = True
