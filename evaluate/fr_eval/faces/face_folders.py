"""Class folders as faces to identify: `<person>/…/<image>`, at any depth below the person's folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fr_data.images.decode import guess_format
from fr_eval.errors import FaceSetError
from fr_eval.faces.identity_sets import IdentitySet

__all__ = ["is_image", "read_face_folders", "walk_files"]

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp"}
_MAX_NAMED = 3  # files that a warning names


def read_face_folders(folder: Path) -> IdentitySet:
    """Lists the images of class folders. Names are sorted as bytes; hidden files and folders are no images.

    Args:
        folder: holds a folder a person.

    Raises:
        FaceSetError: there are no images, or a folder cannot be listed.
    """
    paths: list[Path] = []
    labels: list[int] = []
    names: list[str] = []
    others: list[Path] = []
    for entry in _sort_entries(folder):
        if not entry.is_dir():
            others.append(entry)
            continue
        images: list[Path] = []
        for path in walk_files(entry):
            (images if is_image(path) else others).append(path)
        if images:
            paths += images
            labels += [len(names)] * len(images)
            names.append(entry.name)
    if not paths:
        raise FaceSetError(f"{folder}: holds no images in class folders; expected {folder}/<person>/<image>")
    warnings = []
    if others:
        named = ", ".join(str(path.relative_to(folder)) for path in others[:_MAX_NAMED])
        more = ", …" if len(others) > _MAX_NAMED else ""
        warnings.append(
            f"{folder}: {len(others)} files are no images of a class folder, and were passed over: {named}{more}"
        )
    return IdentitySet(
        folder,
        names,
        np.array(labels, np.int64),
        lambda index: paths[index].read_bytes(),
        lambda index: str(paths[index]),
        tuple(warnings),
    )


def _sort_entries(folder: Path) -> list[Path]:
    try:
        names = [name for name in os.listdir(folder) if not name.startswith(".")]  # noqa: PTH208  bytes sort as names do
    except OSError as error:
        raise FaceSetError(f"{folder}: cannot be listed: {error.strerror}") from error
    return [folder / name for name in sorted(names, key=os.fsencode)]


def walk_files(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Yields all files below a folder, sorted by their names' bytes; hidden ones are left out, links are followed.

    Raises:
        FaceSetError: a folder cannot be listed, or a link leads in a circle.
    """
    status = folder.stat()
    own = (status.st_dev, status.st_ino)
    if own in above:
        raise FaceSetError(f"{folder}: leads back to a folder above it; remove the link")
    for entry in _sort_entries(folder):
        if entry.is_dir():
            yield from walk_files(entry, above | {own})
        else:
            yield entry


def is_image(path: Path) -> bool:
    """Whether a file is named like an image, or begins like one."""
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return (guess_format(file.read(64)) or "").endswith("image")
    except OSError as error:
        raise FaceSetError(f"{path}: cannot be read: {error.strerror}") from error
