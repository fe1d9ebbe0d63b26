"""Finding the images of a damaged set: those that are no JPEG or PNG, by their first bytes, or cannot be decoded."""

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fr_data.bins.bins import BinError, decode_image
from fr_data.images.header import UNKNOWN, sniff_images
from fr_prep.sources.image_reader import ImageReader
from fr_prep.sources.image_set import SPLIT_RECORD, ImagePlaces
from fr_prep.sources.record_sets.face_records import RecordSettings
from fr_prep.workers.pool import run_tasks

__all__ = ["find_unknown_images"]

_FIRST_BYTES = 1024  # of an image; nearly always enough to know its size
_TASK_IMAGES = 4096


def find_unknown_images(places: ImagePlaces, settings: RecordSettings) -> dict[int, str]:
    """Looks at the first bytes of all images for those that are no JPEG or PNG; gives what they are instead, by row.

    Where the settings say so, decodes the others as well, and gives why one cannot be.

    Raises:
        SourceError: if a file cannot be read.
    """
    rows = range(len(places))
    tasks = [rows[start : start + _TASK_IMAGES] for start in rows[::_TASK_IMAGES]]
    found: dict[int, str] = {}
    with tqdm(
        total=len(places), unit=" images", unit_scale=True, desc="Checking images", disable=settings.quiet or None
    ) as bar:
        find = partial(_find_undecodable, for_pairs=settings.for_pairs) if settings.decode else _find_unknown
        partials = (partial(find, places.take(np.arange(task.start, task.stop))) for task in tasks)
        for number, unknown in run_tasks(partials, num_workers=min(settings.num_workers, len(tasks))):
            found.update((tasks[number][row], what) for row, what in unknown.items())
            bar.update(len(tasks[number]))
    return found


def _find_unknown(places: ImagePlaces) -> dict[int, str]:
    is_split = places.image_offsets == SPLIT_RECORD
    lengths = np.where(is_split, places.image_lengths, np.minimum(places.image_lengths, _FIRST_BYTES))
    ends = np.cumsum(lengths)
    buffer = np.empty(int(ends[-1]), dtype=np.uint8)
    targets = [buffer.data[end - length : end] for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]
    with ImageReader(replace(places, image_lengths=lengths)) as reader:
        reader.read_into(targets, 0)
    found = {}
    with ImageReader(places) as reader:
        for row in _unknown_rows(buffer, lengths):
            image = reader.read(row)  # all of it: perhaps much stands in front of its size
            if _unknown_rows(np.frombuffer(image, dtype=np.uint8), np.array([len(image)])):
                found[row] = _describe_unknown(image)
    return found


def _find_undecodable(places: ImagePlaces, *, for_pairs: bool) -> dict[int, str]:
    from fr_data.images.pictures import load_picture  # noqa: PLC0415  only this needs Pillow

    found = {}
    with ImageReader(places) as reader:
        for row in range(len(places)):
            image = reader.read(row)
            try:
                if _unknown_rows(np.frombuffer(image, dtype=np.uint8), np.array([len(image)])):
                    raise ValueError(_describe_unknown(image))
                if for_pairs:
                    decode_image(image)
                else:
                    load_picture(image)
            except (BinError, ValueError) as error:
                found[row] = str(error).rstrip(".")
    return found


def _describe_unknown(image: bytes) -> str:
    return f"expected a JPEG or PNG image, received {len(image)} bytes that start with {image[:8].hex(' ')}"


def _unknown_rows(buffer: NDArray[np.uint8], lengths: NDArray[np.int64]) -> list[int]:
    rows: list[int] = np.flatnonzero(
        sniff_images(buffer, np.cumsum(lengths) - lengths, lengths).encodings == UNKNOWN
    ).tolist()
    return rows
