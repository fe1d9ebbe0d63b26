"""A folder of our own shards with its classes and splits: what rewriting and merging start from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fr_prep.digests import sha256_of_file
from fr_prep.errors import SourceError
from fr_prep.sources.image_set import ImageSet
from fr_prep.sources.shards.shard_folder import ShardFolderSource, read_class_index
from fr_prep.write.manifest import MANIFEST_FILE, Manifest, read_manifest
from fr_prep.write.record_table import read_record_table

__all__ = ["LabelledShards", "Split", "choose_split", "new_class_name", "read_labelled_shards", "warn_of_seen_people"]

Split = Literal["keep", "pool", "train", "validation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledShards:
    """A finished data set.

    Attributes:
        images: its images, in the order of the shards.
        manifest: its manifest.
        labels: (n,) int64, the dense class of each image.
        in_validation: (n,) bool, which images are in the validation split.
        source_labels: (C,) int64, the source's label of each dense class.
        names: the name of each dense class, C of them.
    """

    images: ImageSet
    manifest: Manifest
    labels: NDArray[np.int64]
    in_validation: NDArray[np.bool_]
    source_labels: NDArray[np.int64]
    names: list[str]

    def entry(self) -> dict[str, Any]:
        """Gives what a manifest says of a set that it was made from."""
        return {
            "name": self.manifest.name,
            "manifest_sha256": sha256_of_file(self.manifest.folder / MANIFEST_FILE),
            "num_images": self.manifest.num_images,
            "num_classes": self.manifest.num_classes,
        }


def read_labelled_shards(path: Path) -> LabelledShards:
    """Reads everything of a data set but the images.

    Raises:
        SourceError: if it cannot be used.
    """
    images = ShardFolderSource(path).read()
    manifest, classes = read_manifest(path), read_class_index(path)
    splits = manifest.content["splits"]
    return LabelledShards(
        images=images,
        manifest=manifest,
        labels=read_record_table(path, manifest.num_images)["label"].astype(np.int64),
        in_validation=np.repeat(
            [name == "validation" for name in splits], [split["num_images"] for split in splits.values()]
        ),
        source_labels=classes["source_label"].to_numpy(dtype=np.int64),
        names=classes["name"].tolist(),
    )


def choose_split(
    path: Path, in_validation: NDArray[np.bool_], split: Split
) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None, list[str]]:
    """Says which images are taken, and what becomes of the splits.

    Args:
        path: the set, for an error.
        in_validation: (n,) bool, the images of its validation split.
        split: `keep` takes all and leaves each in its split; `pool` takes all, to be divided anew; else one split is taken.

    Returns:
        (n,) bool, the images that are taken; (n,) bool, those that are kept in a validation split, or None; and warnings.

    Raises:
        SourceError: if there is no validation split to take.
    """
    num_validation = int(in_validation.sum())
    if split == "validation" and not num_validation:
        raise SourceError(f"{path}: expected a validation split, there is none. Leave out --split.")
    taken = {"train": ~in_validation, "validation": in_validation}.get(split, np.ones_like(in_validation))
    pooled = (
        f"The {num_validation} images of the validation split were pooled with the others: they may be trained on now."
    )
    return (
        taken,
        in_validation if split == "keep" and num_validation else None,
        [pooled] if split == "pool" and num_validation else [],
    )


def warn_of_seen_people(
    before: NDArray[np.int64], after: NDArray[np.int64], in_validation: NDArray[np.bool_]
) -> list[str]:
    """Says how many people of a validation split, none of whose images was trained on, are trained on now.

    Args:
        before: (n,) int64, the class of each image before classes were put together.
        after: (n,) int64, its class now.
        in_validation: (n,) bool, the images of the validation split.
    """
    unseen = after[in_validation & ~np.isin(before, before[~in_validation])]
    seen = np.intersect1d(unseen, after[~in_validation])
    return (
        [f"People of the validation split, unseen by training before, who are trained on now: {len(seen)}."]
        if len(seen)
        else []
    )


def new_class_name(source_label: int) -> str:
    """Gives the name of a class that an overlay made."""
    return f"new-{source_label}"
