"""The `.idx` of a RecordIO file: lines of `key TAB byte-offset`, in any order."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import SourceError

__all__ = ["is_rising", "read_entries", "read_record_index", "sort_entries", "write_record_index"]

MOVE_AWAY = "Move the .idx away to have the .rec scanned."
BLOCK_BYTES = 16 << 20
_LINE = re.compile(rb"\s*\d+\s+\d+\s*")


def read_record_index(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Reads keys and byte offsets, sorted by offset.

    Args:
        path: the `.idx`.

    Returns:
        keys (n,) int64 and offsets (n,) int64.

    Raises:
        SourceError: if the file is unreadable or empty, a line does not hold two whole numbers, or a key or an offset stands
            there twice.
    """
    return sort_entries(path, *read_entries(path))


def read_entries(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Reads keys and byte offsets, each (n,) int64, in the order of the lines; otherwise as `read_record_index`."""
    keys, offsets, num_lines = [], [], 0
    try:
        with path.open("rb") as file:
            while text := file.read(BLOCK_BYTES) + file.readline():  # whole lines; the text of a large set takes 400 MB
                if not _is_plain(text):
                    _check_lines(path, text, first_line=num_lines + 1)
                numbers = np.fromstring(text, dtype=np.int64, sep=" ")  # parses text in C, whatever the white space
                if numbers.max() == np.iinfo(np.int64).max:  # what larger numbers are clamped to
                    raise SourceError(f"{path}: expected numbers below 2^63. {MOVE_AWAY}")
                keys.append(numbers[0::2].copy())
                offsets.append(numbers[1::2].copy())
                num_lines += len(keys[-1])
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}. Check the path and its permissions.") from error
    if not keys:
        raise SourceError(f"{path}: expected lines of `key TAB byte-offset`, received none. {MOVE_AWAY}")
    return _join(keys), _join(offsets)


def _join(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Joins parts to one array and lets go of them."""
    joined = np.concatenate(parts)
    parts.clear()
    return joined


def sort_entries(
    path: Path, keys: NDArray[np.int64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorts entries by offset.

    Raises:
        SourceError: if a key or an offset is there twice.
    """
    if not is_rising(offsets):
        order = np.argsort(offsets, kind="stable")
        keys, offsets = keys[order], offsets[order]
    for name, values in (("key", keys), ("byte offset", offsets)):
        if is_rising(values):
            continue
        ordered = np.sort(values)
        repeated = np.flatnonzero(ordered[1:] == ordered[:-1])
        if len(repeated):
            raise SourceError(
                f"{path}: expected each {name} once, received {int(ordered[repeated[0]])} twice"
                f"{f' and {len(repeated) - 1} others' if len(repeated) > 1 else ''}. {MOVE_AWAY}"
            )
    return keys, offsets


def is_rising(numbers: NDArray[np.int64]) -> bool:
    """Whether each number is greater than the one before."""
    return bool((numbers[1:] > numbers[:-1]).all())


def _is_plain(text: bytes) -> bool:
    """Whether the text is digits, TAB, digits, NEWLINE, over and over: true of nearly every file, and quickly found."""
    characters = np.frombuffer(text if text.endswith(b"\n") else text + b"\n", dtype=np.uint8)
    ends = np.flatnonzero((characters < ord("0")) | (characters > ord("9")))
    separators = characters[ends]
    return bool(
        len(separators) % 2 == 0
        and (separators[0::2] == ord("\t")).all()
        and (separators[1::2] == ord("\n")).all()
        and (np.diff(ends, prepend=-1) > 1).all()
    )


def _check_lines(path: Path, text: bytes, *, first_line: int) -> None:
    for number, line in enumerate(text.splitlines(), start=first_line):
        if not _LINE.fullmatch(line):
            raise SourceError(
                f"{path}, line {number}: expected `key TAB byte-offset`, received {line[:60]!r}. {MOVE_AWAY}"
            )


def write_record_index(path: Path, entries: list[tuple[int, int]]) -> None:
    """Writes (key, byte offset) entries as `.idx` lines, in the order given."""
    path.write_text("".join(f"{key}\t{offset}\n" for key, offset in entries), encoding="ascii")
