"""The manifest of a data set, and the files beside it that TensorFlow Datasets and pandas read.

The format is `docs/shard-format.md`, its JSON schema `docs/manifest.schema.json`.
"""

import csv
import fnmatch
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fr_data.images.header import ImageKind
from fr_data.shards.classes import ClassIndex
from fr_data.shards.manifest_check import check_manifest, check_pairs_manifest
from fr_prep.digests import sha256_of_text
from fr_prep.errors import ShardError
from fr_prep.files import is_folder
from fr_prep.write.record_table import RECORDS_FILE
from fr_prep.write.shard_writer import ShardResult
from fr_prep.write.tfds_files import DATASET_INFO_FILE, FEATURES_FILE, LABEL_NAMES_FILE

__all__ = [
    "CLASS_INDEX_FILE",
    "FACES",
    "FACES_TABLES",
    "FORMAT_VERSION",
    "KINDS",
    "MANIFEST_FILE",
    "PAIRS_TABLES",
    "VERIFICATION_PAIRS",
    "Manifest",
    "class_index_csv",
    "image_summary",
    "is_set_file",
    "manifest_digest",
    "manifest_text",
    "read_manifest",
    "shard_name",
    "split_entry",
    "verification_bin_name",
]

FORMAT_VERSION = 1
FACES, VERIFICATION_PAIRS = KINDS = ("faces", "verification pairs")
MANIFEST_FILE = "manifest.json"
CLASS_INDEX_FILE = "classes.csv"
_NO_DIGEST = "0" * 64
OTHER_TABLES = (LABEL_NAMES_FILE, DATASET_INFO_FILE, FEATURES_FILE)
FACES_TABLES = (CLASS_INDEX_FILE, RECORDS_FILE, *OTHER_TABLES, MANIFEST_FILE)
PAIRS_TABLES = (DATASET_INFO_FILE, FEATURES_FILE, MANIFEST_FILE)
_STEMS = re.compile(
    r"[A-Za-z][A-Za-z0-9_]*-((train|validation|test)\.tfrecord-\d{5}-of-\d{5}|validation\.bin)", re.ASCII
)
FEATURES = {
    "image": "bytes, an encoded image",
    "label": "int64, the dense class 0..num_classes-1",
    "source_key": "int64, the record's key in the source",
    "source_label": "int64, the class as the source numbers it",
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as it stands in the folder.

    Attributes:
        folder: the data set's folder.
        content: the parsed JSON.
    """

    folder: Path
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The data set's name."""
        return str(self.content["name"])

    @property
    def kind(self) -> str:
        """What the set is: `FACES`, also where it does not say, or `VERIFICATION_PAIRS`, which have no classes."""
        return str(self.content.get("kind", FACES))

    @property
    def num_classes(self) -> int:
        """Dense classes."""
        return int(self.content["num_classes"])

    @property
    def num_images(self) -> int:
        """Images in all splits."""
        return int(self.content["num_images"])

    def shards(self) -> list[Mapping[str, Any]]:
        """The entries of all shards of all splits: file, num_records, num_bytes, sha256."""
        return [shard for split in self.content["splits"].values() for shard in split["shards"]]

    def file_names(self) -> list[str]:
        """All files of the data set, the manifest last."""
        return [*(shard["file"] for shard in self.shards()), *self.tables(), MANIFEST_FILE]

    def warn_of_strangers(self, present: Iterable[str]) -> list[str]:
        """Names files beside it that whoever goes by names alone would take for shards of the set, each in a sentence."""
        known = set(self.file_names())
        return [
            f"{name} is no part of the set, though its name looks like that of a shard. Move it away."
            for name in fnmatch.filter(sorted(present), f"{self.name}-*.tfrecord*")
            if name not in known
        ]

    def tables(self) -> dict[str, str]:
        """The files beside the shards, with their SHA-256."""
        keys = ("class_index", "record_table", "verification_bin")
        ours = [self.content[key] for key in keys if key in self.content]
        return {**{table["file"]: table["sha256"] for table in ours}, **self.content["tensorflow_datasets"]}


def read_manifest(folder: Path, *, kinds: Sequence[str] = (FACES,)) -> Manifest:
    """Reads the manifest of a data set.

    Args:
        folder: the data set's folder.
        kinds: the kinds of sets that will do; `KINDS` are all.

    Raises:
        ShardError: if it is missing, is no JSON, lacks something, or is of a later format or another kind.
    """
    path = folder / MANIFEST_FILE
    if not is_folder(folder):
        raise ShardError(f"{folder}: there is no such folder. Give the folder that `fr-prep rec2tfrecord` wrote.")
    if not path.is_file():
        unfinished = next(folder.glob("*.incomplete"), None)
        raise ShardError(
            f"{folder}: expected {MANIFEST_FILE}, "
            + (
                f"found an unfinished conversion ({unfinished.name}): finish it by --resume."
                if unfinished
                else "which is missing: the folder is no data set."
            )
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.get("format_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ShardError(
                f"{path}: expected format version {FORMAT_VERSION} or older, received {version}. Update fr-toolkit."
            )
        if version != FORMAT_VERSION or isinstance(version, bool):
            raise ValueError(f"format_version: expected {FORMAT_VERSION}, received {str(version)[:40]}")
        kind = content.get("kind", FACES)
        if kind in KINDS and kind not in kinds:
            raise ShardError(f"{folder}: expected a set of {' or '.join(kinds)}, received {kind}. Give another folder.")
        if kind == VERIFICATION_PAIRS:
            check_pairs_manifest(content, other_tables=OTHER_TABLES[1:])
        else:
            check_manifest(
                content,
                tables={"class_index": CLASS_INDEX_FILE, "record_table": RECORDS_FILE},
                other_tables=OTHER_TABLES,
            )
    except OSError as error:
        raise ShardError(f"{path}: cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ShardError(f"{path}: is no manifest of a data set ({error}). Convert the set again.") from error
    return Manifest(folder=folder, content=content)


def manifest_text(content: Mapping[str, Any]) -> str:
    """Gives a manifest as it stands in its file; its last key, `sha256`, vouches for every byte of it."""
    text = json.dumps({**content, "sha256": _NO_DIGEST}, indent=1) + "\n"
    return _replace_last(text, _NO_DIGEST, manifest_digest(text, _NO_DIGEST))


def manifest_digest(text: str, stated: str) -> str:
    """Gives the SHA-256 of a manifest's text with zeros in place of the digest that is stated in it."""
    return sha256_of_text(_replace_last(text, stated, _NO_DIGEST))


def _replace_last(text: str, old: str, new: str) -> str:
    return new.join(text.rsplit(old, 1)) if old else text


def shard_name(name: str, split: str, index: int, num_shards: int) -> str:
    """Gives a shard's file name, as TensorFlow Datasets names it."""
    return f"{name}-{split}.tfrecord-{index:05d}-of-{num_shards:05d}"


def verification_bin_name(name: str) -> str:
    """Gives the file name of the verification bin of a data set's validation split."""
    return f"{name}-validation.bin"


def is_set_file(name: object) -> bool:
    """Whether this is a name that a conversion gives a file of a data set; nothing else is ever removed as one."""
    return isinstance(name, str) and (name in FACES_TABLES or _STEMS.fullmatch(name) is not None)


def class_index_csv(
    classes: ClassIndex, images_per_split: Mapping[str, NDArray[np.int64]], names: Iterable[str]
) -> str:
    """Makes the class index as CSV: class, source_label, name, num_images, and the images in each split."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "source_label", "name", "num_images", *(f"num_{split}" for split in images_per_split)])
    columns = [classes.source_labels, names, classes.num_images, *images_per_split.values()]
    writer.writerows([number, *row] for number, row in enumerate(zip(*columns, strict=True)))
    return text.getvalue()


def image_summary(kinds: Counter[ImageKind]) -> dict[str, Any]:
    """Says what the images are: one height and width if all share them, the encodings, and every kind with its count."""
    sizes = {(kind.height, kind.width) for kind in kinds}
    height, width = sizes.pop() if len(sizes) == 1 else (None, None)
    encodings = Counter[str]()
    for kind, count in kinds.items():
        encodings[kind.encoding] += count
    return {
        "height": height,
        "width": width,
        "encodings": dict(sorted(encodings.items())),
        "kinds": [{**kind._asdict(), "num_images": count} for kind, count in sorted(kinds.items())],
    }


def split_entry(results: Sequence[ShardResult], classes: range | None = None) -> dict[str, Any]:
    """Makes a split's entry of the manifest from its shards and the range of its classes, where it has classes."""
    return {
        "num_images": sum(result.num_records for result in results),
        "num_bytes": sum(result.num_bytes for result in results),
        **({} if classes is None else {"first_class": classes.start, "num_classes": len(classes)}),
        "shards": [
            {"file": r.file, "num_records": r.num_records, "num_bytes": r.num_bytes, "sha256": r.sha256}
            for r in results
        ],
    }
