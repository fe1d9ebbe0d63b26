"""Embeddings of the images of a bin: decoded in threads ahead of the network, each distinct image once."""

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fr_eval.bins import VerificationBin
from fr_eval.errors import BinError
from fr_eval.images import decode_image
from fr_eval.models import Embedder

__all__ = ["DecodedBin", "Embeddings", "decode_bin", "embed_bin"]

_BATCHES_AHEAD = 3  # decoded before the network asks for them; bounds the memory


@dataclass(frozen=True, eq=False)
class Embeddings:
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


def decode_bin(bin_: VerificationBin, size: tuple[int, int], *, workers: int = 2) -> DecodedBin:
    """Decodes all distinct images of a bin; those of another size are resized, bilinear.

    Args:
        bin_: the bin.
        size: (height, width) of the images.
        workers: threads.

    Returns:
        The images; an image of 112 × 112 takes 37,632 bytes.

    Raises:
        BinError: an image is damaged.
    """
    first, inverse = _find_unique(bin_.images)
    images = np.empty((len(first), *size, 3), np.uint8)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for row, image in enumerate(pool.map(lambda index: _decode_entry(bin_, index, size), first)):
            images[row] = image
    return DecodedBin(images, inverse)


def embed_bin(
    bin_: VerificationBin,
    embedder: Embedder,
    *,
    batch_size: int = 64,
    mirror: bool = True,
    workers: int = 2,
    decoded: DecodedBin | None = None,
    progress: bool = False,
) -> Embeddings:
    """Embeds every image of a bin, and its mirrored image.

    Args:
        bin_: the bin.
        embedder: the network.
        batch_size: images that go through the network at a time.
        mirror: embed the mirrored images as well.
        workers: threads that decode.
        decoded: the bin's decoded images, from `decode_bin`; without them the images are streamed.
        progress: show a bar on stderr, where that is a terminal.

    Returns:
        The embeddings, in the bin's order.

    Raises:
        BinError: an image is damaged.
        ModelError: decoded images are not of the model's size.
    """
    if batch_size < 1:
        raise ValueError(f"expected a batch size of at least 1; received {batch_size}")
    if decoded is None:
        first, inverse = _find_unique(bin_.images)
        num_unique = len(first)
        batches = _stream_batches(bin_, first, embedder.input_size, batch_size=batch_size, workers=workers)
    else:
        inverse, num_unique = decoded.inverse, len(decoded.images)
        batches = (decoded.images[start : start + batch_size] for start in range(0, num_unique, batch_size))
    plain, mirrored = [], []
    for batch in _show(batches, num_unique, name=bin_.name, enabled=progress):
        plain.append(embedder.embed(batch, batch_size=batch_size))
        if mirror:
            mirrored.append(embedder.embed(batch[:, :, ::-1], batch_size=batch_size))
    return Embeddings(
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


def _decode_entry(bin_: VerificationBin, index: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    try:
        return decode_image(bin_.images[index], size=size)
    except BinError as error:
        raise BinError(f"{bin_.path}: entry {index} (pair {index // 2}): {error}") from error


def _stream_batches(
    bin_: VerificationBin, first: list[int], size: tuple[int, int], *, batch_size: int, workers: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yields batches of decoded images, a few batches ahead of their use."""

    def submit(pool: ThreadPoolExecutor, start: int) -> list[Future[npt.NDArray[np.uint8]]]:
        return [pool.submit(_decode_entry, bin_, index, size) for index in first[start : start + batch_size]]

    pool = ThreadPoolExecutor(max(1, workers))
    try:
        ahead: deque[list[Future[npt.NDArray[np.uint8]]]] = deque()
        for start in range(0, len(first), batch_size):
            ahead.append(submit(pool, start))
            if len(ahead) > _BATCHES_AHEAD:
                yield np.stack([future.result() for future in ahead.popleft()])
        while ahead:
            yield np.stack([future.result() for future in ahead.popleft()])
    finally:
        # Also when the consumer stops early: what is queued need not be decoded any more.
        pool.shutdown(cancel_futures=True)


def _show(
    batches: Iterable[npt.NDArray[np.uint8]], total: int, *, name: str, enabled: bool
) -> Iterator[npt.NDArray[np.uint8]]:
    """Passes batches on, with a progress bar that counts images."""
    from tqdm import tqdm  # noqa: PLC0415  training imports this module, and has its own bar

    silent = not enabled or not sys.stderr.isatty()
    with tqdm(total=total, desc=name, unit="image", file=sys.stderr, disable=silent, leave=False) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))
