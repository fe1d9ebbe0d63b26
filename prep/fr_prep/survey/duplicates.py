"""Images that are in a set more than once, within a class or across classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Groups", "group_images"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Groups of images that are the same, in the order of the lowest source key of each.

    Attributes:
        of_row: (n,) int64, the group of each image.
        order: (n,) int64, rows by group, and by source key within a group.
        first_rows: (g,) int64, the image of each group that has the lowest source key.
        num_images: (g,) int64, how many images are in it.
        lowest_class: (g,) int64, the lowest class that has one of them.
        highest_class: (g,) int64, the highest; where it is another one, at least one of the labels is wrong.
    """

    of_row: NDArray[np.int64]
    order: NDArray[np.int64]
    first_rows: NDArray[np.int64]
    num_images: NDArray[np.int64]
    lowest_class: NDArray[np.int64]
    highest_class: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first_rows)

    @property
    def across(self) -> NDArray[np.bool_]:
        """(g,) bool, the groups that are in several classes."""
        return np.not_equal(self.lowest_class, self.highest_class)

    @property
    def within(self) -> NDArray[np.bool_]:
        """(g,) bool, the groups of several images of one class."""
        return (self.num_images > 1) & ~self.across

    def first_rows_among(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Gives, of each group that has a chosen image, the one of them that has the lowest source key.

        Args:
            chosen: (n,) bool, which images.
        """
        rows = self.order[chosen[self.order]]
        _, firsts = np.unique(self.of_row[rows], return_index=True)
        first_rows: NDArray[np.int64] = rows[firsts]
        return first_rows

    def are_across(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Says which pairs of groups, (k,) and (k,) int64, are in several classes together: (k,) bool."""
        lowest = np.minimum(self.lowest_class[first], self.lowest_class[second])
        highest = np.maximum(self.highest_class[first], self.highest_class[second])
        return np.not_equal(lowest, highest)

    def rows_of(self, chosen: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
        """Gives the rows of each of some groups, by source key.

        Args:
            chosen: (g,) bool, which groups.
        """
        rows = self.order[chosen[self.of_row[self.order]]]
        return np.split(rows, np.cumsum(self.num_images[chosen])[:-1]) if len(rows) else []


def group_images(words: NDArray[np.uint64], *, labels: NDArray[np.int64], keys: NDArray[np.int64]) -> Groups:
    """Groups images that have the same words.

    Args:
        words: (n, w) uint64: digests, or hashes.
        labels: (n,) int64, the class of each image.
        keys: (n,) int64, the source key of each, so that a set and its shuffled shards are grouped alike.
    """
    by_key = np.argsort(keys, kind="stable")
    order = by_key[np.lexsort(words[by_key].T)]
    ordered = words[order]
    starts = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    lengths = np.diff(starts, append=len(order))
    lowest, highest = (part.reduceat(labels[order], starts) for part in (np.minimum, np.maximum))
    first_rows = order[starts]
    numbers = np.argsort(np.argsort(by_key)[first_rows])  # groups, in the order of their lowest keys
    of_ordered = np.repeat(np.argsort(numbers), lengths)
    of_row = np.empty(len(order), dtype=np.int64)
    of_row[order] = of_ordered
    return Groups(
        of_row=of_row,
        order=order[np.argsort(of_ordered, kind="stable")],
        first_rows=first_rows[numbers],
        num_images=lengths[numbers],
        lowest_class=lowest[numbers],
        highest_class=highest[numbers],
    )
