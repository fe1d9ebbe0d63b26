"""The images of a source with their dense classes, and how many images each class has."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fr_data.shards.classes import index_classes
from fr_prep.sources.image_set import ImageSet
from fr_prep.sources.open_source import open_source
from fr_prep.sources.record_sets.face_records import RecordSettings
from fr_prep.sources.shards.labelled_shards import read_labelled_shards
from fr_prep.sources.shards.shard_folder import ShardFolderSource

__all__ = ["CLASS_COLUMNS", "ClassedImages", "list_classes", "read_classed_images", "summarise_classes"]

CLASS_COLUMNS = ("class", "source_label", "name", "num_images")
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
SMALL_CLASSES = (2, 5, 10, 20, 50, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassedImages:
    """The images of a source with their classes.

    Attributes:
        images: the source's index.
        is_shards: whether the source is a folder of shards, to which a label overlay applies.
        labels: (n,) int64, the dense class of each image: that of `classes.csv`, or the one that a conversion of all would give.
        trained: (n,) bool, the images that training uses: all but those of a validation split.
        source_labels: (C,) int64, the source's label of each class.
        names: the name of each class, C of them.
        counts: (C,) int64, images of each class.
    """

    images: ImageSet
    is_shards: bool
    labels: NDArray[np.int64]
    trained: NDArray[np.bool_]
    source_labels: NDArray[np.int64]
    names: list[str]
    counts: NDArray[np.int64]

    @property
    def num_images(self) -> int:
        """n."""
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.counts)


def read_classed_images(path: Path, settings: RecordSettings | None = None) -> ClassedImages:
    """Reads everything of a record set, class folders or a folder of shards but the images.

    Args:
        path: the source.
        settings: how a record set is to be read.

    Raises:
        SourceError: if it cannot be used.
    """
    source = open_source(path, settings)
    if isinstance(source, ShardFolderSource):
        shards = read_labelled_shards(path)
        return ClassedImages(
            images=shards.images,
            is_shards=True,
            labels=shards.labels,
            trained=~shards.in_validation,
            source_labels=shards.source_labels,
            names=shards.names,
            counts=np.bincount(shards.labels, minlength=len(shards.names)),
        )
    images = source.read()
    index, labels = index_classes(images.labels)
    return ClassedImages(
        images=images,
        is_shards=False,
        labels=labels,
        trained=np.ones(len(labels), dtype=np.bool_),
        source_labels=index.source_labels,
        names=[images.class_names.get(label, str(label)) for label in index.source_labels.tolist()],
        counts=np.bincount(labels),
    )


def summarise_classes(counts: NDArray[np.int64]) -> dict[str, Any]:
    """Sums up how many images classes have: extremes, mean, quantiles, and how many classes have fewer than 2, 5, 10 ...

    Args:
        counts: (C,) int64, images of each class.
    """
    quantiles = np.quantile(counts, QUANTILES, method="inverted_cdf").tolist()
    return {
        "smallest": int(counts.min()),
        "quantiles": {f"{fraction:g}": int(value) for fraction, value in zip(QUANTILES, quantiles, strict=True)},
        "largest": int(counts.max()),
        "mean": round(float(counts.mean()), 2),
        "classes_with_fewer_than": {str(limit): int((counts < limit).sum()) for limit in SMALL_CLASSES},
    }


def list_classes(classed: ClassedImages) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of a table of the classes, as `CLASS_COLUMNS` say."""
    columns = (classed.source_labels.tolist(), classed.names, classed.counts.tolist())
    yield from zip(range(classed.num_classes), *columns, strict=True)
