"""The files of class folders: names, sizes and times, without opening one."""

import hashlib
import os
import stat
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fr_prep.errors import SourceError
from fr_prep.files import INCOMPLETE_SUFFIX
from fr_prep.sources.class_folders.packed_names import PackedNames

__all__ = ["TABLE_FILE", "ClassListing", "list_class_folders"]

TABLE_FILE = "images.csv"  # what `fr-prep rec2jpeg` writes beside the class folders


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassListing:
    """The files of class folders, one row a file: class by class in order of the classes' names, then by path.

    Names are compared as bytes. Hidden files and folders, and what is no regular file, have no row.

    Attributes:
        folder: what the names are relative to.
        class_names: the names of the class folders, ascending; each is a class, also an empty one.
        names: (n,) paths, `class/…/file`.
        class_numbers: (n,) int64, position of the class in `class_names`.
        sizes: (n,) int64, bytes of each file; -1 for a link that leads nowhere.
        times: (n,) int64, time of change, in nanoseconds.
        beside: what stands in the folder itself and is no class folder: files but the table of rec2jpeg, and hidden folders.
        hidden: hidden and special files in class folders.
    """

    folder: Path
    class_names: tuple[str, ...]
    names: PackedNames
    class_numbers: NDArray[np.int64]
    sizes: NDArray[np.int64]
    times: NDArray[np.int64]
    beside: tuple[str, ...]
    hidden: PackedNames

    def digest(self) -> str:
        """Gives a SHA-256 of what was listed: for each file its path, a zero byte, its size in decimal and a newline."""
        digest = hashlib.sha256()
        for row, size in enumerate(self.sizes.tolist()):
            digest.update(b"%s\0%d\n" % (self.names.raw(row), size))
        return digest.hexdigest()

    def stamp(self) -> str:
        """Gives a SHA-256 that changes with any path, size or time of change."""
        return hashlib.sha256(self.names.block() + self.sizes.tobytes() + self.times.tobytes()).hexdigest()

    def first_difference(self, other: Self) -> str | None:
        """Gives the path of a file that is not the same in another listing; None where all are."""
        if self.stamp() == other.stamp():
            return None
        for row in range(min(len(self.names), len(other.names))):
            mine, its = ((x.names[row], x.sizes[row], x.times[row]) for x in (self, other))
            if mine != its:
                return min(mine[0], its[0])
        return max(self.names, other.names, key=len)[-1]


def list_class_folders(folder: Path, *, quiet: bool = True) -> ClassListing:
    """Lists the files of `folder/<class>/…`, at any depth. Links to files and folders are followed.

    Args:
        folder: the folder of class folders.
        quiet: no progress bar.

    Raises:
        SourceError: if a folder cannot be read or is unfinished, there is no class folder, a class has an impossible name, or a
            link leads back to a folder that it stands in.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: expected a folder of class folders, there is no such folder.")
    root = os.fsencode(folder)
    class_folders, beside = _split_top(root)
    unfinished = [name for name in map(os.fsdecode, class_folders) if name.endswith(INCOMPLETE_SUFFIX)]
    if unfinished:
        raise SourceError(
            f"{folder}: is unfinished, {unfinished[0]} is there. Let what writes it finish first, by --resume."
        )
    if not class_folders:
        raise SourceError(
            f"{folder}: expected a folder for each class, <class>/<image>; it holds {len(beside)} files and no folder."
        )
    hidden: list[bytes] = []
    class_numbers, sizes, times = array("q"), array("q"), array("q")

    def walk() -> Iterator[bytes]:
        for number, name in enumerate(class_folders):
            for path, state in _walk(root, name + b"/", (_identity(root),), hidden.append):
                class_numbers.append(number)
                sizes.append(state.st_size if state else -1)
                times.append(state.st_mtime_ns if state else 0)
                yield path

    names = PackedNames(tqdm(walk(), desc="Listing", unit=" files", unit_scale=True, disable=quiet or None))
    return ClassListing(
        folder=folder,
        class_names=tuple(map(_class_name, class_folders)),
        names=names,
        class_numbers=np.frombuffer(class_numbers, dtype=np.int64),
        sizes=np.frombuffer(sizes, dtype=np.int64),
        times=np.frombuffer(times, dtype=np.int64),
        beside=tuple(beside),
        hidden=PackedNames(hidden),
    )


def _split_top(root: bytes) -> tuple[list[bytes], list[str]]:
    """Gives the names of the class folders, and of all else, each sorted; hidden ones belong to all else."""
    folders, others = [], []
    for entry in _scan(root):
        if _is_folder(entry) and not entry.name.startswith(b"."):
            folders.append(entry.name)
        elif entry.name != os.fsencode(TABLE_FILE):
            others.append(entry.name)
    return sorted(folders), [os.fsdecode(name) for name in sorted(others)]


def _walk(
    root: bytes, prefix: bytes, above: tuple[tuple[int, int], ...], hide: Callable[[bytes], None]
) -> Iterator[tuple[bytes, os.stat_result | None]]:
    """Yields path and state of each file in `root/prefix`, in ascending order of the paths' bytes."""
    folder = root + b"/" + prefix
    here = _identity(folder)
    if here in above:
        raise SourceError(f"{os.fsdecode(folder)}: leads back to a folder that it stands in. Remove the link.")
    # With the slash that its files will have, a folder sorts where they belong.
    for name, entry in sorted((entry.name + b"/" * _is_folder(entry), entry) for entry in _scan(folder)):
        path = prefix + name
        if name.startswith(b"."):
            hide(path)
        elif name.endswith(b"/"):
            yield from _walk(root, path, (*above, here), hide)
        else:
            state = _state(entry)
            if state is None or stat.S_ISREG(state.st_mode):
                yield path, state
            else:
                hide(path)


def _scan(folder: bytes) -> list[os.DirEntry[bytes]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise SourceError(f"{os.fsdecode(folder)}: cannot be read: {error.strerror}.") from error


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _state(entry: os.DirEntry[bytes]) -> os.stat_result | None:
    """Gives the state of a file, or of what a link leads to; None where there is nothing."""
    try:
        return entry.stat()
    except OSError:
        return None


def _identity(folder: bytes) -> tuple[int, int]:
    try:
        state = os.stat(folder)  # noqa: PTH116  names are bytes here, which Path does not take
    except OSError as error:
        raise SourceError(f"{os.fsdecode(folder)}: cannot be read: {error.strerror}.") from error
    return state.st_dev, state.st_ino


def _class_name(name: bytes) -> str:
    """Gives a class's name as text of one line, which the class index can hold."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"{os.fsdecode(name)!r}: expected a class folder with a name in UTF-8. Rename it.") from error
    if text.splitlines() != [text] or not text.strip():
        raise SourceError(f"{text!r}: expected a class folder whose name is one line of text. Rename it.")
    return text
