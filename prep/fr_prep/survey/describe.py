"""What a path is: a record set, class folders, a verification bin, or a folder of shards, with counts, sizes and warnings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fr_data.images.header import ImageKind, sniff_images
from fr_prep.errors import ShardError, SourceError
from fr_prep.sources.bins.bins import read_verification_bin
from fr_prep.sources.image_reader import ImageReader
from fr_prep.sources.image_set import ImageSet
from fr_prep.sources.open_source import holds_class_folders, open_source
from fr_prep.sources.record_sets.face_records import RecordSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.write.manifest import CLASS_INDEX_FILE, KINDS, MANIFEST_FILE, VERIFICATION_PAIRS, Manifest, read_manifest

__all__ = ["Description", "describe"]

SAMPLE_IMAGES = 1000  # whose headers are read for the table of sizes


@dataclass(frozen=True, slots=True)
class Description:
    """What a path is.

    Attributes:
        kind: `record set`, `class folders`, `verification bin`, `shard folder` or `verification shards`.
        facts: name → number, text or table, in the order in which they are shown; JSON values.
        warnings: what is odd, each a sentence.
    """

    kind: str
    facts: Mapping[str, Any]
    warnings: Sequence[str] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, Any]:
        """Gives all of it as JSON values."""
        return {"kind": self.kind, **self.facts, "warnings": list(self.warnings)}


def describe(path: Path, settings: RecordSettings | None = None) -> Description:
    """Says what a path is, whichever of the five.

    Args:
        path: the file or folder.
        settings: how a record set is to be read.

    Raises:
        SourceError: if it is none of them, or damaged.
        ShardError: if it is a folder of shards with an unreadable manifest.
        SourceError: if it is a bin that is refused.
    """
    if path.is_dir() and ((path / MANIFEST_FILE).exists() or any(path.glob("*.incomplete"))):
        manifest = read_manifest(path, kinds=KINDS)
        return _describe_pairs(manifest) if manifest.kind == VERIFICATION_PAIRS else _describe_shards(manifest)
    if holds_class_folders(path):
        return _describe_class_folders(path)
    if path.is_dir() or path.suffix == ".rec":
        return _describe_records(path, settings or RecordSettings())
    if path.suffix == ".bin":
        return _describe_bin(path)
    if path.exists():
        raise SourceError(
            f"{path}: expected a folder, a .rec or a .bin, received a {path.suffix or 'file without suffix'}."
        )
    raise SourceError(f"{path}: there is no such file or folder.")


def _describe_records(path: Path, settings: RecordSettings) -> Description:
    source = RecordSetSource(path, settings).read()
    facts = {
        **_describe_images(source),
        "num_bytes": source.path.stat().st_size,
        "property": asdict(source.property) if source.property else None,
    }
    return Description("record set", facts, source.warnings)


def _describe_class_folders(path: Path) -> Description:
    source = open_source(path).read()
    facts = {**_describe_images(source), "num_damaged": len(source.left_out)}
    return Description("class folders", facts, source.warnings)


def _describe_images(source: ImageSet) -> dict[str, Any]:
    _, counts = np.unique(source.labels, return_counts=True)
    sample = np.unique(np.linspace(0, len(source.keys) - 1, SAMPLE_IMAGES).astype(np.int64))
    with ImageReader(source.places) as reader:
        images = [reader.read(row) for row in sample.tolist()]
    return {
        "path": str(source.path),
        "dialect": source.dialect,
        "num_images": len(source.keys),
        "num_classes": len(counts),
        "num_other_records": source.num_other_records,
        "images_per_class": _summarise(counts),
        "image_bytes": _summarise(source.places.image_lengths),
        "images_sampled": len(sample),
        "image_kinds": _kind_rows(_count_kinds(images)),
    }


def _describe_bin(path: Path) -> Description:
    bin_ = read_verification_bin(path)
    num_same = int(bin_.issame.sum())
    kinds = _count_kinds(bin_.images)
    warnings = []
    if len({(kind.height, kind.width) for kind in kinds}) > 1:
        warnings.append("Images have different sizes; evaluation resizes them.")
    if num_same in (0, bin_.num_pairs):
        warnings.append("All pairs have the same truth: no accuracy can be measured.")
    facts = {
        "path": str(path),
        "num_pairs": bin_.num_pairs,
        "num_same": num_same,
        "num_different": bin_.num_pairs - num_same,
        "num_images": len(bin_.images),
        "num_distinct_images": len(set(bin_.images)),
        "entries": dict(bin_.entry_kinds),
        "pickle_protocol": bin_.protocol,
        "num_bytes": path.stat().st_size,
        "image_bytes": _summarise(np.array([len(image) for image in bin_.images])),
        "image_kinds": _kind_rows(kinds),
        "sha256": bin_.sha256,
    }
    return Description("verification bin", facts, warnings)


def _describe_shards(manifest: Manifest) -> Description:
    path = manifest.folder
    try:
        table = np.loadtxt(
            path / CLASS_INDEX_FILE,
            delimiter=",",
            quotechar='"',
            comments=None,
            encoding="utf-8",
            skiprows=1,
            usecols=3,
            dtype=np.int64,
            ndmin=1,
        )
    except (OSError, ValueError) as error:
        raise ShardError(f"{path / CLASS_INDEX_FILE}: cannot be read ({error}). Convert the set again.") from error
    content = manifest.content
    facts = {
        "path": str(path),
        "name": manifest.name,
        "format_version": content["format_version"],
        "ordering": content["ordering"],
        "num_images": manifest.num_images,
        "num_classes": manifest.num_classes,
        "images_per_class": _summarise(table),
        "splits": {
            name: {
                "num_images": split["num_images"],
                "num_shards": len(split["shards"]),
                "num_bytes": split["num_bytes"],
            }
            for name, split in content["splits"].items()
        },
        "image_kinds": content["image"]["kinds"],
        "dropped": {"num_classes": content["dropped"]["num_classes"], "num_images": content["dropped"]["num_images"]},
        "source": content["source"],
    }
    return Description("shard folder", facts, content["warnings"])


def _describe_pairs(manifest: Manifest) -> Description:
    content = manifest.content
    split = content["splits"]["test"]
    facts = {
        "path": str(manifest.folder),
        "name": manifest.name,
        "format_version": content["format_version"],
        "num_pairs": content["num_pairs"],
        "num_same": content["num_same"],
        "num_different": content["num_pairs"] - content["num_same"],
        "num_images": manifest.num_images,
        "num_shards": len(split["shards"]),
        "num_bytes": split["num_bytes"],
        "image_kinds": content["image"]["kinds"],
        "source": content["source"],
    }
    return Description("verification shards", facts, content["warnings"])


def _summarise(values: NDArray[np.int64]) -> dict[str, float]:
    return {
        "smallest": int(values.min()),
        "median": float(np.median(values)),
        "mean": round(float(values.mean()), 1),
        "largest": int(values.max()),
    }


def _count_kinds(images: Sequence[bytes]) -> Counter[ImageKind]:
    lengths = np.array([len(image) for image in images], dtype=np.int64)
    return sniff_images(np.frombuffer(b"".join(images), dtype=np.uint8), np.cumsum(lengths) - lengths, lengths).tally()


def _kind_rows(kinds: Counter[ImageKind]) -> list[dict[str, Any]]:
    return [{**kind._asdict(), "num_images": count} for kind, count in sorted(kinds.items())]
