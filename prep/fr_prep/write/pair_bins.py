"""Verification bins made of images: of pairs that are drawn, or of pairs that a list names."""

from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fr_data.bins.bins import BinError, decode_image, write_bin
from fr_data.files import require_output
from fr_data.images.pictures import encode_file, is_jpeg_or_png
from fr_prep.digests import sha256_of_file
from fr_prep.errors import SourceError
from fr_prep.files import write_error
from fr_prep.plan.plan import Plan
from fr_prep.plan.verification_pairs import PairSample, sample_pairs
from fr_prep.sources.bins.pairs_file import read_pairs_file
from fr_prep.sources.image_reader import ImageReader
from fr_prep.sources.image_set import ImagePlaces, ImageSet, ImageSource

__all__ = [
    "PairBin",
    "bin_bytes",
    "draw_bin",
    "draw_validation_pairs",
    "list_bin",
    "pair_warnings",
    "read_pair_images",
    "read_validation_images",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBin:
    """What became of images.

    Attributes:
        source: the folder of the images.
        pairs: how the pairs came about, in words.
        output: the bin.
        sha256: SHA-256 of it; None where nothing was written.
        num_pairs: pairs.
        num_same: pairs of one person.
        num_images: distinct files.
        num_folds: folds, each as many pairs in a row; None where nothing is known of them.
        warnings: what is odd, each a sentence.
    """

    source: Path
    pairs: str
    output: Path
    sha256: str | None
    num_pairs: int
    num_same: int
    num_images: int
    num_folds: int | None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Gives all of it as JSON values."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}


def draw_bin(
    source: ImageSource,
    output: Path,
    *,
    num_pairs: int,
    num_folds: int,
    seed: int,
    overwrite: bool = False,
    dry_run: bool = False,
) -> PairBin:
    """Writes a bin of pairs that are drawn from the classes of a source; see `sample_pairs`.

    Args:
        source: where the images come from.
        output: the bin.
        num_pairs: pairs.
        num_folds: folds.
        seed: seed of the draw.
        overwrite: replace a bin that is there.
        dry_run: write nothing.

    Raises:
        SourceError: if the source cannot be used, or has too few images for the pairs.
        OutputError: if the output is there, is something that is read, or is no file.
        OutputError: if it cannot be written.
    """
    target = require_output(output, overwrite=overwrite, sources=[source.path])
    images = source.read()
    try:
        sample = sample_pairs(images.labels, num_pairs=num_pairs, num_folds=num_folds, seed=seed)
    except ValueError as error:
        raise SourceError(f"{source.path}: {error}. Lower --num-pairs.") from error
    advice = "Mend or remove it, or leave it out by --on-error skip."
    entries = read_pair_images(images.places, sample, advice=advice)
    return PairBin(
        source=source.path,
        pairs=f"drawn, seed {seed}",
        output=output,
        sha256=None if dry_run else _write(target, entries, sample.same.tolist()),
        num_pairs=num_pairs,
        num_same=num_pairs // 2,
        num_images=len(np.union1d(sample.first, sample.second)),
        num_folds=num_folds,
        warnings=(*images.warnings, *pair_warnings(sample)),
    )


def list_bin(
    folder: Path, pairs_file: Path, output: Path, *, overwrite: bool = False, dry_run: bool = False
) -> PairBin:
    """Writes a bin of the pairs that a list names; see `read_pairs_file`.

    Args:
        folder: what the list's paths are relative to.
        pairs_file: the list.
        output: the bin.
        overwrite: replace a bin that is there.
        dry_run: write nothing.

    Raises:
        SourceError: if the list is none, or names a file that is no image.
        OutputError: if the output is there, is something that is read, or is no file.
        OutputError: if it cannot be written.
    """
    target = require_output(output, overwrite=overwrite, sources=[folder, pairs_file])
    pairs = read_pairs_file(pairs_file, folder)
    read = cache(_read_file)
    entries = [read(file) for file in pairs.files]
    return PairBin(
        source=folder,
        pairs=f"{pairs_file.name} ({pairs.kind})",
        output=output,
        sha256=None if dry_run else _write(target, entries, list(pairs.same)),
        num_pairs=len(pairs.same),
        num_same=sum(pairs.same),
        num_images=len(set(pairs.files)),
        num_folds=pairs.num_folds,
    )


def draw_validation_pairs(plan: Plan, *, num_pairs: int, seed: int) -> PairSample:
    """Draws pairs in 10 folds from the validation split of a plan; positions are rows of the source.

    Raises:
        SourceError: if there are too few images for the pairs.
    """
    rows = np.sort(np.concatenate(plan.splits["validation"]))
    try:
        sample = sample_pairs(plan.labels[rows], num_pairs=num_pairs, seed=seed)
    except ValueError as error:
        raise SourceError(
            f"The validation split: {error}. Lower --verification-pairs, or raise --validation-fraction."
        ) from error
    return replace(sample, first=rows[sample.first], second=rows[sample.second])


def read_validation_images(images: ImageSet, sample: PairSample) -> list[bytes]:
    """Reads the images of pairs that `draw_validation_pairs` drew, as `read_pair_images` does."""
    advice = "Convert its source with --decode --on-error skip, which leaves it out, or leave out --verification-pairs."
    return read_pair_images(images.places, sample, keys=images.keys, advice=advice)


def pair_warnings(sample: PairSample) -> list[str]:
    """Says what is odd about pairs."""
    if sample.has_disjoint_folds:
        return []
    return [
        "Folds of the verification bin share people, since there are too few, or too few with several images. So thresholds are "
        "chosen on people who are measured as well."
    ]


def bin_bytes(sample: PairSample, image_lengths: NDArray[np.int64]) -> int:
    """Gives how many bytes a bin takes; never less than it does."""
    return int(image_lengths[np.union1d(sample.first, sample.second)].sum()) + 32 * len(sample.same) + (1 << 12)


def read_pair_images(
    places: ImagePlaces,
    sample: PairSample,
    *,
    keys: NDArray[np.int64] | None = None,
    advice: str = "Mend or remove it.",
) -> list[bytes]:
    """Reads the images of pairs, each distinct one once, and decodes it to be sure of it.

    Args:
        places: (n) where the images lie.
        sample: the pairs.
        keys: (n,) int64, to name an image that cannot be decoded.
        advice: what to do about one, a sentence.

    Returns:
        2·P encoded images; pair i is entries 2i and 2i + 1.

    Raises:
        SourceError: if an image cannot be read, or not be decoded by evaluation.
    """
    rows, entries = np.unique(np.stack([sample.first, sample.second], axis=1), return_inverse=True)
    images = []
    with ImageReader(places.take(rows)) as reader:
        for index, row in enumerate(rows.tolist()):
            images.append(reader.read(index))
            key = "" if keys is None else f", key {int(keys[row])}"
            _require_decodable(images[-1], f"{places.describe(row)}{key}", advice)
    return [images[entry] for entry in entries.reshape(-1).tolist()]


def _read_file(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}.") from error
    image = data if is_jpeg_or_png(data) else encode_file(path)
    _require_decodable(image, str(path), "Mend it, or take it off the list.")
    return image


def _require_decodable(image: bytes, where: str, advice: str) -> None:
    try:
        decode_image(image)
    except BinError as error:
        raise SourceError(f"{where}: is no image that evaluation can decode: {error}. {advice}") from error


def _write(output: Path, entries: list[bytes], same: list[bool]) -> str:
    try:
        write_bin(output, entries, same)
    except OSError as error:
        raise write_error(output, error, then="try again") from error
    return sha256_of_file(output)
