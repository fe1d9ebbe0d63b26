"""Which images of a set are to go, as a label overlay says it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import SourceError
from fr_prep.survey.classes import ClassedImages
from fr_prep.survey.survey import Survey

__all__ = ["OVERLAY_COLUMNS", "Cleaning", "CleaningSettings", "choose_drops", "list_drops"]

OVERLAY_COLUMNS = ("class", "source_key", "new_class", "reason")
REASONS = ("", "in several classes", "in a verification bin", "repeats another image")


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningSettings:
    """What becomes of what was found, near-duplicates included where they were looked for.

    Attributes:
        within: of images that a class has several times, keep the one with the lowest key (`first`), or all (`all`).
        across: of images that several classes have, keep none (`none`), for nobody knows whose they are, or all (`all`).
        overlap: of classes with images of a bin, drop the whole `class`, or those `images`, or `nothing`.
    """

    within: Literal["first", "all"] = "first"
    across: Literal["none", "all"] = "none"
    overlap: Literal["class", "images", "nothing"] = "class"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """What is to go.

    Attributes:
        classes: (m,) int64, ascending, classes that go as a whole.
        rows: (k,) int64, images of other classes that go, by source key.
        reasons: why each of those goes, k of `REASONS`.
        num_images_left: images that stay.
        num_classes_left: classes that keep an image.
    """

    classes: NDArray[np.int64]
    rows: NDArray[np.int64]
    reasons: list[str]
    num_images_left: int
    num_classes_left: int

    def to_dict(self) -> dict[str, int]:
        """Gives the counts as JSON values."""
        return {
            "num_classes_dropped": len(self.classes),
            "num_records_dropped": len(self.rows),
            "num_images_left": self.num_images_left,
            "num_classes_left": self.num_classes_left,
        }


def choose_drops(survey: Survey, settings: CleaningSettings) -> Cleaning:
    """Chooses what goes: first what several classes share, then what a bin has, then repeats within a class."""
    classed, contents = survey.classed, survey.contents
    reasons = np.zeros(classed.num_images, dtype=np.int8)  # places in REASONS; 0 for what stays
    in_bin = np.zeros(len(contents), dtype=np.bool_)
    for overlap in survey.overlaps:
        in_bin[contents.of_row[overlap.pairs.first]] = True
    in_bin_rows = in_bin[contents.of_row] & classed.trained
    if settings.across == "none":
        reasons[_find_shared(survey)] = 1
    if settings.overlap == "images":
        reasons[in_bin_rows & (reasons == 0)] = 2
    if settings.within == "first":
        reasons[_find_repeats(survey, reasons > 0)] = 3
    classes = np.unique(classed.labels[in_bin_rows]) if settings.overlap == "class" else np.empty(0, dtype=np.int64)
    in_gone_class = np.isin(classed.labels, classes)
    rows = np.flatnonzero((reasons > 0) & ~in_gone_class)
    rows = rows[np.argsort(classed.images.keys[rows], kind="stable")]
    left = (reasons == 0) & ~in_gone_class
    return Cleaning(
        classes=classes,
        rows=rows,
        reasons=[REASONS[number] for number in reasons[rows]],
        num_images_left=int(left.sum()),
        num_classes_left=len(np.unique(classed.labels[left])),
    )


def _find_shared(survey: Survey) -> NDArray[np.bool_]:
    """(n,) bool, the images that several classes have, or that are nearly one of another class."""
    pictures = survey.pictures
    shared = pictures.across.copy()
    first, second = _close_pictures(survey)
    across = pictures.are_across(first, second)
    shared[first[across]] = shared[second[across]] = True
    return shared[pictures.of_row]


def _find_repeats(survey: Survey, gone: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Gives the rows that are the same as one of their class with a lower key, or nearly the same as such a one that stays.

    Args:
        survey: what was found.
        gone: (n,) bool, images that go for another reason.
    """
    pictures, labels = survey.pictures, survey.classed.labels
    rows = pictures.order[~gone[pictures.order]]
    of_class = pictures.of_row[rows] * survey.classed.num_classes + labels[rows]
    _, firsts = np.unique(of_class, return_index=True)
    repeats = np.zeros_like(gone)
    repeats[np.delete(rows, firsts)] = True
    first, second = _close_pictures(survey)
    within = ~pictures.are_across(first, second)
    sides = (pictures.first_rows[side[within]].tolist() for side in (first, second))
    for earlier, later in zip(*sides, strict=True):  # ordered by the later one, so `earlier` is settled
        if not (gone[earlier] or repeats[earlier] or gone[later]):
            repeats[later] = True
    return np.flatnonzero(repeats)


def _close_pictures(survey: Survey) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Gives the pairs of different pictures that are nearly the same, ordered by the second."""
    if survey.near is None:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing
    first, second = (survey.pictures.of_row[rows] for rows in (survey.near.first, survey.near.second))
    different = first != second
    return first[different], second[different]


def list_drops(classed: ClassedImages, cleaning: Cleaning) -> list[tuple[Any, ...]]:
    """Gives the rows of a label overlay, as `OVERLAY_COLUMNS` say.

    Raises:
        SourceError: if it cannot name an image, because several have the same key.
    """
    all_keys, counts = np.unique(classed.images.keys, return_counts=True)
    keys = classed.images.keys[cleaning.rows]
    unclear = keys[counts[np.searchsorted(all_keys, keys)] > 1]
    if len(unclear):
        raise SourceError(
            f"{classed.images.path}: several images have the key {unclear[0]}, so an overlay cannot name one of them. "
            "Convert the set again from a source whose keys differ."
        )
    return [
        *((number, "", "drop", "has images of a verification bin") for number in cleaning.classes.tolist()),
        *(("", key, "drop", reason) for key, reason in zip(keys.tolist(), cleaning.reasons, strict=True)),
    ]
