"""A folder of shards as the trainer sees it: what its manifest says. The format is `docs/shard-format.md`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fr_train.errors import ShardSetError

__all__ = ["ShardSet", "read_shard_set"]

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class ShardSet:
    """A finished data set.

    Attributes:
        folder: where it stands.
        num_classes: dense classes of the train split; its labels are 0 to num_classes - 1.
        image_size: (height, width) of the images; the most frequent one where they differ.
        uniform_size: whether all images have that size.
        files: split → its shard files, in order.
        num_images: split → its images.
        digest: of the manifest's list of shards; two sets with the same digest hold the same records.
    """

    folder: Path
    num_classes: int
    image_size: tuple[int, int]
    uniform_size: bool
    files: Mapping[str, tuple[Path, ...]]
    num_images: Mapping[str, int]
    digest: str


def read_shard_set(folder: Path) -> ShardSet:
    """Reads the manifest of a data set and looks whether its shards are there.

    Raises:
        ShardSetError: if there is no finished set, it has a later format, or a shard is missing or of another size.
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
    return shard_set


def _parse(folder: Path, manifest: Mapping[str, Any]) -> ShardSet:
    splits = manifest["splits"]
    kinds = sorted(manifest["image"]["kinds"], key=lambda kind: -kind["num_images"])
    return ShardSet(
        folder=folder,
        num_classes=_count_classes(splits["train"]),
        image_size=(int(kinds[0]["height"]), int(kinds[0]["width"])),
        uniform_size=manifest["image"]["height"] is not None,
        files={name: tuple(folder / shard["file"] for shard in split["shards"]) for name, split in splits.items()},
        num_images={name: int(split["num_images"]) for name, split in splits.items()},
        digest=" ".join(shard["sha256"][:8] for split in splits.values() for shard in split["shards"][:64]),
    )


def _count_classes(train: Mapping[str, Any]) -> int:
    if train["first_class"] != 0:
        raise ValueError(f"expected a train split whose classes begin at 0, received {train['first_class']}")
    return int(train["num_classes"])
