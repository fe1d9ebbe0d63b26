"""Image records: a RecordIO payload that starts with MXNet's 24-byte `IRHeader`.

Format: MXNet `src/io/image_recordio.h`, `<IfQQ>`: flag, label, id, id2. With flag = n > 0, n float32 labels follow and `label`
is to be ignored; then come the encoded image bytes.
"""

import struct
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import DamagedRecordError
from fr_prep.sources.recordio import FRAME_HEADER, Frames, RecordFile, padded

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
        num_labels: (n,) int64, the flag: how many labels follow the header.
        ends: (n,) int64, byte offset behind the record's last frame, or -1 where MXNet read it.
    """

    offsets: NDArray[np.int64]
    labels: NDArray[np.float32]
    image_lengths: NDArray[np.int64]
    image_offsets: NDArray[np.int64]
    num_labels: NDArray[np.int64]
    ends: NDArray[np.int64]


def read_image_records(file: RecordFile, offsets: NDArray[np.int64], *, label_position: int = 0) -> ImageRecords:
    """Reads frame and image headers at these offsets, without touching the images.

    Args:
        file: the `.rec`.
        offsets: (n,) int64, ascending.
        label_position: which of the labels of a record is its class.

    Raises:
        DamagedRecordError: where a frame is damaged, or a payload is too short for the header that it claims.
    """
    windows = [_read_window(file, run, label_position) for run in file.windows(offsets)]
    columns = {item.name: [getattr(window, item.name) for window in windows] for item in fields(ImageRecords)}
    return ImageRecords(**{name: np.concatenate(parts) for name, parts in columns.items()})


def _read_window(file: RecordFile, offsets: NDArray[np.int64], position: int) -> ImageRecords:
    frames = file.frames_at(offsets)
    whole = frames.cflags == 0
    if whole.all():
        return _read_whole(file, frames, position)
    frames = Frames(offsets[whole], frames.cflags[whole], frames.lengths[whole], frames.ends[whole])
    records = _read_whole(file, frames, position)
    merged = ImageRecords(
        offsets=offsets,
        labels=np.empty(len(offsets), dtype=np.float32),
        image_lengths=np.empty(len(offsets), dtype=np.int64),
        image_offsets=np.full(len(offsets), -1, dtype=np.int64),
        num_labels=np.empty(len(offsets), dtype=np.int64),
        ends=np.empty(len(offsets), dtype=np.int64),
    )
    for item in fields(ImageRecords):
        getattr(merged, item.name)[whole] = getattr(records, item.name)
    for row in np.flatnonzero(~whole).tolist():
        _read_split(file, int(offsets[row]), merged, row, position)
    return merged


def _read_whole(file: RecordFile, frames: Frames, position: int) -> ImageRecords:
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
    return ImageRecords(
        offsets=frames.offsets,
        labels=labels,
        image_lengths=frames.lengths - header_bytes,
        image_offsets=frames.offsets + FRAME_HEADER.size + header_bytes,
        num_labels=num_labels,
        ends=frames.ends,
    )


def _read_split(file: RecordFile, offset: int, into: ImageRecords, row: int, position: int) -> None:
    record = read_image_record(file, offset)
    into.num_labels[row] = record.num_labels
    into.labels[row] = record.labels[position] if position < len(record.labels) else np.nan
    into.image_lengths[row] = len(record.image)
    *_, (start, length) = file.parts_at(offset)
    into.ends[row] = start + padded(length)


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
