"""Where the frames of a shard's records start and end, from where their images lie; nothing is read for it.

A frame is `u64 length, u32 checksum, Example, u32 checksum`. In the Example, as `docs/shard-format.md` lays it out, the image comes
first, within five nested lengths; other features are behind it.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["FOOTER_BYTES", "HEADER_BYTES", "find_frames"]

HEADER_BYTES = 12
FOOTER_BYTES = 4
_ENTRY_NAME_BYTES = len(b"\x0a\x05image")


def find_frames(
    image_offsets: NDArray[np.int64], image_lengths: NDArray[np.int64], *, shard_bytes: int
) -> NDArray[np.int64]:
    """Gives the offset of each frame in its shard. Frames stand one behind the other, the last ends with the shard.

    Args:
        image_offsets: (n,) int64, where each image starts, ascending.
        image_lengths: (n,) int64.
        shard_bytes: the shard's length.

    Returns:
        (n,) int64.
    """
    bytes_lists = _enclose(image_lengths)
    features = _enclose(bytes_lists)
    entries = _ENTRY_NAME_BYTES + _enclose(features)
    # An Example begins with the length of all its entries; from there on, its head depends on the image's length alone.
    first_entries = image_offsets + image_lengths - _enclose(entries)
    ends = np.append(image_offsets[1:], shard_bytes)[: len(image_offsets)]
    while True:
        widths = _varint_widths(ends - FOOTER_BYTES - first_entries)
        starts = first_entries - widths - 1 - HEADER_BYTES
        # A frame starts where the one before ends, and the last one's end is known: from there it all follows, mostly at once.
        if (ends[:-1] == starts[1:]).all():
            return starts
        ends[:-1] = starts[1:]


def _enclose(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of a field of these lengths, with its tag and its length."""
    return 1 + _varint_widths(lengths) + lengths


def _varint_widths(values: NDArray[np.int64]) -> NDArray[np.int64]:
    widths = np.ones(len(values), dtype=np.int64)
    for bits in range(7, 35, 7):
        widths += values >= 1 << bits
    return widths
