"""A sheet of classes: a row a class, with some of its images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import SourceError
from fr_prep.plan.plan import shuffle_keys
from fr_prep.sources.image_reader import ImageReader
from fr_prep.survey.classes import ClassedImages
from fr_prep.survey.preview.sheet import Group, Sheet, make_tile

__all__ = ["ClassSheetSettings", "make_class_sheet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSheetSettings:
    """What is shown.

    Attributes:
        classes: the numbers or names of these classes, in this order; none: a random choice.
        num_classes: how many classes, where they are chosen at random.
        num_images: at most so many of a class.
        seed: of the choice of classes and images.
    """

    classes: tuple[str, ...] = ()
    num_classes: int = 12
    num_images: int = 8
    seed: int = 0


def make_class_sheet(classed: ClassedImages, settings: ClassSheetSettings) -> Sheet:
    """Chooses classes and images, and reads them.

    Raises:
        SourceError: if a class is not there, or an image cannot be read.
    """
    classes = _choose_classes(classed, settings)
    with ImageReader(classed.images.places) as reader:
        groups = [_make_group(classed, reader, number, settings) for number in classes]
    chosen = "" if settings.classes else f", chosen by seed {settings.seed}"
    return Sheet(
        title=str(classed.images.path),
        details=(
            f"{classed.num_images:,} images in {classed.num_classes:,} classes",
            f"{len(groups)} classes{chosen}; below an image stands its source key",
        ),
        groups=tuple(groups),
    )


def _choose_classes(classed: ClassedImages, settings: ClassSheetSettings) -> Sequence[int]:
    if settings.classes:
        return list(dict.fromkeys(number for given in settings.classes for number in _find_classes(classed, given)))
    drawn = _draw(np.flatnonzero(classed.counts), wanted=settings.num_classes, seed=settings.seed)
    return [int(number) for number in drawn]


def _find_classes(classed: ClassedImages, given: str) -> list[int]:
    """Gives the class of a number, or the classes of a name, of which there may be several."""
    if given.isdecimal():
        found = [int(given)] if int(given) < classed.num_classes else []
    else:
        found = [number for number, name in enumerate(classed.names) if name == given]
    if not found:
        raise SourceError(
            f"{classed.images.path}: expected a class from 0 to {classed.num_classes - 1}, or the name of one, received {given!r}."
        )
    return found


def _draw(values: NDArray[np.int64], *, wanted: int, seed: int) -> NDArray[np.int64]:
    """Draws some values at random; they stay in their order."""
    return values[np.sort(np.argsort(shuffle_keys(len(values), seed), kind="stable")[:wanted])]


def _make_group(classed: ClassedImages, reader: ImageReader, number: int, settings: ClassSheetSettings) -> Group:
    everything = np.flatnonzero(classed.labels == number)
    # By key, so that shards show what their source does.
    by_key = everything[np.argsort(classed.images.keys[everything], kind="stable")]
    rows = _draw(by_key, wanted=settings.num_images, seed=settings.seed + number)
    tiles = [make_tile(reader.read(row), str(classed.images.keys[row])) for row in rows.tolist()]
    name, shown = classed.names[number], f", {len(rows):,} shown" if len(rows) < len(everything) else ""
    details = [f"{len(everything):,} images{shown}"]
    if name != str(number):
        details.insert(0, f"source label {name}" if name == str(classed.source_labels[number]) else name)
    return Group(f"class {number}", tuple(details), tuple(tiles))
