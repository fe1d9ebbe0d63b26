"""The two files by which TensorFlow Datasets 4.9 reads a folder of shards, as protobuf JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from fr_prep.write.shard_writer import ShardResult

__all__ = ["DATASET_INFO_FILE", "FEATURES_FILE", "LABEL_NAMES_FILE", "dataset_info", "features_json"]

DATASET_INFO_FILE = "dataset_info.json"
FEATURES_FILE = "features.json"
LABEL_NAMES_FILE = "label.labels.txt"


def dataset_info(
    name: str, splits: Mapping[str, Sequence[ShardResult]], *, supervised: tuple[str, str] | None = ("image", "label")
) -> dict[str, Any]:
    """Makes `dataset_info.json`: protobuf JSON, 64-bit integers as strings, as TensorFlow Datasets 4.9 reads it.

    Args:
        name: the data set's name.
        splits: split → its shards, in order.
        supervised: the features that `as_supervised=True` gives; None where it is of no use.
    """
    keys = {"supervisedKeys": {"tuple": {"items": [{"featureKey": key} for key in supervised]}}} if supervised else {}
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
        **keys,
    }


def features_json(
    *,
    height: int | None,
    width: int | None,
    encoding: str,
    num_classes: int | None = None,
    integers: Sequence[str] = (),
) -> dict[str, Any]:
    """Makes `features.json` of TensorFlow Datasets.

    Args:
        height: of the images; None where it differs from image to image.
        width: likewise.
        encoding: `jpeg` or `png`, or empty where it differs.
        num_classes: of the feature `label`; None where there is none.
        integers: the names of the other features.
    """
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
    label = {
        "pythonClassName": f"{features}class_label_feature.ClassLabel",
        "classLabel": {"numClasses": str(num_classes)},
    }
    return {
        "pythonClassName": f"{features}features_dict.FeaturesDict",
        "featuresDict": {
            "features": {
                "image": {"pythonClassName": f"{features}image_feature.Image", "image": image},
                **({} if num_classes is None else {"label": label}),
                **dict.fromkeys(integers, integer),
            }
        },
    }
