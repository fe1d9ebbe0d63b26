"""The two files by which TensorFlow Datasets 4.9 reads a folder of shards, as protobuf JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from fr_prep.shards import ShardResult

__all__ = ["DATASET_INFO_FILE", "FEATURES_FILE", "LABEL_NAMES_FILE", "dataset_info", "features_json"]

DATASET_INFO_FILE = "dataset_info.json"
FEATURES_FILE = "features.json"
LABEL_NAMES_FILE = "label.labels.txt"


def dataset_info(name: str, splits: Mapping[str, Sequence[ShardResult]]) -> dict[str, Any]:
    """Makes `dataset_info.json`: protobuf JSON, 64-bit integers as strings, as TensorFlow Datasets 4.9 reads it."""
    return {
        "name": name,
        "version": "1.0.0",
        "splits": [
            {
                "name": split,
                "shardLengths": [str(result.num_records) for result in results],
                "numBytes": str(sum(result.num_bytes for result in results)),
            }
            for split, results in splits.items()
        ],
        "supervisedKeys": {"tuple": {"items": [{"featureKey": "image"}, {"featureKey": "label"}]}},
    }


def features_json(num_classes: int, *, height: int | None, width: int | None, encoding: str) -> dict[str, Any]:
    """Makes `features.json` of TensorFlow Datasets. A size that differs from image to image is -1."""
    features = "tensorflow_datasets.core.features."
    integer = {
        "pythonClassName": f"{features}scalar.Scalar",
        "tensor": {"shape": {}, "dtype": "int64", "encoding": "none"},
    }
    image = {
        "shape": {"dimensions": [str(height or -1), str(width or -1), "3"]},
        "dtype": "uint8",
        "encodingFormat": encoding,
    }
    return {
        "pythonClassName": f"{features}features_dict.FeaturesDict",
        "featuresDict": {
            "features": {
                "image": {"pythonClassName": f"{features}image_feature.Image", "image": image},
                "label": {
                    "pythonClassName": f"{features}class_label_feature.ClassLabel",
                    "classLabel": {"numClasses": str(num_classes)},
                },
                "source_key": integer,
                "source_label": integer,
            }
        },
    }
