"""Image records: a RecordIO payload that starts with MXNet's 24-byte `IRHeader`.

Format: MXNet `src/io/image_recordio.h`, `<IfQQ>`: flag, label, id, id2. With flag = n > 0, n float32 labels follow and `label`
is to be ignored; then come the encoded image bytes.
"""

import struct
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import DamagedRecordError
from fr_prep.sources.recordio import FRAME_HEADER, Frames, RecordFile

__all__ = ["IMAGE_HEADER", "ImageRecords", "join_image", "pack_image_record", "read_image_records"]

IMAGE_HEADER = struct.Struct("<IfQQ")
# Where these stand, in 4-byte words from the start of the frame.
_FLAG, _LABEL, _LABELS = ((FRAME_HEADER.size + byte) // 4 for byte in (0, 4, IMAGE_HEADER.size))


@dataclass(frozen=True, slots=True)
class ImageRecords:
    """The records of a file, one row a record, in file order. Rows without an image are header or identity records.

    Attributes:
        offsets: (n,) int64, byte offset of the record's first frame.
        labels: (n,) float32, the class as the source writes it.
        image_lengths: (n,) int64, bytes of the encoded image; 0 for header and identity records.
        image_offsets: (n,) int64, byte offset of the image in the file, or -1 where the record is split into parts.
        num_labels: (n,) int64, the flag: how many labels follow the header.
        ends: (n,) int64, byte offset behind the record's last frame.
    """

    offsets: NDArray[np.int64]
    labels: NDArray[np.float32]
    image_lengths: NDArray[np.int64]
    image_offsets: NDArray[np.int64]
    num_labels: NDArray[np.int64]
    ends: NDArray[np.int64]


def read_image_records(file: RecordFile, offsets: NDArray[np.int64]) -> ImageRecords:
    """Reads frame and image headers at these offsets, without touching the images.

    Args:
        file: the `.rec`.
        offsets: (n,) int64, ascending.

    Raises:
        DamagedRecordError: where a frame is damaged, or a payload is too short for the header that it claims.
    """
    windows = [_read_window(file, run) for run in file.windows(offsets)]
    columns = {item.name: [getattr(window, item.name) for window in windows] for item in fields(ImageRecords)}
    return ImageRecords(**{name: np.concatenate(parts) for name, parts in columns.items()})


def _read_window(file: RecordFile, offsets: NDArray[np.int64]) -> ImageRecords:
    frames = file.frames_at(offsets)
    whole = frames.cflags == 0
    if whole.all():
        return _read_whole(file, frames)
    records = _read_whole(file, Frames(offsets[whole], frames.cflags[whole], frames.lengths[whole], frames.ends[whole]))
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
        _read_split(file, int(offsets[row]), merged, row)
    return merged


def _read_whole(file: RecordFile, frames: Frames) -> ImageRecords:
    words = frames.offsets // 4
    short = frames.lengths < IMAGE_HEADER.size
    if short.any():
        _raise_short(
            file, int(frames.offsets[np.argmax(short)]), int(frames.lengths[np.argmax(short)]), IMAGE_HEADER.size
        )
    num_labels = file.words[words + _FLAG].astype(np.int64)
    header_bytes = IMAGE_HEADER.size + 4 * num_labels
    short = frames.lengths < header_bytes
    if short.any():
        row = int(np.argmax(short))
        _raise_short(file, int(frames.offsets[row]), int(frames.lengths[row]), int(header_bytes[row]))
    label_words = np.where(num_labels > 0, _LABELS, _LABEL)
    return ImageRecords(
        offsets=frames.offsets,
        labels=file.words[words + label_words].view(np.float32),
        image_lengths=frames.lengths - header_bytes,
        image_offsets=frames.offsets + FRAME_HEADER.size + header_bytes,
        num_labels=num_labels,
        ends=frames.ends,
    )


def _read_split(file: RecordFile, offset: int, into: ImageRecords, row: int) -> None:
    payload = file.read(offset)
    image_start, label, num_labels = _parse_header(file, offset, payload)
    into.labels[row], into.num_labels[row] = label, num_labels
    into.image_lengths[row] = len(payload) - image_start
    *_, (start, length) = file.parts_at(offset)
    into.ends[row] = start + ((length + 3) & ~3)


def _parse_header(file: RecordFile, offset: int, payload: bytes) -> tuple[int, float, int]:
    """Gives where the image starts in the payload, the first label, and the number of labels behind the header."""
    if len(payload) < IMAGE_HEADER.size:
        _raise_short(file, offset, len(payload), IMAGE_HEADER.size)
    flag, label, _, _ = IMAGE_HEADER.unpack_from(payload)
    image_start = IMAGE_HEADER.size + 4 * flag
    if len(payload) < image_start:
        _raise_short(file, offset, len(payload), image_start)
    if flag:
        (label,) = struct.unpack_from("<f", payload, IMAGE_HEADER.size)
    return image_start, label, flag


def _raise_short(file: RecordFile, offset: int, received: int, expected: int) -> None:
    raise DamagedRecordError(
        f"{file.path}: the record at byte {offset} should hold an image header of {expected} bytes, but is {received} bytes "
        "long. Either the file is no set of image records, or the record is damaged.",
        offset=offset,
    )


def join_image(file: RecordFile, offset: int) -> bytes:
    """Gives the encoded image of the record at `offset`, split or not."""
    payload = file.read(offset)
    return payload[_parse_header(file, offset, payload)[0] :]


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
