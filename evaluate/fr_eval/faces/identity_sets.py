"""Faces with the people that they show, and their embeddings."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fr_data.images.decode import decode_image
from fr_eval.errors import BinError, FaceSetError
from fr_eval.models.embedder import Embedder, Embeddings, Images
from fr_eval.models.image_stream import show_progress, stream_images

__all__ = ["IdentityEmbeddings", "IdentitySet", "embed_identities"]


@dataclass(frozen=True, eq=False)
class IdentitySet:
    """N encoded images of I people.

    Attributes:
        path: the folder.
        names: of the people; those of equal names are the same in another set.
        labels: the person of each image, 0 to I − 1, shape (N,).
        read: gives the bytes of image i; threads may call it.
        locate: says where image i is, for messages.
        warnings: what was passed over, in sentences.
    """

    path: Path
    names: list[str] = field(repr=False)
    labels: npt.NDArray[np.int64] = field(repr=False)
    read: Callable[[int], bytes] = field(repr=False)
    locate: Callable[[int], str] = field(repr=False)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class IdentityEmbeddings:
    """Embeddings of an identity set.

    Attributes:
        names: of the people.
        labels: the person of each image, shape (N,).
        embeddings: float32, shape (N, D), not normalised; each finite and not zero.
        hashes: equal for equal files, of this process alone, shape (N,).
    """

    names: list[str] = field(repr=False)
    labels: npt.NDArray[np.int64] = field(repr=False)
    embeddings: Embeddings = field(repr=False)
    hashes: npt.NDArray[np.int64] = field(repr=False)


def embed_identities(
    embedder: Embedder,
    faces: IdentitySet,
    *,
    mirror: bool = True,
    batch_size: int = 64,
    workers: int | None = None,
    progress: bool = False,
) -> IdentityEmbeddings:
    """Embeds all images of a set.

    Args:
        embedder: the network; images of another size than its own are resized.
        faces: the set.
        mirror: embed f(x) + f(mirror(x)), and not f(x).
        batch_size: images that go through the network at a time.
        workers: threads that decode; one a core by default.
        progress: show a bar on stderr, where that is a terminal.

    Raises:
        FaceSetError: an image is damaged, or its embedding is NaN, infinite or zero.
    """
    num_images = len(faces.labels)
    hashes = np.empty(num_images, np.int64)

    def load(index: int) -> Images:
        try:
            data = faces.read(index)
            hashes[index] = hash(data)
            return decode_image(data, size=embedder.input_size)
        except OSError as error:
            raise FaceSetError(f"{faces.locate(index)}: cannot be read: {error.strerror}") from error
        except BinError as error:
            raise FaceSetError(f"{faces.locate(index)}: {error}") from error

    embeddings = np.empty((num_images, embedder.embedding_size), np.float32)
    start = 0
    batches = stream_images(load, num_images, batch_size=batch_size, workers=workers)
    for batch in show_progress(batches, num_images, name=faces.path.name, enabled=progress):
        found = embedder.embed(batch, mirror=mirror, batch_size=batch_size)
        bad = np.flatnonzero(~np.isfinite(found).all(axis=1) | ~found.any(axis=1))
        if len(bad):
            raise FaceSetError(
                f"{faces.locate(start + bad[0])}: expected an embedding with a direction; received NaN, infinite values or "
                "zeros only. Has the model's training diverged, or is it fed another pixel scaling?"
            )
        embeddings[start : start + len(batch)] = found
        start += len(batch)
    return IdentityEmbeddings(faces.names, faces.labels, embeddings, hashes)
