"""What is compared of images: a digest of their bytes, and perceptual hashes of their pixels."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Self

import imagehash
import numpy as np
from numpy.typing import NDArray

from fr_data.images.pictures import load_picture
from fr_prep.sources.image_reader import ImageReader
from fr_prep.sources.image_set import ImagePlaces
from fr_prep.survey.pixels import to_eight_bits
from fr_prep.workers.pool import WorkerPool

__all__ = ["HASH_WORDS", "Fingerprints", "hash_picture", "take_fingerprints"]

CHUNK_BYTES = 1 << 20  # of images that a worker reads at once
HASH_WORDS = 5
_FINE_SIZE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprints:
    """What is compared of n images.

    Attributes:
        digests: (n, 2) uint64, the first 128 bits of the SHA-256 of the encoded image.
        hashes: (n, `HASH_WORDS`) uint64, as `hash_picture` gives them, 0 where that failed; (0, `HASH_WORDS`) if not asked for.
        problems: row of each image that cannot be decoded → why, ascending.
    """

    digests: NDArray[np.uint64]
    hashes: NDArray[np.uint64]
    problems: dict[int, str]

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Gives the fingerprints of some rows, in that order."""
        places = {row: place for place, row in enumerate(rows.tolist())} if self.problems else {}
        return type(self)(
            digests=self.digests[rows],
            hashes=self.hashes[rows] if len(self.hashes) else self.hashes,
            problems={places[row]: reason for row, reason in self.problems.items() if row in places},
        )

    def picture_words(self) -> NDArray[np.uint64]:
        """Gives (n, `HASH_WORDS`) uint64 that are the same for the same hashes; of what cannot be decoded, for the same bytes."""
        words = self.hashes.copy()
        rows = np.array(list(self.problems), dtype=np.int64)
        words[rows] = ~np.uint64(0)
        words[rows, : self.digests.shape[1]] = self.digests[rows]
        return words

    def hashed_rows(self) -> NDArray[np.int64]:
        """(h,) int64, the rows that have a hash."""
        return np.setdiff1d(np.arange(len(self.hashes)), np.array(list(self.problems), dtype=np.int64))


def hash_picture(image: bytes) -> NDArray[np.uint64]:
    """Gives the perceptual hashes (pHash: which low frequencies of the picture are above their median) of an encoded image.

    Returns:
        (`HASH_WORDS`,) uint64: the hash of 8 × 8 frequencies in the first word, the one of 16 × 16 in the other four.

    Raises:
        ValueError: if the image cannot be decoded; says why.
    """
    picture = to_eight_bits(load_picture(image).image, "L")
    bits = [imagehash.phash(picture, hash_size=size).hash.reshape(-1) for size in (8, _FINE_SIZE)]
    return np.packbits(np.concatenate(bits)).view(">u8").astype(np.uint64)


def take_fingerprints(
    images: ImagePlaces | Sequence[bytes], *, perceptual: bool, pool: WorkerPool, advance: Callable[[int], object]
) -> Fingerprints:
    """Reads images once and fingerprints them, in parallel.

    Args:
        images: where they lie, or themselves.
        perceptual: decode them and take perceptual hashes as well.
        pool: the workers.
        advance: is told of each few images that are done, how many they are.

    Raises:
        SourceError: if they cannot be read.
    """
    if isinstance(images, ImagePlaces):
        lengths = images.image_lengths
    else:
        lengths = np.array([len(image) for image in images], dtype=np.int64)
    cuts = np.flatnonzero(np.diff(np.cumsum(lengths) // CHUNK_BYTES)) + 1
    bounds = list(pairwise([0, *cuts.tolist(), len(images)]))
    digests = np.empty((len(images), 2), dtype=np.uint64)
    hashes = np.empty((len(images) if perceptual else 0, HASH_WORDS), dtype=np.uint64)
    problems: dict[int, str] = {}
    for position, chunk in pool.run(_make_task(images, *limits, perceptual=perceptual) for limits in bounds):
        start, end = bounds[position]
        digests[start:end] = chunk.digests
        if perceptual:
            hashes[start:end] = chunk.hashes
        problems.update({start + row: reason for row, reason in chunk.problems.items()})
        advance(end - start)
    return Fingerprints(digests=digests, hashes=hashes, problems=dict(sorted(problems.items())))


def _make_task(
    images: ImagePlaces | Sequence[bytes], start: int, end: int, *, perceptual: bool
) -> Callable[[], Fingerprints]:
    if isinstance(images, ImagePlaces):
        return partial(_fingerprint_places, images.take(np.arange(start, end)), perceptual)
    return partial(_fingerprint, images[start:end], perceptual)


def _fingerprint_places(places: ImagePlaces, perceptual: bool) -> Fingerprints:
    ends = np.cumsum(places.image_lengths)
    memory = memoryview(bytearray(int(ends[-1])))
    limits = zip((ends - places.image_lengths).tolist(), ends.tolist(), strict=True)
    images = [memory[start:end] for start, end in limits]
    with ImageReader(places) as reader:
        reader.read_into(images, 0)
    return _fingerprint(images, perceptual)


def _fingerprint(images: Sequence[bytes | memoryview], perceptual: bool) -> Fingerprints:
    digests, hashes, problems = [], [], {}
    for row, image in enumerate(images):
        digests.append(hashlib.sha256(image).digest()[:16])
        if not perceptual:
            continue
        try:
            hashes.append(hash_picture(bytes(image)))
        except ValueError as error:
            problems[row] = str(error)
            hashes.append(np.zeros(HASH_WORDS, dtype=np.uint64))
    return Fingerprints(
        digests=np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2),
        hashes=np.array(hashes, dtype=np.uint64).reshape(-1, HASH_WORDS),
        problems=problems,
    )
