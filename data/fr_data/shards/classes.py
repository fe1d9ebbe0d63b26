"""Dense classes 0..C-1 from whatever numbers a source uses, in ascending order of the source's label."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ClassIndex", "count_labels", "index_classes"]

_WIDEST = 4  # labels that lie within so many times their number are looked up in a table, others are sorted


@dataclass(frozen=True, slots=True)
class ClassIndex:
    """The dense classes of a set, and what was left out of it.

    Attributes:
        source_labels: (C,) int64, the source's label of each dense class, ascending.
        num_images: (C,) int64, images of each dense class.
        dropped_labels: (D,) int64, source labels of classes with too few images.
        dropped_num_images: (D,) int64, how many images those had.
    """

    source_labels: NDArray[np.int64]
    num_images: NDArray[np.int64]
    dropped_labels: NDArray[np.int64]
    dropped_num_images: NDArray[np.int64]

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.source_labels)


def count_labels(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Gives the different labels, ascending, and how often each is there: (C,) and (C,) int64 for (n,) int64."""
    first = labels.min()
    if int(labels.max()) - int(first) >= _WIDEST * len(labels):
        return np.unique(labels, return_counts=True)
    counts = np.bincount(labels - first)
    present = np.flatnonzero(counts)
    return present + first, counts[present]


def index_classes(labels: NDArray[np.int64], *, min_images: int = 1) -> tuple[ClassIndex, NDArray[np.int64]]:
    """Numbers the classes densely.

    Args:
        labels: (n,) int64, the source's label of each image.
        min_images: classes with fewer images are dropped.

    Returns:
        The index, and (n,) int64 dense classes, -1 for images of dropped classes.
    """
    source_labels, counts = count_labels(labels)
    kept = counts >= min_images
    numbers = np.where(kept, np.cumsum(kept) - 1, -1)
    first = source_labels[0]
    if source_labels[-1] - first >= _WIDEST * len(labels):
        dense = numbers[np.searchsorted(source_labels, labels)]
    else:
        table = np.empty(source_labels[-1] - first + 1, dtype=np.int64)
        table[source_labels - first] = numbers
        dense = table[labels - first]
    index = ClassIndex(
        source_labels=source_labels[kept],
        num_images=counts[kept],
        dropped_labels=source_labels[~kept],
        dropped_num_images=counts[~kept],
    )
    return index, dense
