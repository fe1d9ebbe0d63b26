"""Memory for batches that is used again when nobody looks at it any more."""

import math
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BatchMemory"]

ALIGNMENT = 64  # what TensorFlow takes over without a copy


class BatchMemory:
    """Lends arrays of uint8; may be used by many threads.

    A fresh array of some megabytes costs as much as a tenth of the decoding: the system clears each of its pages.
    """

    def __init__(self) -> None:
        self._free: list[NDArray[np.uint8]] = []

    def lend(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Gives an array with any content. When it and all that refers to it are gone, its memory is lent again."""
        size = math.prod(shape)
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(0, dtype=np.uint8)
        if len(memory) < size + ALIGNMENT:
            memory = np.empty(size + ALIGNMENT, dtype=np.uint8)
        lease = _Lease(memory)
        weakref.finalize(lease, self._free.append, memory).atexit = False
        start = -memory.ctypes.data % ALIGNMENT
        return np.asarray(lease)[start : start + size].reshape(shape)


class _Lease:
    """What arrays of lent memory refer to in place of the memory itself, so that its end is theirs."""

    def __init__(self, memory: NDArray[np.uint8]) -> None:
        self.__array_interface__: dict[str, Any] = memory.__array_interface__
