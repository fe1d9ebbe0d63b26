"""Image records: a RecordIO payload that starts with MXNet's 24-byte `IRHeader`.

Format: MXNet `src/io/image_recordio.h`, `<IfQQ>`: flag, label, id, id2. With flag = n > 0, n float32 labels follow and `label`
is to be ignored; then come the encoded image bytes.
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import DamagedRecordError
from fr_prep.sources.image_set import SPLIT_RECORD
from fr_prep.sources.record_sets.recordio import FRAME_HEADER, WHOLE, Frames, RecordFile, padded

__all__ = [
    "IMAGE_HEADER",
    "ImageRecord",
    "ImageRecords",
    "join_image",
    "pack_image_record",
    "read_image_record",
    "read_image_records",
]

IMAGE_HEADER = struct.Struct("<IfQQ")
# Where these stand, in 4-byte words from the start of the frame.
_FLAG, _LABEL, _LABELS = ((FRAME_HEADER.size + byte) // 4 for byte in (0, 4, IMAGE_HEADER.size))


class ImageRecord(NamedTuple):
    """One record, read whole.

    Attributes:
        num_labels: the flag: how many labels follow the header.
        labels: those, or the one in the header if none follow.
        image: the encoded image; empty for header and identity records.
    """

    num_labels: int
    labels: tuple[float, ...]
    image: bytes


@dataclass(frozen=True, slots=True)
class ImageRecords:
    """The records of a file, one row a record, in file order. Rows without an image are header or identity records.

    Attributes:
        offsets: (n,) int64, byte offset of the record's first frame.
        labels: (n,) float32, the class as the source writes it; NaN where there are not so many labels.
        image_lengths: (n,) int64, bytes of the encoded image; 0 for header and identity records.
        image_offsets: (n,) int64, byte offset of the image in the file, or as in `ImagePlaces` where it is not read from there.
        num_labels: (n,) int32, the flag: how many labels follow the header; never as many as a record has bytes.
    """

    offsets: NDArray[np.int64]
    labels: NDArray[np.float32]
    image_lengths: NDArray[np.int64]
    image_offsets: NDArray[np.int64]
    num_labels: NDArray[np.int32]


def read_image_records(
    file: RecordFile, offsets: NDArray[np.int64], *, label_position: int = 0
) -> tuple[ImageRecords, NDArray[np.int64]]:
    """Reads frame and image headers at these offsets, without touching the images.

    Args:
        file: the `.rec`.
        offsets: (n,) int64, ascending.
        label_position: which of the labels of a record is its class.

    Returns:
        The records, and (n + 1,) int64: 0, then the byte offset behind the last frame of each.

    Raises:
        DamagedRecordError: where a frame is damaged, or a payload is too short for the header that it claims.
    """
    records = ImageRecords(
        offsets=offsets,
        labels=np.empty(len(offsets), dtype=np.float32),
        image_lengths=np.empty(len(offsets), dtype=np.int64),
        image_offsets=np.full(len(offsets), SPLIT_RECORD, dtype=np.int64),
        num_labels=np.empty(len(offsets), dtype=np.int32),
    )
    ends = np.zeros(len(offsets) + 1, dtype=np.int64)
    begin = 0
    for run in file.windows(offsets):
        rows = slice(begin, begin + len(run))
        _read_window(file, records, ends[1:], rows, label_position)
        begin = rows.stop
    return records, ends


def _read_window(file: RecordFile, into: ImageRecords, ends: NDArray[np.int64], rows: slice, position: int) -> None:
    offsets = into.offsets[rows]
    frames = file.frames_at(offsets)
    ends[rows] = frames.ends
    whole = frames.cflags == WHOLE
    if whole.all():
        _read_whole(file, frames, into, rows, position)
        return
    frames = Frames(offsets[whole], frames.cflags[whole], frames.lengths[whole], frames.ends[whole])
    _read_whole(file, frames, into, rows.start + np.flatnonzero(whole), position)
    for row in np.flatnonzero(~whole).tolist():
        ends[rows.start + row] = _read_split(file, into, rows.start + row, position)


def _read_whole(
    file: RecordFile, frames: Frames, into: ImageRecords, rows: slice | NDArray[np.int64], position: int
) -> None:
    words = frames.offsets // 4
    long_enough = frames.lengths >= IMAGE_HEADER.size
    num_labels = file.words[np.where(long_enough, words + _FLAG, 0)].astype(np.int64)
    header_bytes = IMAGE_HEADER.size + 4 * num_labels
    short = ~long_enough | (frames.lengths < header_bytes)
    if short.any():
        row = int(np.argmax(short))
        expected = int(header_bytes[row]) if long_enough[row] else IMAGE_HEADER.size
        raise _too_short(file, int(frames.offsets[row]), int(frames.lengths[row]), expected)
    label_words = np.where(num_labels > 0, _LABELS + np.minimum(position, num_labels - 1), _LABEL)
    labels = file.words[words + label_words].view(np.float32)
    labels[position >= np.maximum(num_labels, 1)] = np.nan
    into.labels[rows] = labels
    into.image_lengths[rows] = frames.lengths - header_bytes
    into.image_offsets[rows] = frames.offsets + FRAME_HEADER.size + header_bytes
    into.num_labels[rows] = num_labels


def _read_split(file: RecordFile, into: ImageRecords, row: int, position: int) -> int:
    """Reads a record in parts; gives the byte offset behind it."""
    offset = int(into.offsets[row])
    record = read_image_record(file, offset)
    into.num_labels[row] = record.num_labels
    into.labels[row] = record.labels[position] if position < len(record.labels) else np.nan
    into.image_lengths[row] = len(record.image)
    *_, (start, length) = file.parts_at(offset)
    return start + padded(length)


def read_image_record(file: RecordFile, offset: int) -> ImageRecord:
    """Reads the whole record at `offset`, split or not.

    Raises:
        DamagedRecordError: if no sound record starts there, or it is too short for the header that it claims.
    """
    payload = file.read(offset)
    if len(payload) < IMAGE_HEADER.size:
        raise _too_short(file, offset, len(payload), IMAGE_HEADER.size)
    flag, label, _, _ = IMAGE_HEADER.unpack_from(payload)
    image_start = IMAGE_HEADER.size + 4 * flag
    if len(payload) < image_start:
        raise _too_short(file, offset, len(payload), image_start)
    labels = struct.unpack_from(f"<{flag}f", payload, IMAGE_HEADER.size) if flag else (label,)
    return ImageRecord(flag, labels, payload[image_start:])


def _too_short(file: RecordFile, offset: int, received: int, expected: int) -> DamagedRecordError:
    return file.damage(
        offset,
        f"the record at byte {offset} should hold an image header of {expected} bytes, but is {received} bytes long",
        "Either the file is no set of image records, or the record is damaged.",
    )


def join_image(file: RecordFile, offset: int) -> bytes:
    """Gives the encoded image of the record at `offset`, split or not."""
    return read_image_record(file, offset).image


def pack_image_record(labels: float | list[float], *, key: int, image: bytes = b"") -> bytes:
    """Makes the payload of an image record as `mxnet.recordio.pack` does.

    Args:
        labels: the label, or several, which are then written behind the header.
        key: the record's id.
        image: the encoded image; empty for header and identity records.
    """
    if isinstance(labels, list):
        return IMAGE_HEADER.pack(len(labels), 0.0, key, 0) + struct.pack(f"<{len(labels)}f", *labels) + image
    return IMAGE_HEADER.pack(0, labels, key, 0) + image
