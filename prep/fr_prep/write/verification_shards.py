"""Verification bins as shards, which evaluation and training read like a bin, and TensorFlow and TFDS without our code.

A record is an image; its features are `image`, `pair` (0 to P - 1), `same` (1 for one person, 0 for two) and `side` (0 or 1).
Records stand in the order of the bin.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fr_data.bins.bins import VerificationBin, decode_image
from fr_data.images.header import ImageKind
from fr_data.images.pictures import is_jpeg_or_png, save_png
from fr_prep.digests import sha256_of_text
from fr_prep.errors import SourceError
from fr_prep.files import write_error, write_text
from fr_prep.sources.bins.bins import read_verification_bin
from fr_prep.sources.image_set import ImagePlaces
from fr_prep.version import tool_version
from fr_prep.workers.pool import run_tasks
from fr_prep.write import manifest as manifests
from fr_prep.write.build import BuildSettings
from fr_prep.write.output_folder import OutputFolder, require_free, require_other_files
from fr_prep.write.shard_task import ShardTask
from fr_prep.write.shard_writer import ShardResult, write_shard
from fr_prep.write.tfds_files import DATASET_INFO_FILE, FEATURES_FILE, dataset_info, features_json

__all__ = ["BinPlan", "convert_bin", "name_of_bin", "plan_bin", "require_free_folder"]

SPLIT = "test"
SPOOL_FILE = "images"
FEATURES = {
    "image": "bytes, an encoded image",
    "pair": "int64, the pair 0..num_pairs-1",
    "same": "int64, 1 if the pair shows one person, else 0",
    "side": "int64, 0 for the first image of the pair, 1 for the second",
}


@dataclass(frozen=True, slots=True)
class BinPlan:
    """A conversion of a bin that is not carried out.

    Attributes:
        bin: the bin.
        num_bytes: bytes of its file.
        images: 2·P images, as the shards will hold them.
        num_encoded: how many of them became PNG.
        shards: (n,) int64 pairs of each shard.
    """

    bin: VerificationBin
    num_bytes: int
    images: list[bytes]
    num_encoded: int
    shards: list[NDArray[np.int64]]

    def file_names(self, name: str) -> list[str]:
        """The files of the set, under its name."""
        num_shards = len(self.shards)
        shards = [manifests.shard_name(name, SPLIT, index, num_shards) for index in range(num_shards)]
        return [*shards, *manifests.PAIRS_TABLES]


def name_of_bin(path: Path) -> str:
    """Gives a name for a bin's shards: that of the file, with an underscore for what TensorFlow Datasets does not take."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", path.stem)[:190]
    return name if re.match("[A-Za-z]", name) else f"bin_{name}"


