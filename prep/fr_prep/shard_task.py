"""What is to be written into one shard."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["ShardTask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """Everything that writing one shard needs; row i is the shard's i-th record.

    Attributes:
        source: the `.rec`.
        path: where the shard is to stand.
        record_offsets: (n,) int64, byte offset of the record's frame in the source.
        image_offsets: (n,) int64, byte offset of the image in the source, -1 where the record is split into parts.
        image_lengths: (n,) int64 bytes of the image.
        labels: (n,) int64 dense classes.
        source_keys: (n,) int64.
        source_labels: (n,) int64.
    """

    source: Path
    path: Path
    record_offsets: NDArray[np.int64]
    image_offsets: NDArray[np.int64]
    image_lengths: NDArray[np.int64]
    labels: NDArray[np.int64]
    source_keys: NDArray[np.int64]
    source_labels: NDArray[np.int64]

    @property
    def num_records(self) -> int:
        """Records of the shard, n."""
        return len(self.labels)
