"""Files that are whole or not there, and what to say where they cannot be written."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fr_data.files import INCOMPLETE_SUFFIX
from fr_prep.errors import OutputError

__all__ = ["INCOMPLETE_SUFFIX", "is_folder", "sync", "sync_files", "write_bytes", "write_error", "write_text"]


def write_text(path: Path, text: str) -> None:
    """Writes a small file so that it is whole or not there, also after a power failure."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes a file so that it is whole or not there, also after a power failure."""
    partial = path.with_name(path.name + INCOMPLETE_SUFFIX)
    with _named_in_errors(path), partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; one that cannot even be asked about, such as a name that is too long, is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def sync(path: Path) -> None:
    """Waits until a file's bytes, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with _named_in_errors(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(paths: Iterable[Path]) -> None:
    """Waits until files are on the disk. One that cannot get there is removed, to be written again.

    The kernel tells of a failed write once; after that the file looks whole until its pages leave memory.

    Raises:
        OSError: the first one, when all were tried.
    """
    errors = []
    for path in paths:
        try:
            sync(path)
        except OSError as error:
            path.unlink(missing_ok=True)
            errors.append(error)
    if errors:
        raise errors[0]


@contextmanager
def _named_in_errors(path: Path) -> Iterator[None]:
    """Has an error say which file it is about; that of a write or a sync, unlike that of an opening, does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_error(path: Path, error: OSError, *, then: str = "go on with --resume") -> OutputError:
    """Says why a file cannot be written, and what to do."""
    advice = {
        errno.ENOSPC: f"The disk is full: free some space, then {then}.",
        errno.EDQUOT: f"The disk quota is used up: free some space, then {then}.",
        errno.EACCES: "Give the folder write permission, or choose another one.",
        errno.EROFS: "Choose a folder that can be written.",
    }.get(error.errno or 0, f"Mend that, then {then}.")
    named = Path(error.filename or "")
    file = path if named.parent == Path() else named  # `shutil.rmtree` gives names without their folder
    return OutputError(f"{file}: cannot be written: {error.strerror or error}. {advice}")
