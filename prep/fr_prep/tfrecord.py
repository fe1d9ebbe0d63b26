"""TFRecord framing: `u64 length, u32 masked CRC of the length, data, u32 masked CRC of the data`, little-endian.

Format: TensorFlow's TFRecord page. mask(c) = ((c >> 15 | c << 17) + 0xa282ead8) mod 2^32, c a CRC-32C.
"""

import struct
from collections.abc import Iterator

import crc32c
import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import ShardError

__all__ = ["FOOTER_BYTES", "HEADER_BYTES", "iterate_records", "mask_crcs", "masked_crc32c", "record_headers"]

HEADER_BYTES = 12
FOOTER_BYTES = 4
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
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


def iterate_records(shard: memoryview, *, name: str) -> Iterator[tuple[int, memoryview]]:
    """Walks over the records of a shard and checks both CRCs of each.

    Args:
        shard: all bytes of the file.
        name: what to call the shard in an error.

    Yields:
        (byte offset of the record's frame, its data).

    Raises:
        ShardError: at the first frame that is cut short or fails a CRC; names the record's number and byte offset.
    """
    offset, number = 0, 0
    while offset < len(shard):
        if offset + HEADER_BYTES > len(shard):
            raise ShardError(
                f"{name}: record {number} at byte {offset}: expected {HEADER_BYTES} bytes of header, the file ends after "
                f"{len(shard) - offset}. The shard was cut short: convert it again."
            )
        (length,) = _LENGTH.unpack_from(shard, offset)
        (length_crc,) = _CRC.unpack_from(shard, offset + 8)
        if masked_crc32c(shard[offset : offset + 8]) != length_crc:
            raise ShardError(
                f"{name}: record {number} at byte {offset}: the CRC of its length is wrong. Convert the shard again."
            )
        start = offset + HEADER_BYTES
        end = start + length
        if end + FOOTER_BYTES > len(shard):
            raise ShardError(
                f"{name}: record {number} at byte {offset}: expected {length} bytes of data, the file ends after "
                f"{len(shard) - start}. The shard was cut short: convert it again."
            )
        data = shard[start:end]
        (data_crc,) = _CRC.unpack_from(shard, end)
        if masked_crc32c(data) != data_crc:
            raise ShardError(
                f"{name}: record {number} at byte {offset}: the CRC of its data is wrong. Convert the shard again."
            )
        yield offset, data
        offset, number = end + FOOTER_BYTES, number + 1
