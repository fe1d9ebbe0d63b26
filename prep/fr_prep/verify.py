"""Checking a data set against its manifest: every byte, every record, every count."""

import csv
import hashlib
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fr_prep.digests import sha256_of_file
from fr_prep.errors import ShardError
from fr_prep.example import parse_example
from fr_prep.manifest import CLASS_INDEX_FILE, Manifest, read_manifest
from fr_prep.pool import run_tasks
from fr_prep.tfrecord import iterate_records

__all__ = ["Verification", "verify_dataset"]


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked and found sound."""

    num_shards: int
    num_records: int
    num_bytes: int
    num_classes: int


@dataclass(frozen=True, slots=True)
class _ShardCheck:
    problem: str | None
    images_per_class: NDArray[np.int64]


def verify_dataset(folder: Path, *, num_workers: int = 1, quiet: bool = False) -> Verification:
    """Checks shards (size, CRCs, SHA-256, counts, class ranges), class index and manifest.

    All shards are checked, whatever is found in one; the error lists what is wrong in each.

    Args:
        folder: the data set's folder.
        num_workers: processes.
        quiet: no progress bar.

    Raises:
        ShardError: if anything is not as the manifest says; names shard, record and byte offset.
    """
    manifest = read_manifest(folder)
    shards = manifest.shards()
    by_shard: dict[int, str] = {}
    found = np.zeros(manifest.num_classes, dtype=np.int64)
    tasks = [partial(_check_shard, folder / shard["file"], shard, manifest.num_classes) for shard in shards]
    num_bytes = sum(shard["num_bytes"] for shard in shards)
    with tqdm(total=num_bytes, unit="B", unit_scale=True, desc="Verifying", disable=quiet or None) as bar:
        for position, check in run_tasks(tasks, num_workers=num_workers):
            bar.update(shards[position]["num_bytes"])
            found += check.images_per_class
            if check.problem:
                by_shard[position] = check.problem
    problems = [by_shard[position] for position in sorted(by_shard)]
    problems += _check_tables(manifest, None if problems else found)
    if problems:
        listed = "\n".join(problems)
        raise ShardError(f"{folder}: {len(problems)} problem{'s' if len(problems) > 1 else ''} found.\n{listed}")
    return Verification(len(shards), int(found.sum()), num_bytes, manifest.num_classes)


def _check_shard(path: Path, promised: Mapping[str, Any], num_classes: int) -> _ShardCheck:
    labels: list[int] = []
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as shard,
        ):
            problem = _find_problem(shard, path.name, promised, num_classes, labels)
    except FileNotFoundError:
        problem = f"{path.name}: is missing. Convert the set again."
    except (OSError, ValueError) as error:
        problem = f"{path.name}: cannot be read: {error}. Convert the set again."
    return _ShardCheck(problem, np.bincount(np.array(labels, dtype=np.int64), minlength=num_classes))


def _find_problem(
    shard: memoryview, name: str, promised: Mapping[str, Any], num_classes: int, labels: list[int]
) -> str | None:
    """Gives the first problem of a shard, or None; appends the label of each sound record."""
    if len(shard) != promised["num_bytes"]:
        return f"{name}: expected {promised['num_bytes']} bytes, received {len(shard)}. Convert the set again."
    records: Iterator[tuple[int, memoryview]] = iterate_records(shard, name=name)
    try:
        for offset, data in records:
            try:
                label = parse_example(data).label
            except ValueError as error:
                return f"{name}: record {len(labels)} at byte {offset}: {error}. Convert the set again."
            finally:
                data.release()
            if not 0 <= label < num_classes:
                return (
                    f"{name}: record {len(labels)} at byte {offset}: expected a class from 0 to {num_classes - 1}, "
                    f"received {label}. Convert the set again."
                )
            labels.append(label)
    except ShardError as error:
        return str(error)
    if len(labels) != promised["num_records"]:
        return f"{name}: expected {promised['num_records']} records, received {len(labels)}. Convert the set again."
    digest = hashlib.sha256(shard).hexdigest()
    if digest != promised["sha256"]:
        return f"{name}: expected SHA-256 {promised['sha256']}, received {digest}. Convert the set again."
    return None


def _check_tables(manifest: Manifest, images_per_class: NDArray[np.int64] | None) -> list[str]:
    """Checks the files beside the shards, and the class index against the counts that were found."""
    for name, digest in manifest.tables().items():
        path = manifest.folder / name
        if not path.is_file():
            return [f"{name}: is missing. Convert the set again."]
        if sha256_of_file(path) != digest:
            return [f"{name}: differs from what the manifest says (SHA-256). Convert the set again."]
    file = CLASS_INDEX_FILE
    rows = list(csv.DictReader((manifest.folder / file).read_text(encoding="utf-8").splitlines()))
    if [int(row["class"]) for row in rows] != list(range(manifest.num_classes)):
        return [f"{file}: expected classes 0 to {manifest.num_classes - 1}, one a line. Convert the set again."]
    if images_per_class is not None:
        stated = np.array([int(row["num_images"]) for row in rows])
        wrong = np.flatnonzero(stated != images_per_class)
        if len(wrong):
            return [
                f"{file}: class {wrong[0]} should have {stated[wrong[0]]} images, the shards hold "
                f"{images_per_class[wrong[0]]} ({len(wrong)} such classes). Convert the set again."
            ]
    return []
