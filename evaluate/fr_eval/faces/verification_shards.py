"""Verification pairs from a bin, or from a folder of shards that `fr-prep bin2tfrecord` made of one."""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fr_data.bins.bins import VerificationBin, read_bin
from fr_eval.errors import BinError

__all__ = ["read_pairs"]

FORMAT_VERSION = 1
KIND = "verification pairs"
MANIFEST_FILE = "manifest.json"
ENTRY_KIND = "record of a shard"
_INTEGERS = ("pair", "same", "side")
_FRAME = struct.Struct("<Q4x")  # a record's length, and its CRC; the shard's SHA-256 vouches for both
_FOOTER_BYTES = 4


def read_pairs(path: str | os.PathLike[str]) -> VerificationBin:
    """Reads verification pairs; images are not decoded.

    Args:
        path: a bin, or a folder of shards, of which the SHA-256 of each is checked.

    Returns:
        The pairs, in the order of the bin. Of a folder, `sha256` is that of its manifest, which names those of the shards.

    Raises:
        BinError: the bin is refused, or the folder is none of verification pairs, or a shard is not what the manifest says.
    """
    path = Path(path)
    return _read_folder(path) if path.is_dir() else read_bin(path, check_images=False)


def _read_folder(folder: Path) -> VerificationBin:
    text = _read_file(folder / MANIFEST_FILE)
    images: list[bytes] = []
    numbers = []
    try:
        manifest = json.loads(text)
        _require_kind(folder, manifest)
        name, num_pairs = str(manifest["name"]), int(manifest["num_pairs"])
        for shard in manifest["splits"]["test"]["shards"]:
            shard_images, shard_numbers = _read_shard(folder / shard["file"], shard["sha256"])
            images += shard_images
            numbers.append(shard_numbers)
        pair, same, side = np.concatenate(numbers, axis=1)
        if len(images) != 2 * num_pairs:
            raise ValueError(f"its manifest promises {num_pairs} pairs, its shards hold {len(images)} images")
        if (2 * pair + side != np.arange(len(images))).any() or not np.isin([same, side], (0, 1)).all():
            raise ValueError("its images are not in the order of the pairs")
        if (same[0::2] != same[1::2]).any():
            raise ValueError("the images of a pair disagree whether it shows one person")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise BinError(f"{folder}: is no sound set of {KIND}: {what}; convert the bin again") from error
    digest = hashlib.sha256(text).hexdigest()
    kinds = {ENTRY_KIND: len(images)}
    return VerificationBin(images, same[0::2] == 1, folder, digest, kinds, protocol=None, given_name=name)


def _require_kind(folder: Path, manifest: Mapping[str, Any]) -> None:
    kind = manifest.get("kind", "faces")
    if kind != KIND:
        bin_ = manifest.get("verification_bin")
        advice = f"; perhaps you mean its bin, {folder / str(bin_['file'])}" if bin_ else ""
        raise BinError(f"{folder}: expected a set of {KIND}, received one of {kind}{advice}")
    if manifest["format_version"] != FORMAT_VERSION:
        version = manifest["format_version"]
        raise BinError(f"{folder}: expected format version {FORMAT_VERSION}, received {version}; update fr-toolkit")


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BinError(
            f"{path}: is missing; expected a verification bin, or the folder that `fr-prep bin2tfrecord` made of one"
        ) from error
    except OSError as error:
        raise BinError(f"{path}: cannot be read: {error.strerror}") from error


def _read_shard(path: Path, sha256: str) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """Gives the n images of a shard, and pair, same and side of each, (3, n)."""
    import tensorflow as tf  # noqa: PLC0415  TensorFlow takes seconds to import, and only folders need it

    data = _read_file(path)
    received = hashlib.sha256(data).hexdigest()
    if received != sha256:
        raise BinError(f"{path}: expected SHA-256 {sha256}, received {received}; see `fr-prep verify {path.parent}`")
    records, offset = [], 0
    try:
        while offset < len(data):
            (length,) = _FRAME.unpack_from(data, offset)
            records.append(data[offset + _FRAME.size : offset + _FRAME.size + length])
            offset += _FRAME.size + length + _FOOTER_BYTES
        integer = tf.io.FixedLenFeature([], tf.int64)
        wanted = {"image": tf.io.FixedLenFeature([], tf.string), **dict.fromkeys(_INTEGERS, integer)}
        features = tf.io.parse_example(records, wanted)
    except (struct.error, tf.errors.InvalidArgumentError) as error:
        raise ValueError(f"{path.name} does not hold what it should") from error
    return features["image"].numpy().tolist(), np.stack([features[name].numpy() for name in _INTEGERS])
