"""What stands beside shards and record table: class index, label names, the files of TensorFlow Datasets, and the manifest."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fr_data.images.header import ImageKind
from fr_prep.digests import sha256_of_text
from fr_prep.files import write_text
from fr_prep.plan.plan import Plan
from fr_prep.sources.image_set import ImageSet, Property
from fr_prep.version import tool_version
from fr_prep.write import manifest as manifests
from fr_prep.write.record_table import RECORDS_FILE
from fr_prep.write.shard_writer import ShardResult
from fr_prep.write.tfds_files import DATASET_INFO_FILE, FEATURES_FILE, LABEL_NAMES_FILE, dataset_info, features_json

__all__ = ["write_tables"]


def write_tables(
    folder: Path,
    *,
    images: ImageSet,
    source_files: Sequence[Mapping[str, Any]],
    plan: Plan,
    results: Mapping[str, Sequence[ShardResult]],
    record_table: str,
    arguments: Mapping[str, Any],
    verification_bin: Mapping[str, Any] | None = None,
) -> manifests.Manifest:
    """Writes class index, label names, the files of TensorFlow Datasets, and the manifest.

    Args:
        folder: where to.
        images: the set that was converted.
        source_files: name, size and digest of each of its files.
        plan: which record went where.
        results: split → its shards, in order.
        record_table: SHA-256 of the record table, which is there.
        arguments: those that the result depends on; `name`, `seed` and `shuffle` among them.
        verification_bin: file, digest and pairs of the bin of the validation split, if there is one.

    Raises:
        OSError: if they cannot be written.
    """
    classes = plan.classes
    kinds = sum((result.image_kinds for shards in results.values() for result in shards), Counter[ImageKind]())
    summary = manifests.image_summary(kinds)
    encodings = list(summary["encodings"])
    class_index = manifests.class_index_csv(
        classes, {split: plan.images_per_class(split) for split in plan.splits}, _class_names(images, plan)
    )
    texts = {
        manifests.CLASS_INDEX_FILE: class_index,
        LABEL_NAMES_FILE: "".join(f"{name}\n" for name in _class_names(images, plan)),
        DATASET_INFO_FILE: json.dumps(dataset_info(arguments["name"], results), indent=1),
        FEATURES_FILE: json.dumps(
            features_json(
                height=summary["height"],
                width=summary["width"],
                encoding=encodings[0] if len(encodings) == 1 else "",
                num_classes=classes.num_classes,
                integers=("source_key", "source_label"),
            ),
            indent=1,
        ),
    }
    content = {
        "format_version": manifests.FORMAT_VERSION,
        "kind": manifests.FACES,
        "tool": {"name": "fr-toolkit", "version": tool_version()},
        "name": arguments["name"],
        "num_classes": classes.num_classes,
        "num_images": plan.num_images,
        "features": manifests.FEATURES,
        "image": summary,
        "ordering": {"kind": "shuffled", "seed": arguments["seed"]}
        if arguments["shuffle"]
        else {"kind": "source order"},
        "splits": {
            split: manifests.split_entry(shards, plan.split_classes[split]) for split, shards in results.items()
        },
        "record_table": {"file": RECORDS_FILE, "sha256": record_table},
        "class_index": {"file": manifests.CLASS_INDEX_FILE, "sha256": sha256_of_text(class_index)},
        **({"verification_bin": dict(verification_bin)} if verification_bin else {}),
        "tensorflow_datasets": {file: sha256_of_text(texts[file]) for file in manifests.OTHER_TABLES},
        "dropped": {
            "num_classes": len(classes.dropped_labels),
            "num_images": int(classes.dropped_num_images.sum()),
            "classes": [
                {"source_label": label, "num_images": count}
                for label, count in zip(
                    classes.dropped_labels.tolist(), classes.dropped_num_images.tolist(), strict=True
                )
            ],
        },
        "left_out": {"num_records": len(images.left_out), "records": [asdict(record) for record in images.left_out]},
        "source": {
            "dialect": images.dialect,
            "num_images": len(images.keys),
            "num_other_records": images.num_other_records,
            "files": list(source_files),
            **images.origin,
        },
        "arguments": dict(arguments),
        "warnings": [*images.warnings, *_image_warnings(summary, images.property)],
    }
    texts[manifests.MANIFEST_FILE] = manifests.manifest_text(content)
    for file, text in texts.items():
        write_text(folder / file, text)
    return manifests.Manifest(folder=folder, content=content)


def _class_names(images: ImageSet, plan: Plan) -> Iterator[str]:
    for label in plan.classes.source_labels:  # one at a time: there may be millions
        yield images.class_names.get(int(label), str(label))


def _image_warnings(summary: Mapping[str, Any], stated: Property | None) -> list[str]:
    if summary["height"] is None:
        sizes = {(kind["height"], kind["width"]) for kind in summary["kinds"]}
        return [f"Images have {len(sizes)} different sizes; whoever reads them must resize them."]
    if stated and (stated.height, stated.width) != (summary["height"], summary["width"]):
        return [
            f"property promises images of {stated.height} x {stated.width}, they are {summary['height']} x {summary['width']}."
        ]
    return []
