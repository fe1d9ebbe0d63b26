"""Digests of files and texts."""

import hashlib
from pathlib import Path

from fr_prep.errors import SourceError

__all__ = ["sha256_of_file", "sha256_of_text"]


def sha256_of_file(path: Path) -> str:
    """Gives the SHA-256 of a file, in hexadecimal.

    Raises:
        SourceError: if the file cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}.") from error


def sha256_of_text(text: str) -> str:
    """Gives the SHA-256, in hexadecimal, of a text as UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
