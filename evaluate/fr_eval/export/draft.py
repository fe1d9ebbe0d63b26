"""A file or folder that appears whole or not at all, whoever writes it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fr_eval.errors import EvalError

__all__ = ["write_draft"]


@contextmanager
def write_draft(path: Path) -> Iterator[Path]:
    """Gives a path to write to, in `<name>.incomplete/`; when the block has ended well, what is there takes its place.

    The draft has the final name, since programs go by endings. What was at that place stays until then.

    Raises:
        EvalError: it cannot be written.
    """
    folder = path.with_name(f"{path.name}.incomplete")
    draft = folder / path.name
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield draft
        _sync(draft)
        if path.is_dir():
            path.replace(folder / "replaced")  # a folder takes the place of none that holds something
        draft.replace(path)
    except OSError as error:
        raise EvalError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    """Waits until a file, or all files of a folder, are on the disk."""
    for file in (path, *path.rglob("*")) if path.is_dir() else (path,):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
