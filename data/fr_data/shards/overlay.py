"""A label overlay: a table that says what the labels of a shard set should have been.

The rule is in `docs/shard-format.md`.
"""

import csv
import hashlib
import io
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fr_data.errors import OverlayError

__all__ = ["DROP", "Overlay", "OverlayRows", "read_overlay", "relabel"]

DROP = -1
LARGEST_CLASS = (1 << 31) - 1  # a label in the record table is an int32
LARGEST_KEY = (1 << 63) - 1
_WHOLE = re.compile(r"[0-9]{1,19}\.0")  # pandas writes the numbers of a column with gaps as 3.0


@dataclass(frozen=True, slots=True)
class OverlayRows:
    """The rows of an overlay that name classes, or those that name records.

    Attributes:
        numbers: (m,) int64, the classes or source keys that they name, ascending.
        new_classes: (m,) int64, where those go, or `DROP`.
        lines: (m,) int64, the lines of the file at which they stand.
    """

    numbers: NDArray[np.int64]
    new_classes: NDArray[np.int64]
    lines: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Overlay:
    """An overlay as its file says it, not yet held against a set.

    Attributes:
        path: the file.
        sha256: of its bytes.
        classes: the rows that name a class.
        records: the rows that name a record.
    """

    path: Path
    sha256: str
    classes: OverlayRows
    records: OverlayRows


