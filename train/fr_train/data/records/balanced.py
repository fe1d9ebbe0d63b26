"""Batches of P classes with K images each, as triplet losses want them."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fr_train.data.records.permutation import draw_order, draw_words
from fr_train.errors import ShardSetError

__all__ = ["BalancedOrder", "ClassRows"]

_CLASSES, _IMAGES = 3, 4  # purposes


class ClassRows:
    """Which rows each class has; classes without any are none.

    Args:
        labels: (n,) integers; negative ones are in no class.

    Attributes:
        num_classes: classes that have rows.
    """

    def __init__(self, labels: NDArray[np.int32]) -> None:
        order = np.argsort(labels, kind="stable")
        self._order = order[np.count_nonzero(labels < 0) :]
        self._starts = np.append(np.flatnonzero(np.diff(labels[self._order], prepend=-1)), len(self._order))
        self.num_classes = len(self._starts) - 1

    def draw(self, classes: NDArray[np.int64], num_images: int, *seed: int) -> NDArray[np.int64]:
        """Draws images of classes, at random without replacement; of a class with fewer, all as often as each other, ± 1.

        Args:
            classes: (P,) int64, 0 to `num_classes` - 1.
            num_images: K.
            seed: of the choice.

        Returns:
            (P·K,) int64 rows, class by class.
        """
        words = iter(draw_words(len(classes) * num_images, _IMAGES, *seed).tolist())
        rows = []
        for start, stop in zip(self._starts[classes].tolist(), self._starts[classes + 1].tolist(), strict=True):
            count = stop - start
            rows += [*range(start, stop)] * (num_images // count)
            chosen: set[int] = set()  # by Floyd's algorithm, which needs a number for each that is chosen
            for last in range(count - num_images % count, count):
                place = next(words) % (last + 1)
                chosen.add(last if place in chosen else place)
            rows += [start + place for place in sorted(chosen)]
        return self._order[rows]


class BalancedOrder:
    """Gives the rows of any step of an epoch. Each class comes once before any comes again, save for the last P - 1 of a round.

    Args:
        classes: the rows by class.
        num_classes: P.
        images_per_class: K.
        seed: the run's seed and the number of the epoch.

    Raises:
        ShardSetError: if there are fewer than P classes.
    """

    def __init__(self, classes: ClassRows, *, num_classes: int, images_per_class: int, seed: tuple[int, int]) -> None:
        if classes.num_classes < num_classes:
            raise ShardSetError(
                f"Expected at least {num_classes} classes for a batch, the train split has {classes.num_classes}. Choose a smaller "
                "batch size, or more images a class."
            )
        self._classes, self._num_classes, self._images_per_class = classes, num_classes, images_per_class
        self._seed = seed
        self._round = lru_cache(maxsize=2)(lambda number: draw_order(classes.num_classes, _CLASSES, *seed, number))

    def take_step(self, step: int) -> NDArray[np.int64]:
        """Gives the rows of a batch, (P·K,) int64, class by class."""
        number, place = divmod(step, self._classes.num_classes // self._num_classes)
        chosen = self._round(number)[place * self._num_classes : (place + 1) * self._num_classes]
        return self._classes.draw(chosen, self._images_per_class, *self._seed, step)
