"""Dense classes 0..C-1 from whatever numbers a source uses, in ascending order of the source's label."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ClassIndex", "index_classes"]


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


def index_classes(labels: NDArray[np.int64], *, min_images: int = 1) -> tuple[ClassIndex, NDArray[np.int64]]:
    """Numbers the classes densely.

    Args:
        labels: (n,) int64, the source's label of each image.
        min_images: classes with fewer images are dropped.

    Returns:
        The index, and (n,) int64 dense classes, -1 for images of dropped classes.
    """
    source_labels, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    kept = counts >= min_images
    dense = np.where(kept, np.cumsum(kept) - 1, -1)
    index = ClassIndex(
        source_labels=source_labels[kept],
        num_images=counts[kept],
        dropped_labels=source_labels[~kept],
        dropped_num_images=counts[~kept],
    )
    return index, dense[inverse.reshape(-1)]
