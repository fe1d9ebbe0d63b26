"""The record table of a shard set, `records.npy`: a row a record, in the order of the shards."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fr_train.errors import ShardSetError

__all__ = ["read_record_table"]

RECORDS_FILE = "records.npy"


def read_record_table(folder: Path, *, sha256: str, num_records: int) -> NDArray[np.void]:
    """Reads the table.

    Args:
        folder: the data set's folder.
        sha256: what the manifest says of the file.
        num_records: records of all splits together.

    Returns:
        (n,) with the fields `source_key`, `image_offset` (int64), `image_length` and `label` (int32).

    Raises:
        ShardSetError: if it cannot be read, or is not the one that the manifest means.
    """
    path = folder / RECORDS_FILE
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise ValueError("its SHA-256 is not that of the manifest")
            file.seek(0)
            table: NDArray[np.void] = np.load(file, allow_pickle=False)
        if len(table) != num_records:
            raise ValueError(f"expected {num_records} records, received {len(table)}")
    except (OSError, ValueError, EOFError) as error:
        raise ShardSetError(f"{path}: cannot be read ({error}). See `fr-prep verify {folder}`.") from error
    return table
