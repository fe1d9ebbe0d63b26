"""A face set as it is handed around: `train.rec`, `train.idx` and `property` in a folder, in every dialect.

InsightFace writes a header record (key 0, labels `[N + 1, N + 1 + identities]`) and one record an identity (labels `[first_key,
past_last_key]`), all without an image; other writers have images only. Counts and ranges there are float32, exact only to
2^24, so they are never trusted: images are counted, labels are taken from each image, and a disagreement is a warning.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import DamagedRecordError, SourceError
from fr_prep.sources.image_records import ImageRecords, read_image_records
from fr_prep.sources.image_set import ImagePlaces, ImageSet, Property
from fr_prep.sources.record_files import set_files
from fr_prep.sources.record_index import read_record_index
from fr_prep.sources.recordio import MAGIC, RecordFile

__all__ = ["read_face_set"]

EXACT_FLOAT32 = 1 << 24


def read_face_set(source: Path) -> ImageSet:
    """Reads the index of a set: everything about each image but its bytes.

    Args:
        source: the set's folder, or its `.rec`.

    Raises:
        SourceError: if files are missing or disagree, or a label is no whole number.
        DamagedRecordError: where the `.rec` is damaged.
    """
    files = set_files(source)
    path = files[0]
    idx_path, property_path = path.with_suffix(".idx"), path.parent / "property"
    warnings: list[str] = []
    with RecordFile(path) as file:
        if idx_path in files:
            keys, offsets = read_record_index(idx_path)
            records = read_image_records(file, offsets)
            warnings += _check_tiling(file, records, idx_path)
        else:
            offsets = file.record_offsets()
            keys = np.arange(len(offsets), dtype=np.int64)
            records = read_image_records(file, offsets)
            _require_tiling(file, records)
        others = _read_ranges(file, records)
    is_image = records.image_lengths > 0
    if not is_image.any():
        raise SourceError(f"{path}: expected image records, received {len(keys)} records without an image.")
    labels = _whole_labels(path, records.labels[is_image], keys[is_image])
    property_, property_warnings = _read_property(property_path) if property_path in files else (None, [])
    face_set = ImageSet(
        path=path,
        dialect=_name_dialect(records, is_image, has_index=idx_path in files),
        places=ImagePlaces(
            folder=path.parent,
            files=(path.name,),
            file_numbers=np.zeros(len(labels), dtype=np.int64),
            record_offsets=records.offsets[is_image],
            image_offsets=records.image_offsets[is_image],
            image_lengths=records.image_lengths[is_image],
        ),
        keys=keys[is_image],
        labels=labels,
        property=property_,
        num_other_records=int((~is_image).sum()),
        warnings=warnings + property_warnings,
    )
    face_set.warnings.extend(_check_counts(face_set, keys[~is_image], others))
    return face_set


def _check_tiling(file: RecordFile, records: ImageRecords, idx_path: Path) -> list[str]:
    """Compares the `.idx` with the file: what lies between the named records?"""
    starts = np.append(records.offsets, file.num_bytes)
    ends = np.concatenate(([0], records.ends))
    if (ends > starts).any():
        row = int(np.argmax(ends > starts))
        raise DamagedRecordError(
            f"{file.path}: the record at byte {int(records.offsets[row - 1])} reaches to byte {int(ends[row])}, but "
            f"{idx_path.name} names another one at byte {int(starts[row])}. One of the two is damaged: copy both again.",
            offset=int(records.offsets[row - 1]),
        )
    num_unnamed, first, junk_bytes = 0, -1, 0
    for row in np.flatnonzero(ends < starts).tolist():
        gap = file.words[ends[row] // 4 : (starts[row] + 3) // 4]
        positions = np.flatnonzero(gap[:-1] == MAGIC)
        num_here = int(((gap[positions + 1] >> 29) < 2).sum())
        junk_bytes += 0 if num_here else int(starts[row] - ends[row])
        num_unnamed += num_here
        first = int(ends[row]) if first < 0 else first
    found = []
    if num_unnamed:
        found.append(
            f"{num_unnamed} records of {file.path.name} are not named in {idx_path.name} and are left out, as MXNet leaves them "
            f"out (the first after byte {first}). Move the .idx away to have all records read."
        )
    if junk_bytes:
        found.append(f"{junk_bytes} bytes of {file.path.name} are no records (the first at byte {first}).")
    return found


def _require_tiling(file: RecordFile, records: ImageRecords) -> None:
    """A file without `.idx` must be records from end to end."""
    starts = np.append(records.offsets, file.num_bytes)
    ends = np.concatenate(([0], records.ends))
    if (ends != starts).any():
        row = int(np.argmax(ends != starts))
        raise DamagedRecordError(
            f"{file.path}: expected a record at byte {int(ends[row])}, but "
            + (
                f"the next one starts at byte {int(starts[row])}"
                if row < len(records.offsets)
                else f"the file of {file.num_bytes} bytes holds no more"
            )
            + ". The file is damaged or no RecordIO file: copy it again.",
            offset=int(ends[row]),
        )


def _read_ranges(file: RecordFile, records: ImageRecords) -> NDArray[np.float32]:
    """Gives the two labels of each record without an image: (n, 2) float32, NaN where a record has fewer."""
    rows = np.flatnonzero(records.image_lengths == 0)
    ranges = np.full((len(rows), 2), np.nan, dtype=np.float32)
    has_two = (records.num_labels[rows] >= 2) & (records.image_offsets[rows] >= 0)
    ends = records.image_offsets[rows[has_two]] // 4
    first = ends - records.num_labels[rows[has_two]]
    ranges[has_two] = np.stack([file.words[first], file.words[first + 1]], axis=1).view(np.float32)
    return ranges


def _whole_labels(path: Path, labels: NDArray[np.float32], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    wrong = ~np.isfinite(labels) | (labels != np.floor(labels)) | (np.abs(labels) >= 2**31)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise SourceError(
            f"{path}, key {int(keys[row])}: expected a class as label, a whole number, received {float(labels[row])}. "
            f"{int(wrong.sum())} of {len(labels)} labels are like that: the file is no classification set."
        )
    return labels.astype(np.int64)


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


def _name_dialect(records: ImageRecords, is_image: NDArray[np.bool_], *, has_index: bool) -> str:
    label_counts = np.unique(records.num_labels[is_image])
    words = [
        "InsightFace, with header and identity records"
        if (~is_image).any()
        else "image records only (im2rec, shuffled, or packed by hand)"
    ]
    if label_counts[-1] > 0:
        words.append("labels in arrays of " + " and ".join(str(int(count)) for count in label_counts))
    if (records.image_offsets[is_image] < 0).any():
        words.append(f"{int((records.image_offsets[is_image] < 0).sum())} records split at the magic")
    if not has_index:
        words.append("no .idx")
    return "; ".join(words)


def _check_counts(face_set: ImageSet, other_keys: NDArray[np.int64], ranges: NDArray[np.float32]) -> list[str]:
    """Says where header, ranges and property disagree with the images themselves."""
    found = []
    classes, counts = np.unique(face_set.labels, return_counts=True)
    num_images = len(face_set.keys)
    if len(other_keys):
        trap = " (they are float32, exact only to 16,777,216)" if num_images >= EXACT_FLOAT32 else ""
        identities = ranges[1:]
        if not np.isfinite(ranges[0, 0]):
            found.append(f"The header record holds no number of images; the file holds {num_images}. The images count.")
        elif ranges[0, 0] != np.float32(num_images + 1):
            found.append(
                f"The header record promises {ranges[0, 0] - 1:.0f} images, the file holds {num_images}{trap}. The images count."
            )
        if len(identities) != len(classes):
            found.append(
                f"The file has {len(identities)} identity records, its images {len(classes)} classes. The images count."
            )
        elif (np.sort(identities[:, 1] - identities[:, 0]) != np.sort(counts)).any():
            found.append(
                f"The ranges of the identity records disagree with the labels of the images{trap}. The labels count."
            )
    if face_set.property and face_set.property.num_classes != len(classes):
        found.append(
            f"property promises {face_set.property.num_classes} classes, the images have {len(classes)}. The images count."
        )
    if np.abs(classes).max() >= EXACT_FLOAT32:
        found.append(
            "Labels reach past 16,777,216, where float32 is no longer exact: classes may have run into one another."
        )
    return found
