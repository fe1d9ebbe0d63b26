"""A folder of shards as the trainer sees it: what its manifest says. The format is `docs/shard-format.md`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fr_data.errors import OverlayError
from fr_data.shards.overlay import DROP, Overlay, relabel
from fr_train.data.records.table import read_record_table
from fr_train.errors import ShardSetError

__all__ = ["Relabelling", "ShardSet", "read_shard_set"]

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class Relabelling:
    """What an overlay makes of the train split.

    Attributes:
        labels: (n,) int32, the dense class of each record, in the order of the shards; `DROP` where it is left out.
        num_moved: records that are in another class than before.
    """

    labels: NDArray[np.int32]
    num_moved: int

    def describe(self) -> str:
        """Says in a line what the overlay does, for the user."""
        counts = self.images_per_class()
        num_dropped = len(self.labels) - int(counts.sum())
        return f"{self.num_moved:,} images moved, {num_dropped:,} dropped; {counts.sum():,} in {len(counts):,} classes"

    def images_per_class(self) -> NDArray[np.int64]:
        """(C,) int64, how many images each class has."""
        return np.bincount(self.labels[self.labels != DROP])


@dataclass(frozen=True, slots=True)
class ShardSet:
    """A finished data set.

    Attributes:
        folder: where it stands.
        num_classes: dense classes of the train split; its labels are 0 to num_classes - 1.
        image_size: (height, width) of the images; the most frequent one where they differ.
        uniform_size: whether all images have that size.
        files: split → its shard files, in order.
        num_records: split → the records of each of them.
        num_images: split → its images; of train those that an overlay leaves.
        digest: of the train shards' SHA-256; two sets with the same digest hold the same records.
        record_table_sha256: of the record table.
        relabelling: what an overlay makes of the labels; None leaves them as they are in the shards.
    """

    folder: Path
    num_classes: int
    image_size: tuple[int, int]
    uniform_size: bool
    files: Mapping[str, tuple[Path, ...]]
    num_records: Mapping[str, tuple[int, ...]]
    num_images: Mapping[str, int]
    digest: str
    record_table_sha256: str
    relabelling: Relabelling | None = None


def read_shard_set(folder: Path, *, overlay: Overlay | None = None) -> ShardSet:
    """Reads the manifest of a data set and looks whether its shards are there.

    Args:
        folder: the data set's folder.
        overlay: what its labels should have been.

    Raises:
        ShardSetError: if there is no finished set, it has a later format, or a shard is missing or of another size.
        OverlayError: if the overlay does not fit the set, or leaves nothing to train on.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise ShardSetError(
            f"{folder}: expected a folder of shards with {MANIFEST_FILE}, which is missing. "
            "Make one with `fr-prep rec2tfrecord SRC OUT`, or finish it with --resume."
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format_version"]
        if version != FORMAT_VERSION:
            raise ShardSetError(
                f"{path}: expected format version {FORMAT_VERSION}, received {version}. "
                "Use the fr-toolkit that wrote it, or convert again."
            )
        if manifest.get("kind", "faces") != "faces":
            raise ShardSetError(f"{folder}: expected a set of faces, received {manifest['kind']}. Give it by --bins.")
        shard_set = _parse(folder, manifest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ShardSetError(
            f"{path}: is no manifest of a data set ({type(error).__name__}: {error}). Convert the set again."
        ) from error
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            file = folder / shard["file"]
            if not file.is_file() or file.stat().st_size != shard["num_bytes"]:
                raise ShardSetError(
                    f"{file}: expected a shard of {shard['num_bytes']} bytes, it is "
                    + (f"{file.stat().st_size} bytes long" if file.is_file() else "missing")
                    + f". See what is wrong with `fr-prep verify {folder}`."
                )
    return _relabel(shard_set, manifest, overlay) if overlay else shard_set


def _relabel(shard_set: ShardSet, manifest: Mapping[str, Any], overlay: Overlay) -> ShardSet:
    splits = shard_set.num_images
    num_records = sum(splits.values())
    table = read_record_table(shard_set.folder, sha256=shard_set.record_table_sha256, num_records=num_records)
    keys, before = table["source_key"].astype(np.int64), table["label"].astype(np.int64)
    in_train = np.repeat([name == "train" for name in splits], list(splits.values()))
    num_classes = int(manifest["num_classes"])
    if before.min() < 0 or before.max() >= num_classes:
        raise ShardSetError(
            f"{shard_set.folder}: expected classes 0 to {num_classes - 1}, the record table has {before.min()} to {before.max()}. "
            f"See `fr-prep verify {shard_set.folder}`."
        )
    numbers = relabel(overlay, keys=keys, labels=before, num_classes=num_classes, in_train=in_train)
    before, numbers = before[in_train], numbers[in_train]
    kept = numbers != DROP
    classes, dense = np.unique(numbers[kept], return_inverse=True)
    if len(classes) < 2:
        raise OverlayError(
            f"{overlay.path}: expected at least 2 classes to train on, {len(classes)} are left. Drop fewer."
        )
    labels = np.full(len(numbers), DROP, dtype=np.int32)
    labels[kept] = dense
    return replace(
        shard_set,
        num_classes=len(classes),
        num_images={**splits, "train": int(kept.sum())},
        relabelling=Relabelling(labels, int((numbers != before)[kept].sum())),
    )


def _parse(folder: Path, manifest: Mapping[str, Any]) -> ShardSet:
    splits = manifest["splits"]
    kinds = sorted(manifest["image"]["kinds"], key=lambda kind: -kind["num_images"])
    return ShardSet(
        folder=folder,
        num_classes=_count_classes(splits["train"]),
        image_size=(int(kinds[0]["height"]), int(kinds[0]["width"])),
        uniform_size=manifest["image"]["height"] is not None,
        files={name: tuple(folder / shard["file"] for shard in split["shards"]) for name, split in splits.items()},
        num_records={name: tuple(shard["num_records"] for shard in split["shards"]) for name, split in splits.items()},
        num_images={name: int(split["num_images"]) for name, split in splits.items()},
        digest=hashlib.sha256("".join(shard["sha256"] for shard in splits["train"]["shards"]).encode()).hexdigest(),
        record_table_sha256=manifest["record_table"]["sha256"],
    )


def _count_classes(train: Mapping[str, Any]) -> int:
    if train["first_class"] != 0:
        raise ValueError(f"expected a train split whose classes begin at 0, received {train['first_class']}")
    return int(train["num_classes"])