def read_overlay(path: Path, *, sha256: str = "") -> Overlay:
    """Reads an overlay from a CSV file.

    Args:
        path: the file.
        sha256: what its SHA-256 must be, unless it is empty.

    Raises:
        OverlayError: if it cannot be read, is another one, or a row is none; names the line.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise OverlayError(f"{path}: cannot be read: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise OverlayError(f"{path}: is no CSV file in UTF-8 ({error}).") from error
    digest = hashlib.sha256(content).hexdigest()
    if sha256 not in ("", digest):
        raise OverlayError(
            f"{path}: was changed: the run began with an overlay of SHA-256 {sha256}, this one has {digest}. Put that one back, "
            "or start a new run."
        )
    found = {"class": array("q"), "source_key": array("q")}
    for line, kind, number, new_class in _parse_rows(path, _split_rows(path, text)):
        found[kind].extend((number, new_class, line))
    classes, records = (_sort_rows(path, kind, flat) for kind, flat in found.items())
    return Overlay(path, digest, classes, records)


def _split_rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the number and the fields of each line that is not empty."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        yield from ((rows.line_num, [field.strip() for field in row]) for row in rows if row)
    except csv.Error as error:
        raise OverlayError(f"{path}, line {rows.line_num}: is no line of a CSV file ({error}).") from error


def _parse_rows(path: Path, rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, str, int, int]]:
    """Yields line, what is named, its number, and its new class."""
    _, header = next(rows, (0, []))
    kinds = [(kind, header.index(kind)) for kind in ("class", "source_key") if kind in header]
    if "new_class" not in header or not kinds:
        received = ", ".join(header)[:80] or "an empty file"
        raise OverlayError(f"{path}: expected the columns new_class and class or source_key, received {received}.")
    new_place = header.index("new_class")
    for line, row in rows:
        if len(row) != len(header):
            raise OverlayError(f"{path}, line {line}: expected {len(header)} fields, received {len(row)}.")
        named = [(kind, row[place]) for kind, place in kinds if row[place]]
        if len(named) != 1:
            received = " and ".join(f"{kind} {text[:20]}" for kind, text in named) or "neither"
            raise OverlayError(f"{path}, line {line}: expected a class or a source_key, received {received}.")
        kind, text = named[0]
        number, new_class = _parse_number(text), _parse_number(row[new_place] or "drop")
        if not 0 <= number <= LARGEST_KEY:
            raise OverlayError(f"{path}, line {line}: {kind}: expected a whole number, received {text[:40]!r}.")
        if not DROP <= new_class <= LARGEST_CLASS:
            raise OverlayError(
                f"{path}, line {line}: new_class: expected a number up to {LARGEST_CLASS}, `drop` or nothing, received "
                f"{row[new_place][:40]!r}."
            )
        yield line, kind, number, new_class


def _parse_number(text: str) -> int:
    """Gives a whole number, `DROP` for `drop`, and a number that is too small for anything else."""
    if text.isdecimal() and len(text) < 20:
        return int(text)
    if text == "drop":
        return DROP
    return int(text[:-2]) if _WHOLE.fullmatch(text) else DROP - 1


def _sort_rows(path: Path, kind: str, flat: "array[int]") -> OverlayRows:
    table = np.array(flat, dtype=np.int64).reshape(-1, 3)
    numbers, new_classes, lines = table[np.argsort(table[:, 0], kind="stable")].T
    again = np.flatnonzero(numbers[1:] == numbers[:-1])
    if len(again):
        row = int(again[0])
        raise OverlayError(
            f"{path}, line {lines[row + 1]}: {kind} {numbers[row]} is named again, the first time in line {lines[row]}. "
            "Keep one of the two rows."
        )
    return OverlayRows(numbers, new_classes, lines)


def relabel(
    overlay: Overlay,
    *,
    keys: NDArray[np.int64],
    labels: NDArray[np.int64],
    num_classes: int,
    in_train: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Says which class each record of a set belongs to. Classes keep their numbers; new ones have those from `num_classes` on.

    Args:
        overlay: the table.
        keys: (n,) int64, source keys of all records of the set.
        labels: (n,) int64, their classes, 0 to `num_classes` - 1.
        num_classes: classes of the set.
        in_train: (n,) bool, the records of the train split.

    Returns:
        (n,) int64, the number of each record's class, or `DROP`.

    Raises:
        OverlayError: if the table names a class or a record that is not in the set, or a key that several records have, or moves a
            record of the train split to a class that is in the validation split alone.
    """
    targets = np.arange(num_classes)
    classes, records = overlay.classes, overlay.records
    unknown = classes.numbers >= num_classes
    if unknown.any():
        reason = f"the set has the classes 0 to {num_classes - 1} ({unknown.sum()} such rows)"
        raise _refuse(overlay, "class", int(np.argmax(unknown)), reason)
    targets[classes.numbers] = classes.new_classes
    numbers = targets[labels]
    if len(records.numbers):
        places = np.minimum(np.searchsorted(records.numbers, keys), len(records.numbers) - 1)
        named = records.numbers[places] == keys
        counts = np.bincount(places[named], minlength=len(records.numbers))
        if (counts > 1).any():
            reason = f"{counts.max()} records of the set have the same key, so rows cannot name records: name classes"
            raise _refuse(overlay, "source_key", int(np.argmax(counts)), reason)
        if (counts == 0).any():
            reason = f"no record of the set has that key ({(counts == 0).sum()} such rows)"
            raise _refuse(overlay, "source_key", int(np.argmin(counts)), reason)
        numbers[named] = records.new_classes[places[named]]
    trained = np.bincount(labels[in_train], minlength=num_classes) > 0
    moved = np.flatnonzero(in_train & (numbers >= 0) & (numbers < num_classes))
    wrong = moved[~trained[numbers[moved]]]
    if len(wrong):
        key, label, number = keys[wrong[0]], labels[wrong[0]], numbers[wrong[0]]
        kind = "source_key" if key in records.numbers else "class"
        row = np.searchsorted(records.numbers, key) if kind == "source_key" else np.searchsorted(classes.numbers, label)
        reason = f"moves train images to class {number}, which is in the validation split alone; choose a new number"
        raise _refuse(overlay, kind, int(row), reason)
    return numbers


def _refuse(overlay: Overlay, kind: str, row: int, reason: str) -> OverlayError:
    rows = overlay.classes if kind == "class" else overlay.records
    return OverlayError(f"{overlay.path}, line {rows.lines[row]}: {kind} {rows.numbers[row]}: {reason}.")
