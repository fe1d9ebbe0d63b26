"""What is to be written into one shard."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fr_prep.sources.image_set import ImagePlaces

__all__ = ["ShardTask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """Everything that writing one shard needs; row i is the shard's i-th record.

    Attributes:
        path: where the shard is to stand.
        places: where its images lie.
        integers: the features beside the image: name → (n,) int64; names in ascending order.
    """

    path: Path
    places: ImagePlaces
    integers: Mapping[str, NDArray[np.int64]]

    @property
    def num_records(self) -> int:
        """Records of the shard, n."""
        return len(self.places)
