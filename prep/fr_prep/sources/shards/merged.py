"""Several shard sets as one source of images: one class space, and source keys that stay unique."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import SourceError
from fr_prep.sources.image_set import ImagePlaces, ImageSet
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

__all__ = ["MergedSource", "SamePerson"]

SamePerson = Literal["never", "by name", "by source label"]
LARGEST_KEY = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class MergedSource:
    """Several data sets.

    Attributes:
        paths: their folders, in the order in which their classes are numbered.
        same_person: which classes of different sets are one person.
        split: which images are taken, and whether they stay in their split; see `choose_split`.
    """

    paths: tuple[Path, ...]
    same_person: SamePerson = "never"
    split: Split = "keep"

    @property
    def path(self) -> Path:
        """All folders, for an error."""
        return Path(", ".join(map(str, self.paths)))

    def files(self) -> tuple[Path, ...]:
        """Gives the files of all sets."""
        return tuple(file for path in self.paths for file in ShardFolderSource(path).files())

    def arguments(self) -> dict[str, Any]:
        """Who is one person, and which images are taken."""
        return {"same_person": self.same_person, "split": self.split}

    def start_digests(self, pool: WorkerPool) -> Callable[[], list[dict[str, Any]]]:
        """Starts checking the SHA-256 of every file of every set."""
        waiters = [ShardFolderSource(path).start_digests(pool) for path in self.paths]
        return lambda: [entry for wait in waiters for entry in wait()]

    def read(self) -> ImageSet:
        """Reads all sets, one behind the other.

        Raises:
            SourceError: if one cannot be used, is given twice, or has no names or no unique keys where they are needed.
        """
        sets = [read_labelled_shards(path) for path in self.paths]
        entries = [shards.entry() for shards in sets]
        _require_different(self.paths, [entry["manifest_sha256"] for entry in entries])
        first_keys, first_classes = _first_keys(sets), _first_classes(sets)
        for entry, first_key, first_class in zip(entries, first_keys, first_classes, strict=True):
            entry["first_key"] = first_key
            if self.same_person != "by source label":
                entry["first_source_label"] = first_class
        before = np.concatenate([shards.labels + first for shards, first in zip(sets, first_classes, strict=True)])
        new_labels, class_names, warnings = _number_people(sets, self.same_person)
        in_validation = np.concatenate([shards.in_validation for shards in sets])
        taken, validation, split_warnings = choose_split(self.path, in_validation, self.split)
        labels = new_labels[before]
        if validation is not None:
            split_warnings += warn_of_seen_people(before, labels, validation)
        rows = np.flatnonzero(taken)
        keys = np.concatenate([shards.images.keys + first for shards, first in zip(sets, first_keys, strict=True)])
        return ImageSet(
            path=self.path,
            dialect=f"{len(sets)} sets of shards of fr-prep",
            places=_join_places([shards.images.places for shards in sets]).take(rows),
            keys=keys[rows],
            labels=labels[rows],
            class_names=class_names,
            validation=None if validation is None else validation[rows],
            origin={"sets": entries},
            warnings=[*warnings, *_compare_sizes(sets), *split_warnings, *_bins_left_out(sets)],
        )


def _require_different(paths: Sequence[Path], digests: Sequence[str]) -> None:
    first = {digest: path for path, digest in reversed(list(zip(paths, digests, strict=True)))}
    for path, digest in zip(paths, digests, strict=True):
        if first[digest] != path or paths.count(path) > 1:
            raise SourceError(f"{path}: is the same set as {first[digest]}. Give each set once.")


def _first_keys(sets: Sequence[LabelledShards]) -> list[int]:
    """What is added to the keys of each set: the first number that the sets before it leave free."""
    first_keys, free = [], 0
    for shards in sets:
        keys = np.sort(shards.images.keys)
        again = keys[1:][keys[1:] == keys[:-1]]
        if len(again) or keys[0] < 0 or free + int(keys[-1]) > LARGEST_KEY:
            what = f"source_key {again[0]} stands there twice" if len(again) else f"received {keys[0]} to {keys[-1]}"
            raise SourceError(
                f"{shards.images.path}: expected unique source keys from 0 to {LARGEST_KEY - free}, {what}."
            )
        first_keys.append(free)
        free += int(keys[-1]) + 1
    return first_keys


def _first_classes(sets: Sequence[LabelledShards]) -> list[int]:
    return list(accumulate((len(shards.names) for shards in sets[:-1]), initial=0))


def _number_people(
    sets: Sequence[LabelledShards], same_person: SamePerson
) -> tuple[NDArray[np.int64], dict[int, str], list[str]]:
    """Gives one person one number, and every number a name of its own.

    Returns:
        (C,) int64, the source label in the merged set of each class of the first set, of the second, and so on; the names by
        that label; warnings.
    """
    source_labels = np.concatenate([shards.source_labels for shards in sets])
    labels = source_labels if same_person == "by source label" else np.arange(len(source_labels))
    names: dict[int, str] = {}
    owners: dict[str, int] = {}
    shared: list[str] = []
    row = 0
    for place, shards in enumerate(sets, start=1):
        nameless = _is_nameless(shards)
        if nameless and same_person == "by name":
            raise SourceError(
                f"{shards.images.path}: expected names of people, its classes have numbers only. If all sets number people alike, "
                "use --by-source-label."
            )
        for source_label, name in zip(shards.source_labels.tolist(), shards.names, strict=True):
            made_by_overlay = name == new_class_name(source_label)  # such a name is nobody's
            if same_person == "by name" and not made_by_overlay:
                labels[row] = owners.get(name, row)
            label = int(labels[row])
            row += 1
            if label in names:
                continue
            new_name = new_class_name(label) if made_by_overlay else str(label) if nameless else name
            if new_name in owners:
                shared.append(new_name)
            while new_name in owners:
                new_name = f"{new_name}@{place}"
            names[label], owners[new_name] = new_name, label
    if not shared:
        return labels, names, []
    warning = (
        f"{len(shared)} names, such as {shared[0]!r}, stand for different people of several sets; the later ones have the place of "
        "their set behind the name, as in `name@2`. Take them as one person by --by-name."
    )
    return labels, names, [warning]


def _is_nameless(shards: LabelledShards) -> bool:
    return all(
        name in (str(label), new_class_name(label))
        for label, name in zip(shards.source_labels.tolist(), shards.names, strict=True)
    )


def _join_places(parts: Sequence[ImagePlaces]) -> ImagePlaces:
    first_files = accumulate((len(places.files) for places in parts[:-1]), initial=0)
    return ImagePlaces(
        folder=Path(),
        files=tuple(str(places.folder / file) for places in parts for file in places.files),
        file_numbers=np.concatenate(
            [places.file_numbers + first for places, first in zip(parts, first_files, strict=True)]
        ),
        record_offsets=np.concatenate([places.record_offsets for places in parts]),
        image_offsets=np.concatenate([places.image_offsets for places in parts]),
        image_lengths=np.concatenate([places.image_lengths for places in parts]),
    )


def _bins_left_out(sets: Sequence[LabelledShards]) -> list[str]:
    manifests = [shards.manifest for shards in sets if "verification_bin" in shards.manifest.content]
    bins = ", ".join(str(manifest.folder / manifest.content["verification_bin"]["file"]) for manifest in manifests)
    return [f"Verification bins are left out, since people in them may be in another set: {bins}."] if bins else []


def _compare_sizes(sets: Sequence[LabelledShards]) -> list[str]:
    images = [shards.manifest.content["image"] for shards in sets]
    sizes = [f"{image['height']} x {image['width']}" if image["height"] else "several sizes" for image in images]
    return [f"The sets have images of different sizes: {', '.join(sizes)}."] if len(set(sizes)) > 1 else []
