"""Shards of `fr-prep` as faces to identify, by their record table; the format is docs/shard-format.md."""

import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fr_eval.digests import hash_file
from fr_eval.errors import FaceSetError
from fr_eval.faces.identity_sets import IdentitySet

__all__ = ["MANIFEST_FILE", "read_face_shards"]

MANIFEST_FILE = "manifest.json"
FORMAT_VERSION = 1
KIND = "faces"


def read_face_shards(folder: Path) -> IdentitySet:
    """Opens a set of shards, after a check of the SHA-256 of each file.

    Args:
        folder: shards of all splits, class index, record table and manifest.

    Raises:
        FaceSetError: the folder is no set of faces, or a file is missing or is not what the manifest says.
    """
    import pandas as pd  # noqa: PLC0415  pandas takes a while to import

    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_bytes())
        _require_faces(folder, manifest)
        shards = [shard for split in manifest["splits"].values() for shard in split["shards"]]
        for file in (manifest["class_index"], manifest["record_table"], *shards):
            _check_digest(folder / file["file"], file["sha256"])
        classes = pd.read_csv(folder / manifest["class_index"]["file"], dtype={"name": str}, keep_default_na=False)
        records = np.load(folder / manifest["record_table"]["file"], allow_pickle=False)
        counts = [shard["num_records"] for shard in shards]
        if len(records) != sum(counts) or not np.isin(records["label"], classes["class"]).all():
            raise ValueError("its record table does not fit its shards or classes")
    except OSError as error:
        raise FaceSetError(
            f"{error.filename}: cannot be read: {error.strerror}; see `fr-prep verify {folder}`"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise FaceSetError(f"{folder}: is no sound set of {KIND}: {what}; see `fr-prep verify {folder}`") from error
    paths = [folder / shard["file"] for shard in shards]
    views = [_map(path) for path in paths]
    shard_of_record = np.repeat(np.arange(len(shards)), counts)
    offsets, lengths = records["image_offset"], records["image_length"]

    def read(index: int) -> bytes:
        start = int(offsets[index])
        return bytes(views[shard_of_record[index]][start : start + int(lengths[index])])

    def locate(index: int) -> str:
        key = records["source_key"][index]
        return f"{paths[shard_of_record[index]]}, byte {offsets[index]}, source key {key}"

    names = classes.sort_values("class")["name"].tolist()
    return IdentitySet(folder, names, records["label"].astype(np.int64), read, locate)


def _require_faces(folder: Path, manifest: Mapping[str, Any]) -> None:
    kind, version = manifest.get("kind", KIND), manifest["format_version"]
    if kind != KIND:
        raise FaceSetError(
            f"{folder}: expected a set of {KIND}; received one of {kind}, which `fr-eval` takes as a BIN"
        )
    if version != FORMAT_VERSION:
        raise FaceSetError(f"{folder}: expected format version {FORMAT_VERSION}; received {version}; update fr-toolkit")


def _check_digest(path: Path, expected: str) -> None:
    received = hash_file(path)
    if received != expected:
        raise FaceSetError(
            f"{path}: expected SHA-256 {expected}; received {received}; see `fr-prep verify {path.parent}`"
        )


def _map(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
