"""The records of a set by our own reader, which ends at the first damage."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fr_prep.sources.record_sets.face_records import FaceRecords, RecordSettings
from fr_prep.sources.record_sets.image_records import ImageRecords, read_image_records
from fr_prep.sources.record_sets.record_index import is_rising, read_entries, sort_entries
from fr_prep.sources.record_sets.recordio import RecordFile

__all__ = ["describe_order", "read_all_records", "read_ranges"]


def read_all_records(path: Path, idx_path: Path | None, settings: RecordSettings) -> FaceRecords:
    """Reads the headers of all records.

    Args:
        path: the `.rec`.
        idx_path: its `.idx`, if there is one.
        settings: the user's choices.

    Raises:
        SourceError: if a file cannot be read, or the `.idx` is none.
        DamagedRecordError: where the `.rec` is damaged, or the two disagree.
    """
    with RecordFile(path) as file:
        if idx_path:
            keys, offsets = read_entries(idx_path)
            layout = describe_order(keys, offsets)
            keys, offsets = sort_entries(idx_path, keys, offsets)
        else:
            offsets = file.record_offsets()
            keys, layout = np.arange(len(offsets), dtype=np.int64), ("no .idx",)
        records, ends = read_image_records(file, offsets, label_position=settings.label_position)
        warnings = _check_tiling(file, offsets, ends, idx_path) if idx_path else ()
        if not idx_path:
            _require_tiling(file, offsets, ends)
        return FaceRecords(
            keys=keys, records=records, ranges=read_ranges(file, records), layout=layout, warnings=warnings
        )


def describe_order(keys: NDArray[np.int64], offsets: NDArray[np.int64]) -> tuple[str, ...]:
    """Says in which order the lines of an `.idx` stand, where it is not that of the file."""
    if is_rising(offsets):
        return ()
    if keys[-1] == 0 and offsets[-1] < offsets[0] and is_rising(offsets[:-1]):
        return (".idx names record 0 last",)
    return (".idx in another order than the .rec",)


def read_ranges(file: RecordFile, records: ImageRecords) -> NDArray[np.float32]:
    """Gives the first two labels of each record without an image: (k, 2) float32, NaN where a record has fewer."""
    rows = np.flatnonzero(records.image_lengths == 0)
    ranges = np.full((len(rows), 2), np.nan, dtype=np.float32)
    has_two = (records.num_labels[rows] >= 2) & (records.image_offsets[rows] >= 0)
    ends = records.image_offsets[rows[has_two]] // 4
    first = ends - records.num_labels[rows[has_two]]
    ranges[has_two] = np.stack([file.words[first], file.words[first + 1]], axis=1).view(np.float32)
    return ranges


def _check_tiling(
    file: RecordFile, offsets: NDArray[np.int64], ends: NDArray[np.int64], idx_path: Path
) -> tuple[str, ...]:
    """Compares the `.idx` with the file: what lies between the named records?"""
    starts = np.append(offsets, file.num_bytes)
    if (ends > starts).any():
        row = int(np.argmax(ends > starts))
        offset = int(starts[row - 1])
        raise file.damage(
            offset,
            f"the record at byte {offset} reaches to byte {int(ends[row])}, but {idx_path.name} names another one at byte "
            f"{int(starts[row])}",
            "One of the two is damaged: copy both again.",
        )
    num_unnamed, first, junk_bytes = 0, -1, 0
    for row in np.flatnonzero(ends < starts).tolist():
        num_here = len(file.record_offsets(int(ends[row]), int(starts[row])))
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
    return tuple(found)


def _require_tiling(file: RecordFile, offsets: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
    """A file without `.idx` must be records from end to end."""
    starts = np.append(offsets, file.num_bytes)
    if (ends != starts).any():
        row = int(np.argmax(ends != starts))
        found = (
            f"the next one starts at byte {int(starts[row])}"
            if row < len(offsets)
            else f"the file of {file.num_bytes} bytes holds no more"
        )
        raise file.damage(
            int(ends[row]),
            f"expected a record at byte {int(ends[row])}, but {found}",
            "The file is damaged or no RecordIO file: copy it again.",
        )
