"""Embeddings of the images of a bin: decoded in threads ahead of the network, each distinct image once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fr_data.bins.bins import VerificationBin
from fr_data.images.decode import decode_image
from fr_eval.errors import BinError
from fr_eval.models.embedder import Embedder, Images
from fr_eval.models.image_stream import show_progress, stream_images

__all__ = ["BinEmbeddings", "DecodedBin", "decode_bin", "embed_bin"]


@dataclass(frozen=True, eq=False)
class BinEmbeddings:
    """Embeddings of a bin's images, not normalised.

    Attributes:
        plain: f(x), float32, shape (2·P, D).
        mirrored: f(mirror(x)), of the same shape; None where it was not asked for.
    """

    plain: npt.NDArray[np.float32] = field(repr=False)
    mirrored: npt.NDArray[np.float32] | None = field(repr=False)


@dataclass(frozen=True, eq=False)
class DecodedBin:
    """A bin's distinct images, decoded: to be kept where a bin is evaluated after each epoch.

    Attributes:
        images: RGB, uint8, shape (U, H, W, 3).
        inverse: shape (2·P,): entry i of the bin is image `inverse[i]`.
    """

    images: npt.NDArray[np.uint8] = field(repr=False)
    inverse: npt.NDArray[np.int64] = field(repr=False)


def decode_bin(bin_: VerificationBin, size: tuple[int, int], *, workers: int | None = None) -> DecodedBin:
    """Decodes all distinct images of a bin; those of another size are resized, bilinear.

    Args:
        bin_: the bin.
        size: (height, width) of the images.
        workers: threads; one a core by default.

    Returns:
        The images; an image of 112 × 112 takes 37,632 bytes.

    Raises:
        BinError: an image is damaged.
    """
    first, inverse = _find_unique(bin_.images)
    images = np.empty((len(first), *size, 3), np.uint8)
    start = 0
    for batch in stream_images(_make_loader(bin_, first, size), len(first), workers=workers):
        images[start : start + len(batch)] = batch
        start += len(batch)
    return DecodedBin(images, inverse)


def embed_bin(
    bin_: VerificationBin,
    embedder: Embedder,
    *,
    batch_size: int = 64,
    mirror: bool = True,
    workers: int | None = None,
    decoded: DecodedBin | None = None,
    progress: bool = False,
) -> BinEmbeddings:
    """Embeds every image of a bin, and its mirrored image.

    Args:
        bin_: the bin.
        embedder: the network.
        batch_size: images that go through the network at a time.
        mirror: embed the mirrored images as well.
        workers: threads that decode; one a core by default.
        decoded: the bin's decoded images, from `decode_bin`; without them the images are streamed.
        progress: show a bar on stderr, where that is a terminal.

    Returns:
        The embeddings, in the bin's order.

    Raises:
        BinError: an image is damaged.
        ModelError: decoded images are not of the model's size, or the network fails.
    """
    batches: Iterator[Images]
    if decoded is None:
        first, inverse = _find_unique(bin_.images)
        load = _make_loader(bin_, first, embedder.input_size)
        batches = stream_images(load, len(first), batch_size=batch_size, workers=workers)
    else:
        inverse, images = decoded.inverse, decoded.images
        batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    plain, mirrored = [], []
    name = f"{embedder.name}, {bin_.name}"
    for batch in show_progress(batches, int(inverse.max()) + 1, name=name, enabled=progress):
        plain.append(embedder.embed(batch, batch_size=batch_size))
        if mirror:
            mirrored.append(embedder.embed(batch[:, :, ::-1], batch_size=batch_size))
    return BinEmbeddings(
        plain=np.concatenate(plain)[inverse],
        mirrored=np.concatenate(mirrored)[inverse] if mirror else None,
    )


def _find_unique(images: list[bytes]) -> tuple[list[int], npt.NDArray[np.int64]]:
    """Gives the entry where each distinct image is first met, and for each entry its distinct image."""
    rows: dict[bytes, int] = {}
    first: list[int] = []
    inverse = np.empty(len(images), np.int64)
    for index, image in enumerate(images):
        row = rows.setdefault(image, len(first))
        if row == len(first):
            first.append(index)
        inverse[index] = row
    return first, inverse


def _make_loader(bin_: VerificationBin, first: list[int], size: tuple[int, int]) -> Callable[[int], Images]:
    """Gives the function that decodes a distinct image by its number."""

    def load(row: int) -> Images:
        index = first[row]
        try:
            return decode_image(bin_.images[index], size=size)
        except BinError as error:
            raise BinError(f"{bin_.path}: entry {index} (pair {index // 2}): {error}") from error

    return load
