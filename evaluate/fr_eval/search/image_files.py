"""Embeddings of image files, with word of those that cannot be aligned faces as they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from fr_data.images.decode import decode_image
from fr_eval.errors import BinError, FaceSetError
from fr_eval.faces.face_folders import is_image, walk_files
from fr_eval.models.embedder import Embedder, Embeddings, Images
from fr_eval.models.image_stream import show_progress, stream_images

__all__ = ["EmbeddedFiles", "embed_files", "list_images"]

OnError = Literal["fail", "skip"]


@dataclass(frozen=True, eq=False)
class EmbeddedFiles:
    """Embeddings of the images that could be read.

    Attributes:
        paths: N files.
        embeddings: float32, shape (N, D), not normalised; each finite and not zero.
        sizes: (height, width) of each image as it is stored, shape (N, 2).
        input_size: (height, width) that all were brought to.
        failures: file and reason of those that were left out.
    """

    paths: list[Path]
    embeddings: Embeddings = field(repr=False)
    sizes: npt.NDArray[np.int64] = field(repr=False)
    input_size: tuple[int, int]
    failures: dict[Path, str]

    def describe_sizes(self) -> list[str]:
        """Says of each image what was done to bring it to the network's size; nothing where it had that."""
        height, width = self.input_size
        remarks = []
        for own_height, own_width in self.sizes.tolist():
            done = "resized" if own_height * width == own_width * height else "resized and distorted"
            has_size = (own_height, own_width) == self.input_size
            remarks.append("" if has_size else f"{own_width} x {own_height}, {done} to {width} x {height}")
        return remarks


def list_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """Lists the images in a folder, at any depth, sorted by their names' bytes; and the other files.

    Raises:
        FaceSetError: it is no folder, cannot be listed, or holds no images.
    """
    if not folder.is_dir():
        raise FaceSetError(f"{folder}: expected a folder of images; there is none of that name")
    images: list[Path] = []
    others: list[Path] = []
    for path in walk_files(folder):
        (images if is_image(path) else others).append(path)
    if not images:
        raise FaceSetError(f"{folder}: holds no images")
    return images, others


def embed_files(
    embedder: Embedder,
    paths: Sequence[Path],
    *,
    mirror: bool = True,
    batch_size: int = 64,
    workers: int | None = None,
    on_error: OnError = "fail",
    progress: bool = False,
) -> EmbeddedFiles:
    """Embeds image files; no more than a few batches of images are in memory.

    Args:
        embedder: the network; images of another size than its own are resized.
        paths: the files.
        mirror: embed f(x) + f(mirror(x)), and not f(x).
        batch_size: images that go through the network at a time.
        workers: threads that decode; one a core by default.
        on_error: what to do about an image that cannot be read or embedded: end, or leave it out and say so.
        progress: show a bar on stderr, where that is a terminal.

    Raises:
        FaceSetError: an image cannot be read, or its embedding has no direction; or, of `skip`, not one could be.
    """
    sizes = np.zeros((len(paths), 2), np.int64)
    failures: dict[int, str] = {}

    def fail(index: int, reason: str) -> None:
        if on_error == "fail":
            raise FaceSetError(f"{paths[index]}: {reason}")
        failures[index] = reason

    def load(index: int) -> Images:
        try:
            data = paths[index].read_bytes()
            image = decode_image(data)
            sizes[index] = image.shape[:2]
            return image if image.shape[:2] == embedder.input_size else decode_image(data, size=embedder.input_size)
        except OSError as error:
            fail(index, f"cannot be read: {error.strerror}")
        except BinError as error:
            fail(index, str(error))
        return np.zeros((*embedder.input_size, 3), np.uint8)

    embeddings = np.empty((len(paths), embedder.embedding_size), np.float32)
    start = 0
    batches = stream_images(load, len(paths), batch_size=batch_size, workers=workers)
    for batch in show_progress(batches, len(paths), name="images", enabled=progress):
        found = embedder.embed(batch, mirror=mirror, batch_size=batch_size)
        for row in np.flatnonzero(~np.isfinite(found).all(axis=1) | ~found.any(axis=1)):
            fail(start + int(row), "its embedding is NaN, infinite or zero: has the model's training diverged?")
        embeddings[start : start + len(batch)] = found
        start += len(batch)
    kept = [index for index in range(len(paths)) if index not in failures]
    if not kept:
        raise FaceSetError(f"not one of {len(paths)} images could be embedded; the first: {paths[0]}: {failures[0]}")
    return EmbeddedFiles(
        paths=[paths[index] for index in kept],
        embeddings=embeddings[kept] if failures else embeddings,
        sizes=sizes[kept],
        input_size=embedder.input_size,
        failures={paths[index]: failures[index] for index in sorted(failures)},
    )
