"""SHA-256 of files and folders, which reports name models by."""

import hashlib
from pathlib import Path

__all__ = ["hash_file", "hash_path"]


def hash_file(path: Path) -> str:
    """Gives the SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_path(path: Path) -> str:
    """Gives the SHA-256 of a file, or of a folder: of the lines that `sha256sum` prints of its files, sorted by name."""
    if not path.is_dir():
        return hash_file(path)
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    lines = [f"{hash_file(path / file)}  {file}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
