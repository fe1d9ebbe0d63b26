"""Checking the records of shards against what the manifest and the tables beside the shards say of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fr_data.tfrecord.example import INTEGER_FEATURES, PAIR_FEATURES
from fr_prep.verify.problems import Problem
from fr_prep.verify.shard_check import ShardCheck, record_problem
from fr_prep.verify.table_check import Tables
from fr_prep.write.manifest import CLASS_INDEX_FILE, MANIFEST_FILE, VERIFICATION_PAIRS, Manifest
from fr_prep.write.record_table import RECORD_TYPE, RECORDS_FILE, read_record_table

__all__ = ["FaceCheck", "PairCheck", "RecordCheck", "ShardEntry", "make_record_check", "shard_entries"]


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """What the manifest says of a shard.

    Attributes:
        promised: its `file`, `num_records`, `num_bytes` and `sha256`.
        split: the split it belongs to.
        first_row: how many records the shards before it have.
    """

    promised: Mapping[str, Any]
    split: str
    first_row: int

    @property
    def file(self) -> str:
        """The shard's name."""
        return str(self.promised["file"])


def shard_entries(manifest: Manifest) -> list[ShardEntry]:
    """Gives the entries of all shards, in their order."""
    entries, first_row = [], 0
    for split, content in manifest.content["splits"].items():
        for shard in content["shards"]:
            entries.append(ShardEntry(shard, split, first_row))
            first_row += shard["num_records"]
    return entries


class RecordCheck(Protocol):
    """Checks the records of a kind of set, shard by shard."""

    names: tuple[str, ...]
    """The integer features of a record."""

    def add(self, entry: ShardEntry, check: ShardCheck) -> Iterator[Problem]:
        """Gives what is wrong with a shard: what its check found, and what is wrong with the records that could be read."""
        ...

    def finish(self) -> Iterator[Problem]:
        """Checks what is told of all records together, after all of them could be read."""
        ...


def make_record_check(manifest: Manifest, tables: Tables) -> RecordCheck:
    """Gives the check for the set's kind."""
    return PairCheck(manifest) if manifest.kind == VERIFICATION_PAIRS else FaceCheck(manifest, tables)


class FaceCheck:
    """Checks classes, source labels, the record table, and the counts of the class index.

    Args:
        manifest: the set's manifest.
        tables: what can be relied on beside the shards.
    """

    names: tuple[str, ...] = INTEGER_FEATURES

    def __init__(self, manifest: Manifest, tables: Tables) -> None:
        self._manifest, self._tables = manifest, tables
        self._counts = {split: np.zeros(manifest.num_classes, dtype=np.int64) for split in manifest.content["splits"]}

    def add(self, entry: ShardEntry, check: ShardCheck) -> Iterator[Problem]:
        """Gives what is wrong with a shard and its records."""
        table = self._read_rows(entry) if self._tables.has_records else np.empty(0, dtype=RECORD_TYPE)
        for problem in check.problems:
            yield _name_key(problem, table)
        yield from self._check_labels(entry, check.records)
        if check.numbered and self._tables.has_records:
            yield from self._check_rows(entry, check.records, table)

    def finish(self) -> Iterator[Problem]:
        """Checks the counts of the class index."""
        if (classes := self._tables.classes) is None:
            return
        counts = {f"num_{split}": counts for split, counts in self._counts.items()}
        for column, expected in {"num_images": np.sum(list(counts.values()), axis=0), **counts}.items():
            for row in np.flatnonzero(classes[column] != expected).tolist():
                problem = f"expected {column} {expected[row]} of class {row}, as in the shards, received {classes[column][row]}"
                yield Problem(file=CLASS_INDEX_FILE, record=row, problem=problem)

    def _check_labels(self, entry: ShardEntry, records: NDArray[np.void]) -> Iterator[Problem]:
        split, labels = self._manifest.content["splits"][entry.split], records["label"]
        first, past_last = split["first_class"], split["first_class"] + split["num_classes"]
        known = (labels >= first) & (labels < past_last)
        for record in records[~known]:
            problem = f"expected a class from {first} to {past_last - 1}, received {record['label']}"
            yield record_problem(entry.file, record, problem)
        records = records[known]
        self._counts[entry.split] += np.bincount(records["label"], minlength=self._manifest.num_classes)
        if self._tables.classes is not None:
            expected = self._tables.classes["source_label"][records["label"]]
            for row in np.flatnonzero(records["source_label"] != expected).tolist():
                what = f"source label {expected[row]}, that of class {records['label'][row]}"
                problem = f"expected {what}, received {records['source_label'][row]}"
                yield record_problem(entry.file, records[row], problem)

    def _read_rows(self, entry: ShardEntry) -> NDArray[np.void]:
        """Gives the rows of a shard in the record table."""
        rows = slice(entry.first_row, entry.first_row + entry.promised["num_records"])
        return read_record_table(self._manifest.folder, self._manifest.num_images, rows=rows)

    def _check_rows(self, entry: ShardEntry, records: NDArray[np.void], table: NDArray[np.void]) -> Iterator[Problem]:
        records = records[records["number"] < len(table)]
        stated, columns = table[records["number"]], RECORD_TYPE.names or ()
        wrong = np.logical_or.reduce([stated[column] != records[column] for column in columns])
        for row in np.flatnonzero(wrong).tolist():
            number = int(records["number"][row])
            expected, received = (
                ", ".join(f"{column} {values[column][row]}" for column in columns) for values in (records, stated)
            )
            problem = f"expected {expected}, as record {number} of {entry.file}, received {received}"
            yield Problem(file=RECORDS_FILE, record=entry.first_row + number, problem=problem)


def _name_key(problem: Problem, table: NDArray[np.void]) -> Problem:
    """Gives a damaged record the key that the record table has for its place."""
    if problem.offset is None or problem.key is not None:
        return problem
    row = int(np.searchsorted(table["image_offset"], problem.offset, side="right"))
    return replace(problem, key=int(table["source_key"][row])) if row < len(table) else problem


class PairCheck:
    """Checks that verification pairs stand in their order, side by side, and say the same of themselves.

    Args:
        manifest: the set's manifest.
    """

    names: tuple[str, ...] = PAIR_FEATURES

    def __init__(self, manifest: Manifest) -> None:
        self._num_same, self._promised = 0, manifest.content["num_same"]

    def add(self, entry: ShardEntry, check: ShardCheck) -> Iterator[Problem]:
        """Gives what is wrong with a shard, and with its records if it is sure which ones they are."""
        yield from check.problems
        if not check.numbered:
            return
        records, rows = check.records, entry.first_row + check.records["number"]
        same = records["same"]
        partner = np.append(rows[:-1] // 2 == rows[1:] // 2, [False])
        other = np.where(np.roll(partner, 1), np.roll(same, 1), np.clip(same, 0, 1))
        for column, expected in (("pair", rows // 2), ("side", rows % 2), ("same", other)):
            for row in np.flatnonzero(records[column] != expected).tolist():
                problem = f"expected {column} {expected[row]}, received {records[column][row]}"
                yield record_problem(entry.file, records[row], problem)
        self._num_same += int((same == 1).sum())

    def finish(self) -> Iterator[Problem]:
        """Checks how many pairs show one person."""
        if self._num_same != 2 * self._promised:
            problem = f"expected num_same {self._num_same / 2:g}, as in the shards, received {self._promised}"
            yield Problem(file=MANIFEST_FILE, problem=problem)
