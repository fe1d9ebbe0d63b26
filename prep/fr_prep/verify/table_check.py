"""Checking what stands beside the shards, and what of it can be relied on."""

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import ShardError
from fr_prep.verify.problems import Problem, unreadable
from fr_prep.write.manifest import CLASS_INDEX_FILE, MANIFEST_FILE, Manifest, manifest_digest
from fr_prep.write.record_table import RECORDS_FILE, read_record_table

__all__ = ["Tables", "open_tables"]


@dataclass(frozen=True, slots=True)
class Tables:
    """What stands beside the shards and can be relied on.

    Attributes:
        classes: the columns of the class index but the names, each (C,) int64; None if it is damaged, or the set has none.
        has_records: whether the record table can be read.
    """

    classes: Mapping[str, NDArray[np.int64]] | None
    has_records: bool


def open_tables(manifest: Manifest) -> tuple[Tables, list[Problem]]:
    """Reads what stands beside the shards; gives what of it can be relied on, and what is wrong with it."""
    problems = list(_find_wrong_digests(manifest))
    names = set(manifest.tables())
    sound = names - {problem.file for problem in problems}
    classes, has_records = None, RECORDS_FILE in names
    if CLASS_INDEX_FILE in sound:
        try:
            classes = _read_class_index(manifest)
        except (ValueError, OverflowError, csv.Error) as error:
            problems.append(Problem(file=CLASS_INDEX_FILE, problem=f"is no class index of the set: {error}"))
    if has_records:
        try:
            read_record_table(manifest.folder, manifest.num_images, rows=slice(0))
        except ShardError as error:
            has_records = False
            if RECORDS_FILE in sound:
                problems.append(Problem(file=RECORDS_FILE, problem=str(error)))
    return Tables(classes, has_records), problems


def _find_wrong_digests(manifest: Manifest) -> Iterator[Problem]:
    """Checks the manifest against its own digest, and each file beside the shards against the manifest."""
    text = (manifest.folder / MANIFEST_FILE).read_bytes().decode("utf-8")
    stated = str(manifest.content.get("sha256", "none"))
    received = manifest_digest(text, stated)
    if stated != received:
        yield Problem(file=MANIFEST_FILE, problem=f"expected SHA-256 {stated}, received {received}: it was changed")
    for name, digest in manifest.tables().items():
        try:
            with (manifest.folder / name).open("rb", buffering=0) as file:
                received = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            yield unreadable(name, error)
        else:
            if received != digest:
                yield Problem(file=name, problem=f"expected SHA-256 {digest}, received {received}")


def _read_class_index(manifest: Manifest) -> dict[str, NDArray[np.int64]]:
    """Reads the numbers of the class index; without pandas, whose import takes as long as half a gigabyte of shards.

    Raises:
        ValueError: if they are no table of the manifest's classes.
    """
    with (manifest.folder / CLASS_INDEX_FILE).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    numbers = {name: np.array(column, dtype=np.int64) for name, column in columns.items() if name != "name"}
    expected = ["source_label", "num_images", *(f"num_{split}" for split in manifest.content["splits"])]
    missing = [name for name in expected if name not in numbers]
    if missing:
        raise ValueError(f"expected a column {missing[0]}")
    if not np.array_equal(numbers.get("class", ()), np.arange(manifest.num_classes)):
        raise ValueError(f"expected classes 0 to {manifest.num_classes - 1}, one a line")
    return numbers
