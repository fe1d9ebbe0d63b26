"""Random numbers and orders that are the same in every release of NumPy, which promises that of its bit generators alone."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_order", "draw_words"]


def draw_words(count: int, purpose: int, *seed: int) -> NDArray[np.uint64]:
    """Gives (count,) uint64, each value equally likely. Draws for different purposes have nothing to do with each other."""
    words: NDArray[np.uint64] = np.random.PCG64([purpose, *seed]).random_raw(count)
    return words


def draw_order(count: int, purpose: int, *seed: int) -> NDArray[np.int64]:
    """Gives a permutation of 0 to count - 1, (count,) int64."""
    return np.argsort(draw_words(count, purpose, *seed), kind="stable")
