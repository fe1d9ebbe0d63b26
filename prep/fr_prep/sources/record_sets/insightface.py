"""A face set as it is handed around: `train.rec`, `train.idx` and `property` in a folder, in every dialect."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fr_data.shards.classes import count_labels
from fr_prep.errors import DamagedRecordError, SourceError
from fr_prep.sources.image_set import ImagePlaces, ImageSet, Property
from fr_prep.sources.record_sets.damage import MOST_LOST, read_sound_records
from fr_prep.sources.record_sets.dialects import check_counts, name_dialect
from fr_prep.sources.record_sets.face_records import FaceRecords, RecordSettings
from fr_prep.sources.record_sets.mxnet_reader import read_records_through_mxnet
from fr_prep.sources.record_sets.native_reader import read_all_records
from fr_prep.sources.record_sets.record_files import set_files
from fr_prep.sources.record_sets.unknown_images import find_unknown_images

__all__ = ["read_face_set"]


def read_face_set(source: Path, settings: RecordSettings | None = None) -> ImageSet:
    """Reads the index of a set: everything about each image but its bytes.

    Args:
        source: the set's folder, or its `.rec`.
        settings: the user's choices.

    Raises:
        SourceError: if files are missing or disagree, or a label is no whole number.
        DamagedRecordError: where the `.rec` is damaged.
    """
    settings = settings or RecordSettings()
    files = set_files(source)
    path = files[0]
    idx_path = next((file for file in files if file.suffix == ".idx"), None)
    property_path = next((file for file in files if file.name == "property"), None)
    if settings.on_error == "skip":
        found = _leave_damaged_out(path, read_sound_records(path, idx_path, settings), settings)
    else:
        read_records = read_records_through_mxnet if settings.reader == "mxnet" else read_all_records
        found = read_records(path, idx_path, settings)
        _require_images(path, found)
        _require_labels(path, found, settings.label_position)
    if not found.is_image.any():
        raise SourceError(f"{path}: expected image records, received {len(found.keys)} records without an image.")
    places = _places(path, found)
    labels = found.records.labels[found.image_rows].astype(np.int64)
    classes, counts = count_labels(labels)
    stated, warnings = _read_property(property_path) if property_path else (None, [])
    return ImageSet(
        path=path,
        dialect=name_dialect(found, labels, len(classes)),
        places=places,
        keys=found.keys[found.image_rows],
        labels=labels,
        property=stated,
        num_other_records=len(found.keys) - len(places),
        left_out=found.left_out,
        warnings=[*found.warnings, *_count_left_out(found), *warnings, *check_counts(found, classes, counts, stated)],
    )


def _places(path: Path, found: FaceRecords) -> ImagePlaces:
    records, rows = found.records, found.image_rows
    lengths = records.image_lengths[rows]
    return ImagePlaces(
        folder=path.parent,
        files=(path.name,),
        file_numbers=np.zeros(len(lengths), dtype=np.int64),
        record_offsets=records.offsets[rows],
        image_offsets=records.image_offsets[rows],
        image_lengths=lengths,
    )


def _find_wrong_labels(found: FaceRecords) -> NDArray[np.int64]:
    """Gives the rows of images whose label is no whole number, or not there."""
    labels = found.records.labels
    wrong = ~np.isfinite(labels) | (labels != np.floor(labels)) | (np.abs(labels) >= 2**31)
    return np.flatnonzero(found.is_image & wrong)


def _explain_label(found: FaceRecords, row: int, position: int) -> str:
    num_labels = int(found.records.num_labels[row])
    if position < max(num_labels, 1):
        return f"expected a class as label, a whole number, received {float(found.records.labels[row])}"
    held = f"{num_labels}, from position 0 to {num_labels - 1}" if num_labels else "a single one, position 0"
    return f"expected a label at position {position}, but of labels the record holds {held}"


def _find_empty(found: FaceRecords) -> NDArray[np.int64]:
    """Gives the rows of records that should hold an image: a header or an identity record has two labels in its place."""
    return np.flatnonzero(~found.is_image & (found.records.num_labels < 2))


_EMPTY = "expected an image, received a record that ends before it"


def _require_images(path: Path, found: FaceRecords) -> None:
    empty = _find_empty(found)
    empty = empty[empty > 0]  # the first record may be a header without its numbers
    if len(empty):
        offset = int(found.records.offsets[empty[0]])
        raise DamagedRecordError(
            f"{path}, key {found.keys[empty[0]]}, record at byte {offset}: {_EMPTY}. {len(empty)} of {len(found.keys)} records are "
            "like that. Copy the file again.",
            offset=offset,
            reason=_EMPTY,
        )


def _require_labels(path: Path, found: FaceRecords, position: int) -> None:
    wrong = _find_wrong_labels(found)
    if len(wrong):
        advice = "the file is no classification set"
        if found.records.num_labels[wrong].any() or position:
            advice += ", or another --label-position is its class"
        raise SourceError(
            f"{path}, key {int(found.keys[wrong[0]])}: {_explain_label(found, int(wrong[0]), position)}. "
            f"{len(wrong)} of {int(found.is_image.sum())} labels are like that: {advice}."
        )


def _leave_damaged_out(path: Path, found: FaceRecords, settings: RecordSettings) -> FaceRecords:
    """Leaves out records without a class, without an image, or with one that is no JPEG or PNG."""
    reasons = {row: _explain_label(found, row, settings.label_position) for row in _find_wrong_labels(found).tolist()}
    reasons |= dict.fromkeys(_find_empty(found).tolist(), _EMPTY)
    found = found.leave_out(reasons)
    if found.is_image.any():
        rows = np.flatnonzero(found.is_image)
        unknown = find_unknown_images(_places(path, found), settings)
        found = found.leave_out({int(rows[row]): what for row, what in unknown.items()})
    if not found.is_image.any() and found.left_out:
        first = found.left_out[0]
        raise SourceError(
            f"{path}: expected image records, but each of them is damaged ({len(found.left_out)}); the first, at byte "
            f"{first.offset}: {first.reason} Copy the file again."
        )
    return found


def _count_left_out(found: FaceRecords) -> list[str]:
    if not found.left_out:
        return []
    num_left_out, first = len(found.left_out), found.left_out[0]
    loud = f"{MOST_LOST}: " if num_left_out > len(found.keys) else ""
    return [
        f"{loud}{num_left_out} damaged records or stretches were left out, {len(found.keys)} records are sound; the first, at byte "
        f"{first.offset}, key {first.key}: {first.reason}"
    ]


def _read_property(path: Path) -> tuple[Property | None, list[str]]:
    try:
        line = path.read_text(encoding="ascii", errors="replace").split("\n", 1)[0].strip()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}. Check the path and its permissions.") from error
    try:
        num_classes, height, width = (int(field) for field in line.split(",")[:3])
    except ValueError:
        return None, [f"{path.name} is left out: expected `classes,height,width`, received {line[:60]!r}."]
    return Property(num_classes=num_classes, height=height, width=width), []
