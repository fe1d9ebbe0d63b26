"""The record table of a data set, `records.npy`: which record stands where, so that one can be read without reading the rest.

A NumPy array of structures, one row a record, in the order of the shards as the manifest lists them.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fr_data.tfrecord.example import measure_envelopes
from fr_data.tfrecord.frames import FOOTER_BYTES, HEADER_BYTES
from fr_prep.errors import ShardError
from fr_prep.files import INCOMPLETE_SUFFIX, write_error
from fr_prep.write.shard_task import ShardTask

__all__ = ["RECORDS_FILE", "RECORD_TYPE", "RecordTableWriter", "read_record_table"]

RECORDS_FILE = "records.npy"
RECORD_TYPE = np.dtype([("source_key", "<i8"), ("image_offset", "<i8"), ("image_length", "<i4"), ("label", "<i4")])


class RecordTableWriter:
    """Writes a record table shard by shard, so that it is never held in memory; to be entered. It appears when it is whole.

    Args:
        folder: where to.
        num_records: rows of the whole table.

    Raises:
        OutputError: if it cannot be written.
    """

    def __init__(self, folder: Path, num_records: int) -> None:
        self._path = folder / RECORDS_FILE
        self._partial = self._path.with_name(RECORDS_FILE + INCOMPLETE_SUFFIX)
        self._num_records = num_records
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """In hexadecimal, of the file as far as it is written."""
        return self._digest.hexdigest()

    def __enter__(self) -> Self:
        with self._errors():
            self._file = self._partial.open("wb")
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": RECORD_TYPE.descr, "fortran_order": False, "shape": (self._num_records,)}
        )
        self._write(header.getbuffer())
        return self

    def append(self, task: ShardTask) -> None:
        """Writes the rows of the next shard."""
        self._write(_table_rows(task).view(np.uint8).data)

    def _write(self, content: memoryview) -> None:
        self._digest.update(content)
        with self._errors():
            self._file.write(content)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._errors(), self._file:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._partial.replace(self._path)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise write_error(self._path, error) from error


def read_record_table(folder: Path, num_records: int, *, rows: slice | None = None) -> NDArray[np.void]:
    """Reads the record table of a data set.

    Args:
        folder: the data set's folder.
        num_records: how many rows the manifest promises.
        rows: which of them to give, all by default; the others are not held in memory.

    Returns:
        (n,) `RECORD_TYPE`.

    Raises:
        ShardError: if it is missing or something else.
    """
    path = folder / RECORDS_FILE
    try:
        table: NDArray[np.void] = np.load(path, mmap_mode=rows and "r", allow_pickle=False)
    except Exception as error:  # a damaged header goes through Python's tokenizer, which raises what it likes
        raise ShardError(f"{path}: cannot be read ({error}). Convert the set again.") from error
    if table.dtype != RECORD_TYPE or table.shape != (num_records,):
        raise ShardError(
            f"{path}: expected {num_records} rows of {', '.join(RECORD_TYPE.names or ())}, received an array of shape "
            f"{table.shape} and type {table.dtype}. Convert the set again."
        )
    return table if rows is None else np.array(table[rows])


def _table_rows(task: ShardTask) -> NDArray[np.void]:
    """Gives the rows of a shard's records: (n,) `RECORD_TYPE`."""
    image_lengths = task.places.image_lengths
    heads, tails = measure_envelopes(image_lengths, task.integers)
    heads += HEADER_BYTES
    ends = np.cumsum(heads + image_lengths + tails + FOOTER_BYTES)
    rows = np.empty(len(image_lengths), dtype=RECORD_TYPE)
    rows["source_key"], rows["label"] = task.integers["source_key"], task.integers["label"]
    rows["image_offset"] = ends - FOOTER_BYTES - tails - image_lengths
    rows["image_length"] = image_lengths
    return rows
