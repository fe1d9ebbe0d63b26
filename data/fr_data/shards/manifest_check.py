"""Whether parsed JSON is a manifest: every value that is used later has its type and range, and the totals agree.

The same is said for other programs by `docs/manifest.schema.json`.
"""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["check_manifest", "check_pairs_manifest"]

LARGEST = (1 << 63) - 1
SPLITS = ("train", "validation")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_manifest(content: Any, *, tables: Mapping[str, str], other_tables: tuple[str, ...]) -> None:
    """Checks a manifest of faces, of format version 1.

    Args:
        content: the parsed JSON.
        tables: key → the name of the file beside the shards of which the manifest tells there.
        other_tables: the names of the files that TensorFlow Datasets reads.

    Raises:
        ValueError: says at which key what was expected and what was received.
    """
    manifest = _table(content, "manifest")
    if manifest.get("kind", "faces") != "faces":
        raise ValueError(f"kind: expected faces or verification pairs, received {str(manifest['kind'])[:40]!r}")
    name = _text(manifest, "name", _NAME)
    num_images = _integer(manifest, "num_images", 1)
    _integer(manifest, "num_classes", 1, num_images)
    splits = _table(_get(manifest, "splits"), "splits")
    if "train" not in splits or not set(splits) <= set(SPLITS):
        raise ValueError(
            f"splits: expected train, and perhaps validation, received {', '.join(map(str, splits)) or 'none'}"
        )
    total = 0
    for key, value in splits.items():
        split = _table(value, f"splits.{key}")
        total += _check_split(split, f"splits.{key}", f"{name}-{key}")
        first = _integer(split, "first_class", 0, manifest["num_classes"] - 1, f"splits.{key}.")
        _integer(split, "num_classes", 1, manifest["num_classes"] - first, f"splits.{key}.")
    if total != num_images:
        raise ValueError(f"num_images: expected {total}, the sum of the splits, received {num_images}")
    for key, file in tables.items():
        table = _table(_get(manifest, key), key)
        if table.get("file") != file:
            raise ValueError(f"{key}.file: expected {file}, received {table.get('file')!r}")
        _text(table, "sha256", _SHA256, f"{key}.")
    if "verification_bin" in manifest:
        table = _table(manifest["verification_bin"], "verification_bin")
        if table.get("file") != f"{name}-validation.bin":
            raise ValueError(f"verification_bin.file: expected {name}-validation.bin, received {table.get('file')!r}")
        _text(table, "sha256", _SHA256, "verification_bin.")
        _integer(table, "num_pairs", 1, where="verification_bin.")
    _check_others(manifest, other_tables)
    _check_descriptions(manifest)


def check_pairs_manifest(content: Any, *, other_tables: tuple[str, ...]) -> None:
    """Checks a manifest of verification pairs, of format version 1.

    Args:
        content: the parsed JSON.
        other_tables: the names of the files that TensorFlow Datasets reads.

    Raises:
        ValueError: says at which key what was expected and what was received.
    """
    manifest = _table(content, "manifest")
    name = _text(manifest, "name", _NAME)
    num_pairs = _integer(manifest, "num_pairs", 1)
    _integer(manifest, "num_same", 0, num_pairs)
    splits = _table(_get(manifest, "splits"), "splits")
    if set(splits) != {"test"}:
        raise ValueError(f"splits: expected test, received {', '.join(map(str, splits)) or 'none'}")
    num_images = _check_split(_table(splits["test"], "splits.test"), "splits.test", f"{name}-test")
    if not 2 * num_pairs == num_images == _integer(manifest, "num_images", 2):
        raise ValueError(f"num_images: expected {2 * num_pairs}, two a pair, received {num_images} in the shards")
    _check_others(manifest, other_tables)
    _check_kinds(manifest)
    for key in ("source", "tool", "arguments", "features"):
        _table(_get(manifest, key), key)


def _check_others(manifest: Mapping[str, Any], other_tables: tuple[str, ...]) -> None:
    others = _table(_get(manifest, "tensorflow_datasets"), "tensorflow_datasets")
    if set(others) != set(other_tables):
        raise ValueError(
            f"tensorflow_datasets: expected {', '.join(other_tables)}, received {', '.join(map(str, others))}"
        )
    for key in other_tables:
        _text(others, key, _SHA256, "tensorflow_datasets.")


def _check_split(split: Mapping[str, Any], where: str, stem: str) -> int:
    shards = _list(split, "shards", f"{where}.")
    totals = {"num_records": 0, "num_bytes": 0}
    for index, item in enumerate(shards):
        place = f"{where}.shards[{index}]"
        shard = _table(item, place)
        file = f"{stem}.tfrecord-{index:05d}-of-{len(shards):05d}"
        if shard.get("file") != file:
            raise ValueError(f"{place}.file: expected {file}, received {shard.get('file')!r}")
        _text(shard, "sha256", _SHA256, f"{place}.")
        for key in totals:
            totals[key] += _integer(shard, key, 1, where=f"{place}.")
    for key, own in (("num_images", "num_records"), ("num_bytes", "num_bytes")):
        if _integer(split, key, 1, where=f"{where}.") != totals[own]:
            raise ValueError(f"{where}.{key}: expected {totals[own]}, the sum of the shards, received {split[key]}")
    return totals["num_records"]


def _check_descriptions(manifest: Mapping[str, Any]) -> None:
    """What is only shown must at least have its type."""
    _check_kinds(manifest)
    dropped = _table(_get(manifest, "dropped"), "dropped")
    for key in ("num_classes", "num_images"):
        _integer(dropped, key, 0, where="dropped.")
    left_out = _table(_get(manifest, "left_out"), "left_out")
    if _integer(left_out, "num_records", 0, where="left_out.") != len(_list(left_out, "records", "left_out.")):
        raise ValueError(f"left_out: expected {left_out['num_records']} records, received {len(left_out['records'])}")
    for key in ("ordering", "source", "tool", "arguments", "features"):
        _table(_get(manifest, key), key)
    if not all(isinstance(warning, str) for warning in _list(manifest, "warnings")):
        raise ValueError("warnings: expected sentences")


def _check_kinds(manifest: Mapping[str, Any]) -> None:
    image = _table(_get(manifest, "image"), "image")
    for index, kind in enumerate(_list(image, "kinds", "image.")):
        for key in ("height", "width", "channels", "num_images"):
            _integer(_table(kind, f"image.kinds[{index}]"), key, 0, where=f"image.kinds[{index}].")


def _get(table: Mapping[str, Any], key: str) -> Any:
    if key not in table:
        raise ValueError(f"{key}: is missing")
    return table[key]


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object, received {str(value)[:40]!r}")
    return value


def _list(table: Mapping[str, Any], key: str, where: str = "") -> list[Any]:
    value = table.get(key)
    if not isinstance(value, list):
        raise ValueError(f"{where}{key}: expected a list, received {str(value)[:40]!r}")
    return value


def _text(table: Mapping[str, Any], key: str, pattern: re.Pattern[str], where: str = "") -> str:
    value = table.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{where}{key}: expected a text like {pattern.pattern}, received {str(value)[:80]!r}")
    return value


def _integer(table: Mapping[str, Any], key: str, smallest: int, largest: int = LARGEST, where: str = "") -> int:
    value = table.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= largest:
        raise ValueError(
            f"{where}{key}: expected a whole number from {smallest} to {largest}, received {str(value)[:40]}"
        )
    return value
