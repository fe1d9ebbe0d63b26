"""Verification pairs as a source: bins, which `fr_data.bins.bins` reads, and the shards that `bin2tfrecord` makes of them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fr_data.bins.bins import BinError, VerificationBin, read_bin
from fr_data.tfrecord.example import PAIR_FEATURES
from fr_data.tfrecord.example_reader import parse_features
from fr_data.tfrecord.frames import iterate_records
from fr_prep.digests import sha256_of_file
from fr_prep.errors import ShardError, SourceError
from fr_prep.write.manifest import KINDS, MANIFEST_FILE, VERIFICATION_PAIRS, Manifest, read_manifest

__all__ = ["holds_pairs", "read_pairs", "read_verification_bin"]


def holds_pairs(path: Path) -> bool:
    """Whether a path is a bin by its name, or a folder of shards that was made of one."""
    if not (path / MANIFEST_FILE).is_file():
        return path.suffix == ".bin" and not path.is_dir()
    return read_manifest(path, kinds=KINDS).kind == VERIFICATION_PAIRS


def read_pairs(path: Path) -> VerificationBin:
    """Reads a bin or a folder of shards; images are not decoded.

    Raises:
        SourceError: if it is refused.
    """
    if not path.is_dir():
        return read_verification_bin(path, check_images=False)
    try:
        manifest = read_manifest(path, kinds=[VERIFICATION_PAIRS])
        found = list(_read_shards(manifest))
    except ShardError as error:
        raise SourceError(str(error)) from error
    images = [image for image, _ in found]
    num_pairs = manifest.content["num_pairs"]
    if [place for _, (*place, _) in found] != [[entry // 2, entry % 2] for entry in range(2 * num_pairs)]:
        raise SourceError(
            f"{path}: expected the images of {num_pairs} pairs in their order, received others: see `fr-prep verify {path}`."
        )
    return VerificationBin(
        images=images,
        issame=np.array([same == 1 for _, (_, _, same) in found[::2]], dtype=np.bool_),
        path=path,
        sha256=sha256_of_file(path / MANIFEST_FILE),
        entry_kinds={"record of a shard": len(images)},
        protocol=None,
        given_name=manifest.name,
    )


def _read_shards(manifest: Manifest) -> Iterator[tuple[bytes, tuple[int, int, int]]]:
    """Yields image, and pair, side and same, of each record.

    Raises:
        ShardError: if a shard is not what the manifest says.
    """
    for shard in manifest.shards():
        path = manifest.folder / shard["file"]
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != shard["sha256"]:
                raise ValueError("it has another SHA-256 than the manifest says")
            for _, record in iterate_records(memoryview(data), name=str(path)):
                features = parse_features(record, names=PAIR_FEATURES)
                image = record[features.image_start : features.image_start + features.image_length]
                yield bytes(image), (features.integers["pair"], features.integers["side"], features.integers["same"])
        except OSError as error:
            raise ShardError(f"{path}: cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise ShardError(f"{path}: is damaged: {error}. See `fr-prep verify {manifest.folder}`.") from error


def read_verification_bin(path: Path, *, check_images: bool = True) -> VerificationBin:
    """Reads a bin.

    Args:
        path: the file.
        check_images: decode each of its images once, to be sure of it.

    Raises:
        SourceError: if the bin is refused: no pickle of images, a program, damaged images, wrong counts.
    """
    try:
        return read_bin(path, check_images=check_images)
    except BinError as error:
        raise SourceError(str(error)) from error
