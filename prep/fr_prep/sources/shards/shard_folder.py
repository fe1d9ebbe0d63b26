"""A folder of our own shards as a source of images: to clean it, to merge it, to give it back as a record set."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fr_prep.digests import sha256_of_file
from fr_prep.errors import ShardError, SourceError
from fr_prep.sources.image_set import ImagePlaces, ImageSet
from fr_prep.workers.pool import WorkerPool
from fr_prep.write.manifest import CLASS_INDEX_FILE, MANIFEST_FILE, Manifest, read_manifest
from fr_prep.write.record_table import RECORDS_FILE, read_record_table

__all__ = ["ShardFolderSource", "read_class_index"]


@dataclass(frozen=True, slots=True)
class ShardFolderSource:
    """A finished data set.

    Attributes:
        path: its folder.
    """

    path: Path

    def files(self) -> tuple[Path, ...]:
        """Gives the manifest, what stands beside the shards, and the shards."""
        return tuple(self.path / name for name in _read(self.path).file_names()[::-1])

    def arguments(self) -> dict[str, Any]:
        """None of its own."""
        return {}

    def start_digests(self, pool: WorkerPool) -> Callable[[], list[dict[str, Any]]]:
        """Starts checking the SHA-256 of every file, so that no damaged byte is handed on; the manifest stands for all."""
        manifest = _read(self.path)
        digests = {**{shard["file"]: shard["sha256"] for shard in manifest.shards()}, **manifest.tables()}
        waiters = [pool.submit(partial(_require_digest, self.path / name, digest)) for name, digest in digests.items()]

        def wait() -> list[dict[str, Any]]:
            for waiter in waiters:
                waiter()
            path = self.path / MANIFEST_FILE
            return [{"file": path.name, "num_bytes": path.stat().st_size, "digest": f"sha256:{sha256_of_file(path)}"}]

        return wait

    def read(self) -> ImageSet:
        """Reads manifest, class index and record table; labels are the source's labels of the class index."""
        manifest = _read(self.path)
        shards = manifest.shards()
        counts = np.array([shard["num_records"] for shard in shards], dtype=np.int64)
        try:
            records = read_record_table(self.path, manifest.num_images)
            classes = read_class_index(self.path)
        except ShardError as error:
            raise SourceError(str(error)) from error
        labels, offsets = records["label"], records["image_offset"].astype(np.int64)
        file_numbers = np.repeat(np.arange(len(shards)), counts)
        ends = offsets + records["image_length"]
        sizes = np.array([shard["num_bytes"] for shard in shards], dtype=np.int64)
        if labels.min() < 0 or labels.max() >= len(classes) or offsets.min() < 0 or (ends > sizes[file_numbers]).any():
            raise SourceError(
                f"{self.path / RECORDS_FILE}: names classes or places that are not there. Convert the set again."
            )
        source_labels = classes["source_label"].to_numpy(dtype=np.int64)
        return ImageSet(
            path=self.path,
            dialect=f"shards of fr-prep ({manifest.name})",
            places=ImagePlaces(
                folder=self.path,
                files=tuple(shard["file"] for shard in shards),
                file_numbers=file_numbers,
                record_offsets=offsets,
                image_offsets=offsets,
                image_lengths=records["image_length"].astype(np.int64),
            ),
            keys=records["source_key"].astype(np.int64),
            labels=source_labels[labels],
            class_names=dict(zip(source_labels.tolist(), classes["name"].tolist(), strict=True)),
        )


def read_class_index(folder: Path) -> pd.DataFrame:
    """Reads the class index of a data set: class, source_label, name, num_images and the images in each split.

    Raises:
        ShardError: if it cannot be read, or its classes are not 0 to C - 1.
    """
    path = folder / CLASS_INDEX_FILE
    try:
        table = pd.read_csv(path, dtype={"name": str}, keep_default_na=False)
        if table["class"].tolist() != list(range(len(table))) or not len(table):
            raise ValueError("expected classes 0 to C - 1, one a line")
        table[["source_label", "num_images"]].astype(np.int64)
        table["name"].astype(str)
    except (OSError, ValueError, KeyError) as error:
        raise ShardError(f"{path}: cannot be read ({error}). Convert the set again.") from error
    return table


def _read(path: Path) -> Manifest:
    try:
        return read_manifest(path)
    except ShardError as error:
        raise SourceError(str(error)) from error


def _require_digest(path: Path, expected: str) -> None:
    received = sha256_of_file(path)
    if received != expected:
        raise SourceError(
            f"{path}: expected SHA-256 {expected}, received {received}. The set is damaged: see `fr-prep verify {path.parent}`."
        )
