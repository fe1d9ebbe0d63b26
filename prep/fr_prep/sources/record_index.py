"""The `.idx` of a RecordIO file: lines of `key TAB byte-offset`, in any order."""

import re
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import SourceError

__all__ = ["read_record_index", "write_record_index"]

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
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}. Check the path and its permissions.") from error
    num_lines = text.count(b"\n") + (not text.endswith(b"\n"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            numbers = np.fromstring(text, dtype=np.int64, sep=" ")  # ty: a text parse in C, whatever the white space
        except (DeprecationWarning, ValueError):
            _raise_bad_line(path, text)
    if len(numbers) == 0:
        raise SourceError(
            f"{path}: expected lines of `key TAB byte-offset`, received none. Move it away to have the .rec scanned."
        )
    if len(numbers) != 2 * num_lines:
        _raise_bad_line(path, text)
    keys, offsets = numbers[0::2], numbers[1::2]
    order = np.argsort(offsets, kind="stable")
    keys, offsets = keys[order], offsets[order]
    for name, values in (("key", np.sort(keys)), ("byte offset", offsets)):
        repeated = np.flatnonzero(values[1:] == values[:-1])
        if len(repeated):
            raise SourceError(
                f"{path}: expected each {name} once, received {int(values[repeated[0]])} twice"
                f"{f' and {len(repeated) - 1} others' if len(repeated) > 1 else ''}. Move the .idx away to have the .rec scanned."
            )
    return keys, offsets


def _raise_bad_line(path: Path, text: bytes) -> None:
    for number, line in enumerate(text.splitlines(), start=1):
        if not _LINE.fullmatch(line):
            raise SourceError(
                f"{path}, line {number}: expected `key TAB byte-offset`, received {line[:60]!r}. "
                "Move the .idx away to have the .rec scanned."
            )
    raise SourceError(f"{path}: expected numbers below 2^63. Move the .idx away to have the .rec scanned.")


def write_record_index(path: Path, entries: list[tuple[int, int]]) -> None:
    """Writes (key, byte offset) entries as `.idx` lines, in the order given."""
    path.write_text("".join(f"{key}\t{offset}\n" for key, offset in entries), encoding="ascii")
