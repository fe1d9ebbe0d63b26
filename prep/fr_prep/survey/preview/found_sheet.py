"""A sheet of what `fr-prep stats --list` found, the least alike first, for these are in doubt."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path
from typing import Self

import numpy as np

from fr_prep.errors import SourceError
from fr_prep.sources.bins.bins import read_pairs
from fr_prep.sources.image_reader import ImageReader
from fr_prep.survey.classes import ClassedImages
from fr_prep.survey.preview.sheet import Group, Sheet, make_tile

__all__ = ["make_found_sheet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A row of the list: an image, and another one of the set or of a bin."""

    distance: int
    fine_distance: int
    label: int
    key: int
    bin_path: str
    other_label: int  # -1 for a bin
    other: int  # key, or entry of the bin

    @classmethod
    def parse(cls, row: Mapping[str, str]) -> Self:
        other_label, other = (row["other_class"], row["other_key"]) if not row["bin"] else ("-1", row["bin_entry"])
        return cls(
            distance=int(row["distance"]),
            fine_distance=int(row["fine_distance"]),
            label=int(row["class"]),
            key=int(row["source_key"]),
            bin_path=row["bin"],
            other_label=int(other_label),
            other=int(other),
        )


def make_found_sheet(classed: ClassedImages, path: Path, *, num_pairs: int) -> Sheet:
    """Shows pairs of a list: images of the set, or one of the set and one of a bin.

    Args:
        classed: the set that the list is of.
        path: the list.
        num_pairs: at most so many pairs.

    Raises:
        SourceError: if the list, an image or a bin cannot be read, or the list has no pairs.
    """
    shown = nlargest(num_pairs, _read_pairs(path), key=lambda pair: (pair.fine_distance, pair.distance))
    if not shown:
        raise SourceError(f"{path}: names no pairs of images: nothing was found, or only what cannot be decoded.")
    bins = {name: read_pairs(Path(name)).images for name in sorted({pair.bin_path for pair in shown} - {""})}
    with ImageReader(classed.images.places) as reader:
        groups = tuple(_make_group(classed, reader, pair, bins) for pair in shown)
    return Sheet(
        title=str(classed.images.path),
        details=(
            f"the {len(groups):,} least alike pairs of {path}",
            "bits that differ, of 64 and of 256; class: source keys",
        ),
        groups=groups,
    )


def _read_pairs(path: Path) -> Iterator[_Pair]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            yield from (_Pair.parse(row) for row in csv.DictReader(file) if row["kind"] != "undecodable")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}. Check the path.") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise SourceError(f"{path}: expected a table that `fr-prep stats --list` wrote ({error}).") from error


def _make_group(classed: ClassedImages, reader: ImageReader, pair: _Pair, bins: Mapping[str, Sequence[bytes]]) -> Group:
    first = _read_image(classed, reader, pair.label, pair.key)
    if pair.bin_path:
        mark, place = f"in {Path(pair.bin_path).name}", f"class {pair.label}: {pair.key}; entry {pair.other}"
        if not 0 <= pair.other < len(bins[pair.bin_path]):
            raise SourceError(f"{pair.bin_path}: has no entry {pair.other}, which the list names. Make the list again.")
        second = bins[pair.bin_path][pair.other]
    else:
        second = _read_image(classed, reader, pair.other_label, pair.other)
        mark, place = "same class", f"class {pair.label}: {pair.key}, {pair.other}"
        if pair.label != pair.other_label:
            mark = "different classes"
            place = f"class {pair.label}: {pair.key}; class {pair.other_label}: {pair.other}"
    return Group(
        title=f"{pair.distance} and {pair.fine_distance} bits",
        details=(place,),
        tiles=(make_tile(first), make_tile(second)),
        mark=mark,
        alike=mark == "same class",
    )


def _read_image(classed: ClassedImages, reader: ImageReader, label: int, key: int) -> bytes:
    rows = np.flatnonzero((classed.images.keys == key) & (classed.labels == label))
    if not len(rows):
        raise SourceError(
            f"{classed.images.path}: has no image of class {label} with key {key}, which the list names. "
            "Give the set that the list was made of."
        )
    return reader.read(int(rows[0]))
