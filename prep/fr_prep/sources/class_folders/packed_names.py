"""Millions of file names in one block of bytes: a tenth of what as many Python strings take."""

import os
from array import array
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np

__all__ = ["PackedNames"]


class PackedNames(Sequence[str]):
    """File names, read only; equal where all of them are.

    Args:
        names: the names as the file system stores them.
    """

    def __init__(self, names: Iterable[bytes] = ()) -> None:
        data, ends = bytearray(), array("q")
        for name in names:
            data += name
            ends.append(len(data))
        self._data, self._ends = bytes(data), np.frombuffer(ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedNames):
            return NotImplemented
        return self._data == other._data and np.array_equal(self._ends, other._ends)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return os.fsdecode(self.raw(range(len(self))[index]))

    def raw(self, index: int) -> bytes:
        """Gives a name, counted from 0, as the file system stores it."""
        return self._data[self._ends[index - 1] if index else 0 : self._ends[index]]

    def block(self) -> bytes:
        """Gives all names as bytes that no other names give."""
        return self._ends.tobytes() + self._data
