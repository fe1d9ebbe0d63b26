"""A shard set whose labels are set right by an overlay, as a source of images."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fr_data.shards.overlay import DROP, read_overlay, relabel
from fr_prep.errors import SourceError
from fr_prep.sources.image_set import ImageSet
from fr_prep.sources.shards.labelled_shards import (
    LabelledShards,
    Split,
    choose_split,
    new_class_name,
    read_labelled_shards,
    warn_of_seen_people,
)
from fr_prep.sources.shards.shard_folder import ShardFolderSource
from fr_prep.workers.pool import WorkerPool

__all__ = ["RewrittenSource"]


@dataclass(frozen=True, slots=True)
class RewrittenSource:
    """A data set, as it is or with an overlay on it.

    Attributes:
        path: its folder.
        overlay: the overlay's file, if there is one.
        split: which images are taken, and whether they stay in their split; see `choose_split`.
    """

    path: Path
    overlay: Path | None = None
    split: Split = "keep"

    def files(self) -> tuple[Path, ...]:
        """Gives the files of the set, and the overlay."""
        return (*ShardFolderSource(self.path).files(), *([self.overlay] if self.overlay else []))

    def arguments(self) -> dict[str, Any]:
        """Which images are taken."""
        return {"split": self.split}

    def start_digests(self, pool: WorkerPool) -> Callable[[], list[dict[str, Any]]]:
        """Starts checking the SHA-256 of every file of the set."""
        return ShardFolderSource(self.path).start_digests(pool)

    def read(self) -> ImageSet:
        """Reads the set and sets its labels right. Its verification bin goes along where it stays true, and its people unseen.

        An image that moves gets the target's source label, so that class index and records agree. A new class gets a source
        label above all that the set has, in the order of the numbers in the overlay.
        """
        shards = read_labelled_shards(self.path)
        taken, validation, warnings = choose_split(self.path, shards.in_validation, self.split)
        origin: dict[str, Any] = {"sets": [shards.entry()]}
        num_classes, numbers = len(shards.names), shards.labels
        if self.overlay:
            overlay = read_overlay(self.overlay)
            numbers = relabel(
                overlay,
                keys=shards.images.keys,
                labels=shards.labels,
                num_classes=num_classes,
                in_train=~shards.in_validation if self.split in ("keep", "train") else np.ones_like(taken),
            )
            changed = numbers[taken] != shards.labels[taken]
            num_dropped = int((numbers[taken] == DROP).sum())
            origin["overlay"] = {
                "sha256": overlay.sha256,
                "num_rows": len(overlay.classes.numbers) + len(overlay.records.numbers),
                "num_moved": int(changed.sum()) - num_dropped,
                "num_dropped": num_dropped,
            }
        relabelled, rows = numbers, np.flatnonzero(taken & (numbers != DROP))
        if not len(rows):
            raise SourceError(f"{self.overlay}: drops all images of {self.path}.")
        if validation is not None:
            warnings += warn_of_seen_people(shards.labels[rows], numbers[rows], validation[rows])
        numbers, first_new = numbers[rows], int(shards.source_labels.max()) + 1
        is_new = numbers >= num_classes
        labels = np.where(is_new, numbers - num_classes + first_new, shards.source_labels[np.where(is_new, 0, numbers)])
        bin_ = shards.manifest.content.get("verification_bin")
        if bin_ and (reason := self._bin_fault(shards, relabelled)):
            warnings.append(f"{bin_['file']} is left out: {reason}.")
            bin_ = None
        new_names = {label: new_class_name(label) for label in np.unique(labels[is_new]).tolist()}
        return replace(
            shards.images,
            places=shards.images.places.take(rows),
            keys=shards.images.keys[rows],
            labels=labels,
            class_names={**shards.images.class_names, **new_names},
            validation=None if validation is None else validation[rows],
            verification_bin=bin_,
            origin=origin,
            warnings=warnings,
        )

    def _bin_fault(self, shards: LabelledShards, numbers: NDArray[np.int64]) -> str:
        """Says why the bin of the validation split cannot go along, or "" if it can."""
        if self.split not in ("keep", "train"):
            return "people in it may be trained on now"
        num_changed = int((numbers != shards.labels)[shards.in_validation].sum())
        if num_changed:
            return f"the overlay moves or drops {num_changed:,} images of the validation split, which it was drawn from"
        return ""