def plan_bin(source: Path, settings: BuildSettings) -> BinPlan:
    """Reads a bin and divides its pairs over shards; writes nothing.

    JPEG and PNG images stay as they are; others become PNG of the pixels that evaluation sees.

    Raises:
        SourceError: if the bin is refused, or has fewer pairs than there are to be shards.
    """
    bin_, file_bytes = read_verification_bin(source), source.stat().st_size
    encoded = {image: _encode(image) for image in set(bin_.images) if not is_jpeg_or_png(image)}
    images = [encoded.get(image, image) for image in bin_.images]
    num_bytes = sum(map(len, images))
    num_shards = settings.plan.num_shards or -(-num_bytes // settings.plan.shard_bytes)
    if settings.plan.num_shards is None:
        num_shards = min(num_shards, bin_.num_pairs)
    if num_shards > bin_.num_pairs:
        raise SourceError(f"{source}: has {bin_.num_pairs} pairs, too few for {num_shards} shards. Lower --shards.")
    num_encoded = sum(image in encoded for image in bin_.images)
    return BinPlan(bin_, file_bytes, images, num_encoded, np.array_split(np.arange(bin_.num_pairs), num_shards))


def convert_bin(source: Path, out: Path, *, settings: BuildSettings) -> manifests.Manifest:
    """Converts a verification bin into a folder of TFRecord shards with a manifest.

    Args:
        source: the bin.
        out: the folder.
        settings: the user's choices; of the plan, number and size of the shards.

    Raises:
        SourceError: if the bin is refused, or has fewer pairs than shards.
        OutputError: if the folder is taken, or cannot be written.
    """
    plan = plan_bin(source, settings)
    arguments = _arguments(plan, settings)
    require_other_files(out, [source])
    with OutputFolder(out) as folder:
        names = plan.file_names(settings.name)
        folder.prepare(_fingerprint(plan, arguments), overwrite=settings.overwrite, resume=settings.resume, names=names)
        try:
            tasks = list(_shard_tasks(plan, folder.staging, settings.name))
            writing = [partial(write_shard, task) for task in tasks]
            found = dict(run_tasks(writing, num_workers=settings.num_workers, resumable=True))
            results = [found[position] for position in range(len(tasks))]
            manifest = _write_tables(folder.staging, plan, results, arguments)
            folder.publish(manifest.file_names())
        except OSError as error:
            raise write_error(folder.staging, error) from error
    return manifests.read_manifest(out, kinds=[manifests.VERIFICATION_PAIRS])


def require_free_folder(plan: BinPlan, out: Path, settings: BuildSettings) -> None:
    """Refuses a folder that `convert_bin` would refuse; writes nothing.

    Raises:
        OutputError: if the folder cannot be one, is being written, or holds something that no option covers.
    """
    fingerprint, names = _fingerprint(plan, _arguments(plan, settings)), plan.file_names(settings.name)
    require_other_files(out, [plan.bin.path])
    require_free(out, fingerprint, overwrite=settings.overwrite, resume=settings.resume, names=names)


def _arguments(plan: BinPlan, settings: BuildSettings) -> dict[str, Any]:
    return {"name": settings.name, "num_shards": len(plan.shards)}


def _fingerprint(plan: BinPlan, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"tool version": tool_version(), "bin": plan.bin.sha256, **arguments}


def _encode(image: bytes) -> bytes:
    return save_png(Image.fromarray(decode_image(image)))


def _shard_tasks(plan: BinPlan, staging: Path, name: str) -> Iterator[ShardTask]:
    """Writes the images, each distinct one once, into one file, and gives the shards that are to be made of it."""
    offsets: dict[bytes, int] = {}
    with (staging / SPOOL_FILE).open("wb") as spool:
        for image in plan.images:
            if image not in offsets:
                offsets[image] = spool.tell()
                spool.write(image)
    image_offsets = np.array([offsets[image] for image in plan.images], dtype=np.int64)
    places = ImagePlaces(
        folder=staging,
        files=(SPOOL_FILE,),
        file_numbers=np.zeros(len(plan.images), dtype=np.int64),
        record_offsets=image_offsets,
        image_offsets=image_offsets,
        image_lengths=np.array([len(image) for image in plan.images], dtype=np.int64),
    )
    for index, pairs in enumerate(plan.shards):
        rows = (2 * pairs[:, None] + np.arange(2)).reshape(-1)
        yield ShardTask(
            path=staging / manifests.shard_name(name, SPLIT, index, len(plan.shards)),
            places=places.take(rows),
            integers={
                "pair": rows // 2,
                "same": plan.bin.issame[rows // 2].astype(np.int64),
                "side": rows % 2,
            },
        )


def _write_tables(
    folder: Path, plan: BinPlan, results: list[ShardResult], arguments: dict[str, Any]
) -> manifests.Manifest:
    """Writes the files of TensorFlow Datasets and the manifest."""
    bin_ = plan.bin
    summary = manifests.image_summary(sum((result.image_kinds for result in results), Counter[ImageKind]()))
    encodings = list(summary["encodings"])
    info = dataset_info(arguments["name"], {SPLIT: results}, supervised=None)
    features = features_json(
        height=summary["height"],
        width=summary["width"],
        encoding=encodings[0] if len(encodings) == 1 else "",
        integers=[name for name in FEATURES if name != "image"],
    )
    texts = {DATASET_INFO_FILE: json.dumps(info, indent=1), FEATURES_FILE: json.dumps(features, indent=1)}
    warnings = []
    if plan.num_encoded:
        warnings.append(
            f"Images that are no JPEG or PNG became PNG of the pixels that evaluation sees: {plan.num_encoded:,}."
        )
    if summary["height"] is None:
        warnings.append("Images have different sizes; evaluation resizes them.")
    content = {
        "format_version": manifests.FORMAT_VERSION,
        "kind": manifests.VERIFICATION_PAIRS,
        "tool": {"name": "fr-toolkit", "version": tool_version()},
        "name": arguments["name"],
        "num_pairs": bin_.num_pairs,
        "num_same": int(bin_.issame.sum()),
        "num_images": len(plan.images),
        "features": FEATURES,
        "image": summary,
        "splits": {SPLIT: manifests.split_entry(results)},
        "tensorflow_datasets": {file: sha256_of_text(text) for file, text in texts.items()},
        "source": {
            "dialect": "verification bin",
            "entries": bin_.entry_kinds,
            "num_encoded": plan.num_encoded,
            "files": [{"file": bin_.path.name, "num_bytes": plan.num_bytes, "digest": f"sha256:{bin_.sha256}"}],
        },
        "arguments": arguments,
        "warnings": warnings,
    }
    texts[manifests.MANIFEST_FILE] = manifests.manifest_text(content)
    for file, text in texts.items():
        write_text(folder / file, text)
    return manifests.Manifest(folder=folder, content=content)
