"""From a folder of shards back to `train.rec`, `train.idx` and `property`, as InsightFace lays them out."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fr_data.files import remove_drafts, whole_files
from fr_data.system import preallocate
from fr_prep.errors import OutputError, SourceError
from fr_prep.export.record_frames import RecordFrames, frame_lengths
from fr_prep.files import write_error
from fr_prep.sources.image_set import ImagePlaces
from fr_prep.sources.record_sets.image_records import IMAGE_HEADER, pack_image_record
from fr_prep.sources.record_sets.recordio import MAX_RECORD_BYTES, RecordWriter
from fr_prep.sources.shards.labelled_shards import read_labelled_shards
from fr_prep.sources.shards.shard_folder import ShardFolderSource
from fr_prep.sources.source_states import file_states, require_unchanged
from fr_prep.workers.pool import LocalPool
from fr_prep.write.output_folder import OutputFolder, require_free_names

__all__ = ["RecordExport", "RecordExportSettings", "export_records", "plan_record_export", "require_free_files"]

RECORD_FILES = ("train.rec", "train.idx", "property")  # in the order in which they appear
EXACT_FLOAT32 = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordExportSettings:
    """What the user may choose.

    Attributes:
        split: which images.
        plain: image records alone, with keys from 0, as im2rec writes them.
        num_workers: processes that check the shards; they change nothing in the result.
        overwrite: replace the files that are there.
        quiet: no progress bar.
    """

    split: Literal["train", "validation", "all"] = "train"
    plain: bool = False
    num_workers: int = 1
    overwrite: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.num_workers < 1:
            raise ValueError(f"expected at least 1 worker, received {self.num_workers}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordExport:
    """A record set that is planned, or written.

    Attributes:
        places: (n) where the images lie, in the order of writing: by class, then by source key.
        labels: (n,) int64, 0 to `num_classes` - 1, ascending.
        num_classes: C.
        height: of the images, or of most of them.
        width: likewise.
        left_out: images of the splits that are left out, by split.
        num_bytes: bytes of the `.rec`, of which records that must be split need a few more.
        warnings: what is odd, each a sentence.
    """

    places: ImagePlaces
    labels: NDArray[np.int64]
    num_classes: int
    height: int
    width: int
    left_out: dict[str, int]
    num_bytes: int
    warnings: list[str]


def plan_record_export(folder: Path, settings: RecordExportSettings) -> RecordExport:
    """Reads everything of a data set but its images, and puts them in order; writes nothing.

    Raises:
        SourceError: if the set cannot be used, has no such split, or more classes than a float32 label can tell apart.
    """
    shards = read_labelled_shards(folder)
    splits = shards.manifest.content["splits"]
    if settings.split == "all":
        taken, first_class, num_classes = np.ones_like(shards.in_validation), 0, shards.manifest.num_classes
    elif settings.split in splits:
        taken = shards.in_validation == (settings.split == "validation")
        first_class, num_classes = (splits[settings.split][key] for key in ("first_class", "num_classes"))
    else:
        raise SourceError(f"{folder}: expected a {settings.split} split, there is none. Leave out --split.")
    rows = np.flatnonzero(taken)
    rows = rows[np.lexsort((shards.images.keys[rows], shards.labels[rows]))]
    places, labels = shards.images.places.take(rows), shards.labels[rows] - first_class
    if labels[0] < 0 or labels[-1] >= num_classes:
        raise SourceError(
            f"{folder}: expected classes {first_class} to {first_class + num_classes - 1} in the {settings.split} split, received "
            f"others. Convert the set again."
        )
    if num_classes > EXACT_FLOAT32:
        raise SourceError(
            f"{folder}: expected at most {EXACT_FLOAT32:,} classes, received {num_classes:,}: labels of a record set are float32, "
            "which tells no more of them apart."
        )
    if int(places.image_lengths.max()) > MAX_RECORD_BYTES - IMAGE_HEADER.size:
        row = int(np.argmax(places.image_lengths))
        raise SourceError(
            f"{places.describe(row)}: expected an image shorter than 2^29 - 24 bytes, which a record holds."
        )
    height, width, warnings = _image_size(shards.manifest.content["image"])
    num_others = 0 if settings.plain else 1 + num_classes
    if num_others and len(rows) + num_others > EXACT_FLOAT32:
        warnings.append(
            f"The header record and the identity records name keys up to {len(rows) + num_others:,}, which are float32 and exact "
            f"only to {EXACT_FLOAT32:,}: whoever trusts them is off by a few images. Labels are exact. Leave them out by --plain."
        )
    num_empty = num_classes - len(np.unique(labels))
    if num_empty:
        warnings.append(f"{num_empty:,} of {num_classes:,} classes have no image here; their labels stay free.")
    return RecordExport(
        places=places,
        labels=labels,
        num_classes=num_classes,
        height=height,
        width=width,
        left_out={name: split["num_images"] for name, split in splits.items() if settings.split not in (name, "all")},
        num_bytes=int(frame_lengths(places.image_lengths).sum()) + 40 * num_others,
        warnings=warnings,
    )


def _image_size(summary: dict[str, Any]) -> tuple[int, int, list[str]]:
    """Gives the height and width for `property`."""
    common = max(summary["kinds"], key=lambda kind: int(kind["num_images"]))
    height, width = int(common["height"]), int(common["width"])
    if summary["height"] is not None:
        return height, width, []
    return height, width, [f"Images have different sizes; property states that of most of them, {height} x {width}."]


def export_records(folder: Path, out: Path, *, settings: RecordExportSettings) -> RecordExport:
    """Writes the images of a data set to `train.rec`, grouped by class, with `train.idx` and `property`.

    Args:
        folder: the data set's folder.
        out: the folder of the new files; other files there are left alone.
        settings: the user's choices.

    Raises:
        SourceError: if the set cannot be used, is damaged, or changed while it was read.
        OutputError: if files are there, or cannot be written.
        WorkerError: if a worker process died.
    """
    source = ShardFolderSource(folder)
    before = file_states(source)
    with OutputFolder(out), LocalPool(settings.num_workers) as pool:
        require_free_files(out, overwrite=settings.overwrite)
        remove_drafts(out, RECORD_FILES.__contains__)
        wait_for_digests = source.start_digests(pool)
        export = plan_record_export(folder, settings)
        _require_space(out, export.num_bytes)
        try:
            # At every moment the `.rec` that is there is whole, and an `.idx` belongs to it.
            with whole_files(out, RECORD_FILES) as draft:
                _write_files(export, [draft / name for name in RECORD_FILES], settings)
                wait_for_digests()
                require_unchanged(source, before)
        except OSError as error:
            raise write_error(out, error, then="try again") from error
    return export


def require_free_files(out: Path, *, overwrite: bool) -> None:
    """Refuses a folder that `export_records` would refuse; writes nothing.

    Raises:
        OutputError: if the folder cannot be one, or holds files of a record set that are not to be replaced.
    """
    require_free_names(out, RECORD_FILES, overwrite=overwrite)


def _require_space(out: Path, num_bytes: int) -> None:
    free_bytes = shutil.disk_usage(out).free
    if free_bytes < num_bytes:
        raise OutputError(
            f"{out}: expected about {num_bytes:,} bytes of free space, {free_bytes:,} are left. "
            "Free some, or choose another folder."
        )


def _write_files(export: RecordExport, paths: list[Path], settings: RecordExportSettings) -> None:
    with paths[0].open("wb") as rec, paths[1].open("wb") as idx, paths[2].open("wb") as property_file:
        preallocate(rec.fileno(), export.num_bytes)
        key = 0
        with tqdm(
            total=len(export.labels),
            unit=" images",
            unit_scale=True,
            desc="Writing records",
            disable=settings.quiet or None,
        ) as bar:
            for offsets, num_images in _write_records(export, rec, plain=settings.plain):
                idx.write("".join(f"{number}\t{offset}\n" for number, offset in enumerate(offsets, start=key)).encode())
                key += len(offsets)
                bar.update(num_images)
        property_file.write(f"{export.num_classes},{export.height},{export.width}".encode())


def _write_records(export: RecordExport, file: BinaryIO, *, plain: bool) -> Iterator[tuple[list[int], int]]:
    """Writes all records; yields the byte offsets of some, in the order of their keys, and how many of those are images."""
    writer = RecordWriter(file)
    num_images, num_classes = len(export.labels), export.num_classes

    def append_range(first: int, past_last: int, key: int) -> int:
        return writer.write(pack_image_record([float(first), float(past_last)], key=key))

    if not plain:
        yield [append_range(num_images + 1, num_images + 1 + num_classes, 0)], 0
    with RecordFrames(export.places, export.labels, first_key=0 if plain else 1) as frames:
        for offsets in frames.write(file, writer):
            yield offsets.tolist(), len(offsets)
    if not plain:
        limits = (1 + np.searchsorted(export.labels, np.arange(num_classes + 1))).tolist()
        keys = range(num_images + 1, num_images + 1 + num_classes)
        yield [append_range(*limit, key) for limit, key in zip(pairwise(limits), keys, strict=True)], 0
