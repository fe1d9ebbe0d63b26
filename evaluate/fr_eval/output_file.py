"""Text files that appear whole or not at all."""

import os
from pathlib import Path

from fr_eval.errors import EvalError

__all__ = ["write_whole"]


def write_whole(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file: first `<name>.incomplete`, which takes the name when it is on disk.

    Args:
        path: the file; one that is there is replaced.
        text: written as UTF-8, line ends as they are.

    Raises:
        EvalError: the file cannot be written.
    """
    path = Path(path)
    draft = path.with_name(f"{path.name}.incomplete")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise EvalError(f"{path}: cannot be written: {error.strerror or error}") from error
