"""Lists of verification pairs: `pairs.csv` of `fr-prep bin2jpeg`, LFW's `pairs.txt`, and plain lists of paths."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fr_prep.errors import SourceError

__all__ = ["PairList", "read_pairs_file"]

CSV_HEADER = ["pair", "first", "second", "same"]
LFW_SUFFIXES = (".jpg", ".png", ".jpeg", ".bmp", ".webp")
_LFW_HEADER = re.compile(r"\d{1,9}(\s+\d{1,9})?")
_LFW_SAME = re.compile(r"(\S+)\s+(\d{1,9})\s+(\d{1,9})")
_LFW_DIFFERENT = re.compile(r"(\S+)\s+(\d{1,9})\s+(\S+)\s+(\d{1,9})")
Row = tuple[tuple[str | Path, str | Path], bool]
_TRUTHS = {"0": False, "1": True}


@dataclass(frozen=True, slots=True)
class PairList:
    """Pairs of image files.

    Attributes:
        kind: what kind of list it is, in words.
        files: 2·P files; pair i is files 2i and 2i + 1.
        same: P truths.
        num_folds: folds that the list states, each as many pairs in a row; None where it states none.
    """

    kind: str
    files: tuple[Path, ...]
    same: tuple[bool, ...]
    num_folds: int | None = None


def read_pairs_file(path: Path, folder: Path) -> PairList:
    """Reads a list of pairs, of a kind that its first line tells.

    Args:
        path: the list.
        folder: what the paths in it are relative to; for LFW, the folder of the people's folders.

    Raises:
        SourceError: if it is of none of the three kinds, or a line is not as its kind wants it; names the line.
    """
    try:
        lines = [line.strip("\r\n") for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path}: expected a list of pairs, which is text in UTF-8, received something else."
        ) from error
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise SourceError(f"{path}: expected a list of pairs, received an empty file.")
    first = numbered[0][1].strip()
    if first == ",".join(CSV_HEADER):
        kind, num_folds, rows = "table of bin2jpeg", None, _parse_csv(path, numbered[1:])
    elif _LFW_HEADER.fullmatch(first):
        kind, num_folds, rows = "LFW pairs.txt", *_parse_lfw(path, folder, numbered)
    elif len(_split(first)) == 3 and _split(first)[2] in _TRUTHS:
        kind, num_folds, rows = "list of paths", None, _parse_plain(path, numbered)
    else:
        raise SourceError(
            f"{path}: expected the header {','.join(CSV_HEADER)}, LFW's numbers of folds and pairs, or two paths and 0 or 1, "
            f"received {first[:80]!r}."
        )
    pairs = list(rows)
    if not pairs:
        raise SourceError(f"{path}: expected pairs, received a header without any.")
    files = tuple(folder / name for names, _ in pairs for name in names)
    return PairList(kind, files, tuple(same for _, same in pairs), num_folds)


def _parse_csv(path: Path, lines: list[tuple[int, str]]) -> Iterator[Row]:
    for (number, _), fields in zip(lines, csv.reader(line for _, line in lines), strict=False):
        if len(fields) != 4 or fields[3] not in _TRUTHS:
            raise _wrong(path, number, "pair,first,second,same with same 0 or 1", ",".join(fields))
        yield (fields[1], fields[2]), _TRUTHS[fields[3]]


def _parse_plain(path: Path, lines: list[tuple[int, str]]) -> Iterator[Row]:
    for number, line in lines:
        fields = _split(line)
        if len(fields) != 3 or fields[2] not in _TRUTHS:
            raise _wrong(path, number, "two paths and 0 or 1, between tabs where a path holds spaces", line)
        yield (fields[0], fields[1]), _TRUTHS[fields[2]]


def _parse_lfw(path: Path, folder: Path, lines: list[tuple[int, str]]) -> tuple[int, Iterator[Row]]:
    """Gives the folds, and the pairs: in each fold n `name i j` of one person, then n `name i other j` of two."""
    *folds, num_kind = map(int, lines[0][1].split())
    num_folds = folds[0] if folds else 1
    if num_folds * num_kind < 1 or len(lines) - 1 != num_folds * num_kind * 2:
        raise SourceError(
            f"{path}: expected {num_folds} folds of {num_kind} same and {num_kind} different pairs, as its first line says, "
            f"received {len(lines) - 1} lines of pairs."
        )

    def pairs() -> Iterator[Row]:
        for index, (number, line) in enumerate(lines[1:]):
            same = index // num_kind % 2 == 0
            match = (_LFW_SAME if same else _LFW_DIFFERENT).fullmatch(line.strip())
            if not match:
                raise _wrong(path, number, "name, i and j" if same else "name, i, other name and j", line)
            name, i, *other, j = match.groups()
            wanted = ((name, i), (other[0] if other else name, j))
            first, second = (_find_lfw(folder, *person, path, number) for person in wanted)
            yield (first, second), same

    return num_folds, pairs()


def _find_lfw(folder: Path, name: str, number: str, path: Path, line: int) -> Path:
    stem = folder / name / f"{name}_{int(number):04d}"
    found = [file for suffix in LFW_SUFFIXES if (file := stem.with_name(stem.name + suffix)).is_file()]
    if len(found) != 1:
        endings = "several endings" if found else f"none of {', '.join(LFW_SUFFIXES)}"
        raise SourceError(f"{path}, line {line}: expected one image {stem}.*, it is there with {endings}.")
    return found[0]


def _split(line: str) -> list[str]:
    return line.strip().split("\t") if "\t" in line.strip() else line.split()


def _wrong(path: Path, number: int, expected: str, received: str) -> SourceError:
    return SourceError(f"{path}, line {number}: expected {expected}, received {received[:80]!r}.")
