"""Writing one run of images into class folders: an independent, deterministic task that can be repeated.

Images go straight to files of their own, at the cost of an open, a write and a close. A task's receipt, its rows of the table of
images, appears when all its files are whole; whatever stands there without one is written again.
"""

import csv
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fr_data.images.header import JPEG, PNG, UNKNOWN, sniff_images
from fr_data.system import sync_file_system
from fr_prep.errors import DamagedRecordError
from fr_prep.files import INCOMPLETE_SUFFIX, write_error
from fr_prep.sources.image_reader import ImageReader
from fr_prep.sources.image_set import ImagePlaces

__all__ = ["COLUMNS", "ImageFilesTask", "write_image_files"]

COLUMNS = ("file", "key", "label", "name", "num_bytes")
SUFFIXES = {JPEG: ".jpg", PNG: ".png"}
BLOCK_BYTES = 1 << 20  # read at once
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFilesTask:
    """Some images and where they go; row i is the i-th of them.

    Attributes:
        root: the folder of the class folders.
        receipt: what appears when all files are written.
        places: (n) where the images lie.
        keys: (n,) int64, which become the files' names.
        labels: (n,) int64, the source's labels.
        folders: class folder by label.
        names: class name by label.
    """

    root: Path
    receipt: Path
    places: ImagePlaces
    keys: NDArray[np.int64]
    labels: NDArray[np.int64]
    folders: Mapping[int, str]
    names: Mapping[int, str]


def write_image_files(task: ImageFilesTask, *, durable: bool = False) -> int:
    """Writes the files of a task, and its receipt, unless both are there already; gives their number.

    Args:
        task: the images.
        durable: wait until the files are on the disk before the receipt appears.

    Raises:
        DamagedRecordError: if an image is no JPEG or PNG.
        SourceError: if the source cannot be read or is shorter than it was.
        OutputError: if a file cannot be written, for instance because the disk is full.
    """
    with _opened(task.root) as root:
        if not _is_finished(task, root):
            rows = io.StringIO()
            with ImageReader(task.places) as reader:
                csv.writer(rows, lineterminator="\n").writerows(_write_files(task, reader, root))
            if durable:
                _sync(task.root, root)
            partial = task.receipt.with_name(task.receipt.name + INCOMPLETE_SUFFIX)
            try:
                partial.write_text(rows.getvalue(), encoding="utf-8")
                partial.replace(task.receipt)
            except OSError as error:
                raise write_error(task.receipt, error) from error
    return len(task.keys)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sync(folder: Path, descriptor: int) -> None:
    try:
        sync_file_system(descriptor)
    except OSError as error:
        raise write_error(folder, error) from error


def _is_finished(task: ImageFilesTask, root: int) -> bool:
    """Whether the receipt is there, whole and of these images, and each file as long as it says."""
    stems = (
        f"{task.folders[label]}/{key}" for label, key in zip(task.labels.tolist(), task.keys.tolist(), strict=True)
    )
    try:
        with task.receipt.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        return len(rows) == len(task.keys) and all(
            file in (f"{stem}.jpg", f"{stem}.png") and os.stat(file, dir_fd=root).st_size == int(num_bytes)
            for stem, (file, *_, num_bytes) in zip(stems, rows, strict=True)
        )
    except (OSError, ValueError, csv.Error):
        return False


def _write_files(task: ImageFilesTask, reader: ImageReader, root: int) -> Iterator[tuple[str, int, int, str, int]]:
    """Writes the images, in the order of the source; yields a row of the table for each."""
    lengths = task.places.image_lengths
    ends = np.cumsum(lengths)
    cuts = np.flatnonzero(np.diff(ends // BLOCK_BYTES)) + 1
    memory = np.empty(BLOCK_BYTES + int(lengths.max()), dtype=np.uint8)  # at least as long as any block
    for first, past_last in pairwise([0, *cuts.tolist(), len(ends)]):
        stops = np.cumsum(lengths[first:past_last])
        starts = stops - lengths[first:past_last]
        images = [memory.data[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
        reader.read_into(images, first)
        encodings = sniff_images(memory, starts, lengths[first:past_last]).encodings
        if (encodings == UNKNOWN).any():
            row = int(np.argmax(encodings == UNKNOWN))
            _raise_unknown(task, first + row, images[row].tobytes())
        keys, labels = task.keys[first:past_last].tolist(), task.labels[first:past_last].tolist()
        folders = map(task.folders.__getitem__, labels)
        suffixes = map(SUFFIXES.__getitem__, encodings.tolist())
        files = [f"{folder}/{key}{suffix}" for folder, key, suffix in zip(folders, keys, suffixes, strict=True)]
        try:
            for file, image in zip(files, images, strict=True):
                _write_file(file, image, root)
        except OSError as error:
            raise write_error(task.root / file, error) from error
        yield from zip(files, keys, labels, map(task.names.__getitem__, labels), map(len, images), strict=True)


def _write_file(file: str, image: memoryview, root: int) -> None:
    try:
        descriptor = os.open(file, _FLAGS, 0o666, dir_fd=root)
    except FileNotFoundError:  # the first image of its class
        with suppress(FileExistsError):  # of another process
            os.mkdir(file.partition("/")[0], dir_fd=root)
        descriptor = os.open(file, _FLAGS, 0o666, dir_fd=root)
    try:
        num_written = os.write(descriptor, image)
        while num_written < len(image):  # the disk is nearly full, or a signal came: the next one tells
            num_written += os.write(descriptor, image[num_written:])
    finally:
        os.close(descriptor)


def _raise_unknown(task: ImageFilesTask, row: int, image: bytes) -> None:
    raise DamagedRecordError(
        f"{task.places.describe(row)}, key {int(task.keys[row])}: expected a JPEG or PNG image, received {len(image)} bytes that "
        f"start with {image[:16].hex(' ')}. The record is damaged, or the set holds images of another kind.",
        offset=int(task.places.record_offsets[row]),
    )
