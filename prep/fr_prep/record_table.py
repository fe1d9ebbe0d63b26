"""The record table of a data set, `records.npy`: which record stands where, so that one can be read without reading the rest.

A NumPy array of structures, one row a record, in the order of the shards as the manifest lists them.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import ShardError
from fr_prep.example import measure_envelopes
from fr_prep.shard_task import ShardTask
from fr_prep.tfrecord import FOOTER_BYTES, HEADER_BYTES

__all__ = ["RECORDS_FILE", "RECORD_TYPE", "read_record_table", "table_rows"]

RECORDS_FILE = "records.npy"
RECORD_TYPE = np.dtype([("source_key", "<i8"), ("image_offset", "<i8"), ("image_length", "<i4"), ("label", "<i4")])


def table_rows(task: ShardTask) -> NDArray[np.void]:
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
