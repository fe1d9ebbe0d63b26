"""What files hold: an image that is taken over as it is, a picture that becomes PNG, no image, or a damaged one."""

import os
import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fr_data.bins.bins import BinError, decode_image
from fr_data.images.header import UNKNOWN, sniff_images
from fr_data.images.pictures import is_jpeg_or_png, load_picture, picture_suffixes, save_png
from fr_prep.workers.pool import run_tasks

__all__ = ["DAMAGED", "NO_IMAGE", "TAKEN", "TO_ENCODE", "FileCheck", "check_files"]

TAKEN, TO_ENCODE, NO_IMAGE, DAMAGED = range(4)
MAX_IMAGE_BYTES = (1 << 29) - (1 << 16)  # what a record of a .rec can hold, with its headers
_CHUNK_FILES = 1024
_HEAD_BYTES = 1024  # the size stands within the first 700 bytes of a JPEG without a thumbnail
_SIGNATURES = (b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_EXIF = re.compile(rb"(?:Exif\0\0|eXIf)(?=II\*\0|MM\0\*)")
_ORIENTATION_TAG = 0x0112


@dataclass(slots=True)
class FileCheck:
    """What files hold, one row a file.

    Attributes:
        kinds: (n,) uint8: `TAKEN` for a JPEG or PNG, `TO_ENCODE` for another picture, `NO_IMAGE` or `DAMAGED`.
        lengths: (n,) int64, bytes of the image, encoded where it is to be; of no use where there is none.
        reasons: row → what is wrong with a damaged file.
        formats: formats of the pictures to encode, with counts.
        num_animated: how many of those hold further pictures.
        num_turned: JPEG and PNG files whose EXIF orientation turns them.
    """

    kinds: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    reasons: dict[int, str] = field(default_factory=dict)
    formats: Counter[str] = field(default_factory=Counter)
    num_animated: int = 0
    num_turned: int = 0


def check_files(
    folder: Path,
    names: Sequence[str],
    sizes: NDArray[np.int64],
    *,
    decode: bool = False,
    for_pairs: bool = False,
    num_workers: int = 1,
    quiet: bool = True,
) -> FileCheck:
    """Looks into files.

    A file is an image if it is named like one, or begins like a JPEG, PNG, GIF, TIFF or WebP. Of a JPEG or PNG the header is read,
    or all of it, to `decode` it; any other is encoded, to know its length.

    Args:
        folder: what names are relative to.
        names: (n,) the files.
        sizes: (n,) int64, bytes of each.
        decode: decode JPEG and PNG images as well.
        for_pairs: decode all as evaluation does, which takes fewer kinds of pixels.
        num_workers: processes.
        quiet: no progress bar.
    """
    found = FileCheck(np.empty(len(names), dtype=np.uint8), np.empty(len(names), dtype=np.int64))
    starts = range(0, len(names), _CHUNK_FILES)
    tasks = (
        partial(_check_chunk, folder, names[start:end], sizes[start:end], decode, for_pairs)
        for start, end in ((start, start + _CHUNK_FILES) for start in starts)
    )
    with tqdm(total=len(names), desc="Checking", unit=" files", unit_scale=True, disable=quiet or None) as bar:
        for position, part in run_tasks(tasks, num_workers=num_workers):
            start, num_files = starts[position], len(part.kinds)
            found.kinds[start : start + num_files] = part.kinds
            found.lengths[start : start + num_files] = part.lengths
            found.reasons.update((start + row, reason) for row, reason in part.reasons.items())
            found.formats.update(part.formats)
            found.num_animated += part.num_animated
            found.num_turned += part.num_turned
            bar.update(num_files)
    found.reasons = dict(sorted(found.reasons.items()))
    return found


def _check_chunk(
    folder: Path, names: Sequence[str], sizes: NDArray[np.int64], decode: bool, for_pairs: bool
) -> FileCheck:
    found = FileCheck(np.full(len(names), TAKEN, dtype=np.uint8), sizes.copy())
    heads = np.zeros((len(names), _HEAD_BYTES), dtype=np.uint8)
    lengths = np.zeros(len(names), dtype=np.int64)
    for row, name in enumerate(names):
        try:
            lengths[row] = _read_head(folder / name, heads[row].data)
        except OSError as error:
            found.reasons[row] = f"cannot be read: {error.strerror}"
    encodings = sniff_images(heads.reshape(-1), np.arange(len(names)) * _HEAD_BYTES, lengths).encodings
    rows = range(len(names)) if decode or for_pairs else np.flatnonzero(encodings == UNKNOWN).tolist()
    for row in rows:
        if row not in found.reasons:
            try:
                _look_into(folder / names[row], heads[row, : lengths[row]].tobytes(), row, found, for_pairs)
            except OSError as error:
                found.reasons[row] = f"cannot be read: {error.strerror}"
            except ValueError as error:
                found.reasons[row] = str(error)
    found.kinds[list(found.reasons)] = DAMAGED
    block = heads.tobytes()
    for match in _EXIF.finditer(block):
        row = match.end() // _HEAD_BYTES
        tiff = block[match.end() : (row + 1) * _HEAD_BYTES]
        found.num_turned += bool(found.kinds[row] == TAKEN and _orientation(tiff) != 1)
    return found


def _read_head(path: Path, target: memoryview) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.preadv(descriptor, [target], 0)
    finally:
        os.close(descriptor)


def _look_into(path: Path, head: bytes, row: int, found: FileCheck, for_pairs: bool) -> None:
    """Finds out about a file whose beginning does not tell enough.

    Raises:
        ValueError: if it is a damaged image.
    """
    if not (
        path.suffix.lower() in picture_suffixes()
        or is_jpeg_or_png(head)
        or head.startswith(_SIGNATURES)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
    ):
        found.kinds[row] = NO_IMAGE
        return
    if found.lengths[row] > MAX_IMAGE_BYTES:
        raise ValueError(f"expected an image of at most {MAX_IMAGE_BYTES:,} bytes, received {found.lengths[row]:,}")
    data = path.read_bytes()
    picture = load_picture(data)
    is_taken = is_jpeg_or_png(data)
    encoded = data if is_taken else save_png(picture.image)
    if for_pairs:
        try:
            decode_image(encoded)
        except BinError as error:
            raise ValueError(str(error)) from error
    if not is_taken:
        found.kinds[row], found.lengths[row] = TO_ENCODE, len(encoded)
        found.formats[picture.format] += 1
        found.num_animated += picture.is_animated
    elif (
        sniff_images(np.frombuffer(data, dtype=np.uint8), np.array([0]), np.array([len(data)])).encodings[0] == UNKNOWN
    ):
        raise ValueError("expected a JPEG or PNG with its size in its header, received none")


def _orientation(tiff: bytes) -> int:
    """Gives the orientation that EXIF data state; 1, upright, where they do not."""
    order = "<" if tiff.startswith(b"II") else ">"
    try:
        (start,) = struct.unpack_from(f"{order}4xI", tiff)
        (num_entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(num_entries):
            tag, value = struct.unpack_from(f"{order}H6xH", tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION_TAG:
                return int(value)
    except struct.error:
        pass  # it goes on behind what was read
    return 1
