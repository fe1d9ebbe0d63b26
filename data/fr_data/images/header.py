"""What encoded images say of themselves: encoding and size, read from their headers for many images at once."""

import struct
from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImageKind", "Images", "sniff_images"]

UNKNOWN, JPEG, PNG = range(3)
ENCODINGS = ("unknown", "jpeg", "png")
_MAX_MARKERS = 4096  # a face has about 6; fill bytes count as well
_START_OF_FRAME = np.array([0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC) for code in range(256)])
_STANDALONE = np.array([0xD0 <= code <= 0xD8 or code == 0x01 for code in range(256)])
_MIN_BYTES = 32  # of an image; what is shorter is none
_JPEG_SIGNATURE = np.frombuffer(b"\xff\xd8\xff", dtype=np.uint8)
_PNG_SIGNATURE = np.frombuffer(b"\x89PNG\r\n\x1a\n", dtype=np.uint8)
_PNG_CHANNELS = np.array([1, 0, 3, 3, 2, 0, 4])  # by colour type


class ImageKind(NamedTuple):
    """Encoding and size of an image; `channels` as encoded, so 1 for a gray one."""

    encoding: str
    height: int
    width: int
    channels: int


class Images(NamedTuple):
    """What the headers of n images say, each (n,) int64; sizes are 0 where the encoding is unknown."""

    encodings: NDArray[np.int64]
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    channels: NDArray[np.int64]

    def tally(self) -> Counter[ImageKind]:
        """Counts the images of each kind."""
        table, counts = np.stack(self, axis=1), np.array([len(self.encodings)])
        if (table == table[:1]).all():
            table = table[:1]  # as it is in nearly every set, and quickly found
        else:
            table, counts = np.unique(table, axis=0, return_counts=True)
        return Counter(
            {
                ImageKind(ENCODINGS[encoding], height, width, channels): int(count)
                for (encoding, height, width, channels), count in zip(table.tolist(), counts, strict=True)
            }
        )


def sniff_images(buffer: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Images:
    """Reads encoding and size of images from their headers, without decoding them.

    Args:
        buffer: (total,) uint8 that holds the images.
        starts: (n,) int64, where each image starts in the buffer.
        lengths: (n,) int64, bytes of each image.
    """
    images = Images(*(np.zeros(len(starts), dtype=np.int64) for _ in range(4)))
    rows = np.flatnonzero(lengths >= _MIN_BYTES)
    rows = rows[~_sniff_alike(buffer, starts, lengths, rows, images)]
    if len(rows):
        magic = buffer[starts[rows, None] + np.arange(8)]
        _sniff_png(buffer, starts, rows[(magic == _PNG_SIGNATURE).all(axis=1)], images)
        _sniff_jpeg(buffer, starts, lengths, rows[(magic[:, :3] == _JPEG_SIGNATURE).all(axis=1)], images)
    return images


def _big_endian(buffer: NDArray[np.uint8], positions: NDArray[np.int64], num_bytes: int) -> NDArray[np.int64]:
    value = np.zeros(len(positions), dtype=np.int64)
    for byte in range(num_bytes):
        value = value << 8 | buffer[positions + byte]
    return value


def _sniff_png(buffer: NDArray[np.uint8], starts: NDArray[np.int64], rows: NDArray[np.int64], images: Images) -> None:
    if len(rows) == 0:
        return
    # The signature is followed by the IHDR chunk: length, type, width, height, depth, colour type.
    images.encodings[rows] = PNG
    images.widths[rows] = _big_endian(buffer, starts[rows] + 16, 4)
    images.heights[rows] = _big_endian(buffer, starts[rows] + 20, 4)
    images.channels[rows] = _PNG_CHANNELS[np.minimum(buffer[starts[rows] + 25], len(_PNG_CHANNELS) - 1)]


def _sniff_alike(
    buffer: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    rows: NDArray[np.int64],
    images: Images,
) -> NDArray[np.bool_]:
    """Serves the images whose markers and start-of-frame are byte for byte those of the first one, if that is a JPEG.

    In most sets all were written by one encoder; comparing a few bytes of each is then all that there is to do.

    Returns:
        (rows,) bool, which were served.
    """
    alike = np.zeros(len(rows), dtype=np.bool_)
    if len(rows):
        start, length = int(starts[rows[0]]), int(lengths[rows[0]])
        first = buffer[start : start + min(length, 1 << 12)].tobytes()
        path = _marker_path(first) if first.startswith(_JPEG_SIGNATURE.tobytes()) else []
        if path:
            long_enough = lengths[rows] > path[-1]
            headers = buffer[starts[rows[long_enough], None] + np.array(path)]
            alike[long_enough] = (headers == np.frombuffer(first, dtype=np.uint8)[path]).all(axis=1)
            height, width, channels = struct.unpack_from(">HHB", first, path[-5])
            for column, value in zip(images, (JPEG, height, width, channels), strict=True):
                column[rows[alike]] = value
    return alike


def _marker_path(image: bytes) -> list[int]:
    """Gives the positions of the bytes that lead from marker to marker to the start-of-frame, and those of its contents."""
    path, position = [0, 1, 2], 2
    while position + 10 < len(image) and image[position] == 0xFF:
        code = image[position + 1]
        if _START_OF_FRAME[code]:
            return [*path, *range(position, position + 10)]
        path += range(position, position + 4)
        if _STANDALONE[code] or code == 0xFF:
            position += 1 if code == 0xFF else 2
        else:
            position += 2 + int.from_bytes(image[position + 2 : position + 4], "big")
    return []


def _sniff_jpeg(
    buffer: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    rows: NDArray[np.int64],
    images: Images,
) -> None:
    """Walks from marker to marker in all images at once until each has met its start-of-frame."""
    positions, ends = starts[rows] + 2, starts[rows] + lengths[rows] - 10
    for _ in range(_MAX_MARKERS):
        inside = positions <= ends
        rows, positions, ends = rows[inside], positions[inside], ends[inside]
        inside = buffer[positions] == 0xFF
        rows, positions, ends = rows[inside], positions[inside], ends[inside]
        if len(rows) == 0:
            return
        codes = buffer[positions + 1]
        found = _START_OF_FRAME[codes]
        images.encodings[rows[found]] = JPEG
        images.heights[rows[found]] = _big_endian(buffer, positions[found] + 5, 2)
        images.widths[rows[found]] = _big_endian(buffer, positions[found] + 7, 2)
        images.channels[rows[found]] = buffer[positions[found] + 9]
        step = 2 + _big_endian(buffer, positions + 2, 2)
        step[_STANDALONE[codes]] = 2
        step[codes == 0xFF] = 1  # fill bytes in front of a marker
        rows, positions, ends = rows[~found], (positions + step)[~found], ends[~found]
