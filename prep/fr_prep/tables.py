"""What stands beside the shards: class index, label names, the files of TensorFlow Datasets, and the manifest."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fr_prep import manifest as manifests
from fr_prep.digests import sha256_of_file, sha256_of_text
from fr_prep.files import write_text
from fr_prep.images import ImageKind
from fr_prep.plan import Plan
from fr_prep.shards import ShardResult
from fr_prep.sources.insightface import FaceSet
from fr_prep.tfds_files import DATASET_INFO_FILE, FEATURES_FILE, LABEL_NAMES_FILE, dataset_info, features_json
from fr_prep.version import tool_version

__all__ = ["write_tables"]


def write_tables(
    folder: Path,
    *,
    source: FaceSet,
    source_crc32c: str,
    plan: Plan,
    results: Mapping[str, Sequence[ShardResult]],
    arguments: Mapping[str, Any],
) -> manifests.Manifest:
    """Writes class index, label names, the files of TensorFlow Datasets, and the manifest.

    Args:
        folder: where to.
        source: the set that was converted.
        source_crc32c: CRC-32C of its `.rec`, in hexadecimal.
        plan: which record went where.
        results: split → its shards, in order.
        arguments: those that the result depends on; `name`, `seed` and `shuffle` among them.

    Raises:
        OSError: if they cannot be written.
    """
    classes = plan.classes
    names = [str(label) for label in classes.source_labels.tolist()]
    kinds = sum((result.image_kinds for shards in results.values() for result in shards), Counter[ImageKind]())
    images = manifests.image_summary(kinds)
    encodings = list(images["encodings"])
    class_index = manifests.class_index_csv(classes, {s: plan.images_per_class(s).tolist() for s in plan.splits}, names)
    texts = {
        manifests.CLASS_INDEX_FILE: class_index,
        LABEL_NAMES_FILE: "".join(f"{name}\n" for name in names),
        DATASET_INFO_FILE: json.dumps(dataset_info(arguments["name"], results), indent=1),
        FEATURES_FILE: json.dumps(
            features_json(
                classes.num_classes,
                height=images["height"],
                width=images["width"],
                encoding=encodings[0] if len(encodings) == 1 else "",
            ),
            indent=1,
        ),
    }
    content = {
        "format_version": manifests.FORMAT_VERSION,
        "tool": {"name": "fr-toolkit", "version": tool_version()},
        "name": arguments["name"],
        "num_classes": classes.num_classes,
        "num_images": plan.num_images,
        "features": manifests.FEATURES,
        "image": images,
        "ordering": {"kind": "shuffled", "seed": arguments["seed"]}
        if arguments["shuffle"]
        else {"kind": "source order"},
        "splits": {split: manifests.split_entry(shards) for split, shards in results.items()},
        "class_index": {"file": manifests.CLASS_INDEX_FILE, "sha256": sha256_of_text(class_index)},
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
        "source": _describe_source(source, source_crc32c),
        "arguments": dict(arguments),
        "warnings": [*source.warnings, *_image_warnings(images, source)],
    }
    texts[manifests.MANIFEST_FILE] = json.dumps(content, indent=1) + "\n"
    for file, text in texts.items():
        write_text(folder / file, text)
    return manifests.Manifest(folder=folder, content=content)


def _describe_source(source: FaceSet, rec_crc32c: str) -> dict[str, Any]:
    digests = {path: f"sha256:{sha256_of_file(path)}" for path in source.files[1:]}
    digests[source.path] = f"crc32c:{rec_crc32c}"
    return {
        "dialect": source.dialect,
        "num_images": len(source.keys),
        "num_other_records": source.num_other_records,
        "files": [
            {"file": path.name, "num_bytes": path.stat().st_size, "digest": digests[path]} for path in source.files
        ],
    }


def _image_warnings(images: Mapping[str, Any], source: FaceSet) -> list[str]:
    if images["height"] is None:
        sizes = {(kind["height"], kind["width"]) for kind in images["kinds"]}
        return [f"Images have {len(sizes)} different sizes; whoever reads them must resize them."]
    stated = source.property
    if stated and (stated.height, stated.width) != (images["height"], images["width"]):
        return [
            f"property promises images of {stated.height} x {stated.width}, they are {images['height']} x {images['width']}."
        ]
    return []
