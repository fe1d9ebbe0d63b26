"""TFRecord framing: `u64 length, u32 masked CRC of the length, data, u32 masked CRC of the data`, little-endian.

Format: TensorFlow's TFRecord page. mask(c) = ((c >> 15 | c << 17) + 0xa282ead8) mod 2^32, c a CRC-32C.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import crc32c
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fr_data.errors import ShardError
from fr_data.tfrecord.byte_windows import byte_windows

__all__ = [
    "FOOTER_BYTES",
    "HEADER_BYTES",
    "WRONG_DATA",
    "WRONG_LENGTH",
    "Frames",
    "describe_rest",
    "find_frames",
    "find_header",
    "iterate_records",
    "mask_crcs",
    "masked_crc32c",
    "record_headers",
    "sound_length",
]

HEADER_BYTES = 12
FOOTER_BYTES = 4
_AROUND_BYTES = HEADER_BYTES + FOOTER_BYTES
WRONG_LENGTH = "the CRC of its length is wrong"
WRONG_DATA = "the CRC of its data is wrong"
_LENGTH = struct.Struct("<Q")
_SEARCH_BYTES = 1 << 16
_MASK_DELTA = 0xA282EAD8


def masked_crc32c(data: bytes | memoryview) -> int:
    """Gives the masked CRC-32C of some bytes."""
    crc: int = crc32c.crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def mask_crcs(crcs: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Masks many CRCs at once."""
    return (crcs >> np.uint32(15) | crcs << np.uint32(17)) + np.uint32(_MASK_DELTA)


def record_headers(lengths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Makes the 12 bytes in front of each record.

    Args:
        lengths: (n,) int64, bytes of each record's data.

    Returns:
        (n, 12) uint8: the length and its masked CRC.
    """
    headers = np.empty((len(lengths), HEADER_BYTES), dtype=np.uint8)
    headers[:, :8] = lengths.astype("<u8").view(np.uint8).reshape(-1, 8)
    crcs = np.full(len(lengths), 0xFFFFFFFF, dtype=np.uint32)
    for byte in range(8):
        crcs = _CRC_TABLE[(crcs ^ headers[:, byte]) & 0xFF] ^ (crcs >> np.uint32(8))
    headers[:, 8:] = mask_crcs(~crcs).astype("<u4").view(np.uint8).reshape(-1, 4)
    return headers


def _make_crc_table() -> NDArray[np.uint32]:
    """The table of CRC-32C (reflected polynomial 0x82f63b78), one entry a byte."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> np.uint32(1) ^ np.uint32(0x82F63B78), table >> np.uint32(1))
    return table


_CRC_TABLE = _make_crc_table()


@dataclass(frozen=True, slots=True)
class Frames:
    """The whole frames that stand at the start of some bytes, one after the other.

    Attributes:
        starts: (n,) int64, where each record's data starts, behind the frame's header.
        ends: (n,) int64, where it ends, in front of the frame's footer.
        sound: (n,) bool, whether the CRC of the data is right. That of the length is.
        end: where the next frame should start; there is none, or not all of it, or the CRC of its length is wrong.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    sound: NDArray[np.bool_]
    end: int

    def __len__(self) -> int:
        return len(self.starts)


def find_frames(data: NDArray[np.uint8]) -> Frames:
    """Walks from frame to frame and checks both CRCs of each.

    Args:
        data: (total,) uint8 that begins with a frame.
    """
    view, edges, end, num_bytes = data.data, [0], 0, len(data)
    unpack_length, last = _LENGTH.unpack_from, num_bytes - HEADER_BYTES
    while end <= last:
        end += _AROUND_BYTES + unpack_length(view, end)[0]
        edges.append(end)
    if end > num_bytes:  # the last frame reaches behind the data, or is none
        edges.pop()
    bounds = np.array(edges, dtype=np.int64)
    starts, ends = bounds[:-1] + HEADER_BYTES, bounds[1:] - FOOTER_BYTES
    headers = byte_windows(data, HEADER_BYTES)
    wrong = record_headers(ends - starts).view(headers.dtype)[:, 0] != headers[bounds[:-1]]
    if wrong.any():
        starts, ends = starts[: int(np.argmax(wrong))], ends[: int(np.argmax(wrong))]
    payloads = map(view.__getitem__, map(slice, starts.tolist(), ends.tolist()))
    crcs = mask_crcs(np.fromiter(map(crc32c.crc32c, payloads), dtype=np.uint32, count=len(starts)))
    sound = crcs == byte_windows(data, FOOTER_BYTES)[ends].view("<u4")
    return Frames(starts, ends, sound, edges[len(starts)])


def sound_length(data: NDArray[np.uint8], position: int) -> int | None:
    """Gives the length that the header of a frame states, or None if its CRC is wrong or less than a header is left."""
    header = data[position : position + HEADER_BYTES].tobytes()
    if len(header) < HEADER_BYTES or masked_crc32c(header[:8]) != int.from_bytes(header[8:], "little"):
        return None
    return int.from_bytes(header[:8], "little")


def find_header(data: NDArray[np.uint8], position: int) -> int | None:
    """Gives where, at or behind a position, the next sound header of a frame stands, or None; for what lies behind damage.

    Frames without data, or with 4 GiB and more, are passed over.
    """
    for first in range(position, len(data) - HEADER_BYTES + 1, _SEARCH_BYTES):
        windows = sliding_window_view(data[first : first + _SEARCH_BYTES + HEADER_BYTES - 1], HEADER_BYTES)
        places = np.flatnonzero(windows[:, :4].any(axis=1) & ~windows[:, 4:8].any(axis=1))
        headers = windows[places]
        found = (record_headers(headers[:, :8].copy().view("<i8")[:, 0]) == headers).all(axis=1)
        if found.any():
            return first + int(places[np.argmax(found)])
    return None


def iterate_records(shard: memoryview, *, name: str) -> Iterator[tuple[int, memoryview]]:
    """Walks over the records of a shard that is in memory, after checking both CRCs of each.

    Args:
        shard: all bytes of the file.
        name: what to call the shard in an error.

    Yields:
        (byte offset of the record's frame, its data).

    Raises:
        ShardError: at the first frame that is cut short or fails a CRC; names the record's number and byte offset.
    """
    data = np.frombuffer(shard, dtype=np.uint8)
    frames = find_frames(data)
    for number, (start, end, sound) in enumerate(
        zip(frames.starts.tolist(), frames.ends.tolist(), frames.sound.tolist(), strict=True)
    ):
        offset = start - HEADER_BYTES
        if not sound:
            raise ShardError(f"{name}: record {number} at byte {offset}: {WRONG_DATA}. Convert the shard again.")
        yield offset, shard[start:end]
    if frames.end < len(data):
        raise ShardError(
            f"{name}: record {len(frames)} at byte {frames.end}: {describe_rest(data[frames.end :])}. Convert the shard again."
        )


def describe_rest(rest: NDArray[np.uint8]) -> str:
    """Says why the bytes at the end of a shard, behind the last whole frame, are none."""
    if len(rest) < HEADER_BYTES:
        return f"expected a header of {HEADER_BYTES} bytes, the file ends after {len(rest)}: it was cut short"
    length = sound_length(rest, 0)
    if length is None:
        return WRONG_LENGTH
    return f"expected {length} bytes of data, the file ends after {len(rest) - HEADER_BYTES}: it was cut short"
