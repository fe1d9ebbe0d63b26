"""The records of the train split, with what an overlay makes of their labels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fr_train.data.records.frames import find_frames
from fr_train.data.records.table import read_record_table
from fr_train.data.shard_set import ShardSet
from fr_train.errors import ShardSetError

__all__ = ["TrainRecords", "read_train_records"]

_ROW = np.dtype(
    [
        ("source_key", np.int64),
        ("frame_offset", np.int64),
        ("frame_length", np.int32),
        ("image_place", np.int32),
        ("image_length", np.int32),
        ("label", np.int32),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class TrainRecords:
    """The records of the train split, in the order of its shards.

    Attributes:
        folder: the data set's folder.
        files: its shards.
        first_rows: (shards + 1,) int64, the row of each shard's first record; the last is n.
        table: (n,) with the fields `source_key`; `frame_offset` and `frame_length`, where a record's frame lies in its shard;
            `image_place` and `image_length`, where the image lies in the frame; `label`, `DROP` where an overlay leaves it out.
    """

    folder: Path
    files: tuple[Path, ...]
    first_rows: NDArray[np.int64]
    table: NDArray[np.void]

    def find_shards(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Gives the number of each row's shard."""
        return np.searchsorted(self.first_rows, rows, side="right") - 1

    def describe(self, row: int) -> str:
        """Says which record a row is, for a message."""
        file = self.files[int(self.find_shards(np.array([row]))[0])]
        return f"{file}, byte {self.table['frame_offset'][row]}, source_key {self.table['source_key'][row]}"


def read_train_records(shards: ShardSet) -> TrainRecords:
    """Reads where the records of the train split lie.

    Raises:
        ShardSetError: if the record table cannot be used.
    """
    num_records = sum(map(sum, shards.num_records.values()))
    whole = read_record_table(shards.folder, sha256=shards.record_table_sha256, num_records=num_records)
    splits = list(shards.num_records)
    before = sum(sum(shards.num_records[split]) for split in splits[: splits.index("train")])
    first_rows = np.cumsum([0, *shards.num_records["train"]])
    rows = whole[before : before + first_rows[-1]]
    table = np.empty(len(rows), dtype=_ROW)
    for name in ("source_key", "image_length", "label"):
        table[name] = rows[name]
    for file, begin, end in zip(shards.files["train"], first_rows[:-1], first_rows[1:], strict=True):
        offsets, lengths = rows["image_offset"][begin:end], rows["image_length"][begin:end].astype(np.int64)
        shard_bytes = file.stat().st_size
        starts = find_frames(offsets, lengths, shard_bytes=shard_bytes)
        if len(starts) and starts[0] != 0:
            raise ShardSetError(
                f"{file}: expected the first record at byte 0, the record table has it at {starts[0]}: the shard is not laid out "
                f"as docs/shard-format.md says. See `fr-prep verify {shards.folder}`."
            )
        table["frame_offset"][begin:end] = starts
        table["frame_length"][begin:end] = np.diff(starts, append=shard_bytes)
        table["image_place"][begin:end] = offsets - starts
    if shards.relabelling:
        table["label"] = shards.relabelling.labels
    if table["label"].max(initial=-1) >= shards.num_classes:
        raise ShardSetError(
            f"{shards.folder}: expected classes below {shards.num_classes}, the record table has {table['label'].max()}. "
            f"See `fr-prep verify {shards.folder}`."
        )
    return TrainRecords(shards.folder, shards.files["train"], first_rows, table)
