"""Reading a damaged set: what is sound comes out, what is not is listed (`--on-error skip`)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import DamagedRecordError, SourceError
from fr_prep.sources.image_set import LeftOut
from fr_prep.sources.record_sets.face_records import FaceRecords, RecordSettings, as_sentence
from fr_prep.sources.record_sets.image_records import read_image_records
from fr_prep.sources.record_sets.native_reader import describe_order, read_ranges
from fr_prep.sources.record_sets.record_index import read_entries, sort_entries
from fr_prep.sources.record_sets.recordio import RecordFile
from fr_prep.sources.record_sets.sound_frames import SoundFrames, find_sound_frames

__all__ = ["MOST_LOST", "read_sound_records"]

MOST_LOST = "MORE THAN HALF OF THE SET IS LOST"


def read_sound_records(path: Path, idx_path: Path | None, settings: RecordSettings) -> FaceRecords:
    """Reads the headers of all records whose frames and headers are sound.

    Without `.idx`, keys are positions in the file, and each damaged stretch between two sound records counts as one.

    Args:
        path: the `.rec`.
        idx_path: its `.idx`, if there is one.
        settings: the user's choices.

    Raises:
        SourceError: if a file cannot be read, the `.idx` is none, or no record is sound.
    """
    entries = read_entries(idx_path) if idx_path else None
    with RecordFile(path) as file:
        sound = find_sound_frames(file, quiet=settings.quiet)
        if idx_path and entries:
            keys, offsets, left_out, warnings = _match(file, sound, idx_path, *sort_entries(idx_path, *entries))
            layout = describe_order(*entries)
        else:
            keys, offsets, left_out, warnings = _number(file, sound)
            layout = ("no .idx",)
        if not len(sound.offsets):
            raise SourceError(
                f"{path}: expected image records, but none is sound: {_first_fault(sound, 0, file.num_bytes)}. Copy the file again."
            )
        if not len(offsets):
            raise SourceError(
                f"{idx_path}: none of its {len(left_out)} records starts where it says, but {path.name} holds {len(sound.offsets)} "
                "sound ones. It belongs to another .rec: copy both again, or move the .idx away to have the .rec scanned."
            )
        records, _ = read_image_records(file, offsets, label_position=settings.label_position)
        return FaceRecords(
            keys=keys,
            records=records,
            ranges=read_ranges(file, records),
            layout=layout,
            left_out=tuple(left_out),
            warnings=tuple(warnings),
        )


# keys and offsets of the records that come out, in file order, those that do not, and warnings
_Matched = tuple[NDArray[np.int64], NDArray[np.int64], list[LeftOut], list[str]]


def _number(file: RecordFile, sound: SoundFrames) -> _Matched:
    """Counts records and damaged stretches, without an `.idx`."""
    starts = np.append(sound.offsets, file.num_bytes)
    ends = np.concatenate(([0], sound.ends))
    keys = np.arange(len(starts)) + np.cumsum(ends != starts)
    left_out = [
        LeftOut(start, key - 1, f"Bytes {start} to {stop} hold no sound record: {_first_fault(sound, start, stop)}.")
        for start, stop, key in np.stack([ends, starts, keys], axis=1)[ends != starts].tolist()
    ]
    num_lost, warnings = int((starts - ends).sum()), []
    if 2 * num_lost > file.num_bytes:
        warnings.append(f"{MOST_LOST}: {num_lost} of {file.num_bytes} bytes hold no sound record.")
    return keys[:-1], sound.offsets, left_out, warnings


def _match(
    file: RecordFile,
    sound: SoundFrames,
    idx_path: Path,
    keys: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> _Matched:
    """Looks for each record that the `.idx` names among the sound ones.

    Where bytes were lost or put in, later records stand elsewhere than the `.idx` says. Where ids are keys, as nearly all
    writers have it, the id of such a record says which it is.
    """
    is_there = np.isin(offsets, sound.offsets, assume_unique=True)
    is_named = np.isin(sound.offsets, offsets, assume_unique=True)
    warnings, name = list[str](), file.path.name
    has_own_id = np.zeros(len(keys), dtype=np.bool_)
    has_own_id[is_there] = keys[is_there] == sound.ids[is_named]
    if 2 * has_own_id.sum() > is_there.sum():  # ids are keys
        free_entries = np.flatnonzero(~has_own_id)
        free_records = np.flatnonzero(~np.isin(sound.offsets, offsets[has_own_id], assume_unique=True))
        _, first, second = np.intersect1d(keys[free_entries], sound.ids[free_records], return_indices=True)
        moved, found = free_entries[first], free_records[second]
        if len(moved):
            warnings.append(
                f"{len(moved)} records of {name} stand elsewhere than {idx_path.name} says, and were found by their ids (key "
                f"{keys[moved[0]]} at byte {sound.offsets[found[0]]}, for instance)."
            )
            is_there &= ~np.isin(offsets, sound.offsets[found])
            offsets = offsets.copy()
            offsets[moved], is_there[moved] = sound.offsets[found], True
            is_named = np.isin(sound.offsets, offsets[is_there], assume_unique=True)
    lost_offsets = offsets[~is_there]
    left_out = [
        LeftOut(offset, key, as_sentence(_explain(file, sound, offset)))
        for offset, key in zip(lost_offsets.tolist(), keys[~is_there].tolist(), strict=True)
    ]
    if not is_named.all():
        warnings.append(
            f"{int((~is_named).sum())} sound records of {name} are not named in {idx_path.name} and are left out, as MXNet leaves "
            f"them out (the first at byte {sound.offsets[np.argmin(is_named)]}). Move the .idx away to have all records read."
        )
    starts, ends = np.append(sound.offsets, file.num_bytes), np.concatenate(([0], sound.ends))
    is_junk = (ends < starts) & (np.searchsorted(lost_offsets, ends) == np.searchsorted(lost_offsets, starts))
    if is_junk.any():
        warnings.append(
            f"{int((starts - ends)[is_junk].sum())} bytes of {name} are no sound records (the first at byte "
            f"{ends[np.argmax(is_junk)]})."
        )
    order = np.argsort(offsets[is_there])
    return keys[is_there][order], offsets[is_there][order], left_out, warnings


def _first_fault(sound: SoundFrames, start: int, stop: int) -> str:
    return sound.first_fault(start, stop) or "no record starts there"


def _explain(file: RecordFile, sound: SoundFrames, offset: int) -> str:
    try:
        file.frames_at(np.array([offset], dtype=np.int64))
    except DamagedRecordError as error:
        return error.reason
    return sound.first_fault(offset, offset + 1) or f"by its id, the record at byte {offset} is another one"
